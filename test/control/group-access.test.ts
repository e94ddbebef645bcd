// Proves for the group of the control socket: its members ask and others do not; what keeps it closed is said, and then it stays closed.
// As root, where a process may become another user; the numbers need no names.

import { chmodSync, chownSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import { ADMIN_SOCKET, type ControlSocket } from '../../adapters/control/control-path.ts'
import { openControlServer } from '../../adapters/control/control-server.ts'

const OPS = 4_242_001
const OTHERS = 4_242_002
const ANNA = 4_242_421
const GATEWAY = 4_242_500

const modeOf = (path: string): number => statSync(path).mode & 0o777

async function directoryOf(test: Test, mode: number, owner: { uid: number; gid: number }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'wadi-group-'))
  test.teardown(() => rm(directory, { recursive: true, force: true }))
  chownSync(directory, owner.uid, owner.gid)
  chmodSync(directory, mode)
  return directory
}

/** `work` as another user; root again afterwards. */
async function as<T>(user: { uid: number; gid: number; groups: number[] }, work: () => Promise<T>): Promise<T> {
  process.setgroups?.(user.groups)
  process.setegid?.(user.gid)
  process.seteuid?.(user.uid)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
    process.setgroups?.([0])
  }
}

async function open(test: Test, directory: string, groupId: number): Promise<string[]> {
  const said: string[] = []
  const handlers = { status: async ({ send }: { send(value: unknown): Promise<boolean> }) => void (await send('here')) }
  const server = await openControlServer(directory, handlers, { groupId, onGroupRefused: (why) => void said.push(why) })
  test.teardown(() => server.close())
  return said
}

const ask = (directory: string, groups: number[]): Promise<unknown> =>
  as({ uid: ANNA, gid: ANNA, groups }, () => askControl(directory, { command: 'status' }))

const onlyRoot = { skip: process.geteuid?.() !== 0 && 'only root may become somebody else' }

t.test('members of the group ask, others are told whose group it is', onlyRoot, async (t) => {
  const directory = await directoryOf(t, 0o700, { uid: GATEWAY, gid: GATEWAY })
  t.same(await open(t, directory, OPS), [])
  t.equal(modeOf(join(directory, 'wadi.sock')), 0o660)
  t.equal(modeOf(directory), 0o710, 'they pass through the directory, and cannot list it')
  t.equal(await ask(directory, [OPS]), 'here')
  await t.rejects(ask(directory, [OTHERS]), {
    code: 'WADI_NOT_ALLOWED',
    story: { next: /^Run it as the user 4242500 \("sudo -u '#4242500' wadi …"\), or join the group 4242001 \(.*usermod/ }
  })
})

t.test('who may ask may not change anything: that is another socket, of the owner alone', onlyRoot, async (t) => {
  const directory = await directoryOf(t, 0o700, { uid: GATEWAY, gid: GATEWAY })
  await open(t, directory, OPS)
  const change = async ({ send }: { send(value: unknown): Promise<boolean> }): Promise<void> => void (await send('changed'))
  const server = await openControlServer(directory, { change }, { socket: ADMIN_SOCKET })
  t.teardown(() => server.close())
  t.equal(modeOf(join(directory, ADMIN_SOCKET)), 0o600)
  const askToChange = (socket?: ControlSocket): Promise<unknown> =>
    as({ uid: ANNA, gid: ANNA, groups: [OPS] }, () => askControl(directory, { command: 'change' }, socket && { socket }))
  t.equal(await ask(directory, [OPS]), 'here')
  await t.rejects(askToChange(), { code: 'WADI_USAGE', message: /"change" is not known/ })
  await t.rejects(askToChange(ADMIN_SOCKET), {
    code: 'WADI_NOT_ALLOWED',
    story: { happened: /may not change anything of the gateway/, next: /^Run it as the user root \("sudo -u root wadi …"\)\.$/ }
  })
  t.equal(await askControl(directory, { command: 'change' }, { socket: ADMIN_SOCKET }), 'changed')
})

t.test('without a group: the user is named, and the key that would make one', onlyRoot, async (t) => {
  const directory = await directoryOf(t, 0o755, { uid: GATEWAY, gid: GATEWAY })
  const server = await openControlServer(directory, {})
  t.teardown(() => server.close())
  t.equal(modeOf(join(directory, 'wadi.sock')), 0o600)
  await t.rejects(ask(directory, []), { code: 'WADI_NOT_ALLOWED', story: { next: /^Run it as the user root .*control\.group/ } })
})

t.test('a directory that others may pass is left as it is; one that another group uses is not taken from it', onlyRoot, async (t) => {
  const open755 = await directoryOf(t, 0o755, { uid: 0, gid: OTHERS })
  t.same(await open(t, open755, OPS), [])
  t.match(statSync(open755), { gid: OTHERS, mode: 0o40755 })
  t.equal(await ask(open755, [OPS]), 'here')
  const shared = await directoryOf(t, 0o750, { uid: 0, gid: OTHERS })
  const [why = ''] = await open(t, shared, OPS)
  t.match(why, /its members cannot pass .*: it belongs to the group 4242002, which has rights of its own on it \(mode 750\)/)
  t.match(statSync(shared), { gid: OTHERS, mode: 0o40750 })
  t.equal(modeOf(join(shared, 'wadi.sock')), 0o600, 'it stays closed')
})

t.test('who is no member of the group may not give it: that is said, and the socket is there for its owner', onlyRoot, async (t) => {
  const directory = await directoryOf(t, 0o700, { uid: ANNA, gid: ANNA })
  const answer = await as({ uid: ANNA, gid: ANNA, groups: [OTHERS] }, async () => {
    const [why = ''] = await open(t, directory, OPS)
    t.match(why, /the user 4242421 may not give anything to the group 4242001, of which it is no member/)
    return askControl(directory, { command: 'status' })
  })
  t.equal(answer, 'here')
  t.equal(modeOf(directory), 0o700)
  t.equal(modeOf(join(directory, 'wadi.sock')), 0o600)
})

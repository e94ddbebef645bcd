// Proves for gateway/control-door.ts: a gateway without room for its control socket goes on and says so, and has it when there is room; and a group
// that cannot have it is named.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import { openControlServer } from '../../adapters/control/control-server.ts'
import { type ControlDoorOptions, openControlDoor } from '../../gateway/control-door.ts'
import { WadiError } from '../../runtime/base/errors.ts'

const handlers = { status: async ({ send }: { send(value: unknown): Promise<boolean> }) => void (await send('here')) }

function directoryOf(test: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'wadi-door-'))
  test.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** The first `times` fail with `code`, as the socket layer words it. */
function failing(times: number, code: string): NonNullable<ControlDoorOptions['open']> {
  let left = times
  return (directory, ...rest) => {
    if (left-- <= 0) return openControlServer(directory, ...rest)
    const cause = Object.assign(new Error(`listen ${code}`), { code })
    return Promise.reject(new WadiError('WADI_DATA_DIR_UNUSABLE', { happened: 'no socket', kept: '', next: '', cause }))
  }
}

t.test('no inode for the socket: told once, tried again, told when it is there', { timeout: 20_000 }, async (t) => {
  const data = directoryOf(t)
  const lines: string[] = []
  let isThere = (): void => undefined
  const there = new Promise<void>((resolve) => {
    isThere = resolve
  })
  const log: ControlDoorOptions['log'] = (level, message) => {
    lines.push(`${level} ${message}`)
    if (level === 'info') isThere()
  }
  const config = { gateway: { id: 'a', data }, control: { group: null } }
  const door = await openControlDoor(config, handlers, { log, open: failing(3, 'ENOSPC'), retryMs: 1 })
  const alive = setInterval(() => undefined, 1_000) // a waiting door keeps no process alive
  await there
  clearInterval(alive)
  t.equal(await askControl(data, { command: 'status' }), 'here')
  t.match(lines, [
    /^warn no room for the control socket \(ENOSPC\): wadi status and wadi tail are not answered, events are taken; tried again every/,
    /^info the control socket is there now/
  ])
  t.equal(lines.length, 2)
  await door.close()
  await t.rejects(askControl(data, { command: 'status' }), { code: 'WADI_UNAVAILABLE' })
})

t.test('it closes while there is still no room', async (t) => {
  const config = { gateway: { id: 'a', data: directoryOf(t) }, control: { group: null } }
  const door = await openControlDoor(config, handlers, {
    log: () => undefined,
    open: failing(Number.POSITIVE_INFINITY, 'ENOSPC'),
    retryMs: 1
  })
  await door.close()
})

t.test('a directory that can have no socket at all refuses the start, as before', async (t) => {
  const config = { gateway: { id: 'a', data: directoryOf(t) }, control: { group: null } }
  await t.rejects(openControlDoor(config, handlers, { log: () => undefined, open: failing(1, 'EPERM') }), {
    code: 'WADI_DATA_DIR_UNUSABLE'
  })
})

t.test('a group that went away since the file was checked: told, and the socket is there for its owner', async (t) => {
  const data = directoryOf(t)
  const lines: string[] = []
  const log: ControlDoorOptions['log'] = (level, message) => void lines.push(`${level} ${message}`)
  const door = await openControlDoor({ gateway: { id: 'a', data }, control: { group: 'no-such-group' } }, handlers, { log })
  t.match(lines, [
    /^warn control\.group: members of no-such-group cannot ask this gateway, its own user can: this machine has no such group$/
  ])
  t.equal(await askControl(data, { command: 'status' }), 'here')
  await door.close()
})

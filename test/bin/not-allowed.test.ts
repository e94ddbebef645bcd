// Proves for adapters/control/control-client.ts and bin/inspection.ts: a user who may not open the control socket, or not read the data directory, is
// told that, not that no gateway runs or that it is no data directory.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import { CONTROL_SOCKET } from '../../adapters/control/control-path.ts'
import { openControlServer } from '../../adapters/control/control-server.ts'
import { openInspection } from '../../bin/inspection.ts'

const NOBODY = 65_534

/** As a user without rights: root has all of them whatever the mode says. */
async function withoutRights<T>(work: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(NOBODY)
  try {
    return await work()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}

for (const [what, close] of [
  ['the socket', (directory: string) => chmodSync(join(directory, CONTROL_SOCKET), 0)],
  ['the directory', (directory: string) => chmodSync(directory, 0)]
] as const) {
  t.test(`${what} may not be opened`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'wadi-control-'))
    chmodSync(directory, 0o755)
    const server = await openControlServer(directory, { status: async ({ send }) => void (await send('here')) })
    t.teardown(async () => {
      chmodSync(directory, 0o700)
      await server.close()
      rmSync(directory, { recursive: true, force: true })
    })
    t.equal(await askControl(directory, { command: 'status' }), 'here')
    close(directory)
    await t.rejects(
      withoutRights(() => askControl(directory, { command: 'status' })),
      { code: 'WADI_NOT_ALLOWED', message: /This user may not ask the gateway on .*EACCES/ }
    )
  })
}

t.test('the data directory may not be read', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wadi-private-'))
  t.teardown(() => {
    chmodSync(directory, 0o700)
    rmSync(directory, { recursive: true, force: true })
  })
  chmodSync(directory, 0)
  await openInspection(directory).catch(() => undefined) // its modules are loaded as the user that may read them
  await t.rejects(
    withoutRights(() => openInspection(directory)),
    { code: 'WADI_NOT_ALLOWED' }
  )
  chmodSync(directory, 0o700)
  await t.rejects(openInspection(directory), { code: 'WADI_DATA_DIR_UNUSABLE' }, 'an empty one')
})

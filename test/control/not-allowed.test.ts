// Proves for adapters/control/control-client.ts: a user who may not open the control socket is told that, not that no gateway runs.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import { CONTROL_SOCKET } from '../../adapters/control/control-path.ts'
import { openControlServer } from '../../adapters/control/control-server.ts'

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

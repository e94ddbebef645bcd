// Proves: what the file system says to the lock file of a data directory is told by its name: no room for it is no damage of the directory.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { diskError } from '../../runtime/io/node-disk-error.ts'
import { lockDirectory } from '../../runtime/io/node-lock.ts'
import { asStoreError } from '../../runtime/log/store-errors.ts'
import { SimMachine } from '../helpers/sim-store.ts'

t.test('the second of two processes is refused; what the system says is said with the path of the lock file', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'wadi-lock-'))
  const lock = await lockDirectory(directory)
  await t.rejects(lockDirectory(directory), { code: 'ELOCKED' })
  await lock.release()
  await rm(directory, { recursive: true })
  await t.rejects(lockDirectory(directory), { code: 'ENOENT', operation: 'lock', path: `${directory}/wadi.lock` })
})

t.test('no inode for the lock file, or no descriptor: the start is refused with what is missing', async (t) => {
  for (const [code, words] of [
    ['ENOSPC', /No space left for \/data\/wadi\.lock/],
    ['EDQUOT', /No space left for \/data\/wadi\.lock/],
    ['ENFILE', /may not have more files open/]
  ] as const) {
    const said = diskError(Object.assign(new Error(`listen ${code}`), { code }), 'lock', '/data/wadi.lock')
    t.ok(said.isFull, code)
    t.match(asStoreError(said, '/data'), { code: 'WADI_DISK_FULL', story: { happened: words, next: /start Wadi again/ } })
  }
  const machine = new SimMachine(1)
  machine.disk.failNext('lock', '/data', 'ENOSPC')
  await t.rejects(machine.open(), { code: 'WADI_DISK_FULL' })
  await machine.settle((await machine.open()).close())
})

// Loaded before the gateway (node --import): whatever it asks the kernel to make durable is answered at once and done later, if ever.
// Changes node:fs and nothing of the gateway, so that the bundle can be mutated too. The rig that cuts the power must notice.

import { createRequire, syncBuiltinESMExports } from 'node:module'

const fs = createRequire(import.meta.url)('node:fs') as typeof import('node:fs')
const { O_DSYNC = 0, O_SYNC = 0 } = fs.constants
const open = fs.open as (path: string, flags: string | number, ...rest: unknown[]) => void

const unsyncedOpen = (path: string, flags: string | number, ...rest: unknown[]): void =>
  open(path, typeof flags === 'number' ? flags & ~(O_DSYNC | O_SYNC) : flags, ...rest)
const unsynced = (_descriptor: number, done: (error: null) => void): void => process.nextTick(done, null)
Object.assign(fs, { open: unsyncedOpen, fsync: unsynced, fdatasync: unsynced })
syncBuiltinESMExports()

// Loaded before the gateway (node --import): the journal is durable as ever, but the sync of segments, snapshots and directories is answered
// at once and done later, if ever; then the journal that held their events is used anew. Changes node:fs, so that the bundle can be
// mutated too. The rig that cuts the power must notice.

import { createRequire, syncBuiltinESMExports } from 'node:module'

const fs = createRequire(import.meta.url)('node:fs') as typeof import('node:fs')
const unsynced = (_descriptor: number, done: (error: null) => void): void => process.nextTick(done, null)
Object.assign(fs, { fsync: unsynced, fdatasync: unsynced })
syncBuiltinESMExports()

// Opens a data directory as a start of the gateway does, and says how long it took: { openMs, replayedCommits }.
// Arguments: directory.

import { openStore } from './open-store.ts'
import { tell } from './worker.ts'

const startMs = performance.now()
const store = await openStore(process.argv[2] ?? '')
tell({ openMs: performance.now() - startMs, sinceStartMs: performance.now(), report: store.report })
process.on('disconnect', () => process.exit(0))
setInterval(() => undefined, 60_000)

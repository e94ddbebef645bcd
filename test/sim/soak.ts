// Many seeds of the whole gateway: node dist/test/sim/soak.js --seeds 100000 [--first 1] [--threads 2]. SEED=n replays one.
// One JSON line at the end; every failing seed prints the line that replays it. Exit code 1 when any failed.

import { availableParallelism } from 'node:os'
import { runParallel } from './run-parallel.ts'

function option(name: string, fallback: number): number {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : Number(process.argv[at + 1])
}

const count = option('seeds', 1000)
let told = 0
const summary = await runParallel({
  first: option('first', 1),
  count,
  threads: option('threads', availableParallelism()),
  onFailure: (seed, violations) => {
    console.log(`FAILED  replay with: SEED=${seed} node dist/test/sim/soak.js`)
    for (const violation of violations) console.log(`        ${violation}`)
  },
  onProgress: (done) => {
    if (done - told < 2000) return
    told = done
    console.error(`${done} of ${count} seeds`)
  }
})
console.log(JSON.stringify(summary))
if (summary.failedSeeds.length > 0) process.exitCode = 1

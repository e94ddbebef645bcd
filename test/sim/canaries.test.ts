// The simulation has to catch what it is there for: each of the canaries breaks one promise in one place, and some seed must notice.
// A canary that stays green means that the rig is broken, not that the product is well.

import t from 'tap'
import { canaries } from './canaries.ts'
import { runParallel } from './run-parallel.ts'

const SEEDS_MAX = 2_000

t.setTimeout(600_000)

for (const canary of Object.keys(canaries)) {
  t.test(`caught: ${canary}`, async (t) => {
    let caught = ''
    const summary = await runParallel({
      first: 1,
      count: SEEDS_MAX,
      threads: 1,
      canary,
      onFailure: (seed, violations) => {
        caught = `seed ${seed}: ${violations[0]}`
      }
    })
    t.comment(JSON.stringify({ canary, verdict: caught ? 'caught' : 'MISSED', seeds: summary.seeds, by: caught }))
    t.not(caught, '', `no seed below ${SEEDS_MAX} noticed`)
  })
}

// The simulation has to catch what it is there for: each of the canaries breaks one guarantee in one place, and some seed must notice.
// A canary that stays green means that the rig is broken, not that the product is well.

import t from 'tap'
import { canaries } from './canaries.ts'
import { CANARY_SEEDS_MAX, runCanary } from './run-canary.ts'

t.setTimeout(900_000)

for (const canary of Object.keys(canaries)) {
  t.test(`caught: ${canary}`, async (t) => {
    const { caughtBy, seeds } = await runCanary(canary)
    t.comment(JSON.stringify({ canary, verdict: caughtBy === null ? 'MISSED' : 'caught', seeds, by: caughtBy }))
    t.not(caughtBy, null, `none of ${CANARY_SEEDS_MAX} seeds noticed`)
  })
}

// Proves for core-wasm/assembly/lane.ts: of 60,000 packets of each version, damaged and right, cut anywhere, it takes only what the packet reader reads as
// plain PUBLISHes of QoS 0 and 1, and as the same; with the assertions of the debug core.

import t from 'tap'
import { loadTestCore } from '../helpers/core.ts'
import { seeds } from '../sim/prng.ts'
import { withMembers } from '../sim/with-members.ts'
import { fuzzLane } from './lane-fuzz.ts'

const PACKETS = 60_000

t.setTimeout(240_000)

for (const version of [4, 5] as const) {
  for (const seed of seeds({ count: 1 })) {
    t.test(`${PACKETS} packets of version ${version} (SEED=${seed})`, async (t) => {
      const { packets, taken, problem } = fuzzLane(loadTestCore('debug'), { version, count: PACKETS, seed })
      t.equal(problem, null)
      t.ok(packets >= PACKETS && taken > PACKETS / 6, `${taken} were taken`)
    })
  }
}

t.test('canary: the lane takes MQTT 5 for MQTT 3.1.1', async (t) => {
  const core = loadTestCore('release')
  const wrong = withMembers(core, { lane: withMembers(core.lane, { feed: (options) => core.lane.feed({ ...options, isV5: false }) }) })
  t.not(fuzzLane(wrong, { version: 5, count: 1_000, seed: 1 }).problem, null)
})

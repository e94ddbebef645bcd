// Proves for adapters/mqtt/packet-reader.ts: 100,000 mutated packets of each version are read or stopped, in pieces as whole, without a throw, without an
// end that does not come, and without memory that stays.

import t from 'tap'
import type { ProtocolVersion } from '../../adapters/mqtt/packets.ts'
import { collector } from '../helpers/collector.ts'
import { seeds } from '../sim/prng.ts'
import { fuzzReader } from './reader-fuzz.ts'

const PACKETS = 100_000
const GROWTH_BYTES_MAX = 4 * 1024 * 1024

t.setTimeout(240_000)

for (const version of [3, 4, 5] as const satisfies readonly ProtocolVersion[]) {
  for (const seed of seeds({ count: 1 })) {
    t.test(`${PACKETS} mutated packets of version ${version} (SEED=${seed})`, async (t) => {
      fuzzReader({ version, count: 1_000, seed }) // warm
      const collect = collector()
      collect()
      const before = process.memoryUsage()
      const { packets, stopped, passed, problem } = fuzzReader({ version, count: PACKETS, seed })
      collect()
      const after = process.memoryUsage()
      t.equal(problem, null)
      t.equal(packets, PACKETS)
      t.ok(stopped > PACKETS / 5, `${stopped} were stopped`)
      t.ok(passed > PACKETS / 5, `${passed} packets passed`)
      const growth = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
      t.ok(growth < GROWTH_BYTES_MAX, `memory grew by ${growth} bytes`)
    })
  }
}

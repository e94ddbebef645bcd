// Proves for the limits of memory: what they allow is what the process grows by, even when everything in it is small. Half as much again
// is left for what seals, sockets and the heap need.
// How: a process of its own per limit, filled with one-event batches of 87 bytes or events of 26 bytes over MQTT; the heap and what lies
// outside of it are counted after a collection. Counted by payload alone, tails grew by 5.4 and ingest by 3.3 times their limits.

import t from 'tap'
import { GROWTH_MAX, measureGrowth } from '../../bench/limits.ts'

const MIB = 2 ** 20
/** What one of these events takes, about. */
const EVENT_BYTES = 1024

for (const [what, limitMib] of [
  ['tail', 8],
  ['ingest', 8]
] as const) {
  t.test(`${what}: a limit of ${limitMib} MiB bounds what the process grows by`, async (t) => {
    const { grownBytes, limitBytes, count } = await measureGrowth(what, { limitMib })
    t.ok(grownBytes <= GROWTH_MAX * limitBytes, `${(grownBytes / MIB).toFixed(1)} MiB for ${count} events`)
    t.ok(count * EVENT_BYTES >= limitBytes / 4, `it was filled: ${count} events`)
  })
}

// Proves for adapters/mqtt/delivered-offsets.ts: an event that waits for its turn holds the end back, and what was delivered behind it is named.

import t from 'tap'
import { DeliveredOffsets } from '../../adapters/mqtt/delivered-offsets.ts'
import type { Partition } from '../../runtime/log/contract.ts'

t.test('events are delivered in another order than they lie in the log', async (t) => {
  const partition = { topicName: 'a', topicNumber: 1, partitionIndex: 0, isDeleted: false } as Partition
  const offsets = new DeliveredOffsets()
  offsets.pass(new Map([[partition, 5]]))
  t.equal(offsets.end(partition), 5)
  for (const offset of [5, 6, 8, 9]) offsets.stored({ partition, offset })
  for (const offset of [8, 6]) offsets.delivered({ partition, offset })
  t.equal(offsets.end(partition), 5)
  t.same([...offsets.ahead(partition)].sort(), [6, 8])
  t.ok(offsets.isBehind(new Map([[partition, 10]]), 4))
  offsets.delivered({ partition, offset: 5 })
  t.equal(offsets.end(partition), 9)
  t.same(offsets.ahead(partition), [])
  offsets.delivered({ partition, offset: 9 })
  t.equal(offsets.end(partition), 10)
  t.same([...offsets.ends()], [[partition, 10]])
})

// Proves for runtime/broker/partitioner.ts: a key goes where Kafka's Java producer would send it; without a key partitions take turns.

import t from 'tap'
import { Partitioner } from '../../runtime/broker/partitioner.ts'
import { loadTestCore } from '../helpers/core.ts'

const encoder = new TextEncoder()

// murmur2 values from Apache Kafka's UtilsTest.testMurmur2.
const VECTORS: [string, number][] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107]
]

t.test('a key goes where the Java producer would send it', async (t) => {
  const partitioner = new Partitioner(loadTestCore())
  for (const [key, murmur2] of VECTORS) {
    for (const count of [1, 2, 6, 50])
      t.equal(partitioner.partitionOf(partitioner.hashOf(encoder.encode(key)), count), (murmur2 & 0x7fffffff) % count)
  }
})

t.test('a deleted topic takes its turn with it', async (t) => {
  const partitioner = new Partitioner(loadTestCore())
  for (let topicNumber = 1; topicNumber <= 5; topicNumber++) partitioner.nextOf(topicNumber, 3)
  t.equal(partitioner.topicCount, 5)
  for (let topicNumber = 1; topicNumber <= 4; topicNumber++) partitioner.forgetTopic(topicNumber)
  t.equal(partitioner.topicCount, 1)
  t.equal(partitioner.nextOf(5, 3), 1, 'the others go on')
})

t.test('without a key the partitions of each topic take turns', async (t) => {
  const partitioner = new Partitioner(loadTestCore())
  t.same(
    Array.from({ length: 7 }, () => partitioner.nextOf(1, 3)),
    [0, 1, 2, 0, 1, 2, 0]
  )
  t.equal(partitioner.nextOf(2, 3), 0, 'another topic has its own turn')
  t.equal(partitioner.nextOf(1, 3), 1)
})

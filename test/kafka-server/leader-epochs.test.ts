// Leader epochs over the wire: what a consumer sees of them before and behind a restart.

import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import { loadTestCore } from '../helpers/core.ts'
import { startCentre } from './centre.ts'
import { WireClient } from './wire-client.ts'

const core = loadTestCore()
const encoder = new TextEncoder()

async function produce(client: WireClient, count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, at) => ({ timestampMs: 1, key: null, value: encoder.encode(`${at}`), headers: [] }))
  const partitionData = [{ index: 0, records: core.buildBatch(records, { baseOffset: 0 }).slice() }]
  await client.call(api.Produce, 9, { transactionalId: null, acks: -1, timeoutMs: 1000, topicData: [{ name: 'a', partitionData }] })
}

t.test('metadata, batches, Fetch and OffsetForLeaderEpoch name the start', async (t) => {
  const centre = await startCentre(t)
  await centre.store.createTopic('a')
  const before = new WireClient(centre.port)
  await produce(before, 3)
  before.close()
  await centre.restart()
  const client = new WireClient(centre.port)
  await produce(client, 2)
  const { topics } = await client.call(api.Metadata, 12, { topics: [{ name: 'a', topicId: '0'.repeat(32) }] })
  t.equal(topics[0]?.partitions[0]?.leaderEpoch, 2)
  const fetch = async (currentLeaderEpoch: number) => {
    const partitions = [{ partition: 0, currentLeaderEpoch, fetchOffset: 0, partitionMaxBytes: 1 << 20 }]
    const asked = { maxWaitMs: 0, minBytes: 1, maxBytes: 1 << 20, sessionEpoch: -1, topics: [{ topic: 'a', partitions }] }
    return (await client.call(api.Fetch, 11, asked)).responses[0]?.partitions[0]
  }
  const fetched = await fetch(2)
  t.equal(readBatchHeader(fetched?.records ?? new Uint8Array(0))?.partitionLeaderEpoch, 1)
  t.equal((await fetch(1))?.errorCode, 74, 'FENCED_LEADER_EPOCH: it asks for metadata')
  for (const version of [2, 3, 4]) {
    const partitions = [
      { partition: 0, currentLeaderEpoch: 2, leaderEpoch: 1 },
      { partition: 9, currentLeaderEpoch: 2, leaderEpoch: 1 }
    ]
    const asked = { topics: [{ topic: 'a', partitions }] }
    const answered = await client.call(api.OffsetForLeaderEpoch, version, asked)
    t.same(answered.topics[0]?.partitions, [
      { errorCode: 0, partition: 0, leaderEpoch: 1, endOffset: 3 },
      { errorCode: 3, partition: 9, leaderEpoch: -1, endOffset: -1 }
    ])
  }
  const old = { topics: [{ topic: 'a', partitions: [{ partition: 0, currentLeaderEpoch: 1, leaderEpoch: 1 }] }] }
  t.match((await client.call(api.OffsetForLeaderEpoch, 4, old)).topics[0]?.partitions[0], { errorCode: 74, endOffset: -1 })
  client.close()
})

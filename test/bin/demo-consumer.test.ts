// Proves for the demo's independent client: it reads what is committed, and when it cannot read it says so in its own words, so that
// the ledger never blames the gateway for it.

import t from 'tap'
import { openConsumer } from '../../bin/demo/consumer.ts'
import { viewOf } from '../../runtime/core/batch-header.ts'
import { loadTestCore } from '../helpers/core.ts'
import { startCentre } from '../kafka-server/centre.ts'

const core = loadTestCore()
const record = (text: string) => ({ timestampMs: 1_760_000_000_000, key: null, value: Buffer.from(text), headers: [] })

async function consumerOf(port: number) {
  const consumer = await openConsumer({ host: '127.0.0.1', port }, 'demo')
  if (!consumer) throw new Error('kafkajs is a development dependency: npm ci')
  return consumer
}

t.test('every committed record is handed over', { timeout: 30_000 }, async (t) => {
  const { port, store } = await startCentre(t)
  const partition = (await store.createTopic('demo', { partitionCount: 1 })).partitions[0]!
  const batch = core.buildBatch(['a', 'b', 'c'].map(record), { baseOffset: 0 })
  await store.commit([{ partition, content: { batch, recordCount: 3 } }], [])
  const values: string[] = []
  const consumer = await consumerOf(port)
  await consumer.readAll({ expected: 3, withinMs: 20_000, onRecord: (value) => values.push(String(value)), onProgress() {} })
  t.same(values, ['a', 'b', 'c'])
})

t.test('a codec that the client does not know is its error, not a loss', { timeout: 60_000 }, async (t) => {
  const { port, store } = await startCentre(t)
  const partition = (await store.createTopic('demo', { partitionCount: 1 })).partitions[0]!
  const batch = core.buildBatch([record('a')], { baseOffset: 0 })
  viewOf(batch).setInt16(21, 4) // zstd, which kafkajs does not have
  viewOf(batch).setUint32(17, core.crc32c(batch.subarray(21)))
  await store.commit([{ partition, content: { batch, recordCount: 1 } }], [])
  const consumer = await consumerOf(port)
  const reading = consumer.readAll({ expected: 1, withinMs: 40_000, onRecord() {}, onProgress() {} })
  await t.rejects(reading, /independent client gave up: .*zstd/i)
})

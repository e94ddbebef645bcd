// Proves for producer-record.ts: what is stored is what is read back, in few bytes; the JSON of versions before is read; nonsense is named as damage, a
// newer version as newer. The bytes of docs/formats/state.md are held to here.

import t from 'tap'
import { encodeProducerRecord, type ProducerRecord, readProducerRecord } from '../../runtime/log/producer-record.ts'
import { Prng } from '../sim/prng.ts'

const KEY = 'producer/1/0/9'

t.test('the bytes of the page', async (t) => {
  const record: ProducerRecord = {
    producerEpoch: 3,
    lastTimestampMs: 1_700_000_000_000,
    transactionFirstOffset: 299,
    batches: [
      { firstSequence: 10, recordCount: 2, baseOffset: 300 },
      { firstSequence: 12, recordCount: 1, baseOffset: 305 }
    ]
  }
  const bytes = encodeProducerRecord(record)
  t.equal(Buffer.from(bytes).toString('hex'), '0200030000018bcfe56800ac02020a02ac020c0103')
  t.same(readProducerRecord(KEY, bytes), record)
})

t.test('what is stored is what is read back', async (t) => {
  const prng = new Prng(5)
  for (let round = 0; round < 500; round++) {
    let baseOffset = prng.pick([0, 5, 2 ** 31, 2 ** 40, 2 ** 52])
    const batches = Array.from({ length: prng.below(6) }, () => {
      const recordCount = 1 + prng.below(prng.pick([1, 500, 100_000]))
      baseOffset += prng.below(prng.pick([1, 300, 1_000_000]))
      const batch = { firstSequence: prng.pick([0, 1, 300, 2 ** 31 - 1]), recordCount, baseOffset }
      baseOffset += recordCount
      return batch
    })
    const record = {
      producerEpoch: prng.pick([0, 1, 32_767, -1]),
      lastTimestampMs: prng.pick([-1, 0, 1_700_000_000_000, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]),
      transactionFirstOffset: prng.pick([null, 0, 127, 128, 2 ** 52]),
      batches
    }
    const bytes = encodeProducerRecord(record)
    t.same(readProducerRecord(KEY, bytes), record)
    t.throws(() => readProducerRecord(KEY, bytes.subarray(0, bytes.byteLength - 1)), { code: 'WADI_STATE_DAMAGED' })
    t.throws(() => readProducerRecord(KEY, Buffer.concat([bytes, Buffer.of(0)])), { code: 'WADI_STATE_DAMAGED' })
  }
})

t.test('a producer in step takes a few dozen bytes at any offset', async (t) => {
  const batches = Array.from({ length: 5 }, (_, i) => ({ firstSequence: 2 ** 30 + i, recordCount: 1, baseOffset: 2 ** 40 + i * 50 }))
  const record = { producerEpoch: 0, lastTimestampMs: 1_700_000_000_000, transactionFirstOffset: null, batches }
  t.ok(encodeProducerRecord(record).byteLength <= 60, `${encodeProducerRecord(record).byteLength} bytes`)
})

t.test('offsets up to the largest are kept while room is reserved for a commit', async (t) => {
  const record = {
    producerEpoch: 0,
    lastTimestampMs: 0,
    transactionFirstOffset: Number.MAX_SAFE_INTEGER,
    batches: [{ firstSequence: 0, recordCount: 1, baseOffset: Number.MAX_SAFE_INTEGER }]
  }
  const [batch] = readProducerRecord(KEY, encodeProducerRecord(record)).batches
  t.equal(batch?.baseOffset, Number.MAX_SAFE_INTEGER)
})

t.test('versions', async (t) => {
  const json = '{"v":1,"epoch":3,"batches":[[10,11,300,301,17],[2147483647,0,305,306,18]],"txn":299,"time":18}'
  t.same(readProducerRecord(KEY, Buffer.from(json)), {
    producerEpoch: 3,
    lastTimestampMs: 18,
    transactionFirstOffset: 299,
    batches: [
      { firstSequence: 10, recordCount: 2, baseOffset: 300 },
      { firstSequence: 2147483647, recordCount: 2, baseOffset: 305 }
    ]
  })
  for (const text of ['', '{"v":1', '\u0001abcdefghijklmno', '~', '\u0002'])
    t.throws(() => readProducerRecord(KEY, Buffer.from(text)), { code: 'WADI_STATE_DAMAGED' }, JSON.stringify(text))
  for (const text of ['{"v":2}', '\u0003']) t.throws(() => readProducerRecord(KEY, Buffer.from(text)), { code: 'WADI_FORMAT_NEWER' })
})

t.test('batches whose offsets an older version gave out again are written without those in front', async (t) => {
  const batch = (firstSequence: number, baseOffset: number) => ({ firstSequence, recordCount: 2, baseOffset })
  const record = { producerEpoch: 0, transactionFirstOffset: null, lastTimestampMs: 0 }
  const read = (batches: ReturnType<typeof batch>[]) => readProducerRecord(KEY, encodeProducerRecord({ ...record, batches })).batches
  t.same(read([batch(0, 20), batch(2, 22), batch(4, 22), batch(6, 24)]), [batch(4, 22), batch(6, 24)])
  t.same(read([batch(0, 20), batch(2, 3)]), [batch(2, 3)])
})

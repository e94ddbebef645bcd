// Proves for buildBatch, checkBatch, readRecords and patchProducer: batches are byte for byte what an oracle encodes, two
// independent Kafka clients read them and we read theirs, and damage of any kind is found.
import { createRequire } from 'node:module'
import { createRecordsBatch, type MessageRecord, Reader, readRecordsBatch } from '@platformatic/kafka'
import t from 'tap'
import { RECORDS_AT, readBatchHeader, viewOf } from '../../runtime/core/batch-header.ts'
import type { ProducerFields, RecordInput } from '../../runtime/core/record.ts'
import { loadTestCore } from '../helpers/core.ts'
import { randomRecords } from '../helpers/random-records.ts'
import { numbered, oracleBatch } from '../oracle/batch.ts'
import { oracleCrc32c } from '../oracle/crc32c.ts'
import { Prng, seeds } from '../sim/prng.ts'

const require = createRequire(import.meta.url)
const KafkajsDecoder = require('kafkajs/src/protocol/decoder')
const kafkajsReadBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder')
const { RecordBatch: kafkajsBatch } = require('kafkajs/src/protocol/recordBatch/v0')
const kafkajsRecord = require('kafkajs/src/protocol/recordBatch/record/v0')
const Long = require('kafkajs/src/utils/long')

const text = (value: string) => Buffer.from(value)
const producer: ProducerFields = { producerId: 123_456_789_012n, producerEpoch: 7, baseSequence: 2_147_483_000, isTransactional: false }
const aTime = 1_700_000_000_000
const threeRecords: RecordInput[] = [
  { timestampMs: aTime, key: text('sensor-1'), value: text('22.5'), headers: [{ key: text('unit'), value: text('°C') }] },
  { timestampMs: aTime - 5_000, key: null, value: null, headers: [] },
  { timestampMs: aTime + 70_000, key: text(''), value: text('x'.repeat(1000)), headers: [{ key: text('k'), value: null }] }
]

/** The CRC made right again after bytes were changed: what a damaged writer would send. */
function resealed(batch: Uint8Array, change: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const copy = batch.slice()
  change(viewOf(copy), copy)
  viewOf(copy).setUint32(17, oracleCrc32c(copy.subarray(21)))
  return copy
}

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  for (const seed of seeds({ count: 20 })) {
    t.test(`${build}: what is built is what the oracle encodes, and reads back (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const records = randomRecords(prng, 100)
      const baseOffset = prng.pick([0, 1, 2 ** 31 - 1, 2 ** 40, 2 ** 52])
      const fields = prng.chance(50) ? { ...producer, isTransactional: prng.chance(50) } : undefined
      const batch = core.buildBatch(records, fields === undefined ? { baseOffset } : { baseOffset, producer: fields })
      const expected = oracleBatch(numbered(records, baseOffset), fields === undefined ? { baseOffset } : { baseOffset, producer: fields })
      t.same(Buffer.from(batch), Buffer.from(expected))
      t.equal(core.checkBatch(batch), null)
      const all = numbered(records, baseOffset).map(plain)
      t.same(core.readRecords(batch), all)
      const wanted = new Set(all.filter(() => prng.chance(30)).map(({ offset }) => offset))
      const some = all.filter(({ offset }) => wanted.has(offset))
      t.same(
        core.readOpened({ head: batch.subarray(0, RECORDS_AT), records: batch.subarray(RECORDS_AT) }, (offset) => wanted.has(offset)),
        some,
        'those that are wanted'
      )
    })
  }

  t.test(`${build}: headers that records share are encoded once, whatever else the core does between`, async (t) => {
    const header = (value: string) => [{ key: text('unit'), value: text(value) }]
    const [celsius, bar, none] = [header('°C'), header('bar'), []]
    const order = [celsius, celsius, bar, none, none, celsius, bar, bar, none, celsius]
    const records = order.map((headers, index) => ({ timestampMs: aTime, key: text(`s${index}`), value: text(`v${index}`), headers }))
    core.pool.clear()
    const pooled = core.pool.openBatch() as number
    for (const record of records) {
      core.crc32c(Buffer.alloc(300_000, 0xa5))
      t.ok(core.pool.addRecord(pooled, record))
      core.murmur2(text('another call works on the same memory'))
      core.checkBatch(core.buildBatch([threeRecords[2] as RecordInput], { baseOffset: 0 }))
    }
    core.commit.begin()
    const batch = core.commit.addPooled({ topicNumber: 1, partitionIndex: 0, baseOffset: 7 }, pooled)?.slice() ?? new Uint8Array()
    core.commit.finish({ generation: 1, sequence: 1 })
    core.commit.release()
    // buildBatch staged other headers between any two of them.
    t.same(Buffer.from(batch), Buffer.from(oracleBatch(numbered(records, 7), { baseOffset: 7 })))
    t.same(Buffer.from(core.buildBatch(records, { baseOffset: 7 })), Buffer.from(batch))
  })

  t.test(`${build}: headers that are too large are refused, and the next record has its own`, async (t) => {
    const few = [{ key: text('unit'), value: text('bar') }]
    const large = [{ key: text('dump'), value: Buffer.alloc(2 * 2 ** 20) }]
    const record = (headers: RecordInput['headers']): RecordInput => ({ timestampMs: aTime, key: null, value: text('1'), headers })
    core.pool.clear()
    const pooled = core.pool.openBatch() as number
    t.ok(core.pool.addRecord(pooled, record(few)))
    t.notOk(core.pool.addRecord(pooled, record(large)))
    t.notOk(core.pool.addRecord(pooled, record(large)), 'nor the second time')
    t.ok(core.pool.addRecord(pooled, record(few)))
    core.commit.begin()
    const batch = core.commit.addPooled({ topicNumber: 1, partitionIndex: 0, baseOffset: 0 }, pooled)?.slice() ?? new Uint8Array()
    core.commit.finish({ generation: 1, sequence: 1 })
    core.commit.release()
    t.same(Buffer.from(batch), Buffer.from(oracleBatch(numbered([record(few), record(few)], 0), { baseOffset: 0 })))
  })

  t.test(`${build}: two Kafka clients read what is built`, async (t) => {
    const batch = core.buildBatch(threeRecords, { baseOffset: 41, producer })
    const theirs = readRecordsBatch(Reader.from(Buffer.from(batch)))
    t.equal(theirs.firstOffset, 41n)
    t.equal(theirs.maxTimestamp, BigInt(aTime + 70_000))
    t.equal(theirs.producerId, producer.producerId)
    t.equal(theirs.firstSequence, producer.baseSequence)
    t.same(
      theirs.records.map((record) => Number(record.timestampDelta)),
      [0, -5_000, 70_000]
    )
    t.same(
      theirs.records.map((record) => record.value?.toString() ?? null),
      ['22.5', null, 'x'.repeat(1000)]
    )

    const decoded = await kafkajsReadBatch(new KafkajsDecoder(Buffer.from(batch)))
    t.same(
      decoded.records.map((record: { offset: string }) => record.offset),
      ['41', '42', '43']
    )
    t.same(
      decoded.records.map((record: { timestamp: string }) => Number(record.timestamp)),
      threeRecords.map((record) => record.timestampMs)
    )
    t.same(
      decoded.records.map((record: { key: Buffer | null }) => record.key?.toString() ?? null),
      ['sensor-1', null, '']
    )
    t.equal(decoded.records[0].headers.unit.toString(), '°C')
    t.equal(decoded.producerEpoch, producer.producerEpoch)
  })

  t.test(`${build}: what two Kafka clients encode is sound and reads as they meant it`, async (t) => {
    const messages = [
      { topic: 't', key: text('a'), value: text('1'), timestamp: BigInt(aTime), headers: new Map([[text('h'), text('v')]]) },
      { topic: 't', value: text('2'), timestamp: BigInt(aTime - 90_000) }
    ] as MessageRecord[]
    const theirs = createRecordsBatch(messages, { producerId: 9n, producerEpoch: 1 }).buffer
    t.equal(core.checkBatch(theirs), null)
    t.same(
      core
        .readRecords(theirs)
        .map((record) => [record.offset, record.timestampMs, record.key?.length, Buffer.from(record.value ?? []).toString()]),
      [
        [0, aTime, 1, '1'],
        [1, aTime - 90_000, undefined, '2']
      ]
    )

    const records = [
      kafkajsRecord({ key: text('k'), value: null, headers: { a: 'b', c: ['d', 'e'] } }),
      kafkajsRecord({ offsetDelta: 1, timestampDelta: Long.fromValue(-300), key: null, value: text('v') })
    ]
    const options = { firstTimestamp: aTime, maxTimestamp: aTime, lastOffsetDelta: 1, records }
    const batch: Buffer = (await kafkajsBatch(options)).buffer
    t.equal(core.checkBatch(batch), null)
    const read = core.readRecords(batch)
    t.same(
      read.map((record) => record.timestampMs),
      [aTime, aTime - 300]
    )
    t.same(
      read[0]?.headers.map((header) => `${Buffer.from(header.key)}=${Buffer.from(header.value ?? [])}`),
      ['a=b', 'c=d', 'c=e']
    )
    t.equal(read[1]?.key, null)
  })

  t.test(`${build}: every truncation and every flipped bit is found`, async (t) => {
    const batch = core.buildBatch(threeRecords.slice(0, 2), { baseOffset: 0 })
    for (let length = 0; length < batch.length; length++) {
      if (core.checkBatch(batch.subarray(0, length)) !== 'short') t.fail(`${length} bytes pass`)
    }
    for (let bit = 0; bit < batch.length * 8; bit++) {
      const at = bit >> 3
      if (at < 8 || (at >= 12 && at < 16)) continue // base offset and leader epoch lie outside the CRC
      const flipped = batch.slice()
      flipped[at] = (flipped[at] as number) ^ (1 << (bit & 7))
      if (core.checkBatch(flipped) === null || core.checkStoredBatch(flipped) === null) t.fail(`bit ${bit} passes`)
    }
    t.equal(core.checkStoredBatch(batch), null)
    t.equal(core.checkStoredBatch(new Uint8Array(core.batchBytesMax + 1)), 'length', 'too large')
    t.equal(core.checkBatch(Buffer.concat([batch, Buffer.from([0])])), 'length', 'one byte too many')
    t.equal(core.checkBatch(new Uint8Array(core.batchBytesMax + 1)), 'length', 'too large')
  })

  t.test(`${build}: nonsense under a right CRC is found and named`, async (t) => {
    const batch = core.buildBatch(threeRecords, { baseOffset: 5 })
    const faultOf = (change: (view: DataView, bytes: Uint8Array) => void) => core.checkBatch(resealed(batch, change))
    t.equal(
      faultOf(() => {}),
      null
    )
    t.equal(
      faultOf((view) => view.setUint8(16, 1)),
      'magic'
    )
    t.equal(
      faultOf((view) => view.setInt16(21, 5)),
      'attributes',
      'unknown codec'
    )
    t.equal(
      faultOf((view) => view.setInt16(21, 0x80)),
      'attributes',
      'unknown bit'
    )
    t.equal(
      faultOf((view) => view.setInt32(57, 0)),
      'count',
      'no record'
    )
    t.equal(
      faultOf((view) => view.setInt32(57, -1)),
      'count',
      'minus one record'
    )
    t.equal(
      faultOf((view) => view.setInt32(57, 2)),
      'count',
      'one record too many there'
    )
    t.equal(
      faultOf((view) => view.setInt32(23, 1)),
      'count',
      'fewer offsets than records'
    )
    t.equal(
      faultOf((view) => view.setInt32(0, -1)),
      'count',
      'negative base offset'
    )
    t.equal(
      faultOf((view) => view.setInt32(27, 0x7fffffff)),
      'record',
      'timestamp no double can hold'
    )
    t.equal(
      faultOf((view) => view.setUint8(61, 0x80)),
      'record',
      'length of the first record'
    )
    t.equal(
      faultOf((view) => view.setUint8(61, 1)),
      'record',
      'record of no bytes'
    )
    t.equal(
      faultOf((view) => view.setUint8(64, 2)),
      'record',
      'offset delta twice'
    )
    const single = core.buildBatch([{ timestampMs: 0, key: null, value: null, headers: [] }], { baseOffset: 0 })
    t.equal(core.checkBatch(resealed(single, (view) => view.setUint8(64, 2))), 'record', 'offset delta behind the last')
    t.equal(
      faultOf((view) => view.setInt16(21, 1)),
      null,
      'of a compressed batch only header and CRC are looked at'
    )
  })

  for (const seed of seeds({ count: 5 })) {
    t.test(`${build}: random bytes in the records never pass as others, never trap (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const batch = core.buildBatch(randomRecords(prng, 5, 40), { baseOffset: 0 })
      for (let round = 0; round < 400; round++) {
        const damaged = resealed(batch, (_, bytes) => {
          for (let i = prng.between(1, 4); i > 0; i--)
            bytes[61 + prng.below(bytes.length - 61)] = prng.pick([0, 1, 0x7f, 0x80, 0xff, prng.below(256)])
        })
        const fault = core.checkBatch(damaged)
        try {
          const records = core.readRecords(damaged)
          if (fault === null && records.length !== readBatchHeader(damaged)?.recordCount) t.fail('sound, but other records')
        } catch (error) {
          if (!(error instanceof RangeError) || fault === null) t.fail(`fault ${fault}, then ${error}`)
        }
      }
      t.pass('every damage was refused or read completely')
    })
  }

  for (const seed of seeds({ count: 10 })) {
    t.test(`${build}: patching the producer equals building with it (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const records = randomRecords(prng, prng.pick([1, 5, 200]))
      const patched = core.buildBatch(records, { baseOffset: 0 })
      let fields = producer
      for (let round = 0; round < 3; round++) {
        fields = {
          producerId: BigInt(prng.uint32()) << BigInt(prng.below(30)),
          producerEpoch: prng.below(32_768),
          baseSequence: prng.below(2 ** 31),
          isTransactional: prng.chance(50)
        }
        core.patchProducer(patched, fields)
        t.same(Buffer.from(patched), Buffer.from(core.buildBatch(records, { baseOffset: 0, producer: fields })))
      }
    })
  }
}

const core = loadTestCore()

t.test('a batch of LogAppendTime has one time for all records', async (t) => {
  const batch = resealed(core.buildBatch(threeRecords, { baseOffset: 0 }), (view) => view.setInt16(21, 8))
  t.same(
    core.readRecords(batch).map((record) => record.timestampMs),
    Array(3).fill(aTime + 70_000)
  )
})

t.test('what does not fit is a RangeError, and the core goes on', async (t) => {
  const huge = { timestampMs: 0, key: null, value: new Uint8Array(core.batchBytesMax), headers: [] }
  t.throws(() => core.buildBatch([huge], { baseOffset: 0 }), RangeError, 'as large as the limit without its header')
  t.throws(() => core.buildBatch([], { baseOffset: 0 }), RangeError, 'no record')
  t.throws(() => core.buildBatch([{ ...huge, value: null, timestampMs: 0.5 }], { baseOffset: 0 }), RangeError, 'half a millisecond')
  t.throws(() => core.patchProducer(new Uint8Array(100), producer), RangeError, 'not a batch')
  t.throws(() => core.readRecords(new Uint8Array(60)), RangeError, 'shorter than a header')
  t.throws(() => core.readRecords(new Uint8Array(core.batchBytesMax + 1)), RangeError, 'too large')
  const largest = { ...huge, value: new Uint8Array(core.batchBytesMax - 100).fill(7) }
  const batch = core.buildBatch([largest], { baseOffset: 0 })
  t.equal(core.checkBatch(batch), null, 'the largest batch passes')
  t.equal(core.readRecords(batch)[0]?.value?.length, largest.value.length)
})

t.test('records read stay as they were when the core goes on and the batch changes', async (t) => {
  const batch = Buffer.from(core.buildBatch(threeRecords, { baseOffset: 0 }))
  const records = core.readRecords(batch)
  batch.fill(0)
  core.buildBatch([{ timestampMs: 0, key: null, value: new Uint8Array(5000).fill(1), headers: [] }], { baseOffset: 0 })
  t.same(records, numbered(threeRecords, 0).map(plain))
})

/** The record with plain Uint8Arrays, as the core returns them. */
function plain(record: RecordInput & { offset: number }) {
  const bytes = (field: Uint8Array | null) => (field === null ? null : new Uint8Array(field))
  const headers = record.headers.map((header) => ({ key: bytes(header.key), value: bytes(header.value) }))
  return { offset: record.offset, timestampMs: record.timestampMs, key: bytes(record.key), value: bytes(record.value), headers }
}

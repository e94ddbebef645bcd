// What a topic asks of the batches of Kafka producers: their size, keys and timestamps, whatever their compression; and the time that they are given.
// Proves also that what was stamped is read as it was stored, is found by that time, and stays so behind a restart.

import { gzipSync } from 'node:zlib'
import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { openBroker } from '../../runtime/broker/broker.ts'
import { ATTRIBUTES_AT, CRC_AT, RECORDS_AT, readBatchHeader, viewOf } from '../../runtime/core/batch-header.ts'
import type { RecordInput } from '../../runtime/core/record.ts'
import { walkRecords } from '../../runtime/core/record-walk.ts'
import type { TopicConfig } from '../../runtime/log/contract.ts'
import { loadTestCore } from '../helpers/core.ts'
import { readAll, SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'
import { NOW_MS, Rig } from './rig.ts'

const core = loadTestCore()
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const record = (key: string | null, timestampMs = NOW_MS): RecordInput => ({
  timestampMs,
  key: key === null ? null : bytes(key),
  value: bytes('v'),
  headers: []
})
const batchOf = (records: readonly RecordInput[]): Uint8Array => core.buildBatch(records, { baseOffset: 0 })

/** As a producer compresses it. */
function gzipped(plain: Uint8Array): Uint8Array {
  const block = gzipSync(plain.subarray(RECORDS_AT))
  const batch = new Uint8Array(RECORDS_AT + block.byteLength)
  batch.set(plain.subarray(0, RECORDS_AT))
  batch.set(block, RECORDS_AT)
  const view = viewOf(batch)
  view.setInt32(8, batch.byteLength - 12)
  view.setInt16(ATTRIBUTES_AT, 1)
  view.setUint32(CRC_AT, core.crc32c(batch.subarray(ATTRIBUTES_AT)))
  return batch
}

async function rigWith(config: Partial<TopicConfig>): Promise<Rig> {
  const rig = new Rig()
  await rig.store.createTopic('a', config)
  return rig
}

for (const [how, shape] of [
  ['plain', (batch: Uint8Array) => batch],
  ['gzip', gzipped]
] as const) {
  t.test(`a compacted topic takes no record without a key, ${how}: those are named`, async (t) => {
    for (const cleanup of ['compact', 'compact,delete'] as const) {
      const rig = await rigWith({ cleanup })
      t.match(await rig.append('a', shape(batchOf([record('k'), record('')]))), { fault: 'NONE' }, 'an empty key is one')
      const refused = await rig.append('a', shape(batchOf([record('k'), record(null), record('k'), record(null)])))
      t.match(refused, { fault: 'INVALID_RECORD', records: [{ index: 1 }, { index: 3 }] })
      t.equal(rig.partition('a').highWatermark, 2)
    }
    const rig = await rigWith({})
    t.match(await rig.append('a', shape(batchOf([record(null)]))), { fault: 'NONE' })
  })

  t.test(`timestamps lie within what the topic allows, ${how}`, async (t) => {
    const rig = await rigWith({ timestampBehindMsMax: 1_000, timestampAheadMsMax: 2_000 })
    const append = (...times: readonly number[]) => rig.append('a', shape(batchOf(times.map((time) => record('k', time)))))
    t.match(await append(NOW_MS, NOW_MS - 1_000, NOW_MS + 2_000), { fault: 'NONE' })
    t.match(await append(NOW_MS, NOW_MS - 1_001), { fault: 'INVALID_TIMESTAMP', records: [{ index: 1 }] })
    t.match(await append(NOW_MS + 2_001), { fault: 'INVALID_TIMESTAMP' })
    t.match(await append(-1), { fault: 'NONE' }, 'of a client that does not say when')
  })

  t.test(`LogAppendTime: any timestamp is taken, and all records have the time of the append, ${how}`, async (t) => {
    const rig = await rigWith({ timestampType: 'LogAppendTime', timestampBehindMsMax: 1_000 })
    const outcome = await rig.append('a', shape(batchOf([record('k', 5), record('k', NOW_MS + 10 ** 9)])))
    t.match(outcome, { fault: 'NONE', appendTimeMs: NOW_MS })
    const [stored] = (await rig.fetch('a')).batches
    const header = readBatchHeader(stored as Uint8Array)
    t.match(header, { maxTimestampMs: NOW_MS, baseTimestampMs: 5 })
    t.equal((header?.attributes ?? 0) & 8, 8)
    t.equal(core.checkBatch(stored as Uint8Array), null, 'its checksum is right')
  })
}

t.test('LogAppendTime of an idempotent producer: a repeat is not stored again', async (t) => {
  const rig = await rigWith({ timestampType: 'LogAppendTime' })
  const producer = { producerId: 5n, producerEpoch: 0, baseSequence: 0 }
  t.match(await rig.append('a', rig.batch(['x'], producer)), { fault: 'NONE', baseOffset: 0, appendTimeMs: NOW_MS })
  t.match(await rig.append('a', rig.batch(['x'], producer)), { fault: 'NONE', baseOffset: 0 })
  t.equal(rig.partition('a').highWatermark, 1)
})

t.test('a batch may be as large as the topic says, never larger than the broker says', async (t) => {
  const large = batchOf(Array.from({ length: 50 }, () => record('k'.repeat(20))))
  t.match(await (await rigWith({ batchBytesMax: large.byteLength })).append('a', large), { fault: 'NONE' })
  t.match(await (await rigWith({ batchBytesMax: large.byteLength - 1 })).append('a', large), { fault: 'MESSAGE_TOO_LARGE' })
  const rig = new Rig({ batchBytesMax: large.byteLength - 1 })
  await rig.store.createTopic('a', { batchBytesMax: 10 ** 6 })
  t.match(await rig.append('a', large), { fault: 'MESSAGE_TOO_LARGE' })
})

t.test('records are walked as the core reads them, whatever their varints', async (t) => {
  const records = [
    record(null, NOW_MS),
    record('', NOW_MS - 2 ** 40),
    record('k'.repeat(5_000), NOW_MS + 63),
    record('k', NOW_MS - 64),
    record('k', 0)
  ]
  const batch = batchOf(records)
  const walked: unknown[] = []
  walkRecords(batch, (index, { timestampMs, hasKey }) => walked.push([index, timestampMs, hasKey]) > 0)
  t.same(
    walked,
    core.readRecords(batch).map(({ timestampMs, key }, index) => [index, timestampMs, key !== null])
  )
  let visits = 0
  walkRecords(batch, () => ++visits < 2)
  t.equal(visits, 2, 'it ends when it is told to')
})

t.test('what was stamped is found by its time, sealed or not, and behind a restart', async (t) => {
  const machine = new SimMachine(1)
  const open = async () => {
    const store = await machine.open()
    const broker = openBroker({ store, core, clock: machine.clock, random: machine.prng.fork(), codec: simCodec })
    return { store, broker }
  }
  let { store, broker } = await open()
  await machine.settle(store.createTopic('a', { isForwarded: false, timestampType: 'LogAppendTime' }))
  const options = { isZstdAllowed: true, hasTransactionalId: false }
  const times: number[] = []
  for (let at = 0; at < 5; at++) {
    await machine.run(1_000)
    const [outcome] = await machine.settle(
      broker.appends.append([{ topicName: 'a', partitionIndex: 0, records: batchOf([record('k', 1), record('k', 2)]) }], options)
    )
    times.push(outcome?.appendTimeMs ?? -1)
  }
  for (const stop of ['none', 'close', 'kill'] as const) {
    if (stop !== 'none') {
      broker.close()
      if (stop === 'close') await machine.settle(store.close())
      else machine.kill()
      ;({ store, broker } = await open())
    }
    const [partition] = store.topics.get('a')?.partitions ?? []
    if (!partition) throw new Error('no partition')
    for (const [at, timestampMs] of times.entries())
      t.same(await machine.settle(partition.offsetForTime(timestampMs)), { offset: toOffset(2 * at), timestampMs }, `${stop}: ${at}`)
    t.equal(await machine.settle(partition.offsetForTime((times.at(-1) ?? 0) + 1)), null)
    t.equal((await machine.settle(readAll(partition))).length, 10)
  }
  broker.close()
  await machine.settle(store.close())
})

t.test('with compact alone nothing goes by age or bytes', async (t) => {
  for (const [cleanup, isKept] of [
    ['compact', true],
    ['compact,delete', false]
  ] as const) {
    const machine = new SimMachine(2)
    const store = await machine.open()
    const config = { isForwarded: false, cleanup, retentionMs: 1_000, retentionBytes: 2_000 }
    const [partition] = (await machine.settle(store.createTopic('a', config))).partitions
    if (!partition) throw new Error('no partition')
    for (let at = 0; at < 200; at++) {
      const append = new Promise<void>((resolve) =>
        store.append(partition, { ...record('k'), value: new Uint8Array(100) }, () => resolve())
      )
      await machine.settle(append)
    }
    await machine.run(10_000)
    t.equal(partition.logStartOffset === 0, isKept, cleanup)
    await machine.settle(store.close())
  }
})

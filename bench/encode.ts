// Question: what does it cost to put one event into a sealed, checksummed record batch?
// Canonical load: 500 events of 100 bytes with a 12-byte key and one header, fields as pieces of one socket chunk; one commit.
// 'wadi' starts from the fields outside WebAssembly, as MQTT does; 'wadi core' from the same fields when they are in linear memory already;
// 'wadi repack' from stored batches, as seal and uplink do. All of them end with a sealed batch and its CRC.

import { createRecordsBatch } from '@platformatic/kafka'
import encodeKafkajsRecord from 'kafkajs/src/protocol/recordBatch/record/v0/index.js'
import { RecordBatch } from 'kafkajs/src/protocol/recordBatch/v0/index.js'
import { CoreModule } from '../runtime/core/core-module.ts'
import type { RecordInput } from '../runtime/core/record.ts'
import { loadTestCore, readCoreWasm } from '../test/helpers/core.ts'
import { type Bench, interleave, sensorPayload } from './harness.ts'

const TIMESTAMP_MS = 1_760_000_000_000
const EVENT_BYTES = 100
const HEADER = { key: 'mqtt.client', value: 'gateway-7' }

interface Event {
  readonly key: Buffer
  readonly value: Buffer
}

/** Fields that all lie in one chunk, as they come from a socket. */
function eventsInOneChunk(count: number): readonly Event[] {
  const parts = Array.from({ length: count }, (_, index) => ({
    key: Buffer.from(`device-${String(index % 200).padStart(5, '0')}`),
    value: sensorPayload(index, EVENT_BYTES)
  }))
  const chunk = Buffer.concat(parts.flatMap(({ key, value }) => [key, value]))
  let at = 0
  return parts.map(({ key, value }) => {
    const event = {
      key: chunk.subarray(at, at + key.length),
      value: chunk.subarray(at + key.length, at + key.length + value.length)
    }
    at += key.length + value.length
    return event
  })
}

async function encodeByKafkajs(events: readonly Event[]): Promise<Buffer> {
  const headers = { [HEADER.key]: Buffer.from(HEADER.value) }
  const records = events.map(({ key, value }, offsetDelta) => encodeKafkajsRecord({ offsetDelta, timestampDelta: 0, key, value, headers }))
  const batch = { firstTimestamp: TIMESTAMP_MS, maxTimestamp: TIMESTAMP_MS, lastOffsetDelta: events.length - 1, records }
  return (await RecordBatch(batch)).buffer
}

function encodeByPlatformatic(events: readonly Event[]): Buffer {
  const timestamp = BigInt(TIMESTAMP_MS)
  const messages = events.map(({ key, value }) => ({
    topic: 'readings',
    key,
    value,
    timestamp,
    headers: new Map([[Buffer.from(HEADER.key), Buffer.from(HEADER.value)]])
  }))
  return createRecordsBatch(messages).buffer
}

export const encodeBench: Bench = {
  name: 'encode',
  question: 'one 100-byte event into a sealed, checksummed record batch, nanoseconds',
  async run({ isSmoke, figure }) {
    const core = loadTestCore()
    const eventCount = isSmoke ? 5 : 500
    const events = eventsInOneChunk(eventCount)
    const headers = [{ key: Buffer.from(HEADER.key), value: Buffer.from(HEADER.value) }]
    const records: RecordInput[] = events.map(({ key, value }) => ({ timestampMs: TIMESTAMP_MS, key, value, headers }))
    const stored = core.buildBatch(records, { baseOffset: 0 })
    const encodeByWadi = (): Uint8Array => {
      core.pool.clear()
      const pooled = core.pool.openBatch()
      if (pooled === null) throw new Error('encode: the pool has no place')
      for (const record of records) if (!core.pool.addRecord(pooled, record)) throw new Error('encode: the pool is too small')
      core.commit.begin()
      const batch = core.commit.addPooled({ topicNumber: 1, partitionIndex: 0, baseOffset: 0 }, pooled)
      if (batch === null) throw new Error('encode: a commit is too small')
      core.commit.finish({ generation: 1, sequence: 1 }) // the journal's block with its own CRC: part of what an event costs
      core.commit.release()
      return batch
    }
    const module = new CoreModule(readCoreWasm())
    const first = records[0] as RecordInput
    const [keyBytes, valueBytes] = [first.key?.length ?? -1, first.value?.length ?? -1]
    const headersBytes = 1 + 1 + HEADER.key.length + 1 + HEADER.value.length
    const { call, at } = module
    call.buildBegin(0, at.BATCH_BYTES_MAX)
    if (!module.addRecord(call.buildAddRecord, first)) throw new Error('encode: the first record does not fit')
    const encodeInCore = (): Uint8Array => {
      call.buildBegin(0, at.BATCH_BYTES_MAX)
      for (let index = 0; index < eventCount; index++) call.buildAddRecord(TIMESTAMP_MS, keyBytes, valueBytes, headersBytes)
      return module.bytes.subarray(at.OUTPUT, at.OUTPUT + call.buildFinish(-1n, -1, -1, 0))
    }
    const repackByWadi = (): Uint8Array => {
      core.repack.beginSeal({ bytesMax: core.batchBytesMax })
      core.repack.add(stored, { fromOffset: 0, untilOffset: eventCount })
      return core.repack.finish() ?? new Uint8Array()
    }
    const same = events.map(() => first)
    if (Buffer.compare(encodeInCore(), core.buildBatch(same, { baseOffset: 0 })) !== 0)
      throw new Error('encode: the core wrote something else')
    for (const batch of [encodeByWadi().slice(), repackByWadi().slice(), await encodeByKafkajs(events), encodeByPlatformatic(events)]) {
      const fault = core.checkBatch(batch)
      if (fault) throw new Error(`encode: a contender wrote a batch that is not one: ${fault}`)
    }
    const batches = isSmoke ? 1 : 40
    const repeat = (encode: () => Uint8Array) => (): number => {
      let bytes = 0
      for (let index = 0; index < batches; index++) bytes += encode().length
      return bytes
    }
    const kafkajsRounds = async (): Promise<number> => {
      let bytes = 0
      for (let index = 0; index < batches; index++) bytes += (await encodeByKafkajs(events)).length
      return bytes
    }
    const timings = await interleave(
      [
        { name: 'wadi', run: repeat(encodeByWadi) },
        { name: 'wadi core', run: repeat(encodeInCore) },
        { name: 'wadi repack', run: repeat(repackByWadi) },
        { name: 'kafkajs', run: kafkajsRounds },
        { name: '@platformatic/kafka', run: repeat(() => encodeByPlatformatic(events)) }
      ],
      isSmoke ? { rounds: 1, warmups: 0 } : { rounds: 15, warmups: 3 }
    )
    const nanoseconds = Object.fromEntries([...timings].map(([name, { medianMs }]) => [name, (medianMs * 1e6) / (batches * eventCount)]))
    const of = (name: string): number => nanoseconds[name] ?? Number.NaN
    const bestOther = Math.min(of('kafkajs'), of('@platformatic/kafka'))
    figure({
      what: 'encode',
      parameters: { eventBytes: EVENT_BYTES, eventsPerBatch: eventCount, batches },
      unit: 'ns/event',
      values: nanoseconds,
      ratios: { 'kafkajs / wadi': of('kafkajs') / of('wadi'), '@platformatic/kafka / wadi': of('@platformatic/kafka') / of('wadi') },
      target: {
        text: '<= 100 ns from fields, <= 30 ns from linear memory, >= 10 x the others',
        isMet: of('wadi') <= 100 && of('wadi core') <= 30 && bestOther >= 10 * of('wadi')
      },
      hash: [...timings.values()].map(({ hash }) => hash).join('/')
    })
  }
}

// Question: is each function of the core, and the reader of MQTT packets, worth having, against the best that npm offers for the same job?
// Canonical load: telemetry. CRC-32C and encoding have benches of their own (crc32c.ts, encode.ts). All inputs lie outside linear memory.
// Contenders that return bytes or numbers return the same ones, or the bench fails.

import { crc32c as nativeCrc32c } from '@node-rs/crc32'
import { createRecordsBatch, murmur2 as platformaticMurmur2, Reader, readRecordsBatch } from '@platformatic/kafka'
import kafkajsMurmur2 from 'kafkajs/src/producer/partitioners/default/murmur2.js'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { parser as mqttPacketParser } from 'mqtt-packet'
import { defaultMqttLimits } from '../adapters/mqtt/limits.ts'
import { PacketReader } from '../adapters/mqtt/packet-reader.ts'
import { CRC_AT, viewOf, writeBaseOffset } from '../runtime/core/batch-header.ts'
import type { Core } from '../runtime/core/core.ts'
import type { RecordInput } from '../runtime/core/record.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { connectPacket, publishPacket } from '../test/mqtt/packets.ts'
import { connect5, publish5 } from '../test/mqtt/packets-5.ts'
import { type Bench, type BenchContext, type Contender, interleave, sensorPayload } from './harness.ts'

const TIMESTAMP_MS = 1_760_000_000_000
const ATTRIBUTES_AT = 21

interface Question {
  readonly what: string
  readonly parameters: Readonly<Record<string, number>>
  /** What one round does so many of. */
  readonly count: number
  readonly unit: string
  /** The first is ours. */
  readonly contenders: readonly Contender[]
  /** Do all of them compute the same number? */
  readonly isComparable: boolean
}

function telemetry(count: number): readonly RecordInput[] {
  const headers = [{ key: Buffer.from('mqtt.topic'), value: Buffer.from('plant/north/dev-7/celsius') }]
  return Array.from({ length: count }, (_, index) => ({
    timestampMs: TIMESTAMP_MS + index,
    key: Buffer.from(`device-${String(index % 200).padStart(5, '0')}`),
    value: sensorPayload(index, 100),
    headers
  }))
}

function murmur2Question(core: Core, times: number): Question {
  const keys = Array.from({ length: 200 }, (_, index) => Buffer.from(`device-${String(index).padStart(5, '0')}`))
  const hashAll = (hash: (key: Buffer) => number) => (): number => {
    let sum = 0
    for (let round = 0; round < times; round++) for (const key of keys) sum = (sum + hash(key)) | 0
    return sum
  }
  return {
    what: 'murmur2',
    parameters: { keyBytes: 12 },
    count: times * keys.length,
    unit: 'ns/key',
    contenders: [
      { name: 'wadi', run: hashAll((key) => core.murmur2(key)) },
      { name: 'kafkajs', run: hashAll(kafkajsMurmur2) },
      { name: '@platformatic/kafka', run: hashAll((key) => platformaticMurmur2(key)) }
    ],
    isComparable: true
  }
}

/** Everything that is served or delivered was checked so. Theirs decode without looking at the CRC. */
function checkQuestion(core: Core, eventCount: number, times: number): Question {
  const batch = core.buildBatch(telemetry(eventCount), { baseOffset: 0 })
  return {
    what: 'check a batch, CRC and records',
    parameters: { eventsPerBatch: eventCount },
    count: times * eventCount,
    unit: 'ns/event',
    contenders: [
      repeat('wadi', times, () => (core.checkBatch(batch) === null ? eventCount : 0)),
      repeat('@platformatic/kafka', times, () => readRecordsBatch(Reader.from(Buffer.from(batch))).records.length)
    ],
    isComparable: true
  }
}

const EVENTS_PER_BATCH = 20

function manyBatches(core: Core, batchCount: number): { readonly all: readonly RecordInput[]; readonly batches: readonly Uint8Array[] } {
  const all = telemetry(batchCount * EVENTS_PER_BATCH)
  const batches = Array.from({ length: batchCount }, (_, index) => {
    const batch = core.buildBatch(all.slice(index * EVENTS_PER_BATCH, (index + 1) * EVENTS_PER_BATCH), { baseOffset: 0 })
    writeBaseOffset(batch, index * EVENTS_PER_BATCH)
    return batch
  })
  return { all, batches }
}

/** What seal and uplink do: many small batches into one. */
function repackQuestion(core: Core, batchCount: number, times: number): Question {
  const { all, batches } = manyBatches(core, batchCount)
  return {
    what: 'repack many batches into one',
    parameters: { batches: batchCount, eventsPerBatch: EVENTS_PER_BATCH },
    count: times * all.length,
    unit: 'ns/event',
    contenders: [
      repeat('wadi', times, () => {
        core.repack.beginSeal({ bytesMax: core.batchBytesMax })
        for (const batch of batches) core.repack.add(batch, { fromOffset: 0, untilOffset: all.length })
        return core.repack.finish()?.length ?? 0
      }),
      repeat('@platformatic/kafka', times, () => repackByPlatformatic(batches))
    ],
    isComparable: true
  }
}

function messagesOf(batches: readonly Uint8Array[]) {
  return batches.flatMap((batch) => {
    const { records, firstTimestamp } = readRecordsBatch(Reader.from(Buffer.from(batch)))
    return records.map(({ key, value, headers, timestampDelta }) => ({
      topic: 'readings',
      key: key as Buffer,
      value: value as Buffer,
      timestamp: firstTimestamp + timestampDelta,
      headers: new Map(headers as [Buffer, Buffer][])
    }))
  })
}

function repackByPlatformatic(batches: readonly Uint8Array[]): number {
  return createRecordsBatch(messagesOf(batches)).buffer.length
}

/** What the uplink does where the centre has another number of partitions: one batch for each. */
function forwardQuestion(core: Core, batchCount: number, targetCount: number, times: number): Question {
  const { all, batches } = manyBatches(core, batchCount)
  const id = Buffer.from('gateway-7')
  const options = { bytesMax: core.batchBytesMax, id, offsetPrefix: Buffer.from('plant.temps/3/'), partitionIndex: 3, targetCount }
  return {
    what: 'repack many batches into one for each partition',
    parameters: { batches: batchCount, eventsPerBatch: EVENTS_PER_BATCH, partitions: targetCount },
    count: times * all.length,
    unit: 'ns/event',
    contenders: [
      repeat('wadi', times, () => {
        core.repack.beginForward(options)
        for (const batch of batches) core.repack.add(batch, { fromOffset: 0, untilOffset: all.length })
        return core.repack.finishForward().reduce((sum, { recordCount }) => sum + recordCount, 0)
      }),
      repeat('@platformatic/kafka', times, () => forwardByPlatformatic(batches, targetCount))
    ],
    isComparable: true
  }
}

function forwardByPlatformatic(batches: readonly Uint8Array[], targetCount: number): number {
  const byTarget = new Map<number, ReturnType<typeof messagesOf>>()
  let offset = 0
  for (const message of messagesOf(batches)) {
    message.headers.set(Buffer.from('wadi.id'), Buffer.from('gateway-7'))
    message.headers.set(Buffer.from('wadi.offset'), Buffer.from(`plant.temps/3/${offset++}`))
    const target = (platformaticMurmur2(message.key) & 0x7fffffff) % targetCount
    const own = byTarget.get(target)
    if (own) own.push(message)
    else byTarget.set(target, [message])
  }
  let count = 0
  for (const messages of byTarget.values()) count += createRecordsBatch(messages).buffer.length > 0 ? messages.length : 0
  return count
}

/** Producer fields into a stored batch: ours recombines the CRC without reading the payload. */
function patchQuestion(core: Core, eventCount: number, times: number): Question {
  const batch = core.buildBatch(telemetry(eventCount), { baseOffset: 0 })
  const ours = batch.slice()
  const theirs = batch.slice()
  const fields = { producerId: 4_711n, producerEpoch: 3, baseSequence: 99, isTransactional: true }
  return {
    what: 'producer fields into a batch',
    parameters: { batchBytes: batch.length },
    count: times,
    unit: 'ns/batch',
    contenders: [
      repeat('wadi', times, () => {
        core.patchProducer(ours, fields)
        return viewOf(ours).getUint32(CRC_AT)
      }),
      repeat('@node-rs/crc32', times, () => {
        const view = viewOf(theirs)
        view.setInt16(ATTRIBUTES_AT, view.getInt16(ATTRIBUTES_AT) | 0x10)
        view.setBigInt64(43, fields.producerId)
        view.setInt16(51, fields.producerEpoch)
        view.setInt32(53, fields.baseSequence)
        view.setUint32(CRC_AT, nativeCrc32c(theirs.subarray(ATTRIBUTES_AT)))
        return view.getUint32(CRC_AT)
      })
    ],
    isComparable: true
  }
}

function searchQuestion(core: Core, entryCount: number, times: number): Question {
  const entries = new Uint8Array(entryCount * 8)
  const view = viewOf(entries)
  for (let index = 0; index < entryCount; index++) {
    view.setUint32(index * 8, index * 37)
    view.setUint32(index * 8 + 4, index * 4096)
  }
  const search = (find: (relativeOffset: number) => number) => (): number => {
    let sum = 0
    for (let index = 0; index < times; index++) sum += find((index * 7_919) % (entryCount * 37))
    return sum
  }
  return {
    what: 'search an offset index',
    parameters: { entries: entryCount },
    count: times,
    unit: 'ns/look-up',
    contenders: [
      { name: 'wadi', run: search((offset) => core.searchOffsetIndex(entries, offset)) },
      { name: 'plain JS', run: search((offset) => searchByDataView(view, entryCount, offset)) }
    ],
    isComparable: true
  }
}

function searchByDataView(view: DataView, entryCount: number, relativeOffset: number): number {
  let low = 0
  let high = entryCount
  while (low < high) {
    const middle = (low + high) >>> 1
    if (view.getUint32(middle * 8) <= relativeOffset) low = middle + 1
    else high = middle
  }
  return low - 1
}

function lz4Questions(core: Core, eventCount: number, times: number): readonly Question[] {
  const block = Buffer.from(core.buildBatch(telemetry(eventCount), { baseOffset: 0 }))
  const frame = Buffer.from(core.lz4Compress(block))
  const parameters = { blockBytes: block.length }
  const shared = { parameters, count: (times * block.length) / 1_000, unit: 'ns/kB' }
  const compress = [
    repeat('wadi', times, () => core.lz4Compress(block).length),
    repeat('lz4-napi', times, () => compressFrameSync(block).length)
  ]
  const decompress = [
    repeat('wadi', times, () => core.lz4Decompress(frame, block.length).length),
    repeat('lz4-napi', times, () => decompressFrameSync(frame).length)
  ]
  return [
    { what: 'LZ4 compress', ...shared, contenders: compress, isComparable: false },
    { what: 'LZ4 decompress', ...shared, contenders: decompress, isComparable: true }
  ]
}

function repeat(name: string, times: number, once: () => number): Contender {
  return {
    name,
    run() {
      let sum = 0
      for (let index = 0; index < times; index++) sum += once()
      return sum
    }
  }
}

const READ_BYTES = 64 * 1024

/** What a socket gives, one read after the other, from a device that publishes to one topic. */
function mqttQuestion(version: 4 | 5, count: number): Question {
  const message = { topic: 'plant/north/dev-7/celsius', payload: sensorPayload(7, 100), qos: 1 }
  const connect = version === 5 ? connect5() : connectPacket()
  const packets = Array.from({ length: count }, (_, index) => {
    const options = { ...message, packetId: (index % 65_535) + 1 }
    return version === 5 ? publish5(options) : publishPacket(options)
  })
  const bytes = Buffer.concat([connect, ...packets])
  const chunks = Array.from({ length: Math.ceil(bytes.length / READ_BYTES) }, (_, index) =>
    bytes.subarray(index * READ_BYTES, (index + 1) * READ_BYTES)
  )
  return {
    what: `read PUBLISH packets of MQTT ${version === 5 ? '5' : '3.1.1'}`,
    parameters: { payloadBytes: 100, readBytes: READ_BYTES, qos: 1 },
    count,
    unit: 'ns/packet',
    contenders: [
      { name: 'wadi', run: () => readByWadi(chunks) },
      { name: 'mqtt-packet', run: () => readByMqttPacket(chunks) }
    ],
    isComparable: true
  }
}

function readByWadi(chunks: readonly Uint8Array[]): number {
  const reader = new PacketReader(defaultMqttLimits, { topicAliasMaximum: 16 })
  let sum = 0
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let packet = reader.next(); packet !== null; packet = reader.next()) {
      if (packet.type === 'publish') sum += packet.packetId + packet.payload.length + packet.topic.length
    }
  }
  if (reader.fault) throw reader.fault
  return sum
}

function readByMqttPacket(chunks: readonly Buffer[]): number {
  const parser = mqttPacketParser()
  let sum = 0
  parser.on('packet', (packet) => {
    if (packet.cmd === 'publish') sum += (packet.messageId ?? 0) + packet.payload.length + packet.topic.length
  })
  for (const chunk of chunks) parser.parse(chunk)
  return sum
}

async function answer({ what, parameters, count, unit, contenders, isComparable }: Question, context: BenchContext): Promise<void> {
  const timings = await interleave(contenders, context.isSmoke ? { rounds: 1, warmups: 0 } : { rounds: 15, warmups: 3 })
  if (isComparable && new Set([...timings.values()].map(({ hash }) => hash)).size !== 1) throw new Error(`${what}: the answers differ`)
  const values = Object.fromEntries([...timings].map(([name, { medianMs }]) => [name, (medianMs * 1e6) / count]))
  const of = (name: string): number => values[name] ?? Number.NaN
  const others = contenders.slice(1).map(({ name }) => name)
  context.figure({
    what,
    parameters,
    unit,
    values,
    ratios: Object.fromEntries(others.map((name) => [`${name} / wadi`, of(name) / of('wadi')]))
  })
}

export const functionsBench: Bench = {
  name: 'functions',
  question: 'each function of the core, and the MQTT reader, against the best alternative on npm, nanoseconds',
  async run(context) {
    const core = loadTestCore()
    const times = context.isSmoke ? 1 : 100
    const questions = [
      murmur2Question(core, times),
      checkQuestion(core, context.isSmoke ? 10 : 1_000, times),
      repackQuestion(core, context.isSmoke ? 2 : 50, times),
      forwardQuestion(core, context.isSmoke ? 2 : 50, 12, times),
      forwardQuestion(core, context.isSmoke ? 2 : 50, 100, times),
      patchQuestion(core, context.isSmoke ? 10 : 2_000, times),
      searchQuestion(core, context.isSmoke ? 100 : 8_192, times * 100),
      ...lz4Questions(core, context.isSmoke ? 10 : 2_000, times),
      mqttQuestion(4, times * 100),
      mqttQuestion(5, times * 100)
    ]
    for (const question of questions) await answer(question, context)
  }
}

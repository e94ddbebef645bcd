// Reads a RecordBatch v2 in plain TypeScript, independent of our core: what the simulated centre believes is not what we believe.
// Source of the format: Apache Kafka, DefaultRecordBatch.java and DefaultRecord.java.

import { gunzipSync } from 'node:zlib'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'

export interface DecodedRecord {
  readonly offset: number
  readonly timestampMs: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: ReadonlyMap<string, string>
}

export interface DecodedBatch {
  readonly baseOffset: number
  readonly attributes: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly lastOffsetDelta: number
  readonly records: readonly DecodedRecord[]
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value >>> 0
})

export function plainCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

class Cursor {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.byteLength
  }

  skip(count: number): void {
    this.#at += count
  }

  /** Zigzag. Values above 2^53 do not occur here. */
  varint(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw new RangeError('varint behind the end')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 128
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  text(): string | null {
    const length = this.varint()
    if (length < 0) return null
    if (this.#at + length > this.#bytes.byteLength) throw new RangeError('field behind the end')
    const text = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, length).toString('latin1')
    this.#at += length
    return text
  }
}

/** @throws RangeError when anything is not as Kafka demands: length, magic, CRC, counts */
export function decodeBatch(bytes: Uint8Array): DecodedBatch {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength < 61 || view.getInt32(8) + 12 !== bytes.byteLength) throw new RangeError('batch length')
  if (bytes[16] !== 2) throw new RangeError('magic')
  if (view.getUint32(17) !== plainCrc32c(bytes.subarray(21))) throw new RangeError('CRC')
  const attributes = view.getInt16(21)
  const codec = attributes & 7
  if (codec !== 0 && codec !== 1) throw new RangeError(`codec ${codec}`)
  const block = codec === 1 ? gunzipSync(bytes.subarray(61)) : bytes.subarray(61)
  const baseOffset = Number(view.getBigInt64(0))
  const baseTimestampMs = Number(view.getBigInt64(27))
  const cursor = new Cursor(block)
  const records: DecodedRecord[] = []
  const count = view.getInt32(57)
  while (records.length < count) {
    cursor.varint() // length
    cursor.skip(1) // attributes
    const timestampMs = baseTimestampMs + cursor.varint()
    const offset = baseOffset + cursor.varint()
    const key = cursor.text()
    const value = cursor.text()
    const headers = new Map<string, string>()
    for (let left = cursor.varint(); left > 0; left--) headers.set(cursor.text() ?? '', cursor.text() ?? '')
    records.push({ offset, timestampMs, key, value, headers })
  }
  if (!cursor.isAtEnd) throw new RangeError('bytes behind the last record')
  const lastOffsetDelta = view.getInt32(23)
  if (records.at(-1)?.offset !== baseOffset + lastOffsetDelta) throw new RangeError('last offset delta')
  return {
    baseOffset,
    attributes,
    producerId: view.getBigInt64(43),
    producerEpoch: view.getInt16(51),
    baseSequence: view.getInt32(53),
    lastOffsetDelta,
    records
  }
}

/** As Kafka, which opens compressed batches before it takes them. What is wrong in one that is not compressed is a bug of this house. */
export function decodeOrRefuse(batch: Uint8Array, where: { target: { topicName: string; partitionIndex: number } }): DecodedBatch {
  try {
    return decodeBatch(batch)
  } catch (error) {
    if (((batch[22] as number) & 7) === 0) throw error
    throw new UpstreamFault('bad-record', `CORRUPT_MESSAGE: ${String(error)}`, where)
  }
}

// RecordBatch v2 in plain TypeScript, byte by byte, from the description in Kafka's protocol guide.

import type { ProducerFields, RecordInput } from '../../runtime/core/record.ts'
import { oracleCrc32c } from './crc32c.ts'

/** A record with the offset it has; deltas are worked out here. */
export interface OracleRecord extends RecordInput {
  readonly offset: number
}

function varint(value: bigint): number[] {
  let rest = value >= 0n ? value * 2n : -value * 2n - 1n
  const bytes: number[] = []
  while (rest > 127n) {
    bytes.push(Number(rest % 128n) + 128)
    rest /= 128n
  }
  bytes.push(Number(rest))
  return bytes
}

function fixed(value: bigint, byteCount: number): number[] {
  const bytes: number[] = []
  const unsigned = BigInt.asUintN(byteCount * 8, value)
  for (let i = byteCount - 1; i >= 0; i--) bytes.push(Number((unsigned >> BigInt(8 * i)) & 0xffn))
  return bytes
}

function field(bytes: Uint8Array | null): number[] {
  return bytes === null ? varint(-1n) : [...varint(BigInt(bytes.length)), ...bytes]
}

export function oracleRecord(record: RecordInput, timestampDelta: number, offsetDelta: number): number[] {
  const body = [0, ...varint(BigInt(timestampDelta)), ...varint(BigInt(offsetDelta)), ...field(record.key), ...field(record.value)]
  body.push(...varint(BigInt(record.headers.length)))
  for (const header of record.headers) body.push(...field(header.key), ...field(header.value))
  return [...varint(BigInt(body.length)), ...body]
}

export interface OracleBatchOptions {
  baseOffset: number
  lastOffset?: number
  producer?: ProducerFields
  attributes?: number
}

/** `records` at least one, ascending by offset. */
export function oracleBatch(records: readonly OracleRecord[], options: OracleBatchOptions): Uint8Array {
  const { baseOffset, producer } = options
  const first = records[0] as OracleRecord
  const last = records[records.length - 1] as OracleRecord
  const body: number[] = []
  for (const record of records) body.push(...oracleRecord(record, record.timestampMs - first.timestampMs, record.offset - baseOffset))
  const covered = [
    ...fixed(BigInt(options.attributes ?? (producer?.isTransactional ? 16 : 0)), 2),
    ...fixed(BigInt((options.lastOffset ?? last.offset) - baseOffset), 4),
    ...fixed(BigInt(first.timestampMs), 8),
    ...fixed(BigInt(Math.max(...records.map((record) => record.timestampMs))), 8),
    ...fixed(producer?.producerId ?? -1n, 8),
    ...fixed(BigInt(producer?.producerEpoch ?? -1), 2),
    ...fixed(BigInt(producer?.baseSequence ?? -1), 4),
    ...fixed(BigInt(records.length), 4),
    ...body
  ]
  const crc = oracleCrc32c(Uint8Array.from(covered))
  return Uint8Array.from([
    ...fixed(BigInt(baseOffset), 8),
    ...fixed(BigInt(covered.length + 9), 4),
    ...fixed(0n, 4),
    2,
    ...fixed(BigInt(crc), 4),
    ...covered
  ])
}

/** The records as a batch that begins at `baseOffset` numbers them: one offset each. */
export function numbered(records: readonly RecordInput[], baseOffset: number): OracleRecord[] {
  return records.map((record, index) => ({ ...record, offset: baseOffset + index }))
}

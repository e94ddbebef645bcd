// Reads and writes the 61 bytes in front of a RecordBatch v2. Layout: docs/formats/segment.md.
// Not for: records (the core), CRC over payloads (the core).
// Source: Apache Kafka, DefaultRecordBatch.java.

import { assert } from '../base/assert.ts'
import { toOffset } from '../base/offset.ts'
import type { BatchHeader } from './record.ts'

export const BASE_OFFSET_AT = 0
export const BATCH_LENGTH_AT = 8
export const LEADER_EPOCH_AT = 12
export const MAGIC_AT = 16
export const CRC_AT = 17
/** The CRC covers this byte to the end. */
export const ATTRIBUTES_AT = 21
export const LAST_OFFSET_DELTA_AT = 23
export const BASE_TIMESTAMP_AT = 27
export const MAX_TIMESTAMP_AT = 35
export const PRODUCER_ID_AT = 43
export const PRODUCER_EPOCH_AT = 51
export const BASE_SEQUENCE_AT = 53
export const RECORD_COUNT_AT = 57
export const RECORDS_AT = 61
/** batchLength counts the bytes after itself. */
export const LENGTH_PREFIX_BYTES = BATCH_LENGTH_AT + 4
export const MAGIC = 2
export const CODEC_MASK = 0x07
/** The time of its records is its max timestamp: when it was appended. */
export const TIMESTAMP_TYPE_BIT = 0x08
export const TRANSACTIONAL_BIT = 0x10
export const CONTROL_BIT = 0x20

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** An i64 that we count with. NaN when it does not fit a safe integer: on disk that is corruption, on the wire the peer's fault. */
export function readSafeInt64(view: DataView, at: number): number {
  const value = view.getInt32(at) * 2 ** 32 + view.getUint32(at + 4)
  return Number.isSafeInteger(value) ? value : Number.NaN
}

/** null when the bytes cannot be a batch header (too short, wrong magic, impossible numbers). The CRC is not looked at. */
export function readBatchHeader(bytes: Uint8Array): BatchHeader | null {
  if (bytes.byteLength < RECORDS_AT) return null
  const view = viewOf(bytes)
  const baseOffset = readSafeInt64(view, BASE_OFFSET_AT)
  const batchBytes = view.getInt32(BATCH_LENGTH_AT) + LENGTH_PREFIX_BYTES
  const lastOffsetDelta = view.getInt32(LAST_OFFSET_DELTA_AT)
  const lastOffset = baseOffset + lastOffsetDelta
  if (bytes[MAGIC_AT] !== MAGIC || batchBytes < RECORDS_AT || lastOffsetDelta < 0) return null
  if (!(baseOffset >= 0) || !Number.isSafeInteger(lastOffset)) return null
  return {
    baseOffset: toOffset(baseOffset),
    batchBytes,
    partitionLeaderEpoch: view.getInt32(LEADER_EPOCH_AT),
    crc: view.getUint32(CRC_AT),
    attributes: view.getInt16(ATTRIBUTES_AT),
    lastOffsetDelta,
    lastOffset: toOffset(lastOffset),
    baseTimestampMs: readSafeInt64(view, BASE_TIMESTAMP_AT),
    maxTimestampMs: readSafeInt64(view, MAX_TIMESTAMP_AT),
    producerId: view.getBigInt64(PRODUCER_ID_AT),
    producerEpoch: view.getInt16(PRODUCER_EPOCH_AT),
    baseSequence: view.getInt32(BASE_SEQUENCE_AT),
    recordCount: view.getInt32(RECORD_COUNT_AT)
  }
}

/** The start that wrote it (Kafka's leader epoch). */
export function writeLeaderEpoch(batch: Uint8Array, leaderEpoch: number): void {
  viewOf(batch).setInt32(LEADER_EPOCH_AT, leaderEpoch)
}

/** Base offset and leader epoch lie outside the CRC: a log may set them on a batch somebody else encoded. */
export function writeBaseOffset(batch: Uint8Array, baseOffset: number): void {
  assert(Number.isSafeInteger(baseOffset) && baseOffset >= 0, `base offset ${baseOffset}`)
  const view = viewOf(batch)
  view.setUint32(BASE_OFFSET_AT, Math.floor(baseOffset / 2 ** 32))
  view.setUint32(BASE_OFFSET_AT + 4, baseOffset >>> 0)
}

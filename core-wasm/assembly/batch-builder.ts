// Builds one RecordBatch v2: begin, add records, finish. Builders exist side by side (scratch,
// repack, the slots of grains.ts), each a struct at its own address, so a batch may stay open while another is built.
//
//   struct   0 start u32    4 cursor u32   8 limit u32   12 count i32   16 baseOffset i64
//           24 baseTimestamp i64   32 maxTimestamp i64   40 lastOffsetDelta i32
//
// Invariants: start + 61 <= cursor <= limit once begun; a record that does not fit writes nothing that counts.
// A timestamp below the first record's gives a negative delta (legal, and what Java writes too).

import {
  ATTRIBUTES_AT,
  BASE_OFFSET_AT,
  BASE_SEQUENCE_AT,
  BASE_TIMESTAMP_AT,
  BATCH_LENGTH_AT,
  CRC_AT,
  LAST_OFFSET_DELTA_AT,
  LEADER_EPOCH_AT,
  LENGTH_PREFIX_BYTES,
  MAGIC_AT,
  MAX_TIMESTAMP_AT,
  PRODUCER_EPOCH_AT,
  PRODUCER_ID_AT,
  RECORD_COUNT_AT,
  RECORDS_AT,
  TRANSACTIONAL_BIT
} from './batch-layout'
import { copyBytes, store16, store32, store64, varintBytes, writeVarint } from './bytes'
import { crc32c } from './crc32c'
import { HEADERS, HEADERS_BYTES_MAX, INPUT } from './memory'

const CURSOR: usize = 4
const LIMIT: usize = 8
const COUNT: usize = 12
const BASE_OFFSET: usize = 16
const BASE_TIMESTAMP: usize = 24
const MAX_TIMESTAMP: usize = 32
const LAST_DELTA: usize = 40

/** Starts a batch at `start` that may reach up to `limit`; start + 61 <= limit. */
export function beginBatch(builder: usize, start: usize, limit: usize, baseOffset: i64): void {
  assert(start + RECORDS_AT <= limit, 'no room for a batch header')
  store<u32>(builder, <u32>start)
  store<u32>(builder, <u32>(start + RECORDS_AT), CURSOR)
  store<u32>(builder, <u32>limit, LIMIT)
  store<i32>(builder, 0, COUNT)
  store<i64>(builder, baseOffset, BASE_OFFSET)
  store<i32>(builder, -1, LAST_DELTA)
}

export function batchCount(builder: usize): i32 {
  return load<i32>(builder, COUNT)
}

export function batchCursor(builder: usize): usize {
  return load<u32>(builder, CURSOR)
}

/** Where the batch begins, and with which offset, when its records grow elsewhere (record-pool.ts). */
export function beginBatchAt(builder: usize, start: usize, baseOffset: i64): void {
  store<u32>(builder, <u32>start)
  store<i64>(builder, baseOffset, BASE_OFFSET)
}

/** The next record is written to `cursor`, up to `limit`. */
export function moveRecords(builder: usize, cursor: usize, limit: usize): void {
  store<u32>(builder, <u32>cursor, CURSOR)
  store<u32>(builder, <u32>limit, LIMIT)
}

export function batchBaseOffset(builder: usize): i64 {
  return load<i64>(builder, BASE_OFFSET)
}

export function setBatchBaseOffset(builder: usize, baseOffset: i64): void {
  store<i64>(builder, baseOffset, BASE_OFFSET)
}

/** Lets the batch cover offsets up to this delta, though its last record lies below. */
export function coverOffsetDelta(builder: usize, delta: i32): void {
  if (delta > load<i32>(builder, LAST_DELTA)) store<i32>(builder, delta, LAST_DELTA)
}

// @ts-ignore: decorator
@inline
function timestampDelta(builder: usize, timestamp: i64): i64 {
  return load<i32>(builder, COUNT) == 0 ? 0 : timestamp - load<i64>(builder, BASE_TIMESTAMP)
}

/** What the record's length says: bytes behind it. */
// @ts-ignore: decorator
@inline
function lengthOf(tsDelta: i64, offsetDelta: i32, bodyBytes: u32): u32 {
  return 1 + varintBytes(tsDelta) + varintBytes(offsetDelta) + bodyBytes
}

/** Bytes by which openRecord would make the batch longer. */
export function addRecordBytes(builder: usize, timestamp: i64, offsetDelta: i32, bodyBytes: u32): u64 {
  const length = lengthOf(timestampDelta(builder, timestamp), offsetDelta, bodyBytes)
  return <u64>length + <u64>varintBytes(length)
}

/**
 * Writes a record up to and including its offset delta, and reserves `bodyBytes` behind (key, value, headers).
 * @returns the address of the body, 0 when the record does not fit (nothing was added)
 */
// @ts-ignore: decorator
@inline
export function openRecord(builder: usize, timestamp: i64, offsetDelta: i32, bodyBytes: u32): usize {
  const count = load<i32>(builder, COUNT)
  const tsDelta = timestampDelta(builder, timestamp)
  const recordBytes = lengthOf(tsDelta, offsetDelta, bodyBytes)
  const cursor: usize = load<u32>(builder, CURSOR)
  const room = <u64>load<u32>(builder, LIMIT) - <u64>cursor
  if (<u64>recordBytes + <u64>varintBytes(recordBytes) > room) return 0
  let ptr = writeVarint(cursor, recordBytes)
  store<u8>(ptr, 0)
  ptr = writeVarint(ptr + 1, tsDelta)
  ptr = writeVarint(ptr, offsetDelta)
  if (count == 0) {
    store<i64>(builder, timestamp, BASE_TIMESTAMP)
    store<i64>(builder, timestamp, MAX_TIMESTAMP)
  } else if (timestamp > load<i64>(builder, MAX_TIMESTAMP)) {
    store<i64>(builder, timestamp, MAX_TIMESTAMP)
  }
  store<i32>(builder, count + 1, COUNT)
  store<i32>(builder, offsetDelta, LAST_DELTA)
  store<u32>(builder, <u32>(ptr + bodyBytes), CURSOR)
  return ptr
}

/** A key, a value: its length (-1 = null), then its bytes. @returns the address behind it */
// @ts-ignore: decorator
@inline
export function writeField(to: usize, from: usize, length: i32): usize {
  to = writeVarint(to, length)
  if (length <= 0) return to
  copyBytes(to, from, length)
  return to + length
}

/**
 * Encodes the headers staged at INPUT to HEADERS, where they serve every record until the next call.
 *
 *   INPUT  headerCount i32 | {keyBytes i32, valueBytes i32 (-1 = null)}* | all bytes in this order
 *
 * @returns their bytes, 0 = larger than HEADERS_BYTES_MAX (HEADERS holds nothing then)
 */
export function stageHeaders(): u32 {
  const headerCount = load<i32>(INPUT)
  const sizes: usize = INPUT + 4
  const sizesEnd = sizes + (<usize>headerCount << 3)
  let bytes: u64 = varintBytes(headerCount)
  for (let at = sizes; at < sizesEnd; at += 4) {
    const length = load<i32>(at)
    bytes += varintBytes(length) + max(length, 0)
  }
  if (bytes > HEADERS_BYTES_MAX) return 0
  let to = writeVarint(HEADERS, headerCount)
  let from = sizesEnd
  for (let at = sizes; at < sizesEnd; at += 4) {
    const length = load<i32>(at)
    to = writeField(to, from, length)
    from += max(length, 0)
  }
  assert(to - HEADERS == <usize>bytes, 'the headers have the announced size')
  return <u32>bytes
}

/**
 * Adds a record with the next offset delta: key and value from INPUT, one behind the other (-1 = null), encoded headers from HEADERS.
 * @returns 1, or 0 when it does not fit: nothing was added
 */
export function addStagedRecord(builder: usize, timestamp: f64, keyBytes: i32, valueBytes: i32, headersBytes: u32): i32 {
  const body = varintBytes(keyBytes) + varintBytes(valueBytes) + max(keyBytes, 0) + max(valueBytes, 0) + headersBytes
  let to = openRecord(builder, <i64>timestamp, load<i32>(builder, COUNT), body)
  if (to == 0) return 0
  to = writeField(to, INPUT, keyBytes)
  to = writeField(to, INPUT + max(keyBytes, 0), valueBytes)
  copyBytes(to, HEADERS, headersBytes)
  assert(to + headersBytes == batchCursor(builder), 'the record has the announced size')
  return 1
}

/**
 * Writes the header and seals the batch with its CRC; at least one record was added. Leader epoch 0.
 * producerId -1 (then epoch -1, sequence -1) = no producer.
 * @returns bytes of the whole batch
 */
export function finishBatch(builder: usize, producerId: i64, producerEpoch: i32, baseSequence: i32, isTransactional: i32): u32 {
  const start: usize = load<u32>(builder)
  const length = load<u32>(builder, CURSOR) - <u32>start
  store64(start + BASE_OFFSET_AT, load<i64>(builder, BASE_OFFSET))
  store32(start + BATCH_LENGTH_AT, length - LENGTH_PREFIX_BYTES)
  store32(start + LEADER_EPOCH_AT, 0)
  store<u8>(start + MAGIC_AT, 2)
  store16(start + ATTRIBUTES_AT, isTransactional ? TRANSACTIONAL_BIT : 0)
  store32(start + LAST_OFFSET_DELTA_AT, load<i32>(builder, LAST_DELTA))
  store64(start + BASE_TIMESTAMP_AT, load<i64>(builder, BASE_TIMESTAMP))
  store64(start + MAX_TIMESTAMP_AT, load<i64>(builder, MAX_TIMESTAMP))
  store64(start + PRODUCER_ID_AT, producerId)
  store16(start + PRODUCER_EPOCH_AT, producerEpoch)
  store32(start + BASE_SEQUENCE_AT, baseSequence)
  store32(start + RECORD_COUNT_AT, load<i32>(builder, COUNT))
  store32(start + CRC_AT, crc32c(start + ATTRIBUTES_AT, length - <u32>ATTRIBUTES_AT, 0))
  return length
}

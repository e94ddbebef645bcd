// Many batches into one, at REPACK, or into one for each target partition (targets.ts). Keys, values and headers are copied as they are; lengths
// and deltas are new.
//
//   seal     offsets stay (gaps stay gaps), base offset = first record's
//   forward  base offset 0, dense deltas, two headers behind each record's own:
//            wadi.id = FORWARD_ID, wadi.offset = FORWARD_PREFIX + decimal offset
//
// Invariants: a record never splits; no batch exceeds the limit given at begin; the source was copied to INPUT; records are looked at in order, up to
// the first that does not fit.

import {
  ATTRIBUTES_AT,
  BASE_OFFSET_AT,
  CODEC_MASK,
  CONTROL_BIT,
  LAST_OFFSET_DELTA_AT,
  RECORD_COUNT_AT,
  RECORDS_AT
} from './batch-layout'
import {
  batchBaseOffset,
  batchCount,
  batchCursor,
  beginBatch,
  coverOffsetDelta,
  finishBatch,
  openRecord,
  setBatchBaseOffset
} from './batch-builder'
import { copyBytes, load16, load32, load64, varintBytes, writeVarint } from './bytes'
import { FORWARD_ID, FORWARD_PREFIX, INPUT, REPACK, REPACK_BATCH } from './memory'
import { murmur2 } from './murmur2'
import { openTargetRecord, targetsBegin, targetSlot } from './targets'
import {
  readRecord,
  recordBody,
  recordEnd,
  recordHeaderCount,
  recordHeaderCountAt,
  recordHeaders,
  recordKey,
  recordKeyBytes,
  recordOffsetDelta,
  recordTimestamp
} from './record-reader'

/** Answers of repackAdd. */
const ALL_LOOKED_AT: i32 = 0
const FULL: i32 = 1
const UNREADABLE: i32 = 2

// Header keys with their length varints in front.
const ID_KEY = memory.data<u8>([14, 0x77, 0x61, 0x64, 0x69, 0x2e, 0x69, 0x64]) // wadi.id
const ID_KEY_BYTES: u32 = 8
const OFFSET_KEY = memory.data<u8>([22, 0x77, 0x61, 0x64, 0x69, 0x2e, 0x6f, 0x66, 0x66, 0x73, 0x65, 0x74]) // wadi.offset
const OFFSET_KEY_BYTES: u32 = 12

let isForward: bool = false
let idBytes: u32 = 0
let prefixBytes: u32 = 0
let partitionIndex: u32 = 0
let targetCount: u32 = 0
let nextOffset: i64 = 0
let addedCount: i32 = 0

/** First offset the last repackAdd did not look at. */
export function repackNextOffset(): f64 {
  return <f64>nextOffset
}

export function repackAddedCount(): i32 {
  return addedCount
}

export function repackBeginSeal(bytesMax: u32): void {
  isForward = false
  beginBatch(REPACK_BATCH, REPACK, REPACK + bytesMax, 0)
}

/**
 * FORWARD_ID and FORWARD_PREFIX hold their bytes already. toCount is how many partitions the target topic has; up to one there is one batch, at
 * REPACK, which takes every record.
 */
export function repackBeginForward(bytesMax: u32, idLength: u32, prefixLength: u32, partition: u32, toCount: u32): void {
  isForward = true
  idBytes = idLength
  prefixBytes = prefixLength
  partitionIndex = partition
  targetCount = toCount
  if (toCount > 1) targetsBegin(bytesMax)
  else beginBatch(REPACK_BATCH, REPACK, REPACK + bytesMax, 0)
}

/** Java's partitioner: murmur2 of the key, masked; records without a key keep their source partition's place. */
function targetOfRecord(): u32 {
  const keyBytes = recordKeyBytes()
  const place = keyBytes < 0 ? partitionIndex : murmur2(recordKey(), keyBytes) & 0x7fffffff
  return place % targetCount
}

// @ts-ignore: decorator
@inline
function openForwardRecord(builder: usize, timestamp: i64, bodyBytes: u32): usize {
  if (builder != REPACK_BATCH) return openTargetRecord(builder, timestamp, bodyBytes)
  return openRecord(builder, timestamp, batchCount(builder), bodyBytes)
}

function digitsOf(value: i64): u32 {
  let digits: u32 = 1
  for (let rest = value / 10; rest > 0; rest /= 10) digits++
  return digits
}

function writeField(to: usize, from: usize, length: u32): usize {
  to = writeVarint(to, length)
  copyBytes(to, from, length)
  return to + length
}

/** Appends the record just read with dense delta and the two headers. @returns false when it does not fit */
function forwardRecord(timestamp: i64, offset: i64): bool {
  const builder = targetCount > 1 ? targetSlot(targetOfRecord()) : REPACK_BATCH
  if (builder == 0) return false
  const headersBytes = <u32>(recordEnd() - recordHeaders())
  const fieldsBytes = <u32>(recordHeaderCountAt() - recordBody())
  const headerCount = recordHeaderCount() + 2
  const digits = digitsOf(offset)
  const valueBytes = prefixBytes + digits
  const addedBytes = ID_KEY_BYTES + varintBytes(idBytes) + idBytes + OFFSET_KEY_BYTES + varintBytes(valueBytes) + valueBytes
  const bodyBytes = fieldsBytes + varintBytes(headerCount) + headersBytes + addedBytes
  let to = openForwardRecord(builder, timestamp, bodyBytes)
  if (to == 0) return false
  copyBytes(to, recordBody(), fieldsBytes)
  to = writeVarint(to + fieldsBytes, headerCount)
  copyBytes(to, recordHeaders(), headersBytes)
  to += headersBytes
  copyBytes(to, ID_KEY, ID_KEY_BYTES)
  to = writeField(to + ID_KEY_BYTES, FORWARD_ID, idBytes)
  copyBytes(to, OFFSET_KEY, OFFSET_KEY_BYTES)
  to = writeVarint(to + OFFSET_KEY_BYTES, valueBytes)
  copyBytes(to, FORWARD_PREFIX, prefixBytes)
  to += valueBytes
  let rest = offset
  for (let at = to - 1; at >= to - digits; at--) {
    store<u8>(at, <u8>(48 + rest % 10))
    rest /= 10
  }
  assert(to == batchCursor(builder), 'the record has the announced size')
  return true
}

/** Appends the record just read with its own offset; the batch begins with `first`, where its source does. @returns false when it does not fit */
function sealRecord(timestamp: i64, offset: i64, first: i64): bool {
  if (batchCount(REPACK_BATCH) == 0) setBatchBaseOffset(REPACK_BATCH, first)
  const delta = offset - batchBaseOffset(REPACK_BATCH)
  if (delta < 0 || delta > <i64>i32.MAX_VALUE) return false
  const bodyBytes = <u32>(recordEnd() - recordBody())
  const to = openRecord(REPACK_BATCH, timestamp, <i32>delta, bodyBytes)
  if (to == 0) return false
  copyBytes(to, recordBody(), bodyBytes)
  return true
}

/**
 * Takes the records of the checked batch at INPUT with fromOffset <= offset < untilOffset.
 * @returns ALL_LOOKED_AT, FULL (the record at repackNextOffset did not fit) or UNREADABLE (compressed, control or malformed)
 */
export function repackAdd(batchBytes: u32, fromOffset: f64, untilOffset: f64): i32 {
  const from = <i64>fromOffset
  const until = <i64>untilOffset
  const baseOffset = <i64>load64(INPUT + BASE_OFFSET_AT)
  addedCount = 0
  nextOffset = from
  if ((load16(INPUT + ATTRIBUTES_AT) & (CODEC_MASK | CONTROL_BIT)) != 0) return UNREADABLE
  const limit = INPUT + batchBytes
  let ptr = INPUT + RECORDS_AT
  for (let left = <i32>load32(INPUT + RECORD_COUNT_AT); left > 0; left--) {
    if (!readRecord(ptr, limit)) return UNREADABLE
    ptr = recordEnd()
    const offset = baseOffset + <i64>recordOffsetDelta()
    if (offset >= until) break
    if (offset < from) continue
    const timestamp = recordTimestamp(INPUT)
    if (!(isForward ? forwardRecord(timestamp, offset) : sealRecord(timestamp, offset, max(from, baseOffset)))) {
      nextOffset = offset
      return FULL
    }
    addedCount++
  }
  nextOffset = min(until, baseOffset + <i64><i32>load32(INPUT + LAST_OFFSET_DELTA_AT) + 1)
  if (!isForward && batchCount(REPACK_BATCH) != 0) {
    const covered = nextOffset - 1 - batchBaseOffset(REPACK_BATCH) // a gap at the end of a source stays covered
    if (covered <= <i64>i32.MAX_VALUE) coverOffsetDelta(REPACK_BATCH, <i32>covered)
  }
  return ALL_LOOKED_AT
}

/** Of one batch at REPACK, no producer. @returns its bytes, 0 when no record was added */
export function repackFinish(): u32 {
  if (batchCount(REPACK_BATCH) == 0) return 0
  return finishBatch(REPACK_BATCH, -1, -1, -1, 0)
}

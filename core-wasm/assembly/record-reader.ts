// Reads the records of an uncompressed batch, one at a time, without trusting a byte of them.
//
// The record found last stands in module globals (for the core) and, when asked for, at RECORD_VIEW (for JavaScript):
//
//   RECORD_VIEW  0 keyPtr u32   4 keyBytes i32 (-1 = null)   8 valuePtr u32   12 valueBytes i32
//               16 headerCount i32   20 headersPtr u32   24 nextPtr u32   32 timestamp f64   40 offset f64
//
// Invariants: never reads at or behind the end it was given; varints longer than Java writes are refused.

import {
  ATTRIBUTES_AT,
  BASE_OFFSET_AT,
  BASE_TIMESTAMP_AT,
  LOG_APPEND_TIME_BIT,
  MAX_TIMESTAMP_AT,
  SAFE_INTEGER_MAX
} from './batch-layout'
import { load16, load64 } from './bytes'
import { RECORD_VIEW } from './memory'

let cursor: usize = 0
/** False after a varint or length that is not one; stays false until the next record begins. */
let isSound: bool = true

let end: usize = 0
let timestampDelta: i64 = 0
let offsetDelta: i32 = 0
let bodyPtr: usize = 0
let keyPtr: usize = 0
let keyBytes: i32 = 0
let valuePtr: usize = 0
let valueBytes: i32 = 0
let headerCountPtr: usize = 0
let headerCount: i32 = 0
let headersPtr: usize = 0

export function recordEnd(): usize {
  return end
}
export function recordTimestampDelta(): i64 {
  return timestampDelta
}
export function recordOffsetDelta(): i32 {
  return offsetDelta
}
/** First byte behind the offset delta: key, value, headers follow to the record's end. */
export function recordBody(): usize {
  return bodyPtr
}
export function recordKey(): usize {
  return keyPtr
}
export function recordKeyBytes(): i32 {
  return keyBytes
}
export function recordHeaderCountAt(): usize {
  return headerCountPtr
}
export function recordHeaderCount(): i32 {
  return headerCount
}
export function recordHeaders(): usize {
  return headersPtr
}

/** Zigzag varint below `limit`, at most `bitsMax` (32 or 64) wide. Nearly all are one byte. */
function readVarint(limit: usize, bitsMax: u32): i64 {
  if (cursor < limit) {
    const byte = <u32>load<u8>(cursor)
    if (byte < 0x80) {
      cursor++
      return <i64>(<i32>(byte >> 1) ^ -<i32>(byte & 1))
    }
  }
  return readLongVarint(limit, bitsMax)
}

function readLongVarint(limit: usize, bitsMax: u32): i64 {
  let value: u64 = 0
  let shift: u32 = 0
  let at = cursor
  while (at < limit) {
    const byte: u64 = load<u8>(at)
    at++
    if (shift + 7 > bitsMax && byte >> (bitsMax - shift) != 0) break // too wide, or one byte too many
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      cursor = at
      return <i64>(value >> 1) ^ -(<i64>(value & 1))
    }
    shift += 7
  }
  isSound = false
  return 0
}

/** A length and that many bytes, below `limit`. The cursor moves behind them. @returns the length, -1 = null */
function skipField(limit: usize, isNullAllowed: bool): i32 {
  const length = <i32>readVarint(limit, 32)
  const lengthMin = isNullAllowed ? -1 : 0
  if (!isSound || length < lengthMin || <i64>length > <i64>(limit - cursor)) {
    isSound = false
    return 0
  }
  if (length > 0) cursor += length
  return length
}

/** Reads the record at `ptr` with all its headers. @returns false when it is malformed or reaches behind `limit` */
export function readRecord(ptr: usize, limit: usize): bool {
  cursor = ptr
  isSound = true
  const length = readVarint(limit, 32)
  if (!isSound || length < 1 || length > <i64>(limit - cursor)) return false
  end = cursor + <usize>length
  cursor++ // attributes: unused by Kafka, kept by nobody
  timestampDelta = readVarint(end, 64)
  offsetDelta = <i32>readVarint(end, 32)
  if (!isSound) return false
  bodyPtr = cursor
  keyBytes = skipField(end, true)
  keyPtr = cursor - max(keyBytes, 0)
  valueBytes = skipField(end, true)
  valuePtr = cursor - max(valueBytes, 0)
  headerCountPtr = cursor
  const count = readVarint(end, 32)
  if (!isSound || count < 0 || count > <i64>(end - cursor)) return false
  headerCount = <i32>count
  headersPtr = cursor
  for (let left = headerCount; left != 0 && isSound; left--) {
    skipField(end, false)
    skipField(end, true)
  }
  return isSound && cursor == end
}

/** The record's timestamp in a batch at `batch`: LogAppendTime batches have one for all. */
export function recordTimestamp(batch: usize): i64 {
  const isLogAppendTime = (load16(batch + ATTRIBUTES_AT) & LOG_APPEND_TIME_BIT) != 0
  return isLogAppendTime ? load64(batch + MAX_TIMESTAMP_AT) : load64(batch + BASE_TIMESTAMP_AT) + timestampDelta
}

/** True when every timestamp sum stays a safe integer of JavaScript. */
export function isSafeTimestamp(baseTimestamp: i64): bool {
  if (baseTimestamp > SAFE_INTEGER_MAX || baseTimestamp < -SAFE_INTEGER_MAX) return false
  if (timestampDelta > 2 * SAFE_INTEGER_MAX || timestampDelta < -2 * SAFE_INTEGER_MAX) return false
  const timestamp = baseTimestamp + timestampDelta
  return timestamp <= SAFE_INTEGER_MAX && timestamp >= -SAFE_INTEGER_MAX
}

/** For JavaScript: reads the record at `ptr` of the batch at `batch` into RECORD_VIEW. @returns 1, or 0 when it is malformed */
export function viewRecord(batch: usize, ptr: usize, limit: usize): i32 {
  if (!readRecord(ptr, limit)) return 0
  store<u32>(RECORD_VIEW, <u32>keyPtr)
  store<i32>(RECORD_VIEW, keyBytes, 4)
  store<u32>(RECORD_VIEW, <u32>valuePtr, 8)
  store<i32>(RECORD_VIEW, valueBytes, 12)
  store<i32>(RECORD_VIEW, headerCount, 16)
  store<u32>(RECORD_VIEW, <u32>headersPtr, 20)
  store<u32>(RECORD_VIEW, <u32>end, 24)
  store<f64>(RECORD_VIEW, <f64>recordTimestamp(batch), 32)
  store<f64>(RECORD_VIEW, <f64>(<i64>load64(batch + BASE_OFFSET_AT) + <i64>offsetDelta), 40)
  return 1
}

/** For JavaScript: one header at `ptr` into RECORD_VIEW's key and value; nextPtr is behind it. The record was read before. */
export function viewHeader(ptr: usize, limit: usize): i32 {
  cursor = ptr
  isSound = true
  const headerKeyBytes = skipField(limit, false)
  store<u32>(RECORD_VIEW, <u32>(cursor - max(headerKeyBytes, 0)))
  store<i32>(RECORD_VIEW, headerKeyBytes, 4)
  const headerValueBytes = skipField(limit, true)
  store<u32>(RECORD_VIEW, <u32>(cursor - max(headerValueBytes, 0)), 8)
  store<i32>(RECORD_VIEW, headerValueBytes, 12)
  store<u32>(RECORD_VIEW, <u32>cursor, 24)
  return isSound ? 1 : 0
}

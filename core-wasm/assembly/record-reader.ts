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

let varintValue: i32 = 0
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
/** -1 = null. */
export function recordValueBytes(): i32 {
  return valueBytes
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

// Cursors stay in locals and functions return the address behind what they read, 0 = malformed; what they read is in a
// global. A cursor in a global would cost a round trip through memory per varint, and there are a dozen in a record.

/** Zigzag varint of at most 32 bits in [at, limit) into varintValue. @returns the address behind it, 0 = there is none */
function readVarint(at: usize, limit: usize): usize {
  let value: u32 = 0
  for (let shift: u32 = 0; shift < 35 && at < limit; shift += 7) {
    const byte = <u32>load<u8>(at)
    at++
    if (shift == 28 && byte > 0x0f) return 0 // wider than 32 bits
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      varintValue = (value >> 1) ^ (0 - (value & 1))
      return at
    }
  }
  return 0
}

function skipLongField(at: usize, limit: usize, lengthMin: i32): usize {
  at = readVarint(at, limit)
  if (at == 0 || varintValue < lengthMin || <i64>varintValue > <i64>(limit - at)) return 0
  return at + max(varintValue, 0)
}

/**
 * A length >= lengthMin (-1 = null) and that many bytes in [at, limit); the length into varintValue.
 * @returns the address behind the bytes, 0 = malformed
 */
// @ts-ignore: decorator
@inline
function skipField(at: usize, limit: usize, lengthMin: i32): usize {
  if (at < limit) {
    const byte = <u32>load<u8>(at)
    if ((byte & 0x81) == 0) {
      // one byte and not negative: nearly always
      varintValue = <i32>(byte >> 1)
      const behind = at + 1 + (byte >> 1)
      return behind <= limit ? behind : 0
    }
  }
  return skipLongField(at, limit, lengthMin)
}

/** Zigzag varint of at most 64 bits into timestampDelta. @returns the address behind it, 0 = there is none */
function readTimestampDelta(at: usize, limit: usize): usize {
  let value: u64 = 0
  for (let shift: u64 = 0; shift < 70 && at < limit; shift += 7) {
    const byte = <u64>load<u8>(at)
    at++
    if (shift == 63 && byte > 1) return 0 // wider than 64 bits
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      timestampDelta = <i64>(value >> 1) ^ -(<i64>(value & 1))
      return at
    }
  }
  return 0
}

/** Reads the record at `ptr` with all its headers. @returns false when it is malformed or reaches behind `limit` */
export function readRecord(ptr: usize, limit: usize): bool {
  let at = readVarint(ptr, limit)
  if (at == 0 || varintValue < 1 || <i64>varintValue > <i64>(limit - at)) return false
  const stop = at + varintValue
  at = readTimestampDelta(at + 1, stop) // behind the attributes, which Kafka does not use
  if (at == 0) return false
  at = readVarint(at, stop)
  if (at == 0) return false
  offsetDelta = varintValue
  bodyPtr = at
  at = skipField(at, stop, -1)
  if (at == 0) return false
  keyBytes = varintValue
  keyPtr = at - max(varintValue, 0)
  at = skipField(at, stop, -1)
  if (at == 0) return false
  valueBytes = varintValue
  valuePtr = at - max(varintValue, 0)
  headerCountPtr = at
  at = readVarint(at, stop)
  if (at == 0 || varintValue < 0 || <i64>varintValue > <i64>(stop - at)) return false
  headerCount = varintValue
  headersPtr = at
  for (let left = varintValue; left != 0; left--) {
    at = skipField(at, stop, 0)
    if (at == 0) return false
    at = skipField(at, stop, -1)
    if (at == 0) return false
  }
  end = stop
  return at == stop
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

/** For JavaScript: one header at `ptr` into RECORD_VIEW's key and value; nextPtr is behind it. @returns 1, or 0 when it is malformed */
export function viewHeader(ptr: usize, limit: usize): i32 {
  let at = skipField(ptr, limit, 0)
  if (at == 0) return 0
  store<u32>(RECORD_VIEW, <u32>at - varintValue)
  store<i32>(RECORD_VIEW, varintValue, 4)
  at = skipField(at, limit, -1)
  if (at == 0) return 0
  store<u32>(RECORD_VIEW, <u32>at - max(varintValue, 0), 8)
  store<i32>(RECORD_VIEW, varintValue, 12)
  store<u32>(RECORD_VIEW, <u32>at, 24)
  return 1
}

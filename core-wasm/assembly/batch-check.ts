// May these bytes be served as a batch? One whole RecordBatch v2, right CRC, possible numbers and, when it is not
// compressed, records that fill it exactly. Source of the rules: Apache Kafka, DefaultRecordBatch.ensureValid and LogValidator.

import {
  ATTRIBUTES_AT,
  BASE_OFFSET_AT,
  BASE_TIMESTAMP_AT,
  BATCH_LENGTH_AT,
  CODEC_MASK,
  CONTROL_BIT,
  CRC_AT,
  DELETE_HORIZON_BIT,
  LAST_OFFSET_DELTA_AT,
  LENGTH_PREFIX_BYTES,
  LOG_APPEND_TIME_BIT,
  MAGIC_AT,
  MAX_TIMESTAMP_AT,
  RECORD_COUNT_AT,
  RECORDS_AT,
  SAFE_INTEGER_MAX,
  TRANSACTIONAL_BIT
} from './batch-layout'
import { load16, load32, load64 } from './bytes'
import { crc32c } from './crc32c'
import { isSafeTimestamp, readRecord, recordEnd, recordOffsetDelta } from './record-reader'

// Answers; the facade has the words in the same order.
const SOUND: i32 = 0
const SHORT: i32 = 1
const LENGTH: i32 = 2
const MAGIC: i32 = 3
const CRC: i32 = 4
const ATTRIBUTES: i32 = 5
const COUNT: i32 = 6
const RECORD: i32 = 7

const KNOWN_ATTRIBUTES: u32 = CODEC_MASK | LOG_APPEND_TIME_BIT | TRANSACTIONAL_BIT | CONTROL_BIT | DELETE_HORIZON_BIT
const ZSTD: u32 = 4

/** Checks [ptr, ptr + length). @returns 0 when it is one whole, right batch, else the first fault found */
export function checkBatch(ptr: usize, length: u32): i32 {
  const fault = checkStoredBatch(ptr, length)
  if (fault != SOUND || (load16(ptr + ATTRIBUTES_AT) & CODEC_MASK) != 0) return fault
  return checkRecords(ptr, ptr + length, <i32>load32(ptr + RECORD_COUNT_AT), <i32>load32(ptr + LAST_OFFSET_DELTA_AT))
}

/** As checkBatch, of one that was checked when it was stored: its bytes are the same when the CRC is right, so its records are not walked again. */
export function checkStoredBatch(ptr: usize, length: u32): i32 {
  if (length < <u32>RECORDS_AT) return SHORT
  if (load<u8>(ptr + MAGIC_AT) != 2) return MAGIC
  const batchLength = <i32>load32(ptr + BATCH_LENGTH_AT)
  if (batchLength < <i32>(<u32>RECORDS_AT - LENGTH_PREFIX_BYTES)) return LENGTH
  const batchBytes = <u32>batchLength + LENGTH_PREFIX_BYTES
  if (batchBytes > length) return SHORT
  if (batchBytes < length) return LENGTH
  if (crc32c(ptr + ATTRIBUTES_AT, length - <u32>ATTRIBUTES_AT, 0) != load32(ptr + CRC_AT)) return CRC
  const attributes = load16(ptr + ATTRIBUTES_AT)
  if ((attributes & ~KNOWN_ATTRIBUTES) != 0 || (attributes & CODEC_MASK) > ZSTD) return ATTRIBUTES
  const recordCount = <i32>load32(ptr + RECORD_COUNT_AT)
  const lastOffsetDelta = <i32>load32(ptr + LAST_OFFSET_DELTA_AT)
  const baseOffset = <i64>load64(ptr + BASE_OFFSET_AT)
  if (recordCount < 1 || lastOffsetDelta < recordCount - 1) return COUNT
  if (baseOffset < 0 || baseOffset > SAFE_INTEGER_MAX - <i64>lastOffsetDelta) return COUNT
  return SOUND
}

function checkRecords(batch: usize, end: usize, recordCount: i32, lastOffsetDelta: i32): i32 {
  const baseTimestamp = <i64>load64(batch + BASE_TIMESTAMP_AT)
  const maxTimestamp = <i64>load64(batch + MAX_TIMESTAMP_AT)
  if (maxTimestamp > SAFE_INTEGER_MAX || maxTimestamp < -SAFE_INTEGER_MAX) return RECORD
  let ptr = batch + RECORDS_AT
  let previousDelta: i32 = -1
  for (let left = recordCount; left != 0; left--) {
    if (ptr == end) return COUNT
    if (!readRecord(ptr, end) || !isSafeTimestamp(baseTimestamp)) return RECORD
    const delta = recordOffsetDelta()
    if (delta <= previousDelta || delta > lastOffsetDelta) return RECORD
    previousDelta = delta
    ptr = recordEnd()
  }
  return ptr == end ? SOUND : COUNT
}

// What compaction leaves of one batch: the records that are the newest of their key, byte for byte, under the header that the batch had.
// Offset deltas, timestamps and the range of offsets that the batch covers do not change, so a gap inside a batch is all that is seen of what went.
// Source of the rules: Apache Kafka, Cleaner.shouldRetainRecord and MemoryRecords.filterTo.
// Not for: which batches are looked at, markers and aborted transactions (runtime/log/segment-compaction.ts).

import { ATTRIBUTES_AT, BASE_OFFSET_AT, BATCH_LENGTH_AT, CRC_AT, LENGTH_PREFIX_BYTES, RECORD_COUNT_AT, RECORDS_AT } from './batch-layout'
import { load32, load64, store32 } from './bytes'
import { crc32c } from './crc32c'
import { newestOffset } from './key-map'
import { INPUT, OUTPUT } from './memory'
import { readRecord, recordEnd, recordKey, recordKeyBytes, recordOffsetDelta, recordValueBytes } from './record-reader'

const UNREADABLE: i32 = -1

let keptCount: i32 = 0

/** Records that the last compactBatch kept. */
export function compactKeptCount(): i32 {
  return keptCount
}

/**
 * Leaves out of the uncompressed batch at INPUT what has a newer record of its key, and what deletes a key below `tombstonesUntil`. A record without a key stays.
 * @param isAborted 1 = everything goes
 * @param keepsLast 1 = the last record stays in any case
 * @returns bytes of the batch at OUTPUT: its header and what was kept; -1 when a record is malformed
 */
export function compactBatch(batchBytes: u32, tombstonesUntil: f64, isAborted: i32, keepsLast: i32): i32 {
  const end = INPUT + <usize>batchBytes
  const baseOffset = <i64>load64(INPUT + BASE_OFFSET_AT)
  const horizon = <i64>tombstonesUntil
  let ptr = INPUT + RECORDS_AT
  let to = OUTPUT + RECORDS_AT
  keptCount = 0
  for (let left = <i32>load32(INPUT + RECORD_COUNT_AT); left > 0; left--) {
    if (ptr >= end || !readRecord(ptr, end)) return UNREADABLE
    const next = recordEnd()
    if ((left == 1 && keepsLast != 0) || (isAborted == 0 && isKept(baseOffset + <i64>recordOffsetDelta(), horizon))) {
      memory.copy(to, ptr, next - ptr)
      to += next - ptr
      keptCount++
    }
    ptr = next
  }
  memory.copy(OUTPUT, INPUT, RECORDS_AT)
  store32(OUTPUT + BATCH_LENGTH_AT, <u32>(to - OUTPUT) - LENGTH_PREFIX_BYTES)
  store32(OUTPUT + RECORD_COUNT_AT, <u32>keptCount)
  store32(OUTPUT + CRC_AT, crc32c(OUTPUT + ATTRIBUTES_AT, <u32>(to - OUTPUT - ATTRIBUTES_AT), 0))
  return <i32>(to - OUTPUT)
}

/** Of the record that was read last. */
function isKept(offset: i64, tombstonesUntil: i64): bool {
  if (recordKeyBytes() < 0) return true
  if (newestOffset(recordKey(), <u32>recordKeyBytes()) > offset) return false
  return recordValueBytes() >= 0 || offset >= tombstonesUntil
}

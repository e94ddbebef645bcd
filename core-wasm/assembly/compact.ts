// What compaction leaves of one batch: the records that are the newest of their key, byte for byte, under the header that the batch had.
// Offset deltas, timestamps and the range of offsets that the batch covers do not change, so a gap inside a batch is all that is seen of what went.
// Source of the rules: Apache Kafka, Cleaner.shouldRetainRecord and MemoryRecords.filterTo.
// Not for: which batches are looked at, markers and aborted transactions (runtime/log/segment-compaction.ts).

import { ATTRIBUTES_AT, BASE_OFFSET_AT, BATCH_LENGTH_AT, CRC_AT, LENGTH_PREFIX_BYTES, RECORD_COUNT_AT, RECORDS_AT } from './batch-layout'
import { load32, load64, store32 } from './bytes'
import { crc32c } from './crc32c'
import { isDeletion, isPinned, newestOffset, pin, slotOfKey } from './key-map'
import { INPUT, OUTPUT } from './memory'
import { readRecord, recordEnd, recordKey, recordKeyBytes, recordOffsetDelta, recordValueBytes } from './record-reader'

const UNREADABLE: i32 = -1

let keptCount: i32 = 0
let deletedCount: i32 = 0

/** Records that the last compactBatch kept. */
export function compactKeptCount(): i32 {
  return keptCount
}

/** Records that it found to be superseded by one that deletes their key. */
export function compactDeletedCount(): i32 {
  return deletedCount
}

/**
 * Leaves out of the uncompressed batch at INPUT what has a newer record of its key, and what deletes its key below `deletionsUntil`, unless the key is
 * pinned or was not added. A record without a key stays.
 * @param isAborted 1 = everything goes
 * @param keepsLast 1 = the last record stays in any case, and its key is pinned when it was deleted
 * @param stays 1 = nothing of this batch is going to go, whatever is returned: keys that were deleted are pinned
 * @returns bytes of the batch at OUTPUT: its header and what was kept; -1 when a record is malformed
 */
export function compactBatch(batchBytes: u32, deletionsUntil: f64, isAborted: i32, keepsLast: i32, stays: i32): i32 {
  const end = INPUT + <usize>batchBytes
  const baseOffset = <i64>load64(INPUT + BASE_OFFSET_AT)
  const horizon = <i64>deletionsUntil
  let ptr = INPUT + RECORDS_AT
  let to = OUTPUT + RECORDS_AT
  keptCount = 0
  deletedCount = 0
  for (let left = <i32>load32(INPUT + RECORD_COUNT_AT); left > 0; left--) {
    if (ptr >= end || !readRecord(ptr, end)) return UNREADABLE
    const next = recordEnd()
    const isForced = left == 1 && keepsLast != 0
    if ((isAborted == 0 && isKept(baseOffset + <i64>recordOffsetDelta(), horizon, isForced || stays != 0)) || isForced) {
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

/** Of the record that was read last. `stays`: it will be read whatever is answered. */
function isKept(offset: i64, horizon: i64, stays: bool): bool {
  if (recordKeyBytes() < 0) return true
  const slot = slotOfKey(recordKey(), <u32>recordKeyBytes())
  const newest = newestOffset(slot)
  if (newest > offset) {
    if (isDeletion(slot)) {
      deletedCount++
      if (stays) pin(slot)
    }
    return false
  }
  return recordValueBytes() >= 0 || newest != offset || offset >= horizon || isPinned(slot)
}

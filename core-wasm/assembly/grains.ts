// Batches that grow side by side in one region: each is a chain of grains, and is gathered into one piece when it is done.
//
//   region  next free byte u32 | end u32
//   slot    the struct of batch-builder.ts, whose cursor and limit lie in the last grain (no grain yet: both 0); behind it
//           44 first grain u32   48 last grain u32   52 record bytes in front of the last grain u32   56 bytes of the next grain u32
//           60 for its user u32
//   grain   next u32 (0 = the last) | used u32 | whole records | 16 bytes of slack for copies
//
// Invariants: a record never crosses a grain; the grains of all slots lie in their region in the order in which they were taken; nothing is given
// back before beginRegion. Not for: which slot a record belongs to, headers of batches (finishBatch).

import { batchCursor, beginBatchAt, finishBatch, moveRecords } from './batch-builder'
import { RECORDS_AT } from './batch-layout'

export const SLOT_BYTES: usize = 64
export const USER_FIELD: usize = 60
const FIRST_GRAIN: usize = 44
const LAST_GRAIN: usize = 48
const BYTES_BEFORE: usize = 52
const NEXT_GRAIN_BYTES: usize = 56

const END: usize = 4
const USED: usize = 4
const GRAIN_HEADER_BYTES: usize = 8
const GRAIN_SLACK_BYTES: usize = 16
const GRAIN_BYTES_MIN: u32 = 256
const GRAIN_BYTES_MAX: u32 = 32 << 10
/** Length, attributes, two deltas, two lengths: what a record takes besides key, value and headers. */
export const RECORD_OVERHEAD_BYTES_MAX: u64 = 32

/** Forgets every grain of the region. */
export function beginRegion(region: usize, start: usize, end: usize): void {
  store<u32>(region, <u32>start)
  store<u32>(region, <u32>end, END)
}

/** A slot without grains. */
export function beginSlot(slot: usize): void {
  memory.fill(slot, 0, SLOT_BYTES)
  beginBatchAt(slot, 0, 0)
  store<u32>(slot, GRAIN_BYTES_MIN, NEXT_GRAIN_BYTES)
}

/** A further grain in which a record of this size fits. @returns false when the region has no room for it: nothing changed */
export function addGrain(region: usize, slot: usize, recordBytesMax: u64): bool {
  const grain: usize = load<u32>(region)
  const room: u64 = <u64>load<u32>(region, END) - <u64>grain
  const needed: u64 = (recordBytesMax + GRAIN_HEADER_BYTES + GRAIN_SLACK_BYTES + 15) & ~15
  if (needed > room) return false
  const wanted: u32 = load<u32>(slot, NEXT_GRAIN_BYTES)
  const bytes = <usize>min(max(needed, wanted), room)
  store<u32>(region, <u32>(grain + bytes))
  store<u32>(grain, 0)
  const last: usize = load<u32>(slot, LAST_GRAIN)
  if (last == 0) {
    store<u32>(slot, <u32>grain, FIRST_GRAIN)
  } else {
    const used = usedBytes(slot, last)
    store<u32>(last, used, USED)
    store<u32>(last, <u32>grain)
    store<u32>(slot, load<u32>(slot, BYTES_BEFORE) + used, BYTES_BEFORE)
  }
  store<u32>(slot, <u32>grain, LAST_GRAIN)
  store<u32>(slot, min(wanted * 2, GRAIN_BYTES_MAX), NEXT_GRAIN_BYTES)
  moveRecords(slot, grain + GRAIN_HEADER_BYTES, grain + bytes - GRAIN_SLACK_BYTES)
  return true
}

// @ts-ignore: decorator
@inline
function usedBytes(slot: usize, lastGrain: usize): u32 {
  return <u32>(batchCursor(slot) - lastGrain - GRAIN_HEADER_BYTES)
}

/** Bytes of a slot's records, without a batch header; 0 = it has none. */
export function recordsBytes(slot: usize): u32 {
  const last: usize = load<u32>(slot, LAST_GRAIN)
  return last == 0 ? 0 : load<u32>(slot, BYTES_BEFORE) + usedBytes(slot, last)
}

/** Writes the batch of a slot that has records to `to`, header and CRC included; the slot is done with. @returns its bytes */
export function gatherSlot(slot: usize, to: usize, baseOffset: i64): u32 {
  const last: usize = load<u32>(slot, LAST_GRAIN)
  let at = to + RECORDS_AT
  for (let grain: usize = load<u32>(slot, FIRST_GRAIN); grain != 0; grain = load<u32>(grain)) {
    const used = grain == last ? usedBytes(slot, last) : load<u32>(grain, USED)
    memory.copy(at, grain + GRAIN_HEADER_BYTES, used)
    at += used
  }
  beginBatchAt(slot, to, baseOffset)
  moveRecords(slot, at, at)
  return finishBatch(slot, -1, -1, -1, 0)
}

// The records of the commit that is being filled: many batches grow side by side, each as a chain of grains, and each is gathered into one piece when
// the commit is built. So events are encoded when they arrive, and while one commit is written the next one is filled.
//
//   slot   the struct of batch-builder.ts, whose cursor and limit lie in the last grain (no grain yet: both 0); behind it
//          44 first grain u32   48 last grain u32   52 record bytes in front of the last grain u32   56 bytes of the next grain u32
//   grain  next u32 (0 = the last) | used u32 | whole records | 16 bytes of slack for copies
//
// Invariants: a record never crosses a grain; grains of all slots lie in GRAINS in the order in which they were taken; nothing is given back before
// poolBegin. Not for: limits of a commit (runtime/log counts its bytes), headers of batches (finishBatch).

import { addStagedRecord, batchCursor, beginBatchAt, finishBatch, moveRecords } from './batch-builder'
import { RECORDS_AT } from './batch-layout'
import { GRAINS, GRAINS_BYTES, POOL_SLOTS, POOL_SLOTS_MAX } from './memory'

const SLOT_BYTES: usize = 64
const FIRST_GRAIN: usize = 44
const LAST_GRAIN: usize = 48
const BYTES_BEFORE: usize = 52
const NEXT_GRAIN_BYTES: usize = 56

const USED: usize = 4
const GRAIN_HEADER_BYTES: usize = 8
const GRAIN_SLACK_BYTES: usize = 16
const GRAIN_BYTES_MIN: u32 = 256
const GRAIN_BYTES_MAX: u32 = 32 << 10
/** Length, attributes, two deltas, two lengths: what a record takes besides key, value and headers. */
const RECORD_OVERHEAD_BYTES_MAX: u64 = 32

let cursor: usize = GRAINS
let slotCount: u32 = 0

// @ts-ignore: decorator
@inline
function slotAt(slot: u32): usize {
  assert(slot < slotCount, 'the slot is open')
  return POOL_SLOTS + <usize>slot * SLOT_BYTES
}

/** Forgets every slot and every record. */
export function poolBegin(): void {
  cursor = GRAINS
  slotCount = 0
}

/** A place for one batch. @returns its number, -1 when there are POOL_SLOTS_MAX already */
export function poolOpen(): i32 {
  if (slotCount == POOL_SLOTS_MAX) return -1
  const slot = POOL_SLOTS + <usize>slotCount * SLOT_BYTES
  memory.fill(slot, 0, SLOT_BYTES)
  beginBatchAt(slot, 0, 0)
  store<u32>(slot, GRAIN_BYTES_MIN, NEXT_GRAIN_BYTES)
  return slotCount++
}

/** Adds the staged record to a slot. @returns 1, or 0 when the pool has no room for it: nothing was added */
export function poolAdd(slotNumber: u32, timestamp: f64, keyBytes: i32, valueBytes: i32, headersBytes: u32): i32 {
  const slot = slotAt(slotNumber)
  if (addStagedRecord(slot, timestamp, keyBytes, valueBytes, headersBytes) != 0) return 1
  const recordBytesMax: u64 = RECORD_OVERHEAD_BYTES_MAX + max(keyBytes, 0) + max(valueBytes, 0) + headersBytes
  if (!addGrain(slot, recordBytesMax)) return 0
  const isAdded = addStagedRecord(slot, timestamp, keyBytes, valueBytes, headersBytes)
  assert(isAdded != 0, 'the record fits its grain')
  return isAdded
}

function addGrain(slot: usize, recordBytesMax: u64): bool {
  const room: u64 = <u64>(GRAINS + GRAINS_BYTES - cursor)
  const needed: u64 = (recordBytesMax + GRAIN_HEADER_BYTES + GRAIN_SLACK_BYTES + 15) & ~15
  if (needed > room) return false
  const wanted: u32 = load<u32>(slot, NEXT_GRAIN_BYTES)
  const bytes = <usize>min(max(needed, wanted), room)
  const grain = cursor
  cursor += bytes
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
export function pooledBytes(slotNumber: u32): u32 {
  const slot = slotAt(slotNumber)
  const last: usize = load<u32>(slot, LAST_GRAIN)
  return last == 0 ? 0 : load<u32>(slot, BYTES_BEFORE) + usedBytes(slot, last)
}

/** Writes the batch of a slot that has records to `to`, header and CRC included; the slot is done with. @returns its bytes */
export function gatherBatch(slotNumber: u32, to: usize, baseOffset: i64): u32 {
  const slot = slotAt(slotNumber)
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

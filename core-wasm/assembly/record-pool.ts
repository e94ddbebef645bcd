// The records of the commit that is being filled: many batches grow side by side (grains.ts), and each is gathered into one piece when the commit is
// built. So events are encoded when they arrive, and while one commit is written the next one is filled.
//
// Invariant: nothing is given back before poolBegin. Not for: limits of a commit (runtime/log counts its bytes).

import { addStagedRecord } from './batch-builder'
import { addGrain, beginRegion, beginSlot, gatherSlot, RECORD_OVERHEAD_BYTES_MAX, recordsBytes, SLOT_BYTES } from './grains'
import { GRAINS, GRAINS_BYTES, POOL_REGION, POOL_SLOTS, POOL_SLOTS_MAX } from './memory'

let slotCount: u32 = 0
/** Counts the poolBegins: slots that were opened before the last one are gone. */
let serial: u32 = 0

export function poolSerial(): u32 {
  return serial
}

// @ts-ignore: decorator
@inline
export function slotAt(slot: u32): usize {
  assert(slot < slotCount, 'the slot is open')
  return POOL_SLOTS + <usize>slot * SLOT_BYTES
}

/** Forgets every slot and every record. */
export function poolBegin(): void {
  beginRegion(POOL_REGION, GRAINS, GRAINS + GRAINS_BYTES)
  slotCount = 0
  serial++
}

/** A place for one batch. @returns its number, -1 when there are POOL_SLOTS_MAX already */
export function poolOpen(): i32 {
  if (slotCount == POOL_SLOTS_MAX) return -1
  beginSlot(POOL_SLOTS + <usize>slotCount * SLOT_BYTES)
  return slotCount++
}

/** Adds the staged record to a slot. @returns 1, or 0 when the pool has no room for it: nothing was added */
export function poolAdd(slotNumber: u32, timestamp: f64, keyBytes: i32, valueBytes: i32, headersBytes: u32): i32 {
  const slot = slotAt(slotNumber)
  if (addStagedRecord(slot, timestamp, keyBytes, valueBytes, headersBytes) != 0) return 1
  const recordBytesMax: u64 = RECORD_OVERHEAD_BYTES_MAX + max(keyBytes, 0) + max(valueBytes, 0) + headersBytes
  if (!growSlot(slot, recordBytesMax)) return 0
  const isAdded = addStagedRecord(slot, timestamp, keyBytes, valueBytes, headersBytes)
  assert(isAdded != 0, 'the record fits its grain')
  return isAdded
}

/** Room for a record of this size in a slot. @returns false when the pool has none: nothing changed */
export function growSlot(slot: usize, recordBytesMax: u64): bool {
  return addGrain(POOL_REGION, slot, recordBytesMax)
}

/** Bytes of a slot's records, without a batch header; 0 = it has none. */
export function pooledBytes(slotNumber: u32): u32 {
  return recordsBytes(slotAt(slotNumber))
}

/** Writes the batch of a slot that has records to `to`, header and CRC included; the slot is done with. @returns its bytes */
export function gatherBatch(slotNumber: u32, to: usize, baseOffset: i64): u32 {
  return gatherSlot(slotAt(slotNumber), to, baseOffset)
}

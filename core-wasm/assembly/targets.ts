// The batches of one forward repack to many partitions: they grow side by side in REPACK (grains.ts), so that the source is read once. A partition
// gets a slot with its first record: how many partitions the topic has does not matter, only how many of them get records.
//
//   TARGET_TABLE  open addressing: number of the slot + 1, 0 = free. A slot's own field holds its partition.
//
// Invariant: with TARGET_SLOTS_MAX slots at most half of the table is taken, so every search ends.

import { addRecordBytes, batchCount, openRecord } from './batch-builder'
import { RECORDS_AT } from './batch-layout'
import { addGrain, beginRegion, beginSlot, gatherSlot, RECORD_OVERHEAD_BYTES_MAX, recordsBytes, SLOT_BYTES, USER_FIELD } from './grains'
import { OUTPUT, REGION_BYTES, REPACK, TARGET_SLOTS, TARGET_SLOTS_MAX, TARGET_TABLE, TARGETS_REGION } from './memory'

const TABLE_BITS: u32 = 13
const TABLE_MASK: u32 = (1 << TABLE_BITS) - 1
const GOLDEN: u32 = 0x9e3779b1 // 2^32 / golden ratio: neighbours spread (Knuth, TAOCP 3, 6.4)

let slotCount: u32 = 0
let recordsBytesMax: u64 = 0

/** Each batch may have `batchBytesMax` bytes; together they have what REPACK holds. */
export function targetsBegin(batchBytesMax: u32): void {
  beginRegion(TARGETS_REGION, REPACK, REPACK + REGION_BYTES)
  memory.fill(TARGET_TABLE, 0, 2 << TABLE_BITS)
  slotCount = 0
  recordsBytesMax = batchBytesMax - <u32>RECORDS_AT
}

// @ts-ignore: decorator
@inline
function slotAt(index: u32): usize {
  return TARGET_SLOTS + <usize>index * SLOT_BYTES
}

/** Slot of a partition, a new one with its first record. @returns 0 when there are TARGET_SLOTS_MAX of others already */
export function targetSlot(target: u32): usize {
  let entry = (target * GOLDEN) >>> (32 - TABLE_BITS)
  let at = TARGET_TABLE + (<usize>entry << 1)
  let known: u32 = load<u16>(at)
  while (known != 0) {
    const slot = slotAt(known - 1)
    if (load<u32>(slot, USER_FIELD) == target) return slot
    entry = (entry + 1) & TABLE_MASK
    at = TARGET_TABLE + (<usize>entry << 1)
    known = load<u16>(at)
  }
  if (slotCount == TARGET_SLOTS_MAX) return 0
  const slot = slotAt(slotCount++)
  beginSlot(slot)
  store<u32>(slot, target, USER_FIELD)
  store<u16>(at, <u16>slotCount)
  return slot
}

/** As openRecord, with the next dense delta. @returns 0 when the batch or all together have no room for it: nothing was added */
export function openTargetRecord(slot: usize, timestamp: i64, bodyBytes: u32): usize {
  const delta = batchCount(slot)
  if (<u64>recordsBytes(slot) + addRecordBytes(slot, timestamp, delta, bodyBytes) > recordsBytesMax) return 0
  const body = openRecord(slot, timestamp, delta, bodyBytes)
  if (body != 0) return body
  if (!addGrain(TARGETS_REGION, slot, RECORD_OVERHEAD_BYTES_MAX + bodyBytes)) return 0
  const added = openRecord(slot, timestamp, delta, bodyBytes)
  assert(added != 0, 'the record fits its grain')
  return added
}

/** How many partitions have a slot; one whose first record did not fit has no record. */
export function targetsCount(): u32 {
  return slotCount
}

/** Partition of a slot, 0 <= index < targetsCount(). */
export function targetOf(index: u32): u32 {
  return load<u32>(slotAt(index), USER_FIELD)
}

/** Writes the batch of a slot to OUTPUT, base offset 0, no producer; once for each. @returns its bytes, 0 = no record */
export function targetGather(index: u32): u32 {
  const slot = slotAt(index)
  return batchCount(slot) == 0 ? 0 : gatherSlot(slot, OUTPUT, 0)
}

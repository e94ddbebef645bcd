// The newest offset of each key, for compaction: a table of one fixed size that is filled from the batches of a log, oldest first.
//
//   slot   hash u64, u64 | entry u64 (0 = empty): offset + 1, bit 62 = the newest record deletes the key, bit 61 = pinned
//   24 bytes, KEY_MAP_SLOTS of them, open addressing
//
// Pinned: a record that the deletion supersedes stays, so the deletion has to stay too.
// Keys are told apart by 128 bits of SipHash-2-4 with a random key: two keys that meet would cost one of them its record, and without the random key
// a client could make them meet. Source: SipHash, Aumasson and Bernstein 2012, and its 128-bit variant (reference implementation, 2016).
// Invariants: the table is never filled above KEY_MAP_KEYS_MAX, so a search ends; an offset only rises. Not for: what goes (compact.ts).

import { BASE_OFFSET_AT, RECORD_COUNT_AT, RECORDS_AT } from './batch-layout'
import { load32, load64 } from './bytes'
import { INPUT, KEY_MAP, KEY_MAP_SLOTS } from './memory'
import { readRecord, recordEnd, recordKey, recordKeyBytes, recordOffsetDelta, recordValueBytes } from './record-reader'

const SLOT_BYTES: usize = 24
const HIGH: usize = 8
const ENTRY: usize = 16
const DELETES: i64 = 1 << 62
const PINNED: i64 = 1 << 61
const OFFSET_MASK: i64 = PINNED - 1
export const KEY_MAP_KEYS_MAX: u32 = (KEY_MAP_SLOTS / 10) * 9

// Answers of keyMapAdd.
const ADDED: i32 = 0
const FULL: i32 = 1
const UNREADABLE: i32 = 2

let seed0: u64 = 0
let seed1: u64 = 0
let keyCount: u32 = 0
let hashLow: u64 = 0
let hashHigh: u64 = 0

let v0: u64 = 0
let v1: u64 = 0
let v2: u64 = 0
let v3: u64 = 0

// @ts-ignore: decorator
@inline
function round(): void {
  v0 += v1
  v1 = rotl(v1, 13) ^ v0
  v0 = rotl(v0, 32)
  v2 += v3
  v3 = rotl(v3, 16) ^ v2
  v0 += v3
  v3 = rotl(v3, 21) ^ v0
  v2 += v1
  v1 = rotl(v1, 17) ^ v2
  v2 = rotl(v2, 32)
}

// @ts-ignore: decorator
@inline
function absorb(word: u64): void {
  v3 ^= word
  round()
  round()
  v0 ^= word
}

// @ts-ignore: decorator
@inline
function finish(): u64 {
  round()
  round()
  round()
  round()
  return v0 ^ v1 ^ v2 ^ v3
}

/** SipHash-2-4 of [ptr, ptr + length) into hashLow and hashHigh. Reads up to 7 bytes behind the range. */
function hashKey(ptr: usize, length: u32): void {
  v0 = seed0 ^ 0x736f6d6570736575
  v1 = seed1 ^ 0x646f72616e646f6d ^ 0xee
  v2 = seed0 ^ 0x6c7967656e657261
  v3 = seed1 ^ 0x7465646279746573
  const whole = ptr + (length & ~7)
  for (; ptr < whole; ptr += 8) absorb(load<u64>(ptr))
  const rest = length & 7
  absorb((<u64>length << 56) | (rest == 0 ? 0 : load<u64>(ptr) & ((<u64>1 << (<u64>rest << 3)) - 1)))
  v2 ^= 0xee
  hashLow = finish()
  v1 ^= 0xdd
  hashHigh = finish()
}

/** The slot of the key whose hash is in hashLow and hashHigh, or the empty one where it would be. */
function findSlot(): usize {
  let index = <u32>(hashLow % <u64>KEY_MAP_SLOTS)
  let slot = KEY_MAP + <usize>index * SLOT_BYTES
  while (load<i64>(slot, ENTRY) != 0 && (load<u64>(slot) != hashLow || load<u64>(slot, HIGH) != hashHigh)) {
    index++
    if (index == KEY_MAP_SLOTS) index = 0
    slot = KEY_MAP + <usize>index * SLOT_BYTES
  }
  return slot
}

/** Forgets everything; from now on keys are hashed with this seed. */
export function keyMapBegin(low: u64, high: u64): void {
  seed0 = low
  seed1 = high
  keyCount = 0
  memory.fill(KEY_MAP, 0, <usize>KEY_MAP_SLOTS * SLOT_BYTES)
}

export function keyMapCount(): u32 {
  return keyCount
}

/** Of the key at `ptr`; what the functions below take. */
export function slotOfKey(ptr: usize, length: u32): usize {
  hashKey(ptr, length)
  return findSlot()
}

/** -1 when the key is not here. */
export function newestOffset(slot: usize): i64 {
  return (load<i64>(slot, ENTRY) & OFFSET_MASK) - 1
}

/** The newest record of the key deletes it. */
export function isDeletion(slot: usize): bool {
  return (load<i64>(slot, ENTRY) & DELETES) != 0
}

export function isPinned(slot: usize): bool {
  return (load<i64>(slot, ENTRY) & PINNED) != 0
}

export function pin(slot: usize): void {
  store<i64>(slot, load<i64>(slot, ENTRY) | PINNED, ENTRY)
}

/**
 * Adds the keys of the uncompressed batch at INPUT. @returns 0; 1 when there is no room for all of them (those in front of the first without room are in);
 * 2 when a record is malformed
 * @param deletionsBelow 0 = all records; else only those that delete their key, below this offset
 */
export function keyMapAdd(batchBytes: u32, deletionsBelow: f64): i32 {
  const end = INPUT + <usize>batchBytes
  const baseOffset = <i64>load64(INPUT + BASE_OFFSET_AT)
  let ptr = INPUT + RECORDS_AT
  for (let left = <i32>load32(INPUT + RECORD_COUNT_AT); left > 0; left--) {
    if (ptr >= end || !readRecord(ptr, end)) return UNREADABLE
    ptr = recordEnd()
    if (recordKeyBytes() < 0) continue
    const offset = baseOffset + <i64>recordOffsetDelta()
    const deletes = recordValueBytes() < 0
    if (deletionsBelow != 0 && (!deletes || offset >= <i64>deletionsBelow)) continue
    const slot = slotOfKey(recordKey(), <u32>recordKeyBytes())
    if (load<i64>(slot, ENTRY) == 0) {
      if (keyCount == KEY_MAP_KEYS_MAX) return FULL
      keyCount++
      store<u64>(slot, hashLow)
      store<u64>(slot, hashHigh, HIGH)
    }
    if (offset > newestOffset(slot)) store<i64>(slot, (offset + 1) | (deletes ? DELETES : 0), ENTRY)
  }
  return ADDED
}

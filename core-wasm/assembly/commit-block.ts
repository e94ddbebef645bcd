// Builds one commit block of the journal at COMMIT, and verifies the CRC of one anywhere. Layout: docs/formats/journal-block.md.
//
//   block  big-endian ▒ = covered by the CRC
//     0 magic 'WADC' 4▒   4 version 2▒   6 flags 2▒   8 generation 4▒   12 reserved 4▒   16 sequence 8▒
//    24 payloadBytes 4▒  28 frameCount 4▒  32 reserved 4▒  36 crc 4  40 payload ▒  … zeros to a multiple of 4096
//
//   frame  batch  kind 1 u8 | reserved u8 | partitionIndex u16 | topicNumber u32 | length u32 | RecordBatch v2
//          state  kind 2 u8 | keyBytes u8 | flags u16 (1 = delete) | valueBytes u32 | reserved u32 | key | value
//
// Invariants: COMMIT + 40 <= cursor <= COMMIT + COMMIT_BYTES_MAX;
// everything between the cursor and the end of the block is zero when it is finished.

import { BASE_OFFSET_AT, LEADER_EPOCH_AT, RECORDS_AT } from './batch-layout'
import { load32, store16, store32, store64 } from './bytes'
import { crc32c } from './crc32c'
import { COMMIT, COMMIT_BYTES_MAX } from './memory'
import { gatherBatch, pooledBytes } from './record-pool'

const MAGIC: u32 = 0x57414443 // 'WADC'
const VERSION: u32 = 1
const GENERATION_AT: usize = 8
const SEQUENCE_AT: usize = 16
const PAYLOAD_BYTES_AT: usize = 24
const FRAME_COUNT_AT: usize = 28
const CRC_AT: usize = 36
const PAYLOAD_AT: usize = 40
const BLOCK_ALIGNMENT: u32 = 4096
const FRAME_HEADER_BYTES: usize = 12
const BATCH_FRAME: u8 = 1
const STATE_FRAME: u8 = 2
const DELETE_FLAG: u32 = 1
const LIMIT: usize = COMMIT + COMMIT_BYTES_MAX

let cursor: usize = 0
let frameCount: u32 = 0

export function commitBegin(): void {
  cursor = COMMIT + PAYLOAD_AT
  frameCount = 0
}

/** Bytes that still fit behind what was added. */
export function commitLeft(): u32 {
  return <u32>(LIMIT - cursor)
}

function writeBatchFrame(topicNumber: u32, partitionIndex: u32, batchBytes: u32): void {
  store<u16>(cursor, BATCH_FRAME)
  store16(cursor + 2, partitionIndex)
  store32(cursor + 4, topicNumber)
  store32(cursor + 8, batchBytes)
}

/** The batch of a slot of the record pool that has records. @returns its bytes, 0 = does not fit */
export function commitAddPooled(topicNumber: u32, partitionIndex: u32, slot: u32, baseOffset: f64): u32 {
  const batchBytes: u64 = <u64>RECORDS_AT + pooledBytes(slot)
  if (<u64>FRAME_HEADER_BYTES + batchBytes > <u64>(LIMIT - cursor)) return 0
  writeBatchFrame(topicNumber, partitionIndex, <u32>batchBytes)
  const written = gatherBatch(slot, cursor + FRAME_HEADER_BYTES, <i64>baseOffset)
  assert(written == <u32>batchBytes, 'the batch has the announced size')
  cursor += FRAME_HEADER_BYTES + written
  frameCount++
  return written
}

/** Where the batch added last begins. */
export function commitBatchPtr(batchBytes: u32): usize {
  return cursor - batchBytes
}

/** Room for an encoded batch, which the caller copies in and then stamps. @returns its address, 0 = does not fit */
export function commitReserveBatch(topicNumber: u32, partitionIndex: u32, batchBytes: u32): usize {
  if (<u64>FRAME_HEADER_BYTES + batchBytes > <u64>(LIMIT - cursor)) return 0
  writeBatchFrame(topicNumber, partitionIndex, batchBytes)
  cursor += FRAME_HEADER_BYTES + batchBytes
  frameCount++
  return cursor - batchBytes
}

/** Base offset and leader epoch 0 lie outside the batch's CRC. */
export function stampBatch(ptr: usize, baseOffset: f64): void {
  store64(ptr + BASE_OFFSET_AT, <i64>baseOffset)
  store32(ptr + LEADER_EPOCH_AT, 0)
}

/** Room for a state change; the caller copies key and value in. valueBytes -1 = delete. @returns address of the key, 0 = does not fit */
export function commitReserveState(keyBytes: u32, valueBytes: i32): usize {
  const bytes: u64 = <u64>FRAME_HEADER_BYTES + keyBytes + max(valueBytes, 0)
  if (bytes > <u64>(LIMIT - cursor)) return 0
  const key = cursor + FRAME_HEADER_BYTES
  store<u8>(cursor, STATE_FRAME)
  store<u8>(cursor, <u8>keyBytes, 1)
  store16(cursor + 2, valueBytes < 0 ? DELETE_FLAG : 0)
  store32(cursor + 4, max(valueBytes, 0))
  store32(cursor + 8, 0)
  cursor += <usize>bytes
  frameCount++
  return key
}

function crcOf(ptr: usize, payloadBytes: u32): u32 {
  return crc32c(ptr + PAYLOAD_AT, payloadBytes, crc32c(ptr, <u32>CRC_AT, 0))
}

/** Header, padding and CRC. @returns bytes of the block, a multiple of 4096 */
export function commitFinish(generation: u32, sequence: f64): u32 {
  const payloadBytes = <u32>(cursor - COMMIT - PAYLOAD_AT)
  const blockBytes = (<u32>PAYLOAD_AT + payloadBytes + BLOCK_ALIGNMENT - 1) & ~(BLOCK_ALIGNMENT - 1)
  memory.fill(cursor, 0, COMMIT + blockBytes - cursor)
  memory.fill(COMMIT, 0, PAYLOAD_AT)
  store32(COMMIT, MAGIC)
  store16(COMMIT + 4, VERSION)
  store32(COMMIT + GENERATION_AT, generation)
  store64(COMMIT + SEQUENCE_AT, <u64>sequence)
  store32(COMMIT + PAYLOAD_BYTES_AT, payloadBytes)
  store32(COMMIT + FRAME_COUNT_AT, frameCount)
  store32(COMMIT + CRC_AT, crcOf(COMMIT, payloadBytes))
  return blockBytes
}

/** @returns 1 when the CRC of the block at `ptr` is right. The header was parsed before: `payloadBytes` is its own, all of it is there. */
export function commitVerify(ptr: usize, payloadBytes: u32): i32 {
  return crcOf(ptr, payloadBytes) == load32(ptr + CRC_AT) ? 1 : 0
}

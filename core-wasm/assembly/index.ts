// The exports: our ABI. core-wasm/README.md lists them; only runtime/core calls them.

import { addStagedRecord, beginBatch, finishBatch } from './batch-builder'
import { fillCrcTables } from './crc32c-tables'
import { CRC_TABLES, OUTPUT, SCRATCH_BATCH } from './memory'

export { stageHeaders } from './batch-builder'
export { checkBatch, checkStoredBatch } from './batch-check'
export { patchProducer } from './batch-patch'
export {
  commitAddPooled,
  commitBatchPtr,
  commitBegin,
  commitFinish,
  commitLeft,
  commitReserveBatch,
  commitReserveState,
  commitVerify,
  stampBatch
} from './commit-block'
export { compactBatch, compactDeletedCount, compactKeptCount } from './compact'
export { crc32c } from './crc32c'
export { searchOffsetIndex, searchTimeIndex } from './index-search'
export { KEY_MAP_KEYS_MAX, keyMapAdd, keyMapBegin, keyMapCount } from './key-map'
export { beginWalk as laneBeginWalk, closePart as laneClosePart, feed as laneFeed, openPart as laneOpenPart } from './lane'
export {
  forgetMatching as laneForgetMatching,
  forgetPlans as laneForgetPlans,
  putPlan as lanePutPlan,
  seedPlans as laneSeedPlans
} from './lane-plans'
export { lz4Compress } from './lz4-compress'
export { lz4Decompress } from './lz4-decompress'
export {
  BATCH_BYTES_MAX,
  COMMIT,
  COMMIT_BYTES_MAX,
  FORWARD_BYTES_MAX,
  FORWARD_ID,
  FORWARD_PREFIX,
  INPUT,
  KEY_MAP,
  LANE_ACKS,
  LANE_INPUT,
  LANE_INPUT_BYTES,
  LANE_METERS,
  LANE_METERS_MAX,
  LANE_PARTS,
  LANE_PARTS_MAX,
  LANE_TOUCHED_METERS,
  LANE_TOUCHED_PARTS,
  LANE_VIEW,
  MEMORY_END,
  OUTPUT,
  RECORD_VIEW,
  REGION_BYTES,
  REPACK
} from './memory'
export { murmur2 } from './murmur2'
export { poolAdd, poolBegin, poolOpen } from './record-pool'
export { viewHeader, viewRecord } from './record-reader'
export { repackAdd, repackAddedCount, repackBeginForward, repackBeginSeal, repackFinish, repackNextOffset } from './repack'
export { targetGather, targetOf, targetsCount } from './targets'

/** Starts a batch of at most `bytesMax` bytes at OUTPUT. */
export function buildBegin(baseOffset: f64, bytesMax: u32): void {
  beginBatch(SCRATCH_BATCH, OUTPUT, OUTPUT + bytesMax, <i64>baseOffset)
}

/** Adds the staged record. @returns 1, or 0 when it does not fit */
export function buildAddRecord(timestamp: f64, keyBytes: i32, valueBytes: i32, headersBytes: u32): i32 {
  return addStagedRecord(SCRATCH_BATCH, timestamp, keyBytes, valueBytes, headersBytes)
}

/** Seals the batch at OUTPUT; at least one record was added. @returns its bytes */
export function buildFinish(producerId: i64, producerEpoch: i32, baseSequence: i32, isTransactional: i32): u32 {
  return finishBatch(SCRATCH_BATCH, producerId, producerEpoch, baseSequence, isTransactional)
}

if (__heap_base > CRC_TABLES) unreachable() // the compiler's static data would reach into the memory map
fillCrcTables()

/** Raised with every change of what an export takes or does: a module of another version is refused before it can do harm. */
export const ABI_VERSION: u32 = 7

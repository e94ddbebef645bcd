// The memory map: every address the core uses, all fixed. core-wasm/README.md draws it.
//
// Invariants: the memory never grows; no region overlaps another; a region's slack is its own, so a 16-byte
// copy that runs past a cursor never leaves the region it writes to or reads from.
// Not for: what lies inside a region (each file draws its own structs).

/** Largest batch (uncompressed) that is built, checked, iterated or repacked. */
export const BATCH_BYTES_MAX: u32 = 4 << 20
/** Largest commit block, header and padding included; a multiple of 4096. */
export const COMMIT_BYTES_MAX: u32 = 2 << 20
/** What INPUT and OUTPUT hold: a batch, and the overhead of an LZ4 frame around incompressible bytes. */
export const REGION_BYTES: u32 = 0x408000

/** Largest headers of one record, encoded: none larger would fit a commit. */
export const HEADERS_BYTES_MAX: u32 = COMMIT_BYTES_MAX

// Compiler's static data ends below this address (checked by the start function in index.ts).
export const CRC_TABLES: usize = 0x10000 // 16 tables of 1 KiB
export const CRC_POWERS: usize = 0x14000 // x^(2^k) mod P, k = 0 … 31, u32 each
export const SCRATCH_BATCH: usize = 0x14180 // struct of batch-builder.ts
export const REPACK_BATCH: usize = 0x14200
export const POOL_REGION: usize = 0x14280 // structs of grains.ts
export const TARGETS_REGION: usize = 0x14290
export const RECORD_VIEW: usize = 0x14300 // struct of record-reader.ts
export const FORWARD_ID: usize = 0x15000 // bytes of the header value wadi.id
export const FORWARD_PREFIX: usize = 0x15400 // bytes in front of the offset in wadi.offset
/** What FORWARD_ID and FORWARD_PREFIX hold, each; 16 bytes behind it are slack. */
export const FORWARD_BYTES_MAX: u32 = 1008
export const FOLD_OUT: usize = 0x18000 // 209 vectors of history, then 768 of output
export const FOLD_REST: usize = 0x1c000 // 209 vectors
export const FOLD_REST_2: usize = 0x1d000 // 79 vectors
export const LZ4_TABLE: usize = 0x20000 // 8192 positions, u16 each

// The large regions: capacity, then slack up to the next one.
export const INPUT: usize = 0x0040000 // bytes on their way in; also staged records
export const OUTPUT: usize = 0x0450000 // batches being built, LZ4 results
export const REPACK: usize = 0x0860000 // the batch being repacked, or the grains of many
export const COMMIT: usize = 0x0c70000 // the commit being built, pinned until its release
export const HEADERS: usize = 0x0e80000 // encoded headers of the records being added
export const POOL_SLOTS: usize = 0x1090000 // structs of grains.ts, 64 bytes each
export const POOL_SLOTS_MAX: u32 = 4096
export const GRAINS: usize = 0x10d0000 // the records of the commit that is being filled
/** Any record that fits a commit fits an empty pool. */
export const GRAINS_BYTES: usize = 0x220000
export const TARGET_SLOTS: usize = 0x12f0000 // structs of grains.ts
export const TARGET_SLOTS_MAX: u32 = 4096
export const TARGET_TABLE: usize = 0x1330000 // of targets.ts: 8192 entries, u16 each
// The fast lane (lane.ts, lane-plans.ts).
export const LANE_VIEW: usize = 0x1340000 // struct of lane.ts
export const LANE_PARTS: usize = 0x1341000 // structs of lane.ts, 32 bytes each
export const LANE_PARTS_MAX: u32 = 4096
export const LANE_METERS: usize = 0x1361000 // u32 each
export const LANE_METERS_MAX: u32 = 4096
export const LANE_TOUCHED_PARTS: usize = 0x1365000 // u32 each
export const LANE_TOUCHED_METERS: usize = 0x1369000 // u32 each
export const LANE_ACKS: usize = 0x1370000
/** Four bytes for each PUBLISH of QoS 1, which has at least seven. */
export const LANE_ACKS_BYTES: u32 = 0x20000
export const LANE_INPUT: usize = 0x1390000
/** The rest of a packet that came before, and a chunk behind it; then slack. */
export const LANE_INPUT_BYTES: u32 = 0x20000
export const LANE_TABLE: usize = 0x13c0000 // of lane-plans.ts: entries of 8 bytes
export const LANE_TABLE_ENTRIES: u32 = 0x10000
export const LANE_PLANS: usize = 0x1440000 // structs of lane-plans.ts
export const LANE_PLANS_BYTES: u32 = 8 << 20
export const KEY_MAP: usize = 0x1c40000 // slots of key-map.ts, 24 bytes each
export const KEY_MAP_SLOTS: u32 = 0x400000 / 24
export const MEMORY_END: usize = 0x2040000 // 516 pages

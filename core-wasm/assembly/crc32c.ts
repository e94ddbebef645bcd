// CRC-32C (Castagnoli) of bytes in linear memory: the checksum inside every record batch and every commit block.
//
// Set in stone: batches on disk, on the wire and in the upstream cluster carry this value,
// so this file may get faster but may never answer differently.
//
//   polynomial 0x1EDC6F41, reflected 0x82F63B78; initial and final XOR 0xFFFFFFFF
//   check value: crc32c("123456789") = 0xE3069283      (vectors: RFC 3720 B.4)
//
// Method: slicing-by-16 for short inputs (crc32c-tables.ts), sparse folding for long ones (crc32c-fold.ts).
//
// Invariants: allocates nothing; writes only the fold's scratch; reads [ptr, ptr + length) only.
// The caller (runtime/core) has checked that the range lies inside linear memory.

import { foldCrc } from './crc32c-fold'
import { tableCrc } from './crc32c-tables'
import { MEMORY_END } from './memory'

/** Below this the tables are faster than the fold with its fixed 1,264-byte remainder. */
const FOLD_BYTES_MIN: u32 = 1800

/**
 * @param ptr      address of the first byte
 * @param length   bytes to cover; 0 is allowed and returns `previous`
 * @param previous CRC of the bytes before `ptr`, 0 at the beginning: crc(a + b) = crc(b, crc(a))
 * @returns        the CRC as u32. JavaScript receives it signed: the facade applies `>>> 0`.
 */
export function crc32c(ptr: usize, length: u32, previous: u32): u32 {
  assert(ptr + length >= ptr && ptr + length <= MEMORY_END, 'range outside linear memory') // debug builds only
  return length < FOLD_BYTES_MIN ? ~tableCrc(ptr, length, ~previous) : ~foldCrc(ptr, length, ~previous)
}

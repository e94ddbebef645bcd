// LZ4 frames in, without trusting a byte of them. Source: lz4_Frame_format.md and lz4_Block_format.md of the LZ4 project.
// Linked blocks, content size and all checksums are understood; dictionaries, skippable and legacy frames are not.
//
// Invariants: reads [INPUT, INPUT + length) and its slack, writes [OUTPUT, OUTPUT + bytesMax) and its slack;
// a match never begins before OUTPUT; exactly one frame, nothing behind it.

import { copyBytes } from './bytes'
import { INPUT, OUTPUT } from './memory'
import { xxh32 } from './xxh32'

/** Answers below zero; the facade has the words. */
const MALFORMED: i32 = -1
const TOO_LARGE: i32 = -2

const FRAME_MAGIC: u32 = 0x184d2204
const INDEPENDENT_FLAG: u32 = 0x20
const BLOCK_CHECKSUM_FLAG: u32 = 0x10
const CONTENT_SIZE_FLAG: u32 = 0x08
const CONTENT_CHECKSUM_FLAG: u32 = 0x04
const RESERVED_AND_DICTIONARY: u32 = 0x03
const RAW_BIT: u32 = 0x80000000
const MIN_MATCH: u32 = 4

let cursor: usize = 0
/** Set by decodeBlock when the output would pass its limit. */
let isTooLarge: bool = false

/** Adds the bytes 255, 255, …, rest at the cursor to `length`. Input of 4 MiB cannot overflow the sum. */
function readLength(length: u32, end: usize): u32 {
  while (cursor < end) {
    const byte = <u32>load<u8>(cursor)
    cursor++
    length += byte
    if (byte != 255) return length
  }
  cursor = end + 1 // ran out: seen by the caller
  return length
}

/** Copies a match that may overlap itself; vectors when it is far enough away. */
function copyMatch(to: usize, distance: usize, length: u32): void {
  const end = to + length
  if (distance >= 16) {
    for (; to < end; to += 16) v128.store(to, v128.load(to - distance))
  } else {
    for (; to < end; to++) store<u8>(to, load<u8>(to - distance))
  }
}

/** Decodes [from, end) to `to`; matches may reach back to `floor`. @returns the address behind the output, 0 when malformed or too large */
function decodeBlock(from: usize, end: usize, to: usize, floor: usize, limit: usize): usize {
  cursor = from
  while (cursor < end) {
    const token = <u32>load<u8>(cursor)
    cursor++
    let literals = token >> 4
    if (literals == 15) literals = readLength(literals, end)
    if (cursor > end || literals > <u32>(end - cursor)) return 0
    if (literals > <u32>(limit - to)) {
      isTooLarge = true
      return 0
    }
    copyBytes(to, cursor, literals)
    to += literals
    cursor += literals
    if (cursor == end) return to // a block ends with literals
    if (end - cursor < 2) return 0
    const distance: usize = load<u16>(cursor)
    cursor += 2
    let matchBytes = token & 15
    if (matchBytes == 15) matchBytes = readLength(matchBytes, end)
    matchBytes += MIN_MATCH
    if (cursor > end || distance == 0 || distance > to - floor) return 0
    if (matchBytes > <u32>(limit - to)) {
      isTooLarge = true
      return 0
    }
    copyMatch(to, distance, matchBytes)
    to += matchBytes
  }
  return 0 // ended in a match, or was empty
}

/** Bytes of the frame header at INPUT, 0 when it is not one we read. */
function headerBytes(length: u32): u32 {
  if (length < 7 || load<u32>(INPUT) != FRAME_MAGIC) return 0
  const flags = <u32>load<u8>(INPUT, 4)
  const descriptor = <u32>load<u8>(INPUT, 5)
  if (flags >> 6 != 1 || (flags & RESERVED_AND_DICTIONARY) != 0) return 0
  if ((descriptor & 0x8f) != 0 || descriptor >> 4 < 4) return 0
  const bytes: u32 = flags & CONTENT_SIZE_FLAG ? 15 : 7
  if (length < bytes) return 0
  const checksum = (xxh32(INPUT + 4, bytes - 5) >> 8) & 0xff
  return checksum == <u32>load<u8>(INPUT + bytes - 1) ? bytes : 0
}

/**
 * Decompresses the frame in [INPUT, INPUT + length) to OUTPUT.
 * @param bytesMax at most what OUTPUT holds
 * @returns bytes at OUTPUT, or MALFORMED, or TOO_LARGE
 */
export function lz4Decompress(length: u32, bytesMax: u32): i32 {
  const header = headerBytes(length)
  if (header == 0) return MALFORMED
  const flags = <u32>load<u8>(INPUT, 4)
  const blockBytesMax: u32 = 1 << (8 + 2 * (<u32>load<u8>(INPUT, 5) >> 4))
  const end = INPUT + length
  const limit = OUTPUT + bytesMax
  let at = INPUT + header
  let to = OUTPUT
  isTooLarge = false
  while (true) {
    if (end - at < 4) return MALFORMED
    const word = load<u32>(at)
    at += 4
    if (word == 0) break
    const blockBytes = word & ~RAW_BIT
    const checksumBytes: u32 = flags & BLOCK_CHECKSUM_FLAG ? 4 : 0
    if (blockBytes > blockBytesMax || blockBytes + checksumBytes > <u32>(end - at)) return MALFORMED
    if (checksumBytes != 0 && xxh32(at, blockBytes) != load<u32>(at + blockBytes)) return MALFORMED
    const blockStart = to
    if (word & RAW_BIT) {
      if (blockBytes > <u32>(limit - to)) return TOO_LARGE
      memory.copy(to, at, blockBytes)
      to += blockBytes
    } else {
      to = decodeBlock(at, at + blockBytes, to, flags & INDEPENDENT_FLAG ? to : OUTPUT, limit)
      if (to == 0) return isTooLarge ? TOO_LARGE : MALFORMED
    }
    if (<u32>(to - blockStart) > blockBytesMax) return MALFORMED
    at += blockBytes + checksumBytes
  }
  return checkedContent(flags, at, end, to)
}

/** The optional checksum and size of the whole content, and that nothing follows. */
function checkedContent(flags: u32, at: usize, end: usize, to: usize): i32 {
  const bytes = <u32>(to - OUTPUT)
  if (flags & CONTENT_CHECKSUM_FLAG) {
    if (end - at < 4 || xxh32(OUTPUT, bytes) != load<u32>(at)) return MALFORMED
    at += 4
  }
  if ((flags & CONTENT_SIZE_FLAG) != 0 && load<u64>(INPUT, 6) != <u64>bytes) return MALFORMED
  return at == end ? <i32>bytes : MALFORMED
}

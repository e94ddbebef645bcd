// LZ4 frames out: independent 64 KiB blocks, no checksums, as Kafka's Java client writes them (FLG 0x60, BD 0x40).
// Source: lz4_Frame_format.md and lz4_Block_format.md of the LZ4 project. A block that does not shrink is stored raw.
//
// Invariants: reads [INPUT, INPUT + length) and its slack, writes OUTPUT and LZ4_TABLE.

import { copyBytes } from './bytes'
import { INPUT, LZ4_TABLE, OUTPUT } from './memory'

const FRAME_MAGIC: u32 = 0x184d2204 // little-endian on the wire: 04 22 4D 18
const DESCRIPTOR_BYTES: u32 = 0x824060 // FLG 0x60, BD 0x40, header checksum 0x82
const BLOCK_BYTES: u32 = 65536
const RAW_BIT: u32 = 0x80000000
const TABLE_BYTES: usize = 16384
const MIN_MATCH: u32 = 4
const MATCH_START_MARGIN: u32 = 12 // no match begins in the last 12 bytes of a block
const LAST_LITERALS: u32 = 5 // and none reaches into the last 5
const SKIP_TRIGGER: u32 = 6 // after 64 misses steps grow

function slot(ptr: usize): usize {
  return LZ4_TABLE + (<usize>((load<u32>(ptr) * 2654435761) >> 19) << 1)
}

/** 255, 255, …, rest: what a 4-bit length cannot hold. @returns the address behind it */
function writeLength(to: usize, rest: u32): usize {
  while (rest >= 255) {
    store<u8>(to, 255)
    to++
    rest -= 255
  }
  store<u8>(to, <u8>rest)
  return to + 1
}

/** Token and literals; the match's length goes into the token later. @returns the address behind the literals */
function writeLiterals(to: usize, from: usize, length: u32): usize {
  if (length >= 15) {
    store<u8>(to, 0xf0)
    to = writeLength(to + 1, length - 15)
  } else {
    store<u8>(to, <u8>(length << 4))
    to++
  }
  copyBytes(to, from, length)
  return to + length
}

/** Bytes that agree from `a` and `b` on, `a` < limit. */
function agreement(a: usize, b: usize, limit: usize): u32 {
  const start = a
  while (a + 8 <= limit) {
    const difference = load<u64>(a) ^ load<u64>(b)
    if (difference != 0) return <u32>(a - start) + <u32>(ctz<u64>(difference) >> 3)
    a += 8
    b += 8
  }
  while (a < limit && load<u8>(a) == load<u8>(b)) {
    a++
    b++
  }
  return <u32>(a - start)
}

/** One block of at most 64 KiB. @returns its compressed bytes at `to`, 0 when they would not be fewer than `length` */
function compressBlock(from: usize, length: u32, to: usize): u32 {
  const blockEnd = from + length
  const start = to
  const limit = to + length
  let anchor = from
  if (length > MATCH_START_MARGIN) {
    const lastStart = blockEnd - MATCH_START_MARGIN
    const matchLimit = blockEnd - LAST_LITERALS
    memory.fill(LZ4_TABLE, 0, TABLE_BYTES)
    let at = from + 1
    let misses: u32 = 1 << SKIP_TRIGGER
    while (at <= lastStart) {
      const place = slot(at)
      let match = from + <usize>load<u16>(place)
      store<u16>(place, <u16>(at - from))
      if (load<u32>(match) != load<u32>(at)) {
        at += misses >> SKIP_TRIGGER
        misses++
        continue
      }
      while (at > anchor && match > from && load<u8>(at - 1) == load<u8>(match - 1)) {
        at--
        match--
      }
      const literals = <u32>(at - anchor)
      const matchBytes = MIN_MATCH + agreement(at + MIN_MATCH, match + MIN_MATCH, matchLimit)
      // token + both lengths + literals + offset, generously
      if (to + literals + literals / 255 + matchBytes / 255 + 8 > limit) return 0
      const token = to
      to = writeLiterals(to, anchor, literals)
      store<u16>(to, <u16>(at - match))
      to += 2
      const extra = matchBytes - MIN_MATCH
      if (extra >= 15) {
        store<u8>(token, load<u8>(token) | 15)
        to = writeLength(to, extra - 15)
      } else {
        store<u8>(token, load<u8>(token) | <u8>extra)
      }
      at += matchBytes
      anchor = at
      misses = 1 << SKIP_TRIGGER
      if (at <= lastStart) store<u16>(slot(at - 2), <u16>(at - 2 - from))
    }
  }
  const literals = <u32>(blockEnd - anchor)
  if (to + literals + literals / 255 + 2 > limit) return 0
  return <u32>(writeLiterals(to, anchor, literals) - start)
}

/** Compresses [INPUT, INPUT + length) into a frame at OUTPUT. @returns bytes of the frame */
export function lz4Compress(length: u32): u32 {
  let from = INPUT
  let to = OUTPUT
  store<u32>(to, FRAME_MAGIC)
  store<u32>(to, DESCRIPTOR_BYTES, 4)
  to += 7
  let left = length
  while (left != 0) {
    const blockBytes = min(left, BLOCK_BYTES)
    const packedBytes = compressBlock(from, blockBytes, to + 4)
    if (packedBytes != 0) {
      store<u32>(to, packedBytes)
      to += 4 + packedBytes
    } else {
      store<u32>(to, blockBytes | RAW_BIT)
      memory.copy(to + 4, from, blockBytes)
      to += 4 + blockBytes
    }
    from += blockBytes
    left -= blockBytes
  }
  store<u32>(to, 0) // end mark
  return <u32>(to + 4 - OUTPUT)
}

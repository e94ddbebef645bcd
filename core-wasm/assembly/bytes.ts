// Small moves of bytes: big-endian stores and loads, zigzag varints out, short copies.

export function store16(ptr: usize, value: u32): void {
  store<u16>(ptr, bswap<u16>(<u16>value))
}

export function store32(ptr: usize, value: u32): void {
  store<u32>(ptr, bswap<u32>(value))
}

export function store64(ptr: usize, value: u64): void {
  store<u64>(ptr, bswap<u64>(value))
}

export function load16(ptr: usize): u32 {
  return <u32>bswap<u16>(load<u16>(ptr))
}

export function load32(ptr: usize): u32 {
  return bswap<u32>(load<u32>(ptr))
}

export function load64(ptr: usize): u64 {
  return bswap<u64>(load<u64>(ptr))
}

/** Zigzag: small magnitudes of either sign become small unsigned numbers. */
export function zigzag(value: i64): u64 {
  return (<u64>value << 1) ^ <u64>(value >> 63)
}

/** Bytes that writeVarint takes for `value`: 1 … 10. */
// @ts-ignore: decorator
@inline
export function varintBytes(value: i64): u32 {
  const rest = zigzag(value)
  return rest < 0x80 ? 1 : rest < 0x4000 ? 2 : longVarintBytes(rest)
}

function longVarintBytes(rest: u64): u32 {
  return (70 - <u32>clz<u64>(rest)) / 7
}

/** Writes a zigzag varint. @returns the address behind it */
// @ts-ignore: decorator
@inline
export function writeVarint(ptr: usize, value: i64): usize {
  const rest = zigzag(value)
  if (rest < 0x80) {
    store<u8>(ptr, <u8>rest)
    return ptr + 1
  }
  return writeLongVarint(ptr, rest)
}

function writeLongVarint(ptr: usize, rest: u64): usize {
  while (rest > 0x7f) {
    store<u8>(ptr, <u8>(rest | 0x80))
    rest >>= 7
    ptr++
  }
  store<u8>(ptr, <u8>rest)
  return ptr + 1
}

/**
 * Copies `length` bytes. Short ones go by whole vectors and so touch up to 15 bytes behind both ranges:
 * only for places where that slack exists and what follows `to` is not written yet.
 */
export function copyBytes(to: usize, from: usize, length: u32): void {
  if (length > 256) {
    memory.copy(to, from, length)
    return
  }
  const end = to + length
  while (to < end) {
    v128.store(to, v128.load(from))
    to += 16
    from += 16
  }
}

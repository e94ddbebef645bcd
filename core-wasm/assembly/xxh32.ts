// xxHash32 with seed 0: the checksums inside an LZ4 frame. Source: the xxHash specification (xxhash_spec.md).

const PRIME_1: u32 = 0x9e3779b1
const PRIME_2: u32 = 0x85ebca77
const PRIME_3: u32 = 0xc2b2ae3d
const PRIME_4: u32 = 0x27d4eb2f
const PRIME_5: u32 = 0x165667b1

function round(lane: u32, input: u32): u32 {
  return rotl<u32>(lane + input * PRIME_2, 13) * PRIME_1
}

export function xxh32(ptr: usize, length: u32): u32 {
  const end = ptr + length
  let hash: u32 = PRIME_5
  if (length >= 16) {
    let a: u32 = PRIME_1 + PRIME_2
    let b: u32 = PRIME_2
    let c: u32 = 0
    let d: u32 = 0 - PRIME_1
    for (; ptr + 16 <= end; ptr += 16) {
      a = round(a, load<u32>(ptr))
      b = round(b, load<u32>(ptr, 4))
      c = round(c, load<u32>(ptr, 8))
      d = round(d, load<u32>(ptr, 12))
    }
    hash = rotl<u32>(a, 1) + rotl<u32>(b, 7) + rotl<u32>(c, 12) + rotl<u32>(d, 18)
  }
  hash += length
  for (; ptr + 4 <= end; ptr += 4) hash = rotl<u32>(hash + load<u32>(ptr) * PRIME_3, 17) * PRIME_4
  for (; ptr < end; ptr++) hash = rotl<u32>(hash + <u32>load<u8>(ptr) * PRIME_5, 11) * PRIME_1
  hash = (hash ^ (hash >> 15)) * PRIME_2
  hash = (hash ^ (hash >> 13)) * PRIME_3
  return hash ^ (hash >> 16)
}

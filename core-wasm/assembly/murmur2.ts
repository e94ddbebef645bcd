// Kafka's murmur2: which partition a key belongs to, for ever (seed 0x9747b28c).
// Source: Apache Kafka, clients/common/utils/Utils.java. The partition is (hash & 0x7fffffff) mod count.

const SEED: u32 = 0x9747b28c
const M: u32 = 0x5bd1e995

/** Hash of [ptr, ptr + length); JavaScript receives it as the signed number that Java knows. */
export function murmur2(ptr: usize, length: u32): u32 {
  let hash = SEED ^ length
  const wordsEnd = ptr + (length & ~3)
  for (; ptr < wordsEnd; ptr += 4) {
    let word = load<u32>(ptr) * M
    word ^= word >> 24
    hash = (hash * M) ^ (word * M)
  }
  const left = length & 3
  if (left != 0) {
    if (left == 3) hash ^= <u32>load<u8>(ptr, 2) << 16
    if (left >= 2) hash ^= <u32>load<u8>(ptr, 1) << 8
    hash = (hash ^ (<u32>load<u8>(ptr))) * M
  }
  hash = (hash ^ (hash >> 13)) * M
  return hash ^ (hash >> 15)
}

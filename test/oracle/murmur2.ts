// Kafka's murmur2 in arbitrary precision, word by word as Utils.java has it.

const mask = 0xffffffffn
const m = 0x5bd1e995n

export function oracleMurmur2(bytes: Uint8Array): number {
  let hash = (0x9747b28cn ^ BigInt(bytes.length)) & mask
  const wordCount = Math.floor(bytes.length / 4)
  for (let i = 0; i < wordCount; i++) {
    const at = i * 4
    let word = 0n
    for (let k = 3; k >= 0; k--) word = (word << 8n) | BigInt(bytes[at + k] as number)
    word = (word * m) & mask
    word ^= word >> 24n
    word = (word * m) & mask
    hash = ((hash * m) & mask) ^ word
  }
  const tail = bytes.subarray(wordCount * 4)
  for (let k = tail.length - 1; k >= 0; k--) hash ^= BigInt(tail[k] as number) << BigInt(8 * k)
  if (tail.length > 0) hash = (hash * m) & mask
  hash ^= hash >> 13n
  hash = (hash * m) & mask
  hash ^= hash >> 15n
  return Number(BigInt.asIntN(32, hash))
}

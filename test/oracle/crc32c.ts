// CRC-32C one bit at a time: slow, and too short to be wrong.

export function oracleCrc32c(bytes: Uint8Array, previous = 0): number {
  let state = ~previous
  for (const byte of bytes) {
    state ^= byte
    for (let bit = 0; bit < 8; bit++) state = state & 1 ? (state >>> 1) ^ 0x82f63b78 : state >>> 1
  }
  return ~state >>> 0
}

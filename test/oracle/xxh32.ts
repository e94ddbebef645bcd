// xxHash32 with seed 0 in arbitrary precision, from the specification. Makes the checksums of LZ4 frames in tests.

const mask = 0xffffffffn
const [p1, p2, p3, p4, p5] = [0x9e3779b1n, 0x85ebca77n, 0xc2b2ae3dn, 0x27d4eb2fn, 0x165667b1n]

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (32n - bits))) & mask
}

export function oracleXxh32(bytes: Uint8Array): number {
  const word = (at: number) => BigInt(Buffer.from(bytes.buffer, bytes.byteOffset + at, 4).readUInt32LE())
  const lanes = [p1 + p2, p2, 0n, -p1].map((lane) => BigInt.asUintN(32, lane))
  let at = 0
  for (; at + 16 <= bytes.length; at += 16) {
    for (let i = 0; i < 4; i++) lanes[i] = (rotate(((lanes[i] as bigint) + word(at + 4 * i) * p2) & mask, 13n) * p1) & mask
  }
  const mixed = [1n, 7n, 12n, 18n].reduce((sum, bits, i) => sum + rotate(lanes[i] as bigint, bits), 0n)
  let hash = ((bytes.length >= 16 ? mixed : p5) + BigInt(bytes.length)) & mask
  for (; at + 4 <= bytes.length; at += 4) hash = (rotate((hash + word(at) * p3) & mask, 17n) * p4) & mask
  for (; at < bytes.length; at++) hash = (rotate((hash + BigInt(bytes[at] as number) * p5) & mask, 11n) * p1) & mask
  hash = ((hash ^ (hash >> 15n)) * p2) & mask
  hash = ((hash ^ (hash >> 13n)) * p3) & mask
  return Number(hash ^ (hash >> 16n))
}

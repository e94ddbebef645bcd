// CRC-32C in plain JavaScript, slicing by eight: as fast as the best pure JavaScript packages (crc-32/crc32c), so it stands for them.
// Not for: anything but comparison.

const POLYNOMIAL = 0x82f63b78
const SLICES = 8
const table = makeTable()

function makeTable(): Int32Array {
  const entries = new Int32Array(SLICES * 256)
  for (let byte = 0; byte < 256; byte++) {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1
    entries[byte] = value
  }
  for (let index = 256; index < entries.length; index++) {
    const before = entries[index - 256] ?? 0
    entries[index] = (before >>> 8) ^ (entries[before & 0xff] ?? 0)
  }
  return entries
}

export function referenceCrc32c(bytes: Uint8Array): number {
  let crc = -1
  let at = 0
  const t = table
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc =
      t[1792 + (low & 0xff)]! ^
      t[1536 + ((low >>> 8) & 0xff)]! ^
      t[1280 + ((low >>> 16) & 0xff)]! ^
      t[1024 + (low >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}

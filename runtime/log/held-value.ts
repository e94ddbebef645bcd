// A value of the state as it is held in memory: a short one as text, a character for each byte. An array of bytes takes three objects and about 200 bytes beside
// what it holds, and there may be many ten thousand values. Invariant: what comes out is what went in. Not for: what a value says.

export type HeldValue = string | Uint8Array

const TEXT_BYTES_MAX = 2 * 1024

/** Nothing of `bytes` is kept but a long value that is a whole buffer: that is the map's from now on. */
export function heldValue(bytes: Uint8Array): HeldValue {
  const { buffer, byteOffset, byteLength } = bytes
  if (byteLength <= TEXT_BYTES_MAX) return (Buffer.isBuffer(bytes) ? bytes : Buffer.from(buffer, byteOffset, byteLength)).toString('latin1')
  return byteLength === buffer.byteLength ? bytes : bytes.slice()
}

/** Not to be changed. */
export function bytesOfHeld(value: HeldValue): Uint8Array {
  if (typeof value !== 'string') return value
  const bytes = new Uint8Array(value.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = value.charCodeAt(at)
  return bytes
}

export function byteLengthOfHeld(value: HeldValue): number {
  return typeof value === 'string' ? value.length : value.byteLength
}

// Decodes LZ4 frames without checksums, block by block, from the format's description. Trusts its input.

export function oracleLz4Decode(frame: Uint8Array): Uint8Array {
  const output: number[] = []
  let at = 7
  while (at < frame.length) {
    const word = uint32(frame, at)
    at += 4
    if (word === 0) break
    const isRaw = word >= 2 ** 31
    const end = at + (isRaw ? word - 2 ** 31 : word)
    if (isRaw) for (const byte of frame.subarray(at, end)) output.push(byte)
    else decodeBlock(frame.subarray(at, end), output)
    at = end
  }
  if (at !== frame.length) throw new Error(`the frame ends at byte ${at} of ${frame.length}`)
  return Uint8Array.from(output)
}

function uint32(bytes: Uint8Array, at: number): number {
  return [3, 2, 1, 0].reduce((value, k) => value * 256 + (bytes[at + k] as number), 0)
}

function decodeBlock(block: Uint8Array, output: number[]): void {
  let at = 0
  const next = () => {
    const byte = block[at++]
    if (byte === undefined) throw new Error('the block ends in the middle of a sequence')
    return byte
  }
  const longLength = (nibble: number) => {
    let length = nibble
    for (let byte = nibble === 15 ? 255 : 0; byte === 255; ) {
      byte = next()
      length += byte
    }
    return length
  }
  while (true) {
    const token = next()
    const literals = longLength(token >> 4)
    for (let i = 0; i < literals; i++) output.push(next())
    if (at === block.length) return
    const distance = next() + next() * 256
    const length = longLength(token & 15) + 4
    if (distance === 0 || distance > output.length) throw new Error(`match at distance ${distance}`)
    for (let i = 0; i < length; i++) output.push(output[output.length - distance] as number)
  }
}

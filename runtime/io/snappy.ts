// Reads snappy, raw (librdkafka, Go) and in the frame of snappy-java ("xerial": Java's clients, kafkajs codecs). Never written here.
//
// Work is done in slices of output, so that whoever drives it may let other work run between two of them.
// Invariant: nothing is read outside the block, and no byte of output is made that the block did not announce.
// Source: google/snappy, format_description.txt; xerial/snappy-java, SnappyOutputStream.java.

import { OutputTooLarge } from './codec.ts'

const XERIAL_MAGIC = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]
/** Magic, version, compatible version. */
const XERIAL_HEADER_BYTES = 16
const LENGTH_BYTES_MAX = 5
const SHORT_COPY_BYTES = 16

interface Chunk {
  /** First element, behind the length. */
  readonly startAt: number
  readonly endAt: number
  readonly plainBytes: number
}

export class SnappyReader {
  readonly output: Uint8Array
  readonly #block: Uint8Array
  readonly #chunks: readonly Chunk[]
  #chunkIndex = 0
  #readAt: number
  #writeAt = 0
  /** Where the output of this chunk begins: copies do not reach behind it. */
  #chunkStart = 0

  /** @throws RangeError when the block is malformed, or announces more than `bytesMax` */
  constructor(block: Uint8Array, bytesMax: number) {
    this.#block = block
    this.#chunks = chunksOf(block)
    let plainBytes = 0
    for (const chunk of this.#chunks) plainBytes += chunk.plainBytes
    if (plainBytes > bytesMax) throw new OutputTooLarge(`the snappy block announces ${plainBytes} bytes, at most ${bytesMax} are taken`)
    this.output = new Uint8Array(plainBytes)
    this.#readAt = this.#chunks[0]?.startAt ?? 0
  }

  /** Makes at least `bytes` more bytes of output, or all that is left. @returns true when there is more. @throws RangeError */
  advance(bytes: number): boolean {
    const pauseAt = this.#writeAt + bytes
    for (; this.#chunkIndex < this.#chunks.length; this.#nextChunk()) {
      const chunk = this.#chunks[this.#chunkIndex] as Chunk
      if (!this.#advanceChunk(chunk, pauseAt)) return true
      if (this.#writeAt !== this.#chunkStart + chunk.plainBytes) throw malformed('it ends before what it announces')
    }
    return false
  }

  #nextChunk(): void {
    this.#chunkIndex++
    this.#chunkStart = this.#writeAt
    this.#readAt = this.#chunks[this.#chunkIndex]?.startAt ?? 0
  }

  /** false when it paused before the chunk's end. */
  #advanceChunk(chunk: Chunk, pauseAt: number): boolean {
    const block = this.#block
    const { endAt } = chunk
    const writeEnd = this.#chunkStart + chunk.plainBytes
    while (this.#readAt < endAt) {
      if (this.#writeAt >= pauseAt) return false
      const tag = block[this.#readAt++] as number
      const kind = tag & 3
      if (kind === 0) {
        this.#literal(tag >> 2, endAt, writeEnd)
        continue
      }
      const extraBytes = kind === 3 ? 4 : kind
      if (this.#readAt + extraBytes > endAt) throw malformed('a copy is cut')
      const low = block[this.#readAt] as number
      if (kind === 1) this.#copy(((tag >> 2) & 7) + 4, ((tag >> 5) << 8) | low, writeEnd)
      else this.#copy((tag >> 2) + 1, littleEndian(block, this.#readAt, extraBytes), writeEnd)
      this.#readAt += extraBytes
    }
    return true
  }

  #literal(code: number, endAt: number, writeEnd: number): void {
    let length = code + 1
    if (code >= 60) {
      const lengthBytes = code - 59
      if (this.#readAt + lengthBytes > endAt) throw malformed('a literal is cut')
      length = littleEndian(this.#block, this.#readAt, lengthBytes) + 1
      this.#readAt += lengthBytes
    }
    if (this.#readAt + length > endAt || this.#writeAt + length > writeEnd) throw malformed('a literal is too long')
    const { output } = this
    const from = this.#readAt
    const to = this.#writeAt
    if (length <= SHORT_COPY_BYTES) for (let i = 0; i < length; i++) output[to + i] = this.#block[from + i] as number
    else output.set(this.#block.subarray(from, from + length), to)
    this.#readAt += length
    this.#writeAt += length
  }

  /** Byte by byte where source and target overlap: that is how snappy repeats. */
  #copy(length: number, distance: number, writeEnd: number): void {
    const to = this.#writeAt
    const from = to - distance
    if (distance === 0 || from < this.#chunkStart) throw malformed('a copy reaches behind the beginning')
    if (to + length > writeEnd) throw malformed('a copy is too long')
    const { output } = this
    if (length > SHORT_COPY_BYTES && distance >= length) output.copyWithin(to, from, from + length)
    else for (let i = 0; i < length; i++) output[to + i] = output[from + i] as number
    this.#writeAt += length
  }
}

/** The whole block at once. @throws RangeError when it is malformed, or larger than `bytesMax` */
export function readSnappy(block: Uint8Array, bytesMax: number): Uint8Array {
  const reader = new SnappyReader(block, bytesMax)
  reader.advance(Number.POSITIVE_INFINITY)
  return reader.output
}

function chunksOf(block: Uint8Array): Chunk[] {
  if (!isXerial(block, 0)) return [chunkAt(block, 0, block.byteLength)]
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  const chunks: Chunk[] = []
  for (let at = 0; at < block.byteLength; ) {
    // Streams may be joined: another header is skipped.
    if (isXerial(block, at)) {
      at += XERIAL_HEADER_BYTES
      continue
    }
    if (at + 4 > block.byteLength) throw malformed('a chunk is cut')
    const endAt = at + 4 + view.getUint32(at)
    if (endAt > block.byteLength) throw malformed('a chunk is cut')
    chunks.push(chunkAt(block, at + 4, endAt))
    at = endAt
  }
  return chunks
}

function isXerial(block: Uint8Array, at: number): boolean {
  return at + XERIAL_HEADER_BYTES <= block.byteLength && XERIAL_MAGIC.every((byte, index) => block[at + index] === byte)
}

/** Little-endian base-128 length, then the elements. */
function chunkAt(block: Uint8Array, at: number, endAt: number): Chunk {
  let plainBytes = 0
  for (let index = 0; index < LENGTH_BYTES_MAX; index++) {
    const byte = at + index < endAt ? (block[at + index] as number) : 0x80
    plainBytes += (byte & 0x7f) * 2 ** (7 * index)
    if (byte < 0x80) return { startAt: at + index + 1, endAt, plainBytes }
  }
  throw malformed('its length is cut')
}

function littleEndian(block: Uint8Array, at: number, count: number): number {
  let value = 0
  for (let index = count - 1; index >= 0; index--) value = value * 256 + (block[at + index] as number)
  return value
}

function malformed(why: string): RangeError {
  return new RangeError(`the snappy block is malformed: ${why}`)
}

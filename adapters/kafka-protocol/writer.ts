// Writes Kafka's primitive types into a message. Large byte fields are kept by reference, so a message is a list of chunks that a
// socket writes in one go; they must not change until then.

import { assert } from '../../runtime/base/assert.ts'

const FIRST_CHUNK_BYTES = 512
/** Below this a copy is cheaper than one more chunk. */
const COPY_BYTES_MAX = 2048

export class WireWriter {
  #chunks: Uint8Array[] = []
  #open: Buffer = Buffer.allocUnsafe(FIRST_CHUNK_BYTES)
  #start = 0
  #at = 0
  #closedBytes = 0

  get byteLength(): number {
    return this.#closedBytes + this.#at - this.#start
  }

  #reserve(count: number): number {
    if (this.#at + count > this.#open.byteLength) {
      this.#close()
      this.#open = Buffer.allocUnsafe(Math.max(this.#open.byteLength * 2, count))
      this.#start = 0
      this.#at = 0
    }
    const at = this.#at
    this.#at = at + count
    return at
  }

  #close(): void {
    if (this.#at === this.#start) return
    this.#chunks.push(this.#open.subarray(this.#start, this.#at))
    this.#closedBytes += this.#at - this.#start
    this.#start = this.#at
  }

  // reserve may replace the open buffer: it has to come first, everywhere.
  #byte(value: number): void {
    const at = this.#reserve(1)
    this.#open[at] = value
  }

  bool(value: boolean): void {
    this.#byte(value ? 1 : 0)
  }

  int8(value: number): void {
    const at = this.#reserve(1)
    this.#open.writeInt8(value, at)
  }

  int16(value: number): void {
    const at = this.#reserve(2)
    this.#open.writeInt16BE(value, at)
  }

  int32(value: number): void {
    const at = this.#reserve(4)
    this.#open.writeInt32BE(value, at)
  }

  int64(value: number): void {
    assert(Number.isSafeInteger(value), `not a safe integer: ${value}`)
    const at = this.#reserve(8)
    this.#open.writeInt32BE(Math.floor(value / 2 ** 32), at)
    this.#open.writeUInt32BE(value >>> 0, at + 4)
  }

  bigint64(value: bigint): void {
    const at = this.#reserve(8)
    this.#open.writeBigInt64BE(value, at)
  }

  /** 32 hex digits. */
  uuid(value: string): void {
    const at = this.#reserve(16)
    assert(value.length === 32 && this.#open.write(value, at, 'hex') === 16, `not a uuid: ${value}`)
  }

  uvarint(value: number): void {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xffffffff, `not an unsigned 32 bit number: ${value}`)
    while (value > 0x7f) {
      this.#byte((value & 0x7f) | 0x80)
      value = Math.floor(value / 128)
    }
    this.#byte(value)
  }

  string(value: string | null, isCompact: boolean): void {
    const length = value === null ? -1 : Buffer.byteLength(value)
    if (isCompact) this.uvarint(length + 1)
    else this.int16(length)
    if (value !== null && length > 0) {
      const at = this.#reserve(length)
      this.#open.write(value, at, 'utf8')
    }
  }

  bytes(value: Uint8Array | null, isCompact: boolean): void {
    const length = value === null ? -1 : value.byteLength
    if (isCompact) this.uvarint(length + 1)
    else this.int32(length)
    if (value !== null) this.raw(value)
  }

  /** Bytes without a length in front. */
  raw(value: Uint8Array): void {
    if (value.byteLength <= COPY_BYTES_MAX) {
      const at = this.#reserve(value.byteLength)
      this.#open.set(value, at)
      return
    }
    this.#close()
    this.#chunks.push(value)
    this.#closedBytes += value.byteLength
  }

  /** -1 for a null array. */
  count(value: number, isCompact: boolean): void {
    if (isCompact) this.uvarint(value + 1)
    else this.int32(value)
  }

  /** A writer for something whose size has to be known first. */
  aside(): WireWriter {
    return new WireWriter()
  }

  /** Everything written so far; nothing may be written afterwards. */
  finish(): Uint8Array[] {
    this.#close()
    return this.#chunks
  }
}

/** One contiguous copy. */
export function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}

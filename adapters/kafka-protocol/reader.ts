// Reads Kafka's primitive types from one message. Every length and count is compared with the bytes that are left before anything
// is allocated, and the array elements of one message have a bound: what a peer sends bounds what we allocate.
// Byte fields are views into the message. Not for: records inside a batch (the core reads those).

import { ProtocolError } from './protocol-error.ts'

/** An element costs more memory than wire bytes; no honest message comes near a million. */
const ELEMENTS_MAX = 1_000_000
const UVARINT_BYTES_MAX = 5
const UUID_BYTES = 16
/** What a byte that is no UTF-8 takes in a string that is written again. */
const REPLACED_BYTES = 3
/** As in Kafka, also where the length has room for more. */
const STRING_BYTES_MAX = 32_767

export class WireReader {
  readonly #bytes: Buffer
  #at: number
  #end: number
  readonly #elementsMax: number
  #elementsLeft: number

  constructor(bytes: Uint8Array, at = 0, elementsMax = ELEMENTS_MAX) {
    this.#elementsMax = elementsMax
    this.#elementsLeft = elementsMax
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = at
    this.#end = bytes.byteLength
  }

  get at(): number {
    return this.#at
  }

  get remaining(): number {
    return this.#end - this.#at
  }

  /** Moves over `count` bytes and returns where they began. @throws ProtocolError truncated */
  #take(count: number): number {
    const at = this.#at
    if (count > this.#end - at) throw new ProtocolError('truncated', `${count} bytes wanted at byte ${at}, ${this.#end - at} left`)
    this.#at = at + count
    return at
  }

  bool(): boolean {
    return this.#bytes[this.#take(1)] !== 0
  }

  int8(): number {
    return this.#bytes.readInt8(this.#take(1))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#take(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  /** An i64 that we count with. @throws ProtocolError value when it is not a safe integer */
  int64(): number {
    const at = this.#take(8)
    const value = this.#bytes.readInt32BE(at) * 2 ** 32 + this.#bytes.readUInt32BE(at + 4)
    if (!Number.isSafeInteger(value)) throw new ProtocolError('value', `integer above 2^53 at byte ${at}`)
    return value
  }

  /** An i64 as a number; beyond what a number holds exactly, the greatest or smallest that it does. */
  boundedInt64(): number {
    const value = Number(this.bigint64())
    return Math.min(Number.MAX_SAFE_INTEGER, Math.max(Number.MIN_SAFE_INTEGER, value))
  }

  bigint64(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8))
  }

  /** 32 hex digits. */
  uuid(): string {
    const at = this.#take(UUID_BYTES)
    return this.#bytes.toString('hex', at, at + UUID_BYTES)
  }

  /** Unsigned LEB128, at most 32 bits. */
  uvarint(): number {
    let value = 0
    for (let index = 0; index < UVARINT_BYTES_MAX; index++) {
      const byte = this.#bytes[this.#take(1)]!
      value += (byte & 0x7f) * 2 ** (7 * index)
      if (byte < 0x80) {
        if (value > 0xffffffff) break
        return value
      }
    }
    throw new ProtocolError('length', `a number of more than 32 bits before byte ${this.#at}`)
  }

  /** null when the field is null. @throws ProtocolError length when an older version, in which it may have to be repeated, cannot hold it */
  string(isCompact: boolean): string | null {
    const length = isCompact ? this.uvarint() - 1 : this.int16()
    if (length > STRING_BYTES_MAX) throw new ProtocolError('length', `a string of ${length} bytes before byte ${this.#at}`)
    const at = this.#takeSized(length)
    if (at < 0) return null
    const value = this.#bytes.toString('utf8', at, at + length)
    // a byte that is no UTF-8 has become three
    const isLonger = length * REPLACED_BYTES > STRING_BYTES_MAX && Buffer.byteLength(value) > STRING_BYTES_MAX
    if (isLonger) throw new ProtocolError('length', `a string of ${length} bytes before byte ${this.#at} that is no UTF-8`)
    return value
  }

  /** A view into the message; null when the field is null. */
  bytes(isCompact: boolean): Uint8Array | null {
    const length = isCompact ? this.uvarint() - 1 : this.int32()
    const at = this.#takeSized(length)
    return at < 0 ? null : this.#bytes.subarray(at, at + length)
  }

  #takeSized(length: number): number {
    if (length === -1) return -1
    if (length < 0) throw new ProtocolError('length', `length ${length} before byte ${this.#at}`)
    return this.#take(length)
  }

  /**
   * Number of elements of an array, -1 when it is null.
   * @throws ProtocolError length when that many elements of at least `elementBytesMin` cannot follow
   */
  count(isCompact: boolean, elementBytesMin: number): number {
    const count = isCompact ? this.uvarint() - 1 : this.int32()
    if (count === -1) return -1
    if (count < 0 || count * elementBytesMin > this.remaining) {
      throw new ProtocolError('length', `${count} elements before byte ${this.#at}, ${this.remaining} bytes left`)
    }
    this.#elementsLeft -= count
    if (this.#elementsLeft < 0) throw new ProtocolError('length', `more than ${this.#elementsMax} elements in one message`)
    return count
  }

  /** Tagged fields at the end of a struct: `read` is called per field, unknown ones may be left unread. */
  taggedFields(read: (tag: number) => void): void {
    for (let count = this.uvarint(); count > 0; count--) {
      const tag = this.uvarint()
      const start = this.#take(this.uvarint())
      const end = this.#at
      const outerEnd = this.#end
      this.#at = start
      this.#end = end
      read(tag)
      this.#at = end
      this.#end = outerEnd
    }
  }
}

// Integers in binary values of the state: seven bits a byte, low ones first, the top bit on all but the last. docs/formats/state.md.
// Invariant: a number has one form; what is cut, has another form or is above NUMBER_MAX is damage by name. Not for: which numbers a value has.

import { assert } from '../base/assert.ts'
import { stateDamaged } from './state-codec.ts'

export const VARINT_BYTES_MAX = 8
/** Behind the last offset that there can be: what is reserved in a commit is reckoned with it. */
export const NUMBER_MAX = 2 ** 53

/** `value`: an integer from 0 to 2^53. @returns where the next one goes */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  assert(value >= 0 && value <= NUMBER_MAX, `${value} in a value of the state`)
  let left = value
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes[at++] = (left % 0x80) | 0x80
  bytes[at++] = left
  return at
}

/** Of a value whose size is not known before. */
export class VarintWriter {
  #bytes = new Uint8Array(64)
  #length = 0

  put(value: number): void {
    this.#makeRoom(VARINT_BYTES_MAX)
    this.#length = putVarint(this.#bytes, this.#length, value)
  }

  /** Numbers that another one wrote. */
  putBytes(bytes: Uint8Array): void {
    this.#makeRoom(bytes.byteLength)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.byteLength
  }

  #makeRoom(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }

  clear(): void {
    this.#length = 0
  }

  /** A copy. */
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

/** Each method throws WadiError WADI_STATE_DAMAGED with the key. */
export class VarintReader {
  readonly #key: string
  readonly #bytes: Uint8Array
  #at: number

  constructor(key: string, bytes: Uint8Array, at: number) {
    this.#key = key
    this.#bytes = bytes
    this.#at = at
  }

  /** Where the next one begins. */
  get at(): number {
    return this.#at
  }

  next(): number {
    let value = 0
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined || factor > 2 ** 49) throw stateDamaged(this.#key, this.#bytes)
      value += (byte % 0x80) * factor
      if (byte >= 0x80) continue
      if ((byte === 0 && factor > 1) || value > NUMBER_MAX) throw stateDamaged(this.#key, this.#bytes)
      return value
    }
  }

  /** Of things that take a byte each at least: never more than there are bytes. */
  count(): number {
    const count = this.next()
    if (count > this.#bytes.byteLength - this.#at) throw stateDamaged(this.#key, this.#bytes)
    return count
  }

  end(): void {
    if (this.#at !== this.#bytes.byteLength) throw stateDamaged(this.#key, this.#bytes)
  }
}

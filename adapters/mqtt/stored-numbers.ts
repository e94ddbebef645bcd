// Numbers from 0 to 2^53 - 1 as bytes of seven bits, the lowest first; the highest bit says that more follow.
// Invariant: a reader throws RangeError at what is cut or too large, and never counts to more than there are bytes.

const NUMBER_BYTES_MAX = 8

export class NumberWriter {
  #bytes = new Uint8Array(64)
  #length = 0

  put(value: number): void {
    if (this.#length + NUMBER_BYTES_MAX > this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }

  /** A copy. */
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

export class NumberReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** @throws RangeError */
  next(): number {
    let value = 0
    let unit = 1
    for (let count = 0; count < NUMBER_BYTES_MAX; count++) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) break
      value += (byte & 0x7f) * unit
      if (!Number.isSafeInteger(value)) break
      if (byte < 0x80) return value
      unit *= 0x80
    }
    throw new RangeError('the bytes are no number')
  }

  /** Of things that take a byte each at least. @throws RangeError */
  count(): number {
    const count = this.next()
    if (count > this.#bytes.length - this.#at) throw new RangeError(`${count} do not fit into the bytes`)
    return count
  }
}

// Places of events in the log, first in first out, in sixteen bytes each: what waits for a session. Each has a number that counts from the first one of the
// session, so that pieces of the queue can be written down by themselves.
// Not for: what lies there (message-log.ts).

const PLACES_MIN = 8
const SHRINK_MIN = 32

export class PlaceQueue {
  /** Pairs of partition code and offset. */
  #pairs: Float64Array = EMPTY
  /** Index of the first pair. */
  #head = 0
  #length = 0
  /** Number of the first place; of the next one while there is none. */
  #start: number

  constructor(start = 0) {
    this.#start = start
  }

  get length(): number {
    return this.#length
  }

  get start(): number {
    return this.#start
  }

  get end(): number {
    return this.#start + this.#length
  }

  push(code: number, offset: number): void {
    if ((this.#head + this.#length) * 2 >= this.#pairs.length) this.#makeRoom()
    const at = (this.#head + this.#length) * 2
    this.#pairs[at] = code
    this.#pairs[at + 1] = offset
    this.#length++
  }

  /** Into an empty queue: codes and offsets in turn, which are the queue's from now on. */
  fill(pairs: Float64Array): void {
    this.#pairs = pairs
    this.#head = 0
    this.#length = pairs.length / 2
  }

  /** Of the place with that number. */
  codeAt(number: number): number {
    return this.#pairs[(this.#head + number - this.#start) * 2] as number
  }

  offsetAt(number: number): number {
    return this.#pairs[(this.#head + number - this.#start) * 2 + 1] as number
  }

  shift(): void {
    if (this.#length === 0) return
    this.#head++
    this.#length--
    this.#start++
    if (this.#length === 0) {
      this.#head = 0
      this.#pairs = EMPTY
    } else if (this.#head >= SHRINK_MIN && this.#head > this.#length * 3) this.#resize()
  }

  clear(): void {
    this.#start += this.#length
    this.#length = 0
    this.#head = 0
    this.#pairs = EMPTY
  }

  #makeRoom(): void {
    const isHalfEmpty = this.#head > this.#length
    if (isHalfEmpty) {
      this.#pairs.copyWithin(0, this.#head * 2, (this.#head + this.#length) * 2)
      this.#head = 0
    } else this.#resize()
  }

  #resize(): void {
    // A quarter more: ten thousand queues that are half empty would be much.
    const resized = new Float64Array((this.#length + Math.max(PLACES_MIN, this.#length >> 2)) * 2)
    resized.set(this.#pairs.subarray(this.#head * 2, (this.#head + this.#length) * 2))
    this.#pairs = resized
    this.#head = 0
  }
}

const EMPTY = new Float64Array(0)

// Places of events in the log, first in first out: what waits for a session. Each has a number that counts from the first one of the session, so that pieces of
// the queue can be written down by themselves. What is written down is not held here: it is read back, a piece at a time.
//
//   start ─── written ──▶ held ─── here, in sixteen bytes each ──▶ end
//
// Invariant: what lies below #held is durable and in pieces, all of it. Not for: what lies there (message-log.ts), when it is durable (session-store.ts).

import { assert } from '../../runtime/base/assert.ts'
import { PLACES_PER_PIECE } from './stored-session.ts'

/** Places that follow each other. */
export interface PlacePiece {
  /** Number of its first place. */
  readonly first: number
  /** Code and offset of each in turn. */
  readonly pairs: Float64Array
}

export interface WrittenPlaces {
  /** With the places from `number` times PLACES_PER_PIECE on that have not been sent. */
  read(number: number): PlacePiece
}

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
  /** Number of the first place that is here. */
  #held: number
  #written: WrittenPlaces | null = null
  /** That was read last. A place never changes its number, so it never becomes wrong. */
  #piece: PlacePiece | null = null

  constructor(start = 0) {
    this.#start = start
    this.#held = start
  }

  get length(): number {
    return this.end - this.#start
  }

  get start(): number {
    return this.#start
  }

  /** What is in front of it is written down. */
  get held(): number {
    return this.#held
  }

  get end(): number {
    return this.#held + this.#length
  }

  /** From where it reads what it lets go. */
  readsFrom(written: WrittenPlaces): void {
    this.#written = written
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

  /** Into an empty queue: what is written down, up to `end`. */
  fillFromWritten(end: number): void {
    this.#held = end
  }

  /** What is written down up to `end` needs not be held. */
  letGo(end: number): void {
    const count = Math.min(end, this.end) - this.#held
    if (this.#written === null || count <= 0) return
    this.#held += count
    this.#head += count
    this.#length -= count
    this.#shrink()
  }

  /** What is written down goes: it is held again. */
  takeBack(): void {
    if (this.#held === this.#start) return
    const pairs = new Float64Array(this.length * 2)
    for (let number = this.#start; number < this.end; number++) {
      pairs[(number - this.#start) * 2] = this.codeAt(number)
      pairs[(number - this.#start) * 2 + 1] = this.offsetAt(number)
    }
    this.#held = this.#start
    this.fill(pairs)
  }

  /** No piece is held that was read. */
  unload(): void {
    this.#piece = null
  }

  /** Of the place with that number. */
  codeAt(number: number): number {
    return this.#numberAt(number, 0)
  }

  offsetAt(number: number): number {
    return this.#numberAt(number, 1)
  }

  shift(): void {
    if (this.length === 0) return
    this.#start++
    if (this.#start <= this.#held) {
      if (this.#start === this.#held) this.#piece = null
      return
    }
    this.#held++
    this.#head++
    this.#length--
    this.#shrink()
  }

  clear(): void {
    this.#start = this.end
    this.#held = this.#start
    this.#length = 0
    this.#head = 0
    this.#pairs = EMPTY
    this.#piece = null
  }

  /** `field`: 0 = the code, 1 = the offset. */
  #numberAt(number: number, field: 0 | 1): number {
    if (number >= this.#held) return this.#pairs[(this.#head + number - this.#held) * 2 + field] as number
    const { first, pairs } = this.#pieceWith(number)
    return pairs[(number - first) * 2 + field] as number
  }

  #pieceWith(number: number): PlacePiece {
    const known = this.#piece
    if (known && number >= known.first && number < known.first + known.pairs.length / 2) return known
    const piece = this.#written?.read(Math.floor(number / PLACES_PER_PIECE))
    assert(piece && number >= piece.first && number < piece.first + piece.pairs.length / 2, `place ${number} is not written down`)
    this.#piece = piece
    return piece
  }

  #shrink(): void {
    if (this.#length === 0) {
      this.#head = 0
      this.#pairs = EMPTY
    } else if (this.#head >= SHRINK_MIN && this.#head > this.#length * 3) this.#resize()
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

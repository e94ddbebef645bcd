// Memory for one piece of work after the other. What lies outside of the collector's heap makes it run, and is given back late: work that needs much of it
// for a moment, again and again, borrows it here.
//
// Invariant: a piece is lent to one at a time. Not for: what outlives the work.

export class LentMemory {
  readonly #free: Uint8Array[] = []
  readonly #pieceBytes: number
  readonly #freeMax: number

  /** @param pieceBytes what is asked for as a rule; more is made for the moment @param freeMax pieces that are kept */
  constructor({ pieceBytes, freeMax }: { pieceBytes: number; freeMax: number }) {
    this.#pieceBytes = pieceBytes
    this.#freeMax = freeMax
  }

  /** What `use` is given is its own until what it returns has settled; its bytes are those of whoever had it before. */
  async lend<T>(bytes: number, use: (memory: Uint8Array) => Promise<T>): Promise<T> {
    if (bytes > this.#pieceBytes) return use(new Uint8Array(bytes))
    const piece = this.#free.pop() ?? new Uint8Array(this.#pieceBytes)
    try {
      return await use(piece.subarray(0, bytes))
    } finally {
      if (this.#free.length < this.#freeMax) this.#free.push(piece)
    }
  }
}

// Where the last readers of one segment stopped: who reads on from there needs no index, which lies on the disk for a segment that no longer grows.
// Invariant: a place is the end of a batch that was read and checked; the bytes of a file never change (segment.ts, S3), and a file that takes its place clears them.

/** Readers that go through one segment at the same time and all need no index. */
const PLACES_MAX = 16

export class ReadPlaces {
  /** Offset → position in the file; the one that was noted last is last. */
  readonly #places = new Map<number, number>()

  find(offset: number): number | null {
    return this.#places.get(offset) ?? null
  }

  clear(): void {
    this.#places.clear()
  }

  /** `offset` is the first that may lie at `positionBytes` or behind it. */
  note(offset: number, positionBytes: number): void {
    this.#places.delete(offset)
    this.#places.set(offset, positionBytes)
    const [oldest] = this.#places.keys()
    if (this.#places.size > PLACES_MAX && oldest !== undefined) this.#places.delete(oldest)
  }
}

// The end of a partition that is durable in the journal and not yet in a segment: valid batches in memory, served as they are.
// Invariants: offsets rise; every batch here is covered by a completed sync; `oldestSequence` is the first commit that must stay in the journal.
// Not for: bytes on disk (segment.ts), deciding when to seal (seal.ts).

import { assert } from '../base/assert.ts'
import type { BatchHeader } from '../core/record.ts'

export interface TailBatch {
  readonly header: BatchHeader
  readonly batch: Uint8Array
  /** The commit that made it durable. */
  readonly sequence: number
  readonly addedMs: number
}

export class Tail {
  #batches: TailBatch[] = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0
  }

  get batches(): readonly TailBatch[] {
    return this.#batches
  }

  get startOffset(): number | null {
    return this.#batches[0]?.header.baseOffset ?? null
  }

  get oldestSequence(): number | null {
    return this.#batches[0]?.sequence ?? null
  }

  get oldestAddedMs(): number | null {
    return this.#batches[0]?.addedMs ?? null
  }

  push(batch: TailBatch): void {
    const last = this.#batches.at(-1)
    assert(!last || batch.header.baseOffset > last.header.lastOffset, 'tail batches overlap')
    this.#batches.push(batch)
    this.#bytes += batch.batch.byteLength
  }

  /** Forgets the first `count` batches: they are in the segment now. */
  drop(count: number): void {
    assert(count <= this.#batches.length, 'more dropped than there is')
    for (let i = 0; i < count; i++) this.#bytes -= this.#batches[i]?.batch.byteLength ?? 0
    this.#batches = this.#batches.slice(count)
  }

  /** Index of the first batch whose last offset is ≥ offset; the length when there is none. */
  find(offset: number): number {
    let low = 0
    let high = this.#batches.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#batches[middle] as TailBatch).header.lastOffset < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

// Batches that were opened for a part and not used up by it: the next part of that source begins with them, and does not open them again.
// Of the sources that were served longest ago they are let go when all together would hold more than KEPT_BYTES_MAX.
//
// Invariant: what is kept belongs to nobody else; taken, it belongs to the taker.
// Not for: batches that lie in the clear (reading them again costs less than a copy).

import { readBatchHeader } from '../core/batch-header.ts'
import type { OpenedBatch } from '../core/record.ts'
import type { BlockCodec } from '../io/codec.ts'
import { codecOf, releaseOpened } from '../log/batch-codec.ts'

/** One batch for each of the parts that are made at the same time. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024

/** A batch in the clear and as stored. */
export interface Remainder {
  readonly opened: OpenedBatch
  readonly stored: Uint8Array
}

export class OpenedRemainders {
  readonly #codec: BlockCodec
  /** By key of the source, oldest first; the batches of one source follow each other. */
  readonly #kept = new Map<string, readonly Remainder[]>()
  #bytes = 0

  constructor(codec: BlockCodec) {
    this.#codec = codec
  }

  /** `remainders` are not used by the caller any more; they are kept, or given back. */
  keep(sourceKey: string, remainders: readonly Remainder[]): void {
    this.#drop(sourceKey)
    // Copies: `stored` is a view of all that was read at once.
    const kept = remainders
      .filter(({ stored }) => codecOf(stored) !== 'none')
      .map(({ opened, stored }) => ({ opened, stored: new Uint8Array(stored) }))
    if (kept.length === 0 || kept.length < remainders.length) return this.#giveBack(kept)
    this.#kept.set(sourceKey, kept)
    this.#bytes += bytesOf(kept)
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= KEPT_BYTES_MAX) return
      this.#drop(oldest)
    }
  }

  /** What is kept of this source, when `offset` is in its first batch; otherwise it is let go. */
  take(sourceKey: string, offset: number): readonly Remainder[] {
    const kept = this.#kept.get(sourceKey)
    const header = kept?.[0] && readBatchHeader(kept[0].opened.head)
    if (!kept || !header || offset < header.baseOffset || offset > header.lastOffset) {
      this.#drop(sourceKey)
      return []
    }
    this.#forget(sourceKey, kept)
    return kept
  }

  #drop(sourceKey: string): void {
    const kept = this.#kept.get(sourceKey)
    if (!kept) return
    this.#forget(sourceKey, kept)
    this.#giveBack(kept)
  }

  #forget(sourceKey: string, kept: readonly Remainder[]): void {
    this.#kept.delete(sourceKey)
    this.#bytes -= bytesOf(kept)
  }

  #giveBack(remainders: readonly Remainder[]): void {
    for (const { opened, stored } of remainders) releaseOpened(this.#codec, opened, stored)
  }
}

function bytesOf(remainders: readonly Remainder[]): number {
  return remainders.reduce((sum, { opened, stored }) => sum + opened.records.byteLength + stored.byteLength, 0)
}

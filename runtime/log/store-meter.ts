// Counters of the store: what was committed, written, synced, sealed, dropped, lost. Every promise has one.

import type { DroppedRange, StoreMetrics } from './contract.ts'
import type { WriteMeter } from './segment.ts'

export class StoreMeter implements WriteMeter {
  readonly #writtenBytes = { journal: 0, segment: 0, index: 0, state: 0 }
  #syncs = 0
  #commits = 0
  #committedRecords = 0
  #committedPayloadBytes = 0
  #seals = 0
  #checkpoints = 0
  #rejectedAppends = 0
  #droppedRecords: number
  #lostRecords: number
  #damagedRanges = 0

  constructor(before: { droppedRecords: number; lostRecords: number }) {
    this.#droppedRecords = before.droppedRecords
    this.#lostRecords = before.lostRecords
  }

  get droppedRecords(): number {
    return this.#droppedRecords
  }

  get lostRecords(): number {
    return this.#lostRecords
  }

  onWrite(kind: 'journal' | 'segment' | 'index' | 'state', bytes: number): void {
    this.#writtenBytes[kind] += bytes
  }

  onSync(): void {
    this.#syncs++
  }

  onCommit(commit: { recordCount: number; payloadBytes: number }): void {
    this.#commits++
    this.#committedRecords += commit.recordCount
    this.#committedPayloadBytes += commit.payloadBytes
  }

  onSeal(): void {
    this.#seals++
  }

  onCheckpoint(): void {
    this.#checkpoints++
  }

  onRejected(count: number): void {
    this.#rejectedAppends += count
  }

  /** Dropped = we deleted what nobody had delivered; lost = damage took it. */
  onDropped({ reason, isDelivered, startOffset, endOffset }: DroppedRange): void {
    const count = endOffset - startOffset
    if (reason === 'damage' || reason === 'hole') {
      this.#damagedRanges++
      if (!isDelivered) this.#lostRecords += count
    } else if (!isDelivered) this.#droppedRecords += count
  }

  snapshot(now: { usedBytes: number; tailBytes: number }): StoreMetrics {
    return {
      commits: this.#commits,
      committedRecords: this.#committedRecords,
      committedPayloadBytes: this.#committedPayloadBytes,
      writtenBytes: { ...this.#writtenBytes },
      syncs: this.#syncs,
      seals: this.#seals,
      checkpoints: this.#checkpoints,
      rejectedAppends: this.#rejectedAppends,
      droppedRecords: this.#droppedRecords,
      lostRecords: this.#lostRecords,
      damagedRanges: this.#damagedRanges,
      ...now
    }
  }
}

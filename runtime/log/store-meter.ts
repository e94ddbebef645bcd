// Counters of the store since its start: what was committed, written, synced, sealed.
// Not here: what was dropped or lost, which outlives the process (removals.ts, known-damage.ts).

import type { Removal, StoreMetrics } from './contract.ts'
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
  #compactions = 0
  #compactionFailures = 0
  #compactionWrittenBytes = 0
  #compactionRemovedBytes = 0
  #compactionRemovedRecords = 0

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

  onCompaction(): void {
    this.#compactions++
  }

  onCompactionFailed(): void {
    this.#compactionFailures++
  }

  onSegmentCompacted({
    sizeBytes,
    removedBytes,
    removedRecords
  }: {
    sizeBytes: number
    removedBytes: number
    removedRecords: number
  }): void {
    this.#compactionWrittenBytes += sizeBytes
    this.#compactionRemovedBytes += removedBytes
    this.#compactionRemovedRecords += removedRecords
  }

  onRejected(count: number): void {
    this.#rejectedAppends += count
  }

  snapshot(now: {
    usedBytes: number
    tailBytes: number
    removals: readonly Removal[]
    lostBefore: number
    damagedRanges: number
  }): StoreMetrics {
    const { usedBytes, tailBytes, removals, lostBefore, damagedRanges } = now
    const sumOf = (isLoss: boolean): number => removals.reduce((sum, removal) => sum + (removal.isLoss === isLoss ? removal.records : 0), 0)
    return {
      commits: this.#commits,
      committedRecords: this.#committedRecords,
      committedPayloadBytes: this.#committedPayloadBytes,
      writtenBytes: { ...this.#writtenBytes },
      syncs: this.#syncs,
      seals: this.#seals,
      checkpoints: this.#checkpoints,
      rejectedAppends: this.#rejectedAppends,
      compaction: {
        passes: this.#compactions,
        failures: this.#compactionFailures,
        writtenBytes: this.#compactionWrittenBytes,
        removedBytes: this.#compactionRemovedBytes,
        removedRecords: this.#compactionRemovedRecords
      },
      removals,
      droppedRecords: sumOf(false),
      lostRecords: lostBefore + sumOf(true),
      damagedRanges,
      usedBytes,
      tailBytes
    }
  }
}

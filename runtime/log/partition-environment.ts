// What a partition is given: where it lies, the edges it works through, and where its bytes are counted.
// Not for: what a partition does with it (partition-log.ts).

import type { DroppedRange } from './contract.ts'
import type { SealEnvironment } from './seal.ts'
import type { SegmentEnvironment } from './segment.ts'
import type { TailTotals } from './tail.ts'

export interface PartitionEnvironment extends SegmentEnvironment, SealEnvironment {
  /** So long after the first refusal a place that the device refuses to read counts as damaged. */
  readonly unreadablePatienceMs: number
  /** Of all partitions of the store together. */
  readonly tails: TailTotals
  nowMs(): number
  /** A reader met damage. Resolves when that is counted durably, or cannot be now. */
  onDamage(range: DroppedRange): Promise<void>
  /** This damage was reported before, in this life or an earlier one. */
  isReported(range: DroppedRange): boolean
}

/** Bytes that wait for their commit. */
export interface ReservedBytes {
  reserve(bytes: number): void
  release(bytes: number): void
}

/** Where the bytes of a partition are counted. */
export interface BytesAccount extends ReservedBytes {
  /** Segments or tail have changed. */
  touch(): void
}

export interface PartitionPlace {
  readonly topicName: string
  readonly topicNumber: number
  readonly partitionIndex: number
  readonly directory: string
  readonly account: BytesAccount
}

// One partition: segments on disk, then the tail in memory, then what a commit is making durable.
//
//   logStartOffset          sealedEndOffset        highWatermark = nextOffset of the last completed commit
//   ├── segment ─┬─ segment ─┤───── tail ────────────┤· · · commit in flight · · ·
//
// Invariants:
//   P1  logStartOffset <= sealedEndOffset <= highWatermark. Readers see below the high watermark, and all of it is durable.
//   P2  Offsets are given by the group commit from highWatermark on and count only when the commit succeeded: a refused append leaves no hole.
//   P3  Damaged bytes are never returned: a read goes on behind them and reports the range once.
// Not here: when to commit (group-commit.ts), seal (seal.ts), delete (retention.ts).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import { type Offset, toOffset } from '../base/offset.ts'
import { readBatchHeader } from '../core/batch-header.ts'
import type { BatchHeader } from '../core/record.ts'
import type { BlockCodec } from '../io/codec.ts'
import { DiskError } from '../io/disk.ts'
import { decompressBatch } from './batch-codec.ts'
import type { AbortedTransaction, DroppedRange, Partition, ReadResult } from './contract.ts'
import { IncarnationOffsets } from './incarnation-offsets.ts'
import type { Beginning } from './lineage.ts'
import type { Segment, SegmentEnvironment } from './segment.ts'
import { type DamagedRange, readSegment } from './segment-read.ts'
import type { SegmentShare } from './segment-share.ts'
import { Tail } from './tail.ts'
import { isCommitted, TransactionIndex } from './transaction-index.ts'

export interface PartitionEnvironment extends SegmentEnvironment {
  readonly codec: BlockCodec
  /** So long after the first refusal a place that the device refuses to read counts as damaged. */
  readonly unreadablePatienceMs: number
  nowMs(): number
  onDropped(range: DroppedRange): void
  /** This damage was reported before, in this life or an earlier one. */
  isReported(range: DroppedRange): boolean
}

/** Where the bytes of a partition are counted. */
export interface BytesAccount {
  /** They wait for their commit. */
  reserve(bytes: number): void
  release(bytes: number): void
  /** Segments or tail have changed. */
  touch(): void
}

export class PartitionLog implements Partition {
  readonly topicName: string
  readonly topicNumber: number
  readonly partitionIndex: number
  readonly directory: string
  readonly env: PartitionEnvironment
  readonly account: BytesAccount
  /** See segmentShareOf; set when the topic's settings are known. */
  share: SegmentShare = { segmentBytes: Number.POSITIVE_INFINITY, sealBytes: Number.POSITIVE_INFINITY }
  readonly tail = new Tail()
  readonly incarnations: IncarnationOffsets
  readonly transactions = new TransactionIndex()
  readonly segments: Segment[] = []
  /** Directory entries were made or removed since the last syncDirectory. */
  isDirectoryDirty = false
  /** The partition's own directory exists. */
  hasDirectory = false
  /** Empty files of deleted segments, to be removed when the log start is in a durable snapshot. */
  retired: string[] = []
  /** Kept by removals.ts. */
  isLogStartDurable = true
  /** Below it everything is at the centre. */
  deliveredOffset = 0
  /** Serialises seal, roll and deletion. */
  work: Promise<void> = Promise.resolve()
  #logStartOffset = 0
  #highWatermark = 0
  readonly #listeners = new Set<() => void>()
  readonly #reportedDamage = new Set<string>()
  /** Place → when the device first refused to read it. */
  readonly #unreadableSinceMs = new Map<string, number>()

  constructor(
    place: { topicName: string; topicNumber: number; partitionIndex: number; directory: string; account: BytesAccount },
    env: PartitionEnvironment
  ) {
    this.account = place.account
    this.topicName = place.topicName
    this.topicNumber = place.topicNumber
    this.partitionIndex = place.partitionIndex
    this.directory = place.directory
    this.incarnations = new IncarnationOffsets(place.topicNumber, place.partitionIndex)
    this.env = env
  }

  get logStartOffset(): Offset {
    return toOffset(this.#logStartOffset)
  }

  get highWatermark(): Offset {
    return toOffset(this.#highWatermark)
  }

  get lastStableOffset(): Offset {
    return this.transactions.lastStableOffset(this.#highWatermark)
  }

  abortedBetween(startOffset: number, endOffset: number): readonly AbortedTransaction[] {
    return this.transactions.abortedBetween(startOffset, endOffset)
  }

  /** Where the segments end. */
  get sealedEndOffset(): number {
    return this.segments.at(-1)?.nextOffset ?? this.#logStartOffset
  }

  get activeSegment(): Segment | null {
    return this.segments.at(-1) ?? null
  }

  get segmentBytes(): number {
    let bytes = 0
    for (const segment of this.segments) bytes += segment.sizeBytes
    return bytes
  }

  /** Set by recovery, before anybody reads. */
  restore(offsets: { logStartOffset: number; nextOffset: number }): void {
    this.#logStartOffset = offsets.logStartOffset
    this.#highWatermark = Math.max(offsets.nextOffset, offsets.logStartOffset)
  }

  /** A commit with this batch was synced (or replayed): it becomes visible. The bytes are copied. */
  onCommitted(batch: Uint8Array, commit: { sequence: number; nowMs: number }): void {
    const header = readBatchHeader(batch)
    assert(header !== null, 'committed a batch without a header')
    assert(header.baseOffset >= this.#highWatermark, `committed ${header.baseOffset} below ${this.#highWatermark}`)
    assert(header.batchBytes === batch.byteLength, `a batch of ${header.batchBytes} bytes in ${batch.byteLength}`)
    this.tail.push(batch, { sequence: commit.sequence, addedMs: commit.nowMs })
    this.transactions.onBatch(header, () => this.env.core.readRecords(batch)[0]?.key ?? null)
    this.#highWatermark = header.lastOffset + 1
    this.account.touch()
  }

  /** Next offsets start here: a hole that recovery found. */
  skipTo(offset: number): void {
    this.#highWatermark = Math.max(this.#highWatermark, offset)
  }

  advanceLogStart(offset: number): void {
    this.#logStartOffset = Math.max(this.#logStartOffset, offset)
    this.transactions.forgetBelow(this.#logStartOffset)
  }

  firstOffsetAfter(incarnation: number): Offset | null {
    const offset = this.incarnations.firstAfter(incarnation)
    return offset === null ? null : toOffset(offset)
  }

  beginningsSince(incarnation: number): readonly Beginning[] {
    return this.incarnations.since(incarnation)
  }

  onAdvance(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  notify(): void {
    for (const listener of this.#listeners) listener()
  }

  async read(offset: Offset, options: { bytesMax: number }): Promise<ReadResult> {
    for (;;) {
      this.#checkRange(offset)
      const tailStart = this.tail.startOffset
      if (tailStart !== null && offset >= tailStart) return this.#readTail(offset, options.bytesMax)
      const segment = this.#segmentFor(offset)
      if (!segment) return { batches: [], nextOffset: toOffset(tailStart ?? this.#highWatermark) }
      try {
        return await this.#readSegment(segment, offset, options.bytesMax)
      } catch (error) {
        // Retention took the segment while we were reading it: look again.
        const isTaken = segment.isRetiring || !this.segments.includes(segment)
        if (error instanceof DiskError && error.code === 'ENOENT' && isTaken) continue
        throw error
      }
    }
  }

  async readCommitted(offset: Offset, options: { bytesMax: number }): Promise<ReadResult> {
    const limit = this.lastStableOffset
    this.#checkRange(offset)
    if (offset >= limit) return { batches: [], nextOffset: offset }
    const aborted = this.abortedBetween(offset, limit) // before the read: retention may move the log start meanwhile
    const { batches, nextOffset } = await this.read(offset, options)
    return {
      batches: batches.filter((batch) => isCommitted(readBatchHeader(batch) as BatchHeader, limit, aborted)),
      nextOffset: toOffset(Math.min(nextOffset, limit))
    }
  }

  #checkRange(offset: number): void {
    if (offset >= this.#logStartOffset && offset <= this.#highWatermark) return
    throw new WadiError('WADI_OFFSET_OUT_OF_RANGE', {
      happened: `Offset ${offset} of ${this.topicName}-${this.partitionIndex} is outside ${this.#logStartOffset} to ${this.#highWatermark}.`,
      kept: 'The log is unchanged.',
      next: 'Read from the log start or the end.',
      facts: { topic: this.topicName, partition: this.partitionIndex, offset, logStartOffset: this.#logStartOffset }
    })
  }

  #readTail(offset: number, bytesMax: number): ReadResult {
    const batches: Uint8Array[] = []
    let bytes = 0
    let nextOffset = offset
    for (const { batch, lastOffset } of this.tail.from(offset)) {
      if (batches.length > 0 && bytes + batch.byteLength > bytesMax) break
      batches.push(batch)
      bytes += batch.byteLength
      nextOffset = lastOffset + 1
    }
    return { batches, nextOffset: toOffset(batches.length === 0 ? this.#highWatermark : nextOffset) }
  }

  /** The segment that holds `offset` or, in a hole, the next one. */
  #segmentFor(offset: number): Segment | null {
    let low = 0
    let high = this.segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.segments[middle] as Segment).nextOffset <= offset) low = middle + 1
      else high = middle
    }
    return this.segments[low] ?? null
  }

  async #readSegment(segment: Segment, offset: number, bytesMax: number): Promise<ReadResult> {
    const { batches, nextOffset, damage } = await readSegment(this.env.core, segment, { offset, bytesMax })
    for (const range of damage) this.#passOver(segment, range)
    return { batches, nextOffset: toOffset(nextOffset) }
  }

  /**
   * Readers go on behind damage, and it is reported once. What the device refuses to read is not taken for lost at once: a card that was pulled, or
   * resets itself, may be there again in a moment. @throws DiskError meanwhile
   */
  #passOver(segment: Segment, { positionBytes, startOffset, endOffset, isUnreadable }: DamagedRange): void {
    const key = `${segment.baseOffset}:${positionBytes}`
    if (this.#reportedDamage.has(key)) return
    const range: DroppedRange = {
      topicName: this.topicName,
      partitionIndex: this.partitionIndex,
      startOffset: toOffset(startOffset),
      endOffset: toOffset(endOffset),
      reason: 'damage',
      isDelivered: endOffset <= this.deliveredOffset
    }
    if (isUnreadable && !this.env.isReported(range)) {
      const nowMs = this.env.nowMs()
      const sinceMs = this.#unreadableSinceMs.get(key) ?? nowMs
      this.#unreadableSinceMs.set(key, sinceMs)
      if (nowMs - sinceMs < this.env.unreadablePatienceMs) {
        const detail = `offsets ${startOffset} to ${endOffset - 1} cannot be read now`
        throw new DiskError('EIO', { operation: 'read', path: segment.logPath, detail })
      }
    }
    this.#unreadableSinceMs.delete(key)
    this.#reportedDamage.add(key)
    this.env.onDropped(range)
  }

  async offsetForTime(timestampMs: number): Promise<{ offset: Offset; timestampMs: number } | null> {
    let offset: number | null = null
    for (const segment of [...this.segments]) {
      if (segment.nextOffset <= this.#logStartOffset || (await segment.maxTimestampMs()) < timestampMs) continue
      offset = Math.max(this.#logStartOffset, (await segment.index()).offsetBefore(this.env.core, timestampMs))
      break
    }
    offset ??= this.tail.startOffset
    while (offset !== null && offset < this.#highWatermark) {
      const { batches, nextOffset } = await this.read(toOffset(Math.max(offset, this.#logStartOffset)), { bytesMax: 1 })
      for (const batch of batches) {
        const found = await this.#firstRecordAt(batch, timestampMs)
        if (found) return found
      }
      if (nextOffset <= offset) return null
      offset = nextOffset
    }
    return null
  }

  async #firstRecordAt(batch: Uint8Array, timestampMs: number): Promise<{ offset: Offset; timestampMs: number } | null> {
    const header = readBatchHeader(batch) as BatchHeader
    if (header.maxTimestampMs < timestampMs) return null
    try {
      const plain = await decompressBatch(this.env.core, this.env.codec, batch)
      const record = this.env.core.readRecords(plain).find((r) => r.timestampMs >= timestampMs && r.offset >= this.#logStartOffset)
      return record ? { offset: record.offset, timestampMs: record.timestampMs } : null
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      // What a Kafka client compressed and we cannot open (nonsense, or far larger than we take): its first offset misses nothing.
      return { offset: toOffset(Math.max(header.baseOffset, this.#logStartOffset)), timestampMs: header.maxTimestampMs }
    }
  }

  bytesFrom(offset: Offset): number {
    let bytes = 0
    for (const segment of this.segments) {
      if (segment.nextOffset <= offset) continue
      const records = segment.nextOffset - segment.baseOffset
      const share = offset <= segment.baseOffset ? 1 : (segment.nextOffset - offset) / Math.max(1, records)
      bytes += Math.round(segment.sizeBytes * share)
    }
    return bytes + this.tail.bytesFrom(offset)
  }
}

/** Runs behind whatever else works on the partition's files. */
export function withPartition<T>(partition: PartitionLog, work: () => Promise<T>): Promise<T> {
  const run = partition.work.then(work)
  partition.work = run.then(
    () => undefined,
    () => undefined
  )
  return run
}

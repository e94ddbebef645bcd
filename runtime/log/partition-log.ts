// One partition: segments on disk, then the tail in memory, then what a commit is making durable.
//
//   logStartOffset          sealedEndOffset        highWatermark = nextOffset of the last completed commit
//   ├── segment ─┬─ segment ─┤───── tail ────────────┤· · · commit in flight · · ·
//
// Invariants:
//   P1  logStartOffset <= sealedEndOffset <= highWatermark. Readers see below the high watermark, and all of it is durable.
//   P2  Offsets are given by the group commit from highWatermark on and count only when the commit succeeded: a refused append leaves no hole.
//   P3  Damaged bytes are never returned: a read goes on behind them and reports the range once.
//   P4  Batches leave the tail only when the write that brought them into a segment came back: a reader finds every offset in one of both.
//   P5  Seal, sync, roll and deletion run one behind the other; reads beside them.
// Segments, tail and offsets change only here: others call methods and get read-only views.
// Not here: when to commit (group-commit.ts), seal (upkeep.ts) or delete (retention.ts); files (partition-segments.ts).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import { type Offset, toOffset } from '../base/offset.ts'
import { readBatchHeader, TIMESTAMP_TYPE_BIT } from '../core/batch-header.ts'
import type { BatchHeader } from '../core/record.ts'
import { DiskError } from '../io/disk.ts'
import { decompressBatch } from './batch-codec.ts'
import type {
  AbortedTransaction,
  DroppedRange,
  OffsetRange,
  Partition,
  ReadResult,
  StableRead,
  StateChange,
  StoredBatch
} from './contract.ts'
import { IncarnationOffsets } from './incarnation-offsets.ts'
import type { Beginning } from './lineage.ts'
import { missingBetween } from './missing-ranges.ts'
import { uncoveredParts } from './offset-ranges.ts'
import type { BytesAccount, PartitionEnvironment, PartitionPlace, ReservedBytes } from './partition-environment.ts'
import { type Coverage, type KnownPoint, recoverSegments } from './partition-recovery.ts'
import { PartitionSegments } from './partition-segments.ts'
import type { RecoveryReport } from './recovery-report.ts'
import { type SealOptions, sealFront } from './seal.ts'
import type { Segment } from './segment.ts'
import { type DamagedRange, readSegment } from './segment-read.ts'
import type { SegmentShare } from './segment-share.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import type { StateReader } from './state-area.ts'
import { onlyFull, topicUnknown } from './store-errors.ts'
import { Tail, type TailView } from './tail.ts'
import { isCommitted, TransactionIndex, type TransactionsOfPartition } from './transaction-index.ts'

/** The oldest segment as it was when somebody chose it. It may be the one that grows; what came behind `nextOffset` is not meant. */
export interface OldestSegment {
  readonly segment: Segment
  readonly nextOffset: number
}

export class PartitionLog implements Partition {
  readonly topicName: string
  readonly topicNumber: number
  readonly partitionIndex: number
  readonly directory: string
  readonly #env: PartitionEnvironment
  readonly #account: BytesAccount
  readonly #segments: PartitionSegments
  readonly #tail: Tail
  readonly #incarnations: IncarnationOffsets
  readonly #transactions = new TransactionIndex()
  readonly #listeners = new Set<() => void>()
  /** Place → what of it was reported. The place can grow, and who begins in the middle of it sees less of it. */
  readonly #reportedDamage = new Map<string, readonly OffsetRange[]>()
  /** Place → when the device first refused to read it. */
  readonly #unreadableSinceMs = new Map<string, number>()
  #isDeleted = false
  #share: SegmentShare = {
    segmentBytes: Number.POSITIVE_INFINITY,
    sealBytes: Number.POSITIVE_INFINITY,
    segmentAgeMs: Number.POSITIVE_INFINITY
  }
  #logStartOffset = 0
  #isLogStartDurable = true
  #highWatermark = 0
  #appendedBytes = 0
  #deliveredOffset = 0
  /** The last of the work that runs one behind the other. */
  #work: Promise<void> = Promise.resolve()

  constructor(place: PartitionPlace, env: PartitionEnvironment) {
    this.#account = place.account
    this.topicName = place.topicName
    this.topicNumber = place.topicNumber
    this.partitionIndex = place.partitionIndex
    this.directory = place.directory
    this.#incarnations = new IncarnationOffsets(place.topicNumber, place.partitionIndex)
    this.#env = env
    this.#segments = new PartitionSegments(env, place.directory)
    this.#tail = new Tail(env.tails)
  }

  get isDeleted(): boolean {
    return this.#isDeleted
  }

  get logStartOffset(): Offset {
    return toOffset(this.#logStartOffset)
  }

  get highWatermark(): Offset {
    return toOffset(this.#highWatermark)
  }

  get appendedBytes(): number {
    return this.#appendedBytes
  }

  /** false: the log start was moved, and no commit or snapshot that says so is known to be durable. */
  get isLogStartDurable(): boolean {
    return this.#isLogStartDurable
  }

  get deliveredOffset(): number {
    return this.#deliveredOffset
  }

  get lastStableOffset(): Offset {
    return toOffset(Math.max(this.#transactions.lastStableOffset(this.#highWatermark), this.#logStartOffset))
  }

  abortedBetween(startOffset: number, endOffset: number): readonly AbortedTransaction[] {
    return this.#transactions.abortedBetween(startOffset, endOffset)
  }

  /** Where the segments end. */
  get sealedEndOffset(): number {
    return this.#segments.active?.nextOffset ?? this.#logStartOffset
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments.all
  }

  get segmentBytes(): number {
    return this.#segments.bytes
  }

  get tail(): TailView {
    return this.#tail
  }

  /** How large its segments and tails are meant to be. */
  get share(): SegmentShare {
    return this.#share
  }

  setShare(share: SegmentShare): void {
    this.#share = share
  }

  /** For bytes that wait for their commit. */
  get account(): ReservedBytes {
    return this.#account
  }

  // -- The start

  /**
   * Takes over the segments that are on the disk, as far as they can be trusted. Before the first read.
   * @returns the offset up to which a gap at the start of the log is retention's, not damage. @throws DiskError
   */
  async recover(
    known: KnownPoint | null,
    { coverage, isJournalWhole }: { coverage: Coverage; isJournalWhole: boolean },
    report: RecoveryReport
  ): Promise<number> {
    const { topicName, partitionIndex } = this
    const of = { topicName, partitionIndex, deliveredOffset: this.#deliveredOffset }
    const place = { ...of, segments: this.#segments, env: this.#env, isJournalWhole }
    const { logStartOffset, nextOffset, untilOffset } = await recoverSegments(place, known, coverage, report)
    this.#logStartOffset = logStartOffset
    this.#highWatermark = Math.max(nextOffset, logStartOffset)
    this.#account.touch()
    return untilOffset
  }

  /** As the last commit has it; the partition forgets what it knew. */
  restoreTransactions(transactions: TransactionsOfPartition): void {
    this.#transactions.restore(transactions)
  }

  restoreIncarnations(state: Pick<StateReader, 'getState'>, keysOfTopic: readonly string[]): void {
    this.#incarnations.restore(state, keysOfTopic)
  }

  // -- Commits

  /** A commit with this batch was synced (or replayed): it becomes visible. The bytes are copied. */
  onCommitted(batch: Uint8Array, commit: { sequence: number; nowMs: number }): void {
    const header = readBatchHeader(batch)
    assert(header !== null, 'committed a batch without a header')
    assert(header.baseOffset >= this.#highWatermark, `committed ${header.baseOffset} below ${this.#highWatermark}`)
    assert(header.batchBytes === batch.byteLength, `a batch of ${header.batchBytes} bytes in ${batch.byteLength}`)
    this.#tail.push(batch, { sequence: commit.sequence, addedMs: commit.nowMs })
    this.#transactions.onBatch(header, () => this.#env.core.readRecords(batch)[0]?.key ?? null)
    this.#highWatermark = header.lastOffset + 1
    this.#appendedBytes += batch.byteLength
    this.#account.touch()
  }

  /** What a commit must say when `incarnation` writes its first batch here, at `startOffset`; empty when it has written before. */
  changesForIncarnation(incarnation: number, startOffset: number): StateChange[] {
    if (!this.#incarnations.isNew(incarnation)) return []
    return this.#incarnations.changesFor(incarnation, startOffset, this.#logStartOffset)
  }

  /** A commit of `incarnation` is durable, whose first batch here begins at `startOffset`. */
  onIncarnation(incarnation: number, startOffset: number): void {
    if (this.#incarnations.isNew(incarnation)) this.#incarnations.apply(incarnation, startOffset, this.#logStartOffset)
  }

  /** Next offsets start here: a hole that recovery found. */
  skipTo(offset: number): void {
    this.#highWatermark = Math.max(this.#highWatermark, offset)
  }

  firstOffsetAfter(incarnation: number): Offset | null {
    const offset = this.#incarnations.firstAfter(incarnation)
    return offset === null ? null : toOffset(offset)
  }

  beginningsSince(incarnation: number): readonly Beginning[] {
    return this.#incarnations.since(incarnation)
  }

  // -- Work on the files

  /** All that is in the tail now becomes part of a segment. @throws DiskError: what was not written stays in the tail */
  seal(options: SealOptions): Promise<void> {
    return this.#behindOthers(async () => {
      if (this.#isDeleted) return
      const untilOffset = this.#highWatermark
      for (;;) {
        const { startOffset } = this.#tail
        if (startOffset === null || startOffset >= untilOffset) return
        const sealed = await sealFront(this.#tail, this.#env, options)
        for (let at = 0; at < sealed.length; ) {
          const written = sealed.slice(at, at + (await this.#segments.append(sealed.slice(at), options)))
          this.#tail.drop(written.reduce((sum, { count }) => sum + count, 0))
          this.#account.touch()
          at += written.length
        }
      }
    })
  }

  /**
   * Segments and directory survive a power cut. `retired` is for removeRetired(), when a snapshot with `point` is durable. null: the topic was deleted.
   * @throws DiskError
   */
  sync(): Promise<{ point: RecoveryPoint; retired: readonly string[] } | null> {
    return this.#behindOthers(async () => {
      if (this.#isDeleted) return null
      const retired = await this.#segments.sync()
      const { active } = this.#segments
      const place = [this.topicNumber, this.partitionIndex, this.#logStartOffset] as const
      const end = [active?.baseOffset ?? -1, active?.syncedBytes ?? 0, this.sealedEndOffset] as const
      return { point: [...place, ...end, this.#deliveredOffset], retired }
    })
  }

  /** What recover() found survives a power cut. @throws DiskError, which is final */
  syncFound(): Promise<void> {
    return this.#behindOthers(() => this.#segments.syncEvents())
  }

  removeRetired(retired: readonly string[]): Promise<void> {
    return this.#segments.removeRetired(retired)
  }

  /** The oldest segment; null when there is none, or nothing in it. */
  get oldest(): OldestSegment | null {
    const segment = this.#segments.first
    return !segment || segment.sizeBytes === 0 || this.#isDeleted ? null : { segment, nextOffset: segment.nextOffset }
  }

  /**
   * Nothing more comes into the oldest segment: it is rolled when it is the only one. false when it has grown since `oldest` was asked for, or is not
   * the oldest any more. @throws DiskError; when only the room is missing it is not rolled, and evict() looks again
   */
  closeOldest(oldest: OldestSegment): Promise<boolean> {
    return this.#behindOthers(async () => {
      if (this.#isDeleted || !this.#isOldest(oldest)) return false
      if (this.#segments.all.length === 1) await this.#segments.roll(oldest.nextOffset).catch(onlyFull)
      return true
    })
  }

  /**
   * Deletes the oldest segment, unless it has grown since `oldest` was asked for. Its offsets must lie below the log start.
   * When the disk refuses, the segment stays as it was, below the log start: a later round tries again. @throws DiskError
   */
  evict(oldest: OldestSegment): Promise<void> {
    return this.#behindOthers(async () => {
      if (this.#isDeleted || !this.#isOldest(oldest)) return // there was no room to roll, and it has grown
      assert(oldest.nextOffset <= this.#logStartOffset, `${oldest.segment.logPath} reaches above the log start ${this.#logStartOffset}`)
      const { segment, retired } = await this.#segments.retireFirst()
      this.#account.touch()
      await segment.discard(retired)
    })
  }

  #isOldest({ segment, nextOffset }: OldestSegment): boolean {
    return this.#segments.first === segment && segment.nextOffset === nextOffset
  }

  /** Compaction has left nothing of these aborted transactions: by the offsets of their markers. */
  forgetAborted(markerOffsets: ReadonlySet<number>): void {
    this.#transactions.forget(markerOffsets)
  }

  /** Compaction: another file with the same offsets takes the place of a segment's. @returns false when it cannot now. @throws DiskError: of a sync it is final */
  replaceSegment(segment: Segment, file: { path: string; sizeBytes: number }): Promise<boolean> {
    return this.#behindOthers(async () => {
      if (this.#isDeleted) return false
      const isReplaced = await this.#segments.replace(segment, file)
      this.#account.touch()
      return isReplaced
    })
  }

  /** The log starts at `offset` now, if it started before it. */
  advanceLogStart(offset: number): void {
    this.#logStartOffset = Math.max(this.#logStartOffset, offset)
    this.#transactions.forgetBelow(this.#logStartOffset)
  }

  /** Whether a crash can bring back what lies below the log start. */
  setLogStartDurable(isDurable: boolean): void {
    this.#isLogStartDurable = isDurable
  }

  /** Everything below `offset` is at the centre. Never goes back. */
  setDelivered(offset: number): void {
    this.#deliveredOffset = Math.max(this.#deliveredOffset, offset)
  }

  /** The topic was deleted: from now on nothing is read, written or kept here. Resolves when no work goes on on the files, and they are closed. @throws DiskError */
  delete(): Promise<void> {
    this.#isDeleted = true
    this.notify()
    return this.#behindOthers(() => {
      this.#tail.drop(this.#tail.count) // not beside a seal, which works on what it has seen there
      return this.#segments.close()
    })
  }

  /** Closes all files, when nothing works on them any more. */
  async close(): Promise<void> {
    await this.#segments.close()
  }

  #behindOthers<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#work.then(work)
    this.#work = run.then(
      () => undefined,
      () => undefined
    )
    return run
  }

  // -- Readers

  onAdvance(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  notify(): void {
    for (const listener of this.#listeners) listener()
  }

  async read(offset: Offset, options: { bytesMax: number }): Promise<ReadResult> {
    for (;;) {
      if (this.#isDeleted) throw topicUnknown(this.topicName)
      this.#checkRange(offset)
      const tailStart = this.#tail.startOffset
      if (tailStart !== null && offset >= tailStart) return this.#readTail(offset, options.bytesMax)
      const segment = this.#segments.at(offset)
      if (!segment) return { batches: [], nextOffset: toOffset(tailStart ?? this.#highWatermark) }
      try {
        return await this.#readSegment(segment, offset, options.bytesMax)
      } catch (error) {
        // Retention took the segment while we were reading it: look again.
        if (error instanceof DiskError && error.code === 'ENOENT' && (this.#isDeleted || this.#segments.isGone(segment))) continue
        throw error
      }
    }
  }

  async readCommitted(offset: Offset, options: { bytesMax: number }): Promise<StableRead> {
    const limit = this.lastStableOffset
    if (this.#isDeleted) throw topicUnknown(this.topicName)
    this.#checkRange(offset)
    if (offset >= limit) return { batches: [], nextOffset: offset, missing: [] }
    const aborted = this.abortedBetween(offset, limit) // before the read: retention may move the log start meanwhile
    const read = await this.read(offset, options)
    const nextOffset = toOffset(Math.min(read.nextOffset, limit))
    return {
      batches: read.batches.filter(({ header }) => isCommitted(header, limit, aborted)),
      nextOffset,
      missing: missingBetween(read.batches, offset, nextOffset)
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
    for (const { batch, lastOffset } of this.#tail.from(offset)) {
      if (batches.length > 0 && bytes + batch.byteLength > bytesMax) break
      batches.push(batch)
      bytes += batch.byteLength
      nextOffset = lastOffset + 1
    }
    return { batches: copiesOf(batches, bytes), nextOffset: toOffset(batches.length === 0 ? this.#highWatermark : nextOffset) }
  }

  async #readSegment(segment: Segment, offset: number, bytesMax: number): Promise<ReadResult> {
    const { batches, nextOffset, damage } = await readSegment(this.#env.core, segment, { offset, bytesMax })
    for (const range of damage) await this.#passOver(segment, range)
    return { batches, nextOffset: toOffset(nextOffset) }
  }

  /**
   * Readers go on behind damage, and it is reported once, and counted before they do: nobody may come back to it. What a known place takes later is new.
   * What the device refuses to read is not taken for lost at once: a card that was pulled, or resets itself, may be there again in a moment.
   * @throws DiskError meanwhile
   */
  async #passOver(segment: Segment, { positionBytes, startOffset, endOffset, isUnreadable }: DamagedRange): Promise<void> {
    const key = `${segment.baseOffset}:${positionBytes}`
    if (this.#isDeleted || uncoveredParts({ startOffset, endOffset }, this.#reportedDamage.get(key) ?? []).length === 0) return
    const range: DroppedRange = {
      topicName: this.topicName,
      partitionIndex: this.partitionIndex,
      startOffset: toOffset(startOffset),
      endOffset: toOffset(endOffset),
      reason: 'damage',
      isDelivered: endOffset <= this.#deliveredOffset
    }
    if (isUnreadable && !this.#env.isReported(range)) {
      const nowMs = this.#env.nowMs()
      const sinceMs = this.#unreadableSinceMs.get(key) ?? nowMs
      this.#unreadableSinceMs.set(key, sinceMs)
      if (nowMs - sinceMs < this.#env.unreadablePatienceMs) {
        const detail = `offsets ${startOffset} to ${endOffset - 1} cannot be read now`
        throw new DiskError('EIO', { operation: 'read', path: segment.logPath, detail })
      }
    }
    this.#unreadableSinceMs.delete(key)
    await this.#env.onDamage(range)
    const others = (this.#reportedDamage.get(key) ?? []).filter((known) => uncoveredParts(known, [range]).length > 0)
    this.#reportedDamage.set(key, [...others, range])
  }

  async offsetForTime(timestampMs: number): Promise<{ offset: Offset; timestampMs: number } | null> {
    for (;;) {
      const startOffset = this.#logStartOffset
      try {
        return await this.#findTime(timestampMs)
      } catch (error) {
        // Retention took what we were looking at: look again, at what is left.
        if (this.#isDeleted) throw topicUnknown(this.topicName)
        if (this.#logStartOffset === startOffset) throw error
      }
    }
  }

  async #findTime(timestampMs: number): Promise<{ offset: Offset; timestampMs: number } | null> {
    let offset: number | null = null
    for (const segment of [...this.#segments.all]) {
      if (segment.nextOffset <= this.#logStartOffset || (await segment.maxTimestampMs()) < timestampMs) continue
      offset = Math.max(this.#logStartOffset, (await segment.index()).offsetBefore(this.#env.core, timestampMs))
      break
    }
    offset ??= this.#tail.startOffset
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

  async #firstRecordAt({ header, bytes }: StoredBatch, timestampMs: number): Promise<{ offset: Offset; timestampMs: number } | null> {
    if (header.maxTimestampMs < timestampMs) return null
    const first = toOffset(Math.max(header.baseOffset, this.#logStartOffset))
    if ((header.attributes & TIMESTAMP_TYPE_BIT) !== 0) return { offset: first, timestampMs: header.maxTimestampMs }
    try {
      const plain = await decompressBatch(this.#env.core, this.#env.codec, bytes)
      const record = this.#env.core.readRecords(plain).find((r) => r.timestampMs >= timestampMs && r.offset >= this.#logStartOffset)
      return record ? { offset: record.offset, timestampMs: record.timestampMs } : null
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      // What a Kafka client compressed and we cannot open (nonsense, or far larger than we take): its first offset misses nothing.
      return { offset: first, timestampMs: header.maxTimestampMs }
    }
  }

  bytesFrom(offset: Offset): number {
    let bytes = 0
    for (const segment of this.#segments.all) {
      if (segment.nextOffset <= offset) continue
      const records = segment.nextOffset - segment.baseOffset
      const share = offset <= segment.baseOffset ? 1 : (segment.nextOffset - offset) / Math.max(1, records)
      bytes += Math.round(segment.sizeBytes * share)
    }
    return bytes + this.#tail.bytesFrom(offset)
  }
}

/** In one piece of memory: views of the tail are good for a moment only. */
function copiesOf(batches: readonly Uint8Array[], bytes: number): StoredBatch[] {
  const memory = new Uint8Array(bytes)
  let at = 0
  return batches.map((batch) => {
    memory.set(batch, at)
    at += batch.byteLength
    const copy = memory.subarray(at - batch.byteLength, at)
    return { header: readBatchHeader(copy) as BatchHeader, bytes: copy }
  })
}

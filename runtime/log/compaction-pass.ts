// One pass of compaction over one partition: the newest offset of each key goes into the key map, then every segment that would lose a third of its bytes by it is written anew.
//
// Where a pass begins with its keys (`mapFrom`): at what is new when nothing superfluous was left by the passes before, else at the begin of the log, so that what each of them
// left adds up; where the map was full, at the first batch that found no room, until one pass has come to the end.
//
// A record that deletes its key goes when a pass has seen it long ago and nothing that it supersedes is left in front of it, or that would be read again: deletions
// that may go are in the key map too, each segment in front loses what they supersede or, when it is left as it is, makes them stay (Core.openKeyMap, "stays").
//
// A pass that is cut off begins again: nothing it did is wrong, and the state says less than was done. Settings are asked again at each step: a topic that is not compacted any
// more, or is to be delivered now, is let go at once.
// Not for: which partition and when (compaction.ts), what is left of a segment (segment-compaction.ts), the file's change of place (segment.ts).

import { CONTROL_BIT } from '../core/batch-header.ts'
import type { Core, KeyMap } from '../core/core.ts'
import type { BatchHeader } from '../core/record.ts'
import { type Clock, sleep } from '../io/clock.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import type { Disk } from '../io/disk.ts'
import { withOpened } from './batch-codec.ts'
import { type CompactableRange, rulesOf } from './compaction-rules.ts'
import type { AbortedTransaction, StoredBatch } from './contract.ts'
import { CLEANED_SUFFIX } from './layout.ts'
import type { PartitionLog } from './partition-log.ts'
import { CLOCK_SET_FROM_MS } from './retention.ts'
import type { Segment } from './segment.ts'
import { SegmentCompaction } from './segment-compaction.ts'
import { readPieces } from './segment-read.ts'
import { onlyDisk } from './store-errors.ts'
import type { StoreMeter } from './store-meter.ts'
import type { StoredTopic } from './stored-topic.ts'
import { isCommitted } from './transaction-index.ts'

export interface CompactionRecord {
  /** Everything below was looked at by a pass. */
  readonly end: number
  /** Where the next pass begins with its keys. */
  readonly mapFrom: number
  /** Passes: everything below this offset was compacted at this time (ms of the wall clock), oldest first. */
  readonly passes: readonly (readonly [number, number])[]
}

const PASSES_MAX = 16
const READ_BYTES = 256 * 1024
/** A pass waits when it is so much ahead of its pace; what is read counts for it, or a quarter of what that is in the clear. */
const AHEAD_MS = 15
const CLEAR_FACTOR = 4
/** A segment is written anew when so much of it goes: what is written for a byte that goes stays bounded. */
const SUPERFLUOUS_SHARE_MIN = 1 / 3
/** A reader that stands in a segment is waited for so often. */
const REPLACE_TRIES = 20
const REPLACE_WAIT_MS = 250

export interface CompactionPassHost {
  readonly core: Core
  readonly codec: BlockCodec
  readonly disk: Disk
  readonly clock: Clock
  readonly meter: StoreMeter
  /** Read and written in a second at most. */
  readonly bytesPerSecond: number
  /** Never touched on the disk. */
  readonly freeBytesMin: number
  codecOf(topic: StoredTopic): CodecName
  freeBytes(): Promise<number>
}

/** The pass ends: it is not wanted any more. */
export class PassUnwanted extends Error {}
/** The pass cannot be ended now: it is tried again later. */
export class PassFailed extends Error {}

interface PassOf {
  readonly topic: StoredTopic
  readonly partition: PartitionLog
  readonly range: CompactableRange
  readonly record: CompactionRecord
}

export class CompactionPass {
  readonly #host: CompactionPassHost
  readonly #of: PassOf
  readonly #keyMap: KeyMap
  readonly #signal: AbortSignal
  /** A record of a segment in front is not known, or may come back: no deletion behind it goes. */
  #isAllKnown = true
  #hasLeftSuperfluous = false
  /** What is in it may be read another day. */
  #hasMetDamage = false
  #aheadMs = 0
  /** Of the batch that was opened last. */
  #clearBytes = 0
  /** Markers of aborted transactions of which a batch is left. */
  readonly #aliveAborts = new Set<number>()

  constructor(host: CompactionPassHost, of: PassOf, keyMap: KeyMap, signal: AbortSignal) {
    this.#host = host
    this.#of = of
    this.#keyMap = keyMap
    this.#signal = signal
  }

  /**
   * @returns what the state is to say, and the markers of aborted transactions that need not be told of any more: nothing of them is left, and who began to read before that has ended.
   * @throws PassUnwanted, PassFailed, DiskError
   */
  async run(): Promise<{ record: CompactionRecord; endedAborts: ReadonlySet<number> }> {
    const { topic, partition, range, record } = this.#of
    await this.#demandRoom(Math.max(...range.segments.map(({ sizeBytes }) => sizeBytes)))
    const wallMs = this.#host.clock.wallMs()
    const { tombstonesMs } = rulesOf(topic.config)
    // Of a clock that was not set yet, or that has gone back since, no time can be told.
    const passes = record.passes.filter(([, atMs]) => atMs >= CLOCK_SET_FROM_MS && atMs <= wallMs)
    const old = passes.filter(([, atMs]) => atMs <= wallMs - tombstonesMs)
    const deletionsUntil = Math.max(0, ...old.map(([end]) => end))
    const mapFrom = Math.max(record.mapFrom, partition.logStartOffset)
    const mapped = await this.#mapKeys(mapFrom)
    if (mapFrom > partition.logStartOffset) await this.#mapDeletions(Math.min(deletionsUntil, mapFrom))
    for (const segment of range.segments) {
      if (segment.baseOffset >= mapped.endOffset) break
      if (segment.nextOffset > partition.logStartOffset) await this.#compactSegment(segment, this.#isAllKnown ? deletionsUntil : 0)
      else if (!partition.isLogStartDurable) this.#isAllKnown = false // retention has its turn, and a crash could undo it
    }
    const end = Math.max(record.end, mapped.endOffset)
    const next = mapped.isFull ? mapped.endOffset : this.#hasLeftSuperfluous ? 0 : end
    const isTimed = wallMs >= CLOCK_SET_FROM_MS
    const endedAborts = this.#endedAborts(mapFrom, Math.min(deletionsUntil, mapped.endOffset))
    const timed = isTimed ? withPass(passes, [end, wallMs], { deletionsUntil, tombstonesMs }) : passes
    return { record: { end, mapFrom: next, passes: timed }, endedAborts }
  }

  /** Markers of those that lie in [fromOffset, untilOffset) and had nothing left when the keys were read. */
  #endedAborts(fromOffset: number, untilOffset: number): ReadonlySet<number> {
    if (this.#hasMetDamage) return new Set()
    const within = this.#of.partition
      .abortedBetween(fromOffset, untilOffset)
      .filter(({ firstOffset, lastOffset }) => firstOffset >= fromOffset && lastOffset < untilOffset)
    return new Set(within.map(({ lastOffset }) => lastOffset).filter((marker) => !this.#aliveAborts.has(marker)))
  }

  /** @returns behind the last batch whose keys are all in the map */
  async #mapKeys(mapFrom: number): Promise<{ endOffset: number; isFull: boolean }> {
    const { range } = this.#of
    for await (const { header, bytes, aborted } of this.#batches(mapFrom, range.endOffset)) {
      if (!isCommitted(header, Number.POSITIVE_INFINITY, aborted)) {
        this.#noteAlive(header, aborted)
        continue
      }
      if ((await this.#addKeys(bytes)) || header.baseOffset <= mapFrom) continue
      return { endOffset: header.baseOffset, isFull: true }
    }
    return { endOffset: range.endOffset, isFull: false }
  }

  /** Deletions that may go, of what is in front of the keys. Those that find no room stay. */
  async #mapDeletions(untilOffset: number): Promise<void> {
    const { partition } = this.#of
    for await (const { header, bytes, aborted } of this.#batches(partition.logStartOffset, untilOffset))
      if (isCommitted(header, Number.POSITIVE_INFINITY, aborted) && !(await this.#addKeys(bytes, untilOffset))) return
  }

  #noteAlive({ attributes, producerId, baseOffset }: BatchHeader, aborted: readonly AbortedTransaction[]): void {
    if ((attributes & CONTROL_BIT) !== 0) return
    for (const { producerId: id, firstOffset, lastOffset } of aborted)
      if (id === producerId && firstOffset <= baseOffset && baseOffset <= lastOffset) this.#aliveAborts.add(lastOffset)
  }

  /** Damage is passed over: what is in it supersedes nothing. */
  async *#batches(
    fromOffset: number,
    untilOffset: number
  ): AsyncGenerator<StoredBatch & { readonly aborted: readonly AbortedTransaction[] }, void, void> {
    for (const segment of this.#of.range.segments) {
      const pieces = readPieces(this.#host.core, segment, { fromOffset, untilOffset, bytesMax: READ_BYTES })
      for await (const { batches, offset, nextOffset, damage } of pieces) {
        if (damage.length > 0) this.#hasMetDamage = true
        const aborted = this.#of.partition.abortedBetween(offset, nextOffset)
        for (const batch of batches) {
          this.#clearBytes = 0
          yield { ...batch, aborted }
          await this.#pause({ storedBytes: batch.bytes.byteLength, clearBytes: this.#clearBytes })
        }
      }
    }
  }

  /** @returns false when there was no room for all of its keys. Of a batch that nobody can open no key is known: it supersedes nothing. */
  async #addKeys(bytes: Uint8Array, deletionsBelow?: number): Promise<boolean> {
    const { core, codec } = this.#host
    const isAdded = await withOpened(core, codec, bytes, (opened) => {
      this.#clearBytes = opened.records.byteLength
      return this.#keyMap.add(opened, deletionsBelow)
    })
    return isAdded ?? true
  }

  async #compactSegment(segment: Segment, deletionsUntil: number): Promise<void> {
    const work = this.#workOn(segment, deletionsUntil)
    const measured = await work.measure()
    if (!measured) {
      this.#isAllKnown = false
      this.#hasLeftSuperfluous = true
      return
    }
    if (measured.hasUnknownKeys) this.#isAllKnown = false
    if (measured.superfluousBytes >= measured.bytes * SUPERFLUOUS_SHARE_MIN)
      return this.#writeAnew(segment, measured.hasUnknownKeys ? this.#workOn(segment, 0) : work)
    if (measured.superfluousBytes > 0) this.#hasLeftSuperfluous = true
    if (measured.deletedRecords > 0 && !(await work.keepDeleted())) this.#isAllKnown = false
  }

  #workOn(segment: Segment, deletionsUntil: number): SegmentCompaction {
    const { partition, topic } = this.#of
    const { core, codec, disk, meter, codecOf } = this.#host
    const aborted = partition.abortedBetween(segment.baseOffset, segment.nextOffset)
    const options = { core, codec, disk, meter, keyMap: this.#keyMap, deletionsUntil, codecName: codecOf(topic), aborted }
    return new SegmentCompaction({ ...options, pause: (done) => this.#pause(done) }, segment)
  }

  async #writeAnew(segment: Segment, work: SegmentCompaction): Promise<void> {
    const { disk, meter } = this.#host
    const sizeBefore = segment.sizeBytes
    await this.#demandRoom(sizeBefore)
    const path = segment.logPath + CLEANED_SUFFIX
    let isReplaced = false
    try {
      const compacted = await work.writeTo(path)
      if (!compacted) {
        this.#isAllKnown = false
        this.#hasLeftSuperfluous = true
        return
      }
      for (let tries = 0; !isReplaced; tries++) {
        if (tries === REPLACE_TRIES) throw new PassFailed() // somebody reads there all the time
        if (tries > 0) await this.#wait(REPLACE_WAIT_MS)
        this.#demandWanted()
        isReplaced = await this.#of.partition.replaceSegment(segment, { path, sizeBytes: compacted.sizeBytes })
      }
      meter.onSegmentCompacted({ removedBytes: sizeBefore - compacted.sizeBytes, ...compacted })
    } finally {
      if (!isReplaced) await disk.remove(path).catch(onlyDisk) // it may not be there; else the next start removes it
    }
  }

  /** The new file lies beside the old one for a moment; on a full disk retention has to make room first. */
  async #demandRoom(bytes: number): Promise<void> {
    if ((await this.#host.freeBytes()) < this.#host.freeBytesMin + bytes) throw new PassFailed()
  }

  #demandWanted(): void {
    const { topic, partition, range } = this.#of
    const { cleanup, isForwarded } = topic.config
    const isDelivered = !isForwarded || range.endOffset <= partition.deliveredOffset
    if (this.#signal.aborted || partition.isDeleted || topic.isEnding || cleanup === 'delete' || !isDelivered) throw new PassUnwanted()
  }

  /** What takes long gives others their turn: codecs, hashing and copying run on this thread. */
  async #pause({ storedBytes, clearBytes }: { storedBytes: number; clearBytes: number }): Promise<void> {
    this.#aheadMs += (Math.max(storedBytes, clearBytes / CLEAR_FACTOR) / this.#host.bytesPerSecond) * 1_000
    if (this.#aheadMs < AHEAD_MS) return
    const delayMs = this.#aheadMs
    this.#aheadMs = 0
    await this.#wait(delayMs)
  }

  async #wait(delayMs: number): Promise<void> {
    await sleep(this.#host.clock, delayMs, this.#signal)
    this.#demandWanted()
  }
}

type Pass = CompactionRecord['passes'][number]

/**
 * Of passes that are so old that their deletions went, the last one is kept; of younger ones that follow each other quickly the last, as if what the others had seen
 * was first seen by it: deletions may stay an eighth longer than they must.
 */
function withPass(
  passes: readonly Pass[],
  pass: Pass,
  { deletionsUntil, tombstonesMs }: { deletionsUntil: number; tombstonesMs: number }
): Pass[] {
  const kept = passes.filter(([end]) => end >= deletionsUntil)
  while (kept.length > 1 && pass[1] - (kept.at(-2) as Pass)[1] < tombstonesMs / 8) kept.pop()
  return [...kept, pass].slice(-PASSES_MAX)
}

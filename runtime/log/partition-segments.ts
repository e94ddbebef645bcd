// The segments of one partition: its directory, the files in it, which of them grows, and the names of deleted ones that a start still needs.
//
// Invariants:
//   - Segments are in order and do not overlap. Only the last one grows; a roll begins the next one.
//   - `bytes` is the sum of their sizes at every moment.
//   - What waits for a sync of the directory or for a durable snapshot (the directory's entries, retired files) is forgotten only after it.
//   - A deleted segment leaves an empty file, named after the offsets it held, until the new log start is in a durable snapshot: what is missing elsewhere is
//     never taken for a deletion.
// Calls that change something are not made at the same time: partition-log.ts runs them one behind the other.
// Errors: DiskError, for the caller to judge. Not here: the tail (tail.ts), what becomes a batch (seal.ts), what may go (retention.ts).

import { assert } from '../base/assert.ts'
import { DiskError } from '../io/disk.ts'
import { type SealedBatch, Segment, type SegmentEnvironment } from './segment.ts'
import { onlyFull } from './store-errors.ts'

/** The index of a segment has 31 bits for an offset. */
const RELATIVE_OFFSET_MAX = 0x7fffffff

export interface SegmentLimits {
  /** A segment is not made larger, unless by a single batch. */
  readonly segmentBytes: number
  /** A segment does not take a batch that is so much younger than its first one. */
  readonly segmentAgeMs: number
}

export class PartitionSegments {
  readonly directory: string
  readonly #env: SegmentEnvironment
  readonly #segments: Segment[] = []
  #bytes = 0
  #hasDirectory = false
  /** Its end is not known, or cannot be written: the next append begins a new one. */
  #isActiveClosed = false
  /** Entries were made or removed since the last sync of the directory. */
  #isDirectoryDirty = false
  /** Paths of the empty files of deleted segments. */
  #retired: string[] = []

  constructor(env: SegmentEnvironment, directory: string) {
    this.#env = env
    this.directory = directory
  }

  /** Oldest first. */
  get all(): readonly Segment[] {
    return this.#segments
  }

  get first(): Segment | null {
    return this.#segments[0] ?? null
  }

  /** The one that grows. */
  get active(): Segment | null {
    return this.#segments.at(-1) ?? null
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Retention has deleted it, or is about to. */
  isGone(segment: Segment): boolean {
    return segment.isRetiring || !this.#segments.includes(segment)
  }

  /** The segment that holds `offset` or, in a hole, the next one. */
  at(offset: number): Segment | null {
    let low = 0
    let high = this.#segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#segments[middle] as Segment).nextOffset <= offset) low = middle + 1
      else high = middle
    }
    return this.#segments[low] ?? null
  }

  // -- Recovery

  /**
   * The directory is there and holds these empty files of deleted segments. Its entries may be newer than its last sync (the process before was
   * killed), and recovery builds on them: it is synced with the next checkpoint.
   */
  onDirectoryFound(retiredNames: readonly string[]): void {
    this.#hasDirectory = true
    this.#isDirectoryDirty = true
    this.#retired = retiredNames.map((name) => `${this.directory}/${name}`)
  }

  /** A segment that is on the disk, behind those that were added before. */
  add(segment: Segment): void {
    const before = this.active
    assert(before === null || segment.baseOffset >= before.nextOffset, `${segment.logPath} begins below the end of the segment before it`)
    this.#segments.push(segment)
    this.#bytes += segment.sizeBytes
  }

  /** Not one of the partition's: for the names of a file at `baseOffset`. */
  fileAt(baseOffset: number): Segment {
    return this.segmentOf({ baseOffset, sizeBytes: 0, nextOffset: baseOffset })
  }

  segmentOf(file: { baseOffset: number; sizeBytes: number; nextOffset: number }): Segment {
    return new Segment(this.#env, { directory: this.directory, ...file })
  }

  // -- Growing

  /**
   * Nothing more comes into the active segment: the next one begins now, at `baseOffset`, or with the next append when there is no room for it.
   * @throws DiskError
   */
  async closeActive(baseOffset: number): Promise<void> {
    this.#isActiveClosed = true
    await this.roll(baseOffset).catch(onlyFull)
  }

  /** Opens a new active segment that begins at `baseOffset`. The old one is closed at the next checkpoint. @throws DiskError */
  async roll(baseOffset: number): Promise<Segment> {
    const { disk } = this.#env
    if (!this.#hasDirectory) {
      await disk.makeDirectory(this.directory)
      this.#hasDirectory = true
    }
    const segment = this.fileAt(baseOffset)
    await (await disk.open(segment.logPath, 'create')).close()
    this.#isDirectoryDirty = true
    this.#isActiveClosed = false
    this.add(segment)
    return segment
  }

  /**
   * Appends the first of `batches`, and those behind it that belong into the same segment, in one write. Rolls before when the active segment does
   * not take the first. @returns how many were appended: at least one. @throws DiskError: then none was
   */
  async append(batches: readonly SealedBatch[], limits: SegmentLimits): Promise<number> {
    const [first] = batches
    assert(first !== undefined, 'nothing to append')
    let segment = this.active
    const isClosed = segment === null || this.#isActiveClosed
    if (segment === null || isClosed || !fits(await fillOf(segment), first, limits)) segment = await this.roll(first.header.baseOffset)
    const fill = await fillOf(segment)
    let count = 0
    for (const batch of batches) {
      if (count > 0 && !fits(fill, batch, limits)) break
      if (fill.sizeBytes === 0) fill.firstTimestampMs = batch.header.maxTimestampMs
      fill.sizeBytes += batch.batch.byteLength
      count++
    }
    const sizeBefore = segment.sizeBytes
    await segment.append(batches.slice(0, count))
    this.#bytes += segment.sizeBytes - sizeBefore
    return count
  }

  // -- Checkpoint

  /**
   * Segments, their indexes and the directory survive a power cut; segments that were rolled are closed.
   * @returns the empty files that are superfluous once a snapshot with the present log start is durable. @throws DiskError: final when it is of a sync
   */
  async sync(): Promise<readonly string[]> {
    for (const segment of this.#segments) {
      if (segment !== this.active && segment.isOpen) await segment.finish()
      else if (segment.isDirty) await segment.sync()
    }
    await this.#syncDirectory()
    return [...this.#retired]
  }

  /** As sync(), without the indexes, which may want room: they can be made again. @throws DiskError, which is final */
  async syncEvents(): Promise<void> {
    for (const segment of this.#segments) await segment.syncEvents()
    await this.#syncDirectory()
  }

  async #syncDirectory(): Promise<void> {
    if (!this.#isDirectoryDirty) return
    const { disk } = this.#env
    await disk.syncDirectory(this.directory)
    await disk.syncDirectory(this.directory.slice(0, this.directory.lastIndexOf('/')))
    this.#isDirectoryDirty = false // only now: no other work on this partition runs meanwhile
  }

  /** Removes what sync() returned. A file that cannot be removed now is empty: it is tried again behind the next checkpoint. */
  async removeRetired(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      try {
        await this.#env.disk.remove(path)
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        if (error.code !== 'ENOENT') continue
      }
      this.#retired = this.#retired.filter((other) => other !== path)
    }
  }

  // -- Compaction

  /** Another file with the same offsets takes the place of a segment's. @returns false when it cannot now. @throws DiskError, as Segment.replaceBy */
  async replace(segment: Segment, file: { path: string; sizeBytes: number }): Promise<boolean> {
    if (segment === this.active || this.isGone(segment)) return false
    const sizeBefore = segment.sizeBytes
    try {
      return await segment.replaceBy(file)
    } finally {
      this.#bytes += segment.sizeBytes - sizeBefore
    }
  }

  // -- Deletion

  /**
   * The oldest segment is none any more; its bytes go with segment.discard(retired). When the disk refuses, it stays as it was. @throws DiskError
   */
  async retireFirst(): Promise<{ segment: Segment; retired: string }> {
    const segment = this.first
    assert(segment !== null, 'no segment to delete')
    const retired = await segment.retire()
    this.#segments.shift()
    this.#bytes -= segment.sizeBytes
    this.#retired.push(retired)
    this.#isDirectoryDirty = true
    return { segment, retired }
  }

  async close(): Promise<void> {
    for (const segment of this.#segments) await segment.close()
  }
}

interface Fill {
  readonly baseOffset: number
  sizeBytes: number
  /** Greatest timestamp of the first batch, -1 when it has none or cannot be read. */
  firstTimestampMs: number
}

async function fillOf(segment: Segment): Promise<Fill> {
  const { baseOffset, sizeBytes } = segment
  return { baseOffset, sizeBytes, firstTimestampMs: sizeBytes === 0 ? -1 : await segment.firstTimestampMs() }
}

/** By age as Kafka's segment.ms: by the timestamps of the records, or a slow topic would keep one segment, and all its events, for ever. */
function fits(fill: Fill, { batch, header }: SealedBatch, { segmentBytes, segmentAgeMs }: SegmentLimits): boolean {
  if (header.lastOffset - fill.baseOffset > RELATIVE_OFFSET_MAX) return false
  if (fill.sizeBytes === 0) return true
  const isOld = fill.firstTimestampMs >= 0 && fill.firstTimestampMs < header.maxTimestampMs - segmentAgeMs
  return !isOld && fill.sizeBytes + batch.byteLength <= segmentBytes
}

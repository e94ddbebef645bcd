// One segment of one partition: an append-only file of record batches with its two indexes. docs/formats/segment.md has the bytes.
//
//   <20-digit base offset>.log
//   ┌────────┬────────┬─ ─ ─┬────────┬──────────────┐
//   │ batch  │ batch  │     │ batch  │ batch        │
//   └────────┴────────┴─ ─ ─┴────────┴──────────────┘
//   0                       ▲ syncedBytes           ▲ sizeBytes
//
// Invariants:
//   S1  0 <= syncedBytes <= sizeBytes. What lies between is still in the journal.
//   S2  Batches do not overlap and rise; the first begins at or behind the file name's offset.
//   S3  Bytes below sizeBytes never change. A failed append is cut back to sizeBytes before the next one. Compaction puts another file in the place of one that
//       nobody reads and that no longer grows: the same offsets, in fewer bytes.
//   S4  What a sync did not confirm stays marked as unsynced; its failure is final for the store: it is not asked again.
//   S5  Index files are derived: written at sync and roll, checked when loaded, rebuilt from the log when wrong.
// Errors: DiskError of writes and syncs, for the caller to judge; what cannot be read counts as damage (salvage-read.ts). Not here: retention, topic names, what to do about damage.
// Source: Apache Kafka, LogSegment.java.

import { assert } from '../base/assert.ts'
import type { Core } from '../core/core.ts'
import type { BatchHeader } from '../core/record.ts'
import { type Disk, DiskError, type DiskFile } from '../io/disk.ts'
import { BatchScan } from './batch-scan.ts'
import { retiredFileName, type SegmentFileKind, segmentFileName } from './layout.ts'
import { ReadPlaces } from './read-places.ts'
import { SalvageFile, sizeOf } from './salvage-read.ts'
import { SegmentIndex } from './segment-index.ts'

const COPY_BYTES = 256 * 1024
const PIECE_BYTES = 4096

export interface WriteMeter {
  onWrite(kind: 'journal' | 'segment' | 'index' | 'state', bytes: number): void
  onSync(): void
}

export interface SegmentEnvironment {
  readonly disk: Disk
  readonly core: Core
  readonly meter: WriteMeter
  readonly indexIntervalBytes: number
}

/** A batch as it is written, with its final offsets. */
export interface SealedBatch {
  readonly batch: Uint8Array
  readonly header: BatchHeader
}

export class Segment {
  readonly directory: string
  readonly baseOffset: number
  readonly readTo = new ReadPlaces()
  readonly #env: SegmentEnvironment
  #isRetiring = false
  #file: DiskFile | null = null
  #index: SegmentIndex | null
  #sizeBytes: number
  #syncedBytes: number
  #nextOffset: number
  #isTorn = false
  /** Indexes of a segment that no longer grows, being loaded. */
  #loading: Promise<SegmentIndex> | null = null
  #isUnindexed = true
  #maxTimestampMs: number | null = null
  #firstTimestampMs: number | null = null
  /** Reads under way; a file is closed when there are none. */
  #readers = 0
  #idle: (() => void)[] = []
  /** While another file takes the place of this one: resolves then. */
  #replacing: Promise<void> | null = null

  /** A segment that is on disk already (sizeBytes, nextOffset from recovery) or a new, empty one (sizeBytes 0). */
  constructor(env: SegmentEnvironment, place: { directory: string; baseOffset: number; sizeBytes: number; nextOffset: number }) {
    this.#env = env
    this.directory = place.directory
    this.baseOffset = place.baseOffset
    this.#sizeBytes = place.sizeBytes
    this.#syncedBytes = place.sizeBytes
    this.#nextOffset = place.nextOffset
    this.#index = place.sizeBytes === 0 ? new SegmentIndex(place.baseOffset) : null
  }

  get logPath(): string {
    return `${this.directory}/${segmentFileName(this.baseOffset, 'log')}`
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get syncedBytes(): number {
    return this.#syncedBytes
  }

  /** First offset behind this segment. */
  get nextOffset(): number {
    return this.#nextOffset
  }

  get isOpen(): boolean {
    return this.#file !== null
  }

  get isDirty(): boolean {
    return this.#file !== null && (this.#syncedBytes < this.#sizeBytes || this.#isUnindexed || this.#isTorn)
  }

  /** Appends batches that are already encoded for this place, in one write. @throws DiskError; then nothing was appended */
  async append(batches: readonly SealedBatch[]): Promise<void> {
    let nextOffset = this.#nextOffset
    for (const { header } of batches) {
      assert(header.baseOffset >= nextOffset, `batch ${header.baseOffset} below ${nextOffset} in ${this.logPath}`)
      nextOffset = header.lastOffset + 1
    }
    this.#file ??= await this.#env.disk.open(this.logPath, 'create')
    const file = this.#file
    const index = await this.index()
    await this.#cutTorn(file)
    const bytes = joined(batches)
    this.#isTorn = true
    await file.writeAt(this.#sizeBytes, bytes)
    this.#isTorn = false
    this.#env.meter.onWrite('segment', bytes.byteLength)
    for (const { batch, header } of batches) {
      if (this.#sizeBytes === 0) this.#firstTimestampMs = header.maxTimestampMs
      index.onAppend(header, this.#sizeBytes, this.#env.indexIntervalBytes)
      this.#sizeBytes += batch.byteLength
    }
    this.#nextOffset = nextOffset
    this.#isUnindexed = true
    this.#maxTimestampMs = null
  }

  /** What a refused write has left behind the end goes. @returns whether there was something @throws DiskError */
  async #cutTorn(file: DiskFile): Promise<boolean> {
    if (!this.#isTorn) return false
    await file.truncate(this.#sizeBytes)
    this.#isTorn = false
    return true
  }

  /** Log and indexes survive a power cut; their directory entries need syncDirectory. A rejection is final. */
  async sync(): Promise<void> {
    if (!this.#file) return
    await this.syncEvents()
    await this.#writeIndexes()
  }

  /** The log alone. A rejection is final. */
  async syncEvents(): Promise<void> {
    const sizeBytes = this.#sizeBytes
    const file = this.#file
    if (!file) return
    const isCut = await this.#cutTorn(file) // a start takes a sealed segment by its size, and the events may be in the next one
    if (this.#syncedBytes >= sizeBytes && !isCut) return
    await file.sync()
    this.#env.meter.onSync()
    this.#syncedBytes = sizeBytes
  }

  /** The last entry of the time index, then closed files. The segment can still be read. */
  async finish(): Promise<void> {
    await this.sync()
    await this.close()
    this.#index = null
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = null
    if (!file) return
    await this.#withoutReaders()
    await file.close()
  }

  #withoutReaders(): Promise<void> {
    return this.#readers === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }

  async #writeIndexes(): Promise<void> {
    if (!this.#isUnindexed) return
    const index = await this.index()
    index.addTimeEntry()
    await this.#storeIndexes(index)
    this.#isUnindexed = false
  }

  async #storeIndexes(index: SegmentIndex): Promise<void> {
    for (const [kind, bytes] of [
      ['index', index.offsetBytes],
      ['timeindex', index.timeBytes]
    ] as const) {
      const file = await this.#env.disk.open(`${this.directory}/${segmentFileName(this.baseOffset, kind)}`, 'create')
      try {
        const copy = bytes.slice()
        await replaceContent(file, copy)
        this.#env.meter.onWrite('index', copy.byteLength)
        await file.sync()
        this.#env.meter.onSync()
      } finally {
        await file.close()
      }
    }
  }

  /** The indexes: in memory for the growing segment, loaded or rebuilt for the others. */
  async index(): Promise<SegmentIndex> {
    while (this.#replacing) await this.#replacing
    if (this.#index) return this.#index
    this.#loading ??= this.#loadOrRebuild().finally(() => {
      this.#loading = null
    })
    return this.#loading
  }

  async #loadOrRebuild(): Promise<SegmentIndex> {
    const loaded = (await this.#loadIndex()) ?? (await this.#replaceIndex())
    this.#maxTimestampMs = loaded.maxTimestampMs
    if (this.#file) this.#index = loaded
    return loaded
  }

  /** Made from the log and written again, or the next read would make it again; kept in memory when it cannot be written. */
  async #replaceIndex(): Promise<SegmentIndex> {
    const index = await this.#rebuildIndex()
    if (this.#file || this.#isRetiring) return index
    try {
      await this.#storeIndexes(index)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.#index = index
    }
    return index
  }

  /** null when there is none that fits, or a part of it cannot be read: then it is made from the log. */
  async #loadIndex(): Promise<SegmentIndex | null> {
    try {
      const offsetBytes = await this.#readSmall('index')
      const timeBytes = await this.#readSmall('timeindex')
      if (!offsetBytes || !timeBytes || timeBytes.byteLength === 0) return null
      return SegmentIndex.load({ baseOffset: this.baseOffset, offsetBytes, timeBytes, segmentBytes: this.#sizeBytes })
    } catch (error) {
      if (error instanceof DiskError) return null
      throw error
    }
  }

  async #readSmall(kind: 'index' | 'timeindex'): Promise<Uint8Array | null> {
    const path = `${this.directory}/${segmentFileName(this.baseOffset, kind)}`
    const bytes = await sizeOf(this.#env.disk, path, { untold: 0 })
    if (bytes === null || bytes > this.#sizeBytes) return null
    const file = await SalvageFile.open(this.#env.disk, path)
    try {
      const content = new Uint8Array(bytes)
      const read = content.subarray(0, await file.readAt(0, content))
      return file.unreadable.length > 0 ? null : read
    } finally {
      await file.close()
    }
  }

  async #rebuildIndex(): Promise<SegmentIndex> {
    const index = new SegmentIndex(this.baseOffset)
    await this.withFile(async (file) => {
      const scan = this.scan(file, 0)
      for (;;) {
        const step = await scan.next()
        if (step.kind === 'end') return
        if (step.kind === 'batch') {
          index.onAppend(step.header, step.positionBytes, this.#env.indexIntervalBytes)
          continue
        }
        const behind = await scan.findBehind(step.positionBytes)
        if (behind === null) return
        scan.positionBytes = behind
      }
    })
    index.addTimeEntry()
    return index
  }

  /** Greatest timestamp in the segment, -1 when it is empty. */
  async maxTimestampMs(): Promise<number> {
    this.#maxTimestampMs ??= (await this.index()).maxTimestampMs
    return this.#maxTimestampMs
  }

  /** Greatest timestamp of the first batch, -1 when it has none or cannot be read. */
  async firstTimestampMs(): Promise<number> {
    this.#firstTimestampMs ??= await this.withFile(async (file) => {
      const step = await this.scan(file, 0).next()
      return step.kind === 'batch' ? step.header.maxTimestampMs : -1
    })
    return this.#firstTimestampMs
  }

  scan(file: SalvageFile, startBytes: number, wantedBytes?: number): BatchScan {
    const range = {
      startBytes,
      endBytes: this.#sizeBytes,
      nextOffset: this.baseOffset,
      endOffset: this.nextOffset,
      ...(wantedBytes !== undefined && { wantedBytes })
    }
    return new BatchScan(this.#env.core, file, range)
  }

  /** Runs `work` with the file open for reading. */
  async withFile<T>(work: (file: SalvageFile) => Promise<T>): Promise<T> {
    while (this.#replacing) await this.#replacing
    const shared = this.#file
    this.#readers++
    try {
      if (shared) return await work(new SalvageFile(this.logPath, shared, { isShared: true }))
      const file = await SalvageFile.open(this.#env.disk, this.logPath)
      try {
        return await work(file)
      } finally {
        await file.close()
      }
    } finally {
      this.#readers--
      if (this.#readers === 0) for (const resolve of this.#idle.splice(0)) resolve()
    }
  }

  /**
   * The file at `path`, which is synced and has the same offsets, becomes this segment's. The rename is what decides: a crash leaves the one or the other, whole.
   * @returns false, and nothing was done, while somebody reads it, or when it still grows or is going. @throws DiskError: of a sync it is final
   */
  async replaceBy({ path, sizeBytes }: { path: string; sizeBytes: number }): Promise<boolean> {
    if (this.#readers > 0 || this.#loading || this.#file || this.#isRetiring) return false
    const { disk } = this.#env
    let release = (): void => undefined
    this.#replacing = new Promise((resolve) => {
      release = resolve
    })
    try {
      await this.#removeFiles(['timeindex', 'index'])
      await disk.syncDirectory(this.directory) // or a power cut could leave the indexes of the old file beside the new one
      await disk.rename(path, this.logPath)
      this.#sizeBytes = sizeBytes
      this.#syncedBytes = sizeBytes
      this.#index = null
      this.#maxTimestampMs = null
      this.#firstTimestampMs = null
      this.readTo.clear()
      await disk.syncDirectory(this.directory)
      return true
    } finally {
      this.#replacing = null
      release()
    }
  }

  /** Recovery found more whole batches behind what was known: they are in the file, not yet synced. */
  async adopt(found: {
    sizeBytes: number
    syncedBytes: number
    nextOffset: number
    headers: readonly { header: BatchHeader; positionBytes: number }[]
  }): Promise<void> {
    const knownBytes = Math.min(found.syncedBytes, found.sizeBytes)
    this.#sizeBytes = knownBytes
    const index = (knownBytes > 0 ? await this.#loadIndex() : null) ?? (await this.#rebuildIndex())
    const firstNew = found.headers[0]
    index.keepBelow(firstNew?.positionBytes ?? knownBytes, firstNew?.header.baseOffset ?? found.nextOffset)
    for (const { header, positionBytes } of found.headers) index.onAppend(header, positionBytes, this.#env.indexIntervalBytes)
    this.#sizeBytes = found.sizeBytes
    this.#syncedBytes = knownBytes
    this.#nextOffset = found.nextOffset
    this.#file ??= await this.#env.disk.open(this.logPath, 'create')
    this.#index = index
    this.#isUnindexed = true
    await this.#writeAgain(knownBytes)
  }

  /** When adopt() had no room: the segment ends where it was synced, and what lies behind that in the file is cut before the next append. */
  async adoptSynced({ sizeBytes, nextOffset }: { sizeBytes: number; nextOffset: number }): Promise<void> {
    await this.adopt({ sizeBytes, syncedBytes: sizeBytes, nextOffset, headers: [] })
    this.#isTorn = true
  }

  /**
   * Bytes of an earlier process behind the recovery point may be in the page cache only, and clean there after a sync of that process
   * failed: a sync of ours would say "done" without writing them. Written again they are ours to sync.
   */
  async #writeAgain(fromBytes: number): Promise<void> {
    const target = this.#file
    if (!target) return
    const source = new SalvageFile(this.logPath, target, { isShared: true })
    for (let at = fromBytes; at < this.#sizeBytes; ) {
      const bytes = new Uint8Array(Math.min(COPY_BYTES - (at % COPY_BYTES), this.#sizeBytes - at))
      await source.readAt(at, bytes)
      const end = at + bytes.byteLength
      // Not over bytes that cannot be read now: they are no page of the cache, and another day they may be read.
      for (let piece = at; piece < end; ) {
        const next = source.isUnreadable(at, end) ? Math.min(end, piece + PIECE_BYTES - (piece % PIECE_BYTES)) : end
        if (!source.isUnreadable(piece, next)) await target.writeAt(piece, bytes.slice(piece - at, next - at))
        piece = next
      }
      this.#env.meter.onWrite('segment', bytes.byteLength)
      at = end
    }
  }

  /** Deletes the files, the log last, so that a crash between leaves at worst an index without a log. */
  async remove(): Promise<void> {
    await this.close()
    await this.#removeFiles(['timeindex', 'index', 'log'])
  }

  /**
   * Retention takes the segment: the log is renamed to what it held, which survives a power cut before its bytes go. Needs no space. When it fails the
   * segment is as it was. @returns the path to remove once the log start is in the snapshot
   */
  async retire(): Promise<string> {
    await this.close()
    const retired = `${this.directory}/${retiredFileName(this.baseOffset, this.#nextOffset)}`
    this.#isRetiring = true
    try {
      await this.#env.disk.rename(this.logPath, retired)
    } catch (error) {
      this.#isRetiring = false
      throw error
    }
    return retired
  }

  /** Its file may be gone already, or about to go. */
  get isRetiring(): boolean {
    return this.#isRetiring
  }

  /** Frees the space behind `retired`. The empty file stays, so that the next start does not take the gap for damage. */
  async discard(retired: string): Promise<void> {
    await this.#env.disk.syncDirectory(this.directory)
    await this.#withoutReaders()
    await this.close() // a reader may have opened it again
    const file = await this.#env.disk.open(retired, 'write')
    try {
      await file.truncate(0)
    } finally {
      await file.close()
    }
    await this.#removeFiles(['timeindex', 'index'])
  }

  async #removeFiles(kinds: readonly SegmentFileKind[]): Promise<void> {
    for (const kind of kinds) {
      const path = `${this.directory}/${segmentFileName(this.baseOffset, kind)}`
      if ((await sizeOf(this.#env.disk, path, { untold: 0 })) !== null) await this.#env.disk.remove(path)
    }
  }
}

/** One behind the other, in memory of their own unless it is only one. */
function joined(batches: readonly SealedBatch[]): Uint8Array {
  const [only] = batches
  if (only && batches.length === 1) return only.batch
  const bytes = new Uint8Array(batches.reduce((sum, { batch }) => sum + batch.byteLength, 0))
  let at = 0
  for (const { batch } of batches) {
    bytes.set(batch, at)
    at += batch.byteLength
  }
  return bytes
}

/** A page of the old content that cannot be read cannot be written in part either: then the old content goes first. */
async function replaceContent(file: DiskFile, content: Uint8Array): Promise<void> {
  try {
    if (content.byteLength > 0) await file.writeAt(0, content)
  } catch (error) {
    if (!(error instanceof DiskError) || error.isFull) throw error
    await file.truncate(0)
    await file.writeAt(0, content)
  }
  await file.truncate(content.byteLength)
}

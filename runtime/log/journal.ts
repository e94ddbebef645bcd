// The journal: one durable stream of commits for the whole gateway, in a few preallocated files used in turn. docs/formats/journal.md has the bytes.
//
//   0.journal  ┌────────┬────────┬───────────────┬────────┬─ ─ ─ ─ ─ ─ ─┐   header and every commit begin at a multiple of 4096
//              │ header │ commit │ commit        │ commit │ older, dead │
//              └────────┴────────┴───────────────┴────────┴─ ─ ─ ─ ─ ─ ─┘
//                                                         ▲ positionBytes of the active file
//
// Invariants:
//   J1  One write is in flight at a time; a commit is acknowledged only when its writeDurableAt resolved.
//   J2  Commit sequences rise by one without gaps; a file's commits carry its generation; generations rise by one.
//   J3  A file is written again only after release(): everything in it is in synced segments and the state snapshot.
//   J4  A failed durable write that was not a refusal for want of room is final: nothing is ever written again (failed).
//   J5  A commit's sequence and all that it changes become visible in one turn of the loop: a snapshot never sees one without the other.
//   J6  fileBytes is what survives a power cut: what was filled and not synced yet does not count.
// Errors: DiskError from append. Not here: what is inside a commit (core), replay (recovery.ts), when to free (checkpoint.ts).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import { type Disk, DiskError, type DiskFile } from '../io/disk.ts'
import { JOURNAL_DIRECTORY, journalPath } from './layout.ts'
import { patiently, SalvageFile, sizeOf } from './salvage-read.ts'
import type { WriteMeter } from './segment.ts'
import { onlyFull } from './store-errors.ts'

export const BLOCK_BYTES = 4096
const HEADER_MAGIC = 0x5741444a // "WADJ"
export const JOURNAL_FORMAT_VERSION = 1
const FILL_CHUNK_BYTES = 1024 * 1024

interface JournalFile {
  readonly file: DiskFile
  /** Preallocated so far; commits stay below. */
  filledBytes: number
  /** Of them, those whose file size a power cut leaves. */
  syncedBytes: number
  targetBytes: number
  /** Last commit in it that recovery would still need; null = free. */
  lastSequence: number | null
  generation: number
  oldestMs: number
}

export interface JournalPosition {
  readonly fileIndex: number
  readonly positionBytes: number
}

export class Journal {
  readonly #meter: WriteMeter
  readonly #files: JournalFile[]
  #active = 0
  #positionBytes = BLOCK_BYTES
  #generation: number
  #sequence: number
  #room: (() => void)[] = []
  #isFilling = false
  #filling: Promise<void> = Promise.resolve()

  private constructor(meter: WriteMeter, files: JournalFile[], start: { generation: number; sequence: number }) {
    this.#meter = meter
    this.#files = files
    this.#generation = start.generation
    this.#sequence = start.sequence
  }

  /** Sequence of the last completed commit. */
  get sequence(): number {
    return this.#sequence
  }

  /** How large each file is after a power cut, at least. */
  get fileBytes(): number[] {
    return this.#files.map(({ syncedBytes }) => syncedBytes)
  }

  get generation(): number {
    return this.#generation
  }

  get activeLastSequence(): number | null {
    return this.#files[this.#active]?.lastSequence ?? null
  }

  /** Monotonic time of the oldest commit in the active file, null when it has none. */
  get activeOldestMs(): number | null {
    const file = this.#files[this.#active]
    return file && file.lastSequence !== null ? file.oldestMs : null
  }

  get sizeBytes(): number {
    return this.#files.reduce((sum, file) => sum + file.targetBytes, 0)
  }

  /** Files are still being preallocated: room comes by itself. */
  get isFilling(): boolean {
    return this.#isFilling
  }

  /** Full files that wait for a checkpoint, oldest first: the last sequence of each. */
  get fullUpTo(): number | null {
    let last: number | null = null
    this.#files.forEach((file, i) => {
      if (i !== this.#active && file.lastSequence !== null) last = Math.max(last ?? 0, file.lastSequence)
    })
    return last
  }

  /** Smallest generation in which commits behind `sequence` can lie. */
  generationBehind(sequence: number): number {
    let generation = this.#generation
    for (const file of this.#files) {
      if (file.lastSequence !== null && file.lastSequence > sequence) generation = Math.min(generation, file.generation)
    }
    return generation
  }

  /**
   * Makes missing files (preallocated, synced, with their directory) and opens all. Existing ones keep their size and what is in them, also when
   * their header cannot be read: recovery has not replayed them yet.
   */
  static async open(options: {
    disk: Disk
    core: Core
    meter: WriteMeter
    directory: string
    fileCount: number
    fileBytes: number
    firstFillBytes: number
    generation: number
    sequence: number
  }): Promise<Journal> {
    const files: JournalFile[] = []
    try {
      return await Journal.#openFiles(options, files)
    } catch (error) {
      for (const { file } of files) await file.close().catch(() => undefined) // the first error is the one to tell
      throw error
    }
  }

  static async #openFiles(options: Parameters<typeof Journal.open>[0], files: JournalFile[]): Promise<Journal> {
    const { disk, directory } = options
    const existing = await patiently(() => disk.list(`${directory}/${JOURNAL_DIRECTORY}`))
    let isNew = false
    for (let i = 0; i < options.fileCount || existing.includes(`${i}.journal`); i++) {
      const path = journalPath(directory, i)
      const sizeBytes = (await sizeOf(disk, path)) ?? 0
      const file = await disk.open(path, 'create')
      const firstBytes = Math.min(options.fileBytes, options.firstFillBytes)
      const header = sizeBytes > 0 ? await readJournalHeader(options.core, new SalvageFile(path, file, { isShared: true })) : null
      const entry: JournalFile = {
        file,
        filledBytes: 0,
        syncedBytes: 0,
        targetBytes: 0,
        lastSequence: null,
        generation: options.generation,
        oldestMs: 0
      }
      files.push(entry)
      if (sizeBytes < (header === null ? firstBytes : 2 * BLOCK_BYTES)) {
        await fill(file, sizeBytes, firstBytes)
        isNew = true
      }
      // Written at every start: what the process before could not sync may be in the page cache only. Where there is one, want of room (some file
      // systems write nothing in place) is no reason not to start: a header that does not verify costs no commit.
      const written = file.writeDurableAt(0, encodeHeader(options.core))
      await (header === null ? written : written.catch(onlyFull))
      await file.sync() // and so may be the size
      entry.filledBytes = Math.floor((await patiently(() => file.sizeBytes())) / BLOCK_BYTES) * BLOCK_BYTES
      entry.syncedBytes = entry.filledBytes
      entry.targetBytes = Math.max(entry.filledBytes, options.fileBytes)
    }
    if (isNew) await disk.syncDirectory(`${directory}/${JOURNAL_DIRECTORY}`)
    return new Journal(options.meter, files, options)
  }

  /**
   * Continues where recovery stopped. The last commit is written again where it lies: it may be in the page cache only, and a reader
   * must not see an event that a power cut could take back.
   */
  async continueFrom(found: {
    end: JournalPosition | null
    lastSequences: ReadonlyMap<number, { sequence: number; generation: number }>
    nowMs: number
    lastCommit: Uint8Array | null
  }): Promise<void> {
    for (const [fileIndex, { sequence, generation }] of found.lastSequences) {
      const file = this.#files[fileIndex] as JournalFile
      file.lastSequence = sequence
      file.generation = generation
      file.oldestMs = found.nowMs
    }
    if (found.end === null) return
    this.#active = found.end.fileIndex
    this.#positionBytes = found.end.positionBytes
    if (found.lastCommit)
      await this.#activeFile.file.writeDurableAt(found.end.positionBytes - found.lastCommit.byteLength, found.lastCommit)
  }

  get #activeFile(): JournalFile {
    return this.#files[this.#active] as JournalFile
  }

  /** True when a commit of this size can be written without waiting for a checkpoint. */
  prepare(blockBytes: number): boolean {
    const active = this.#activeFile
    if (this.#positionBytes + blockBytes <= active.filledBytes) return true
    if (active.filledBytes < active.targetBytes && this.#isFilling) return false
    const next = (this.#active + 1) % this.#files.length
    const candidate = this.#files.findIndex((file, i) => i !== this.#active && file.lastSequence === null)
    const chosen = this.#files[next]?.lastSequence === null && next !== this.#active ? next : candidate
    if (chosen < 0) return false
    assert(BLOCK_BYTES + blockBytes <= (this.#files[chosen] as JournalFile).filledBytes, 'a commit is larger than a journal file')
    this.#active = chosen
    this.#positionBytes = BLOCK_BYTES
    this.#generation++
    this.#activeFile.generation = this.#generation
    return true
  }

  /** Resolves when release() has freed a file. */
  waitForRoom(): Promise<void> {
    return new Promise((resolve) => this.#room.push(resolve))
  }

  /**
   * One write, one sync. prepare() has said yes. `onDurable` makes everything in the commit visible, in the same turn in which its sequence counts.
   * @throws DiskError; then the commit does not count
   */
  async append(block: Uint8Array, nowMs: number, onDurable: (sequence: number) => void): Promise<void> {
    const active = this.#activeFile
    await active.file.writeDurableAt(this.#positionBytes, block)
    this.#meter.onWrite('journal', block.byteLength)
    this.#meter.onSync()
    this.#positionBytes += block.byteLength
    active.syncedBytes = Math.max(active.syncedBytes, this.#positionBytes)
    this.#sequence++
    if (active.lastSequence === null) active.oldestMs = nowMs
    active.lastSequence = this.#sequence
    onDurable(this.#sequence)
  }

  /** Everything up to `sequence` is in synced segments and in a durable state snapshot. */
  release(sequence: number, nowMs: number): void {
    for (const file of this.#files) {
      if (file.lastSequence !== null && file.lastSequence <= sequence) file.lastSequence = null
      else file.oldestMs = nowMs
    }
    this.wake()
  }

  /** Lets those who wait for room look again. */
  wake(): void {
    for (const resolve of this.#room.splice(0)) resolve()
  }

  /**
   * Preallocates the rest of the files while the gateway works. Commits that reach the end of what is there wait for it; when the disk
   * is full the files stay as large as they are.
   */
  startFilling(chunkBytesMax: number): void {
    this.#isFilling = true
    this.#filling = this.#fillAll(Math.min(FILL_CHUNK_BYTES, chunkBytesMax)).finally(() => {
      this.#isFilling = false
      this.wake()
    })
  }

  async #fillAll(chunkBytes: number): Promise<void> {
    const zeros = new Uint8Array(chunkBytes)
    for (const journal of this.#files) {
      try {
        await this.#fillOne(journal, zeros)
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        journal.targetBytes = journal.filledBytes // it stays as large as it is; what was not synced is not counted on
      }
    }
  }

  async #fillOne(journal: JournalFile, zeros: Uint8Array): Promise<void> {
    if (journal.filledBytes >= journal.targetBytes) return
    while (this.#isFilling && journal.filledBytes < journal.targetBytes) {
      const chunk = zeros.subarray(0, Math.min(zeros.byteLength, journal.targetBytes - journal.filledBytes))
      await journal.file.writeAt(journal.filledBytes, chunk)
      journal.filledBytes += chunk.byteLength
      this.wake()
    }
    const { filledBytes } = journal
    await journal.file.sync()
    journal.syncedBytes = Math.max(journal.syncedBytes, filledBytes)
  }

  async close(): Promise<void> {
    this.#isFilling = false
    await this.#filling
    for (const { file } of this.#files) await file.close()
  }
}

async function fill(file: DiskFile, fromBytes: number, sizeBytes: number): Promise<void> {
  const zeros = new Uint8Array(Math.min(FILL_CHUNK_BYTES, sizeBytes))
  for (let at = fromBytes; at < sizeBytes; at += zeros.byteLength) {
    await file.writeAt(at, zeros.subarray(0, Math.min(zeros.byteLength, sizeBytes - at)))
  }
  await file.sync()
}

function encodeHeader(core: Core): Uint8Array {
  const header = new Uint8Array(BLOCK_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, HEADER_MAGIC)
  view.setUint32(4, JOURNAL_FORMAT_VERSION)
  view.setUint32(8, core.crc32c(header.subarray(0, 8)))
  return header
}

/** The format version of a journal file; null when the header is not one (never finished, or damaged). @throws WadiError WADI_FORMAT_NEWER */
export async function readJournalHeader(core: Core, file: SalvageFile): Promise<number | null> {
  const header = new Uint8Array(12)
  if ((await file.readAt(0, header)) < header.byteLength) return null
  const view = new DataView(header.buffer)
  if (view.getUint32(0) !== HEADER_MAGIC || view.getUint32(8) !== core.crc32c(header.subarray(0, 8))) return null
  const version = view.getUint32(4)
  if (version > JOURNAL_FORMAT_VERSION) {
    throw new WadiError('WADI_FORMAT_NEWER', {
      happened: `${file.path} has journal format ${version}; this Wadi knows up to ${JOURNAL_FORMAT_VERSION}.`,
      kept: 'Nothing was touched.',
      next: 'Start the newer Wadi that wrote it.',
      facts: { version }
    })
  }
  return version
}

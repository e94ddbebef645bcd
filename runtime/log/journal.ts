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

/** Below that no file can be freed while another one takes commits. */
const FILES_MIN = 2

interface JournalFile {
  /** null: there was no room to make it yet. */
  file: DiskFile | null
  /** Preallocated so far; commits stay below. */
  filledBytes: number
  /** Of them, those whose file size a power cut leaves. */
  syncedBytes: number
  targetBytes: number
  /** It may become as large, when there is room. */
  wantedBytes: number
  /** Last commit in it that recovery would still need; null = free. */
  lastSequence: number | null
  generation: number
  oldestMs: number
}

export interface JournalOptions {
  readonly disk: Disk
  readonly core: Core
  readonly meter: WriteMeter
  readonly directory: string
  readonly fileCount: number
  readonly fileBytes: number
  readonly firstFillBytes: number
  readonly generation: number
  readonly sequence: number
}

/** The header and one block: a smaller file has no commit. */
const COMMITS_BYTES_MIN = 2 * BLOCK_BYTES

export interface JournalPosition {
  readonly fileIndex: number
  readonly positionBytes: number
}

export class Journal {
  readonly #meter: WriteMeter
  readonly #options: JournalOptions
  readonly #files: JournalFile[]
  #active: number
  #positionBytes = BLOCK_BYTES
  #generation: number
  #sequence: number
  #room: (() => void)[] = []
  #isFilling = false
  #filling: Promise<void> = Promise.resolve()

  private constructor(files: JournalFile[], options: JournalOptions) {
    this.#meter = options.meter
    this.#options = options
    this.#files = files
    this.#generation = options.generation
    this.#sequence = options.sequence
    this.#active = files.findIndex(({ file }) => file !== null)
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
   * Makes missing files (preallocated, synced, with their directory) and opens all, also those above `fileCount`. Existing ones keep their size and what is in them, also when
   * their header cannot be read: recovery has not replayed them yet. Those that there is no room to make are made later, by startFilling().
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const files: JournalFile[] = []
    let full: unknown = null
    try {
      const { disk, directory, fileCount } = options
      const names = await patiently(() => disk.list(`${directory}/${JOURNAL_DIRECTORY}`))
      const there = new Set(journalIndexes(names))
      for (let index = 0; index < Math.max(fileCount, ...[...there].map((each) => each + 1)); index++) {
        const file = newFile(options)
        if (index >= fileCount && !there.has(index)) file.wantedBytes = 0
        const mayBeMade = file.wantedBytes > 0 && areMade(files)
        files.push(file)
        if (!there.has(index) && !mayBeMade) continue
        const noRoom = await openFile(options, index, file)
        full ??= noRoom
      }
      if (files.filter(({ file }) => file !== null).length < FILES_MIN && full !== null) throw full
      return new Journal(files, options)
    } catch (error) {
      for (const { file } of files) await file?.close().catch(() => undefined) // the first error is the one to tell
      throw error
    }
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
      await diskFileOf(this.#activeFile).writeDurableAt(found.end.positionBytes - found.lastCommit.byteLength, found.lastCommit)
  }

  get #activeFile(): JournalFile {
    return this.#files[this.#active] as JournalFile
  }

  /** True when a commit of this size can be written without waiting for a checkpoint. */
  prepare(blockBytes: number): boolean {
    const active = this.#activeFile
    if (this.#positionBytes + blockBytes <= active.filledBytes) return true
    if (active.filledBytes < active.targetBytes && this.#isFilling) return false
    const free = this.#files.filter((journal) => journal !== active && journal.file !== null && journal.lastSequence === null)
    const fitting = free.filter(({ filledBytes }) => BLOCK_BYTES + blockBytes <= filledBytes)
    assert(fitting.length > 0 || free.length === 0 || this.#isFilling, 'a commit is larger than a journal file')
    const next = this.#files[(this.#active + 1) % this.#files.length]
    const chosen = fitting.find((journal) => journal === next) ?? fitting[0]
    if (chosen === undefined) return false
    this.#active = this.#files.indexOf(chosen)
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
    await diskFileOf(active).writeDurableAt(this.#positionBytes, block)
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

  /** What files lack that are to be made, or to become larger, when there is room for it. */
  get missingBytes(): number {
    return this.#files.reduce((sum, { wantedBytes, filledBytes }) => sum + Math.max(0, wantedBytes - filledBytes), 0)
  }

  /**
   * Preallocates the rest of the files, and makes those that are missing, while the gateway works. Commits that reach the end of what is there wait
   * for it; when the disk is full the files stay as large as they are, until this is called again.
   */
  startFilling(): void {
    if (this.#isFilling) return
    this.#isFilling = true
    this.#filling = this.#fillAll().finally(() => {
      this.#isFilling = false
      this.wake()
    })
  }

  async #fillAll(): Promise<void> {
    const zeros = new Uint8Array(Math.min(FILL_CHUNK_BYTES, this.#options.firstFillBytes))
    for (const [index, journal] of this.#files.entries()) {
      if (!this.#isFilling) return
      try {
        if (journal.file === null && (journal.wantedBytes === 0 || !areMade(this.#files.slice(0, index)))) continue
        if (journal.file === null && (await openFile(this.#options, index, journal)) !== null) continue
        journal.targetBytes = Math.max(journal.targetBytes, journal.wantedBytes)
        await this.#fillOne(journal, zeros)
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        journal.targetBytes = journal.filledBytes // it stays as large as it is; what was not synced is not counted on
        if (!error.isFull) journal.wantedBytes = journal.filledBytes
      }
    }
  }

  async #fillOne(journal: JournalFile, zeros: Uint8Array): Promise<void> {
    const { file } = journal
    if (file === null || journal.filledBytes >= journal.targetBytes) return
    while (this.#isFilling && journal.filledBytes < journal.targetBytes) {
      const chunk = zeros.subarray(0, Math.min(zeros.byteLength, journal.targetBytes - journal.filledBytes))
      await file.writeAt(journal.filledBytes, chunk)
      journal.filledBytes += chunk.byteLength
      this.wake()
    }
    const { filledBytes } = journal
    await file.sync()
    journal.syncedBytes = Math.max(journal.syncedBytes, filledBytes)
  }

  async close(): Promise<void> {
    this.#isFilling = false
    await this.#filling
    for (const { file } of this.#files) await file?.close()
  }
}

/** Numbers of the journal files among `names`, in order. */
export function journalIndexes(names: readonly string[]): number[] {
  return names.flatMap((name) => (/^(0|[1-9]\d{0,2})\.journal$/.test(name) ? Number.parseInt(name, 10) : [])).sort((a, b) => a - b)
}

/** No file is made while one before it is missing: the files that are there are then the first ones. */
function areMade(files: readonly JournalFile[]): boolean {
  return files.every(({ file }) => file !== null)
}

function newFile({ generation, fileBytes }: JournalOptions): JournalFile {
  return { file: null, filledBytes: 0, syncedBytes: 0, targetBytes: 0, wantedBytes: fileBytes, lastSequence: null, generation, oldestMs: 0 }
}

function diskFileOf({ file }: JournalFile): DiskFile {
  assert(file !== null, 'a journal file is used that was not made')
  return file
}

/**
 * Opens it for `journal`, and makes it when it is not there. Says the error when there was no room to make it: nothing is left of it then.
 * @throws DiskError, also for want of room when it may hold commits: recovery has replayed them, without them the start does not go on
 */
async function openFile(options: JournalOptions, index: number, journal: JournalFile): Promise<DiskError | null> {
  const { disk, directory, core } = options
  const path = journalPath(directory, index)
  const sizeBytes = (await sizeOf(disk, path)) ?? 0
  // What may hold commits is used as it is when there is no room to write it (some file systems write nothing in place): a header that does not
  // verify costs no commit.
  const isLarge = sizeBytes >= COMMITS_BYTES_MIN
  const passOver = (error: unknown): void => {
    if (!isLarge) throw error
    onlyFull(error)
  }
  let opened: DiskFile | null = null
  try {
    const file = await disk.open(path, 'create')
    opened = file
    const header = sizeBytes > 0 ? await readJournalHeader(core, new SalvageFile(path, file, { isShared: true })) : null
    const firstBytes = Math.min(options.fileBytes, options.firstFillBytes)
    if (sizeBytes < (header === null ? firstBytes : COMMITS_BYTES_MIN)) {
      await fill(file, sizeBytes, firstBytes).catch(passOver)
      await disk.syncDirectory(`${directory}/${JOURNAL_DIRECTORY}`)
    }
    // Written at every start: what the process before could not sync may be in the page cache only.
    await file.writeDurableAt(0, encodeHeader(core)).catch(passOver)
    await file.sync() // and so may be the size
    journal.filledBytes = Math.floor((await patiently(() => file.sizeBytes())) / BLOCK_BYTES) * BLOCK_BYTES
    journal.syncedBytes = journal.filledBytes
    journal.targetBytes = Math.max(journal.filledBytes, options.fileBytes)
    journal.file = file
    return null
  } catch (error) {
    await opened?.close().catch(() => undefined)
    if (isLarge || !(error instanceof DiskError && error.isFull)) throw error
    await disk.remove(path).catch(() => undefined)
    return error
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

/**
 * A file without a header whose making was cut short: no state file knows of it, and all of it reads as zeros, because the header is written before the
 * first commit. `knownBytes`: of the newest state file.
 */
export async function isNotYetMade(file: SalvageFile, sizeBytes: number, knownBytes: number | undefined): Promise<boolean> {
  if ((knownBytes ?? 0) > 0) return false
  const chunk = new Uint8Array(Math.min(FILL_CHUNK_BYTES, sizeBytes))
  for (let at = 0; at < sizeBytes; at += chunk.byteLength) {
    const count = await file.readAt(at, chunk)
    if (chunk.subarray(0, count).some((byte) => byte !== 0)) return false
  }
  return file.unreadable.length === 0
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

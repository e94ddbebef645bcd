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
//   J4  A failed durable write that was not "disk full" is final: nothing is ever written again (failed).
// Errors: DiskError from append. Not here: what is inside a commit (core), replay (recovery.ts), when to free (checkpoint.ts).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import { type Disk, DiskError, type DiskFile } from '../io/disk.ts'
import { JOURNAL_DIRECTORY, journalPath } from './layout.ts'
import type { WriteMeter } from './segment.ts'

export const BLOCK_BYTES = 4096
const HEADER_MAGIC = 0x5741444a // "WADJ"
export const JOURNAL_FORMAT_VERSION = 1
const FILL_CHUNK_BYTES = 1024 * 1024
/** Made before the first start is ready; the rest of the file follows while the gateway works. */
const FIRST_FILL_BYTES = 4 * 1024 * 1024

interface JournalFile {
  readonly file: DiskFile
  /** Preallocated so far; commits stay below. */
  filledBytes: number
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

  /** How far each file is preallocated. */
  get fileBytes(): number[] {
    return this.#files.map(({ filledBytes }) => filledBytes)
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

  /** Makes missing files (preallocated, synced, with their directory) and opens all. Existing ones keep their size. */
  static async open(options: {
    disk: Disk
    core: Core
    meter: WriteMeter
    directory: string
    fileCount: number
    fileBytes: number
    generation: number
    sequence: number
  }): Promise<Journal> {
    const { disk, directory } = options
    const files: JournalFile[] = []
    const existing = await disk.list(`${directory}/${JOURNAL_DIRECTORY}`)
    let isNew = false
    for (let i = 0; i < options.fileCount || existing.includes(`${i}.journal`); i++) {
      const path = journalPath(directory, i)
      const sizeBytes = await disk.fileSizeBytes(path)
      const file = await disk.open(path, 'create')
      const isWhole = sizeBytes !== null && sizeBytes >= 2 * BLOCK_BYTES && (await readJournalHeader(options.core, file)) !== null
      if (!isWhole) {
        await fill(file, Math.max(Math.min(options.fileBytes, FIRST_FILL_BYTES), sizeBytes ?? 0))
        isNew = true
      }
      // Written at every start: what the process before could not sync may be in the page cache only.
      await file.writeDurableAt(0, encodeHeader(options.core))
      const filledBytes = await file.sizeBytes()
      const targetBytes = Math.max(filledBytes, options.fileBytes)
      files.push({ file, filledBytes, targetBytes, lastSequence: null, generation: options.generation, oldestMs: 0 })
    }
    if (isNew) await disk.syncDirectory(`${directory}/${JOURNAL_DIRECTORY}`)
    return new Journal(options.meter, files, options)
  }

  /**
   * Continues where recovery stopped. The last commit is written again where it lies: it may be in the page cache only, and
   * nobody may see an event that a power cut could take back.
   */
  async resume(found: {
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

  /** One write, one sync. prepare() has said yes. @throws DiskError; then the commit does not count */
  async append(block: Uint8Array, nowMs: number): Promise<void> {
    const active = this.#activeFile
    await active.file.writeDurableAt(this.#positionBytes, block)
    this.#meter.onWrite('journal', block.byteLength)
    this.#meter.onSync()
    this.#positionBytes += block.byteLength
    this.#sequence++
    if (active.lastSequence === null) active.oldestMs = nowMs
    active.lastSequence = this.#sequence
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
  startFilling(): void {
    this.#isFilling = true
    this.#filling = this.#fillAll().finally(() => {
      this.#isFilling = false
      this.wake()
    })
  }

  async #fillAll(): Promise<void> {
    const zeros = new Uint8Array(FILL_CHUNK_BYTES)
    for (const journal of this.#files) {
      while (this.#isFilling && journal.filledBytes < journal.targetBytes) {
        const chunk = zeros.subarray(0, Math.min(zeros.byteLength, journal.targetBytes - journal.filledBytes))
        try {
          await journal.file.writeAt(journal.filledBytes, chunk)
        } catch (error) {
          if (!(error instanceof DiskError)) throw error
          journal.targetBytes = journal.filledBytes
          break
        }
        journal.filledBytes += chunk.byteLength
        this.wake()
      }
    }
  }

  async close(): Promise<void> {
    this.#isFilling = false
    await this.#filling
    for (const { file } of this.#files) await file.close()
  }
}

async function fill(file: DiskFile, sizeBytes: number): Promise<void> {
  const zeros = new Uint8Array(Math.min(FILL_CHUNK_BYTES, sizeBytes))
  for (let at = 0; at < sizeBytes; at += zeros.byteLength) {
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
export async function readJournalHeader(core: Core, file: DiskFile): Promise<number | null> {
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

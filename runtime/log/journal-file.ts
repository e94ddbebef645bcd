// One file of the journal: its header block, how it is made and opened, and whether it takes commits. docs/formats/journal.md has the bytes.
//
// Invariants:
//   - what may hold commits is never removed, cut or written over here;
//   - a file takes commits only when the largest commit fits it. One whose making was cut short, or that was cut, holds what it holds until a checkpoint has
//     freed it, and is made larger when there is room.
// Not here: which file takes the next commit (journal.ts), what is in them (journal-scan.ts).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import { type Disk, DiskError, type DiskFile } from '../io/disk.ts'
import { JOURNAL_DIRECTORY, journalPath } from './layout.ts'
import { patiently, SalvageFile } from './salvage-read.ts'

export const BLOCK_BYTES = 4096
const HEADER_MAGIC = 0x5741444a // "WADJ"
export const JOURNAL_FORMAT_VERSION = 1
export const FILL_CHUNK_BYTES = 1024 * 1024
/** The header and one block: a smaller file has no commit. */
const COMMITS_BYTES_MIN = 2 * BLOCK_BYTES

export interface JournalFileOptions {
  readonly disk: Disk
  readonly core: Core
  readonly directory: string
  readonly fileBytes: number
  readonly firstFillBytes: number
  /** The largest commit; with the header it fits `fileBytes`. */
  readonly commitBytesMax: number
  readonly generation: number
}

export class JournalFile {
  /** null: there was no room to make it yet. */
  file: DiskFile | null = null
  /** Preallocated so far; commits stay below. */
  filledBytes = 0
  /** Of them, those whose file size a power cut leaves. */
  syncedBytes = 0
  targetBytes = 0
  /** It may become as large, when there is room. */
  wantedBytes: number
  /** Last commit in it that recovery would still need; null = free. */
  lastSequence: number | null = null
  generation: number
  oldestMs = 0
  readonly #index: number
  readonly #options: JournalFileOptions
  /** The header and the largest commit. */
  readonly #bytesMin: number

  constructor(index: number, options: JournalFileOptions) {
    this.#index = index
    this.#options = options
    this.#bytesMin = BLOCK_BYTES + options.commitBytesMax
    this.wantedBytes = options.fileBytes
    this.generation = options.generation
  }

  /** Every commit fits it. Not: that it is free. */
  get takesCommits(): boolean {
    return this.file !== null && this.filledBytes >= this.#bytesMin
  }

  get disk(): DiskFile {
    assert(this.file !== null, 'a journal file is used that was not made')
    return this.file
  }

  /**
   * Opens it, and makes it when it is not there. What is there keeps its size, if commits fit it, and what is in it.
   * @returns the error when there was no room to make it, or to make it large enough: nothing is left of one that holds nothing
   * @throws DiskError, also when one that may hold commits cannot be opened: recovery has replayed them, without them the start does not go on
   */
  async open(): Promise<DiskError | null> {
    const { disk, directory, core, fileBytes, firstFillBytes } = this.#options
    const path = journalPath(directory, this.#index)
    const sizeBytes = (await patiently(() => disk.fileSizeBytes(path))) ?? 0
    const isLarge = sizeBytes >= COMMITS_BYTES_MIN
    let noRoom: DiskError | null = null
    // What may hold commits is used as it is when there is no room to write it (some file systems write nothing in place): a header that does not
    // verify costs no commit.
    const passOver = (error: unknown): void => {
      if (!isLarge || !isFull(error)) throw error
      noRoom = error
    }
    let opened: DiskFile | null = null
    try {
      const file = await disk.open(path, 'create')
      opened = file
      const header = sizeBytes > 0 ? await readJournalHeader(core, new SalvageFile(path, file, { isShared: true })) : null
      const firstBytes = Math.min(fileBytes, Math.max(firstFillBytes, this.#bytesMin))
      if (sizeBytes < (header === null ? firstBytes : this.#bytesMin)) {
        await writeZeros(file, sizeBytes, firstBytes).catch(passOver)
        await disk.syncDirectory(`${directory}/${JOURNAL_DIRECTORY}`)
      }
      // Written at every start: what the process before could not sync may be in the page cache only.
      await file.writeDurableAt(0, encodeHeader(core)).catch(passOver)
      await file.sync() // and so may be the size
      this.filledBytes = Math.floor((await patiently(() => file.sizeBytes())) / BLOCK_BYTES) * BLOCK_BYTES
      this.syncedBytes = this.filledBytes
      this.targetBytes = Math.max(this.filledBytes, fileBytes)
      this.file = file
      return this.takesCommits ? null : noRoom
    } catch (error) {
      await opened?.close().catch(() => undefined)
      if (isLarge || !isFull(error)) throw error
      await disk.remove(path).catch(() => undefined)
      return error
    }
  }

  /** Preallocates up to `targetBytes` for as long as `goesOn` says; `onGrown` after each piece. @throws DiskError */
  async fill(zeros: Uint8Array, { goesOn, onGrown }: { goesOn(): boolean; onGrown(): void }): Promise<void> {
    const { file } = this
    if (file === null || this.filledBytes >= this.targetBytes) return
    while (goesOn() && this.filledBytes < this.targetBytes) {
      const chunk = zeros.subarray(0, Math.min(zeros.byteLength, this.targetBytes - this.filledBytes))
      await file.writeAt(this.filledBytes, chunk)
      this.filledBytes += chunk.byteLength
      onGrown()
    }
    const { filledBytes } = this
    await file.sync()
    this.syncedBytes = Math.max(this.syncedBytes, filledBytes)
  }
}

function isFull(error: unknown): error is DiskError {
  return error instanceof DiskError && error.isFull
}

async function writeZeros(file: DiskFile, fromBytes: number, sizeBytes: number): Promise<void> {
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

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
//   J7  A commit goes into a file that the largest commit fits. While fewer than two are so large, none is written (lack).
// Errors: DiskError from append. Not here: one file (journal-file.ts), what is inside a commit (core), replay (recovery.ts), when to free (checkpoint.ts).

import { assert } from '../base/assert.ts'
import { DiskError } from '../io/disk.ts'
import { BLOCK_BYTES, FILL_CHUNK_BYTES, JournalFile, type JournalFileOptions } from './journal-file.ts'
import { JOURNAL_DIRECTORY } from './layout.ts'
import { patiently } from './salvage-read.ts'
import type { WriteMeter } from './segment.ts'

/** Files that take commits: below that none can be freed while another one takes them. */
const FILES_MIN = 2

export interface JournalOptions extends JournalFileOptions {
  readonly meter: WriteMeter
  readonly fileCount: number
  readonly sequence: number
  /** Nothing was ever stored: without room for the journal there is nothing to serve. */
  readonly isNew: boolean
}

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
  /** What was said last when a file could not be made, or made larger. */
  #noRoom: DiskError | null

  private constructor(files: JournalFile[], options: JournalOptions, noRoom: DiskError | null) {
    this.#meter = options.meter
    this.#noRoom = noRoom
    this.#options = options
    this.#files = files
    this.#generation = options.generation
    this.#sequence = options.sequence
    this.#active = Math.max(
      0,
      files.findIndex(({ takesCommits }) => takesCommits)
    )
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

  /** Why too few files take commits: no commit is written until there is room for them. null when there are enough. */
  get lack(): DiskError | null {
    return this.#files.filter(({ takesCommits }) => takesCommits).length < FILES_MIN ? this.#noRoom : null
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
   * Makes missing files (preallocated, synced, with their directory) and opens all, also those above `fileCount`. Existing ones keep their size, when commits
   * fit them, and what is in them, also when their header cannot be read: recovery has not replayed them yet. Those that there is no room to make, or to make
   * large enough, follow later, by startFilling(): until two take commits `lack` says why, and what is stored can be read.
   * @throws DiskError, for want of room only when nothing was ever stored, or a file that may hold commits cannot be opened
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const files: JournalFile[] = []
    let full: DiskError | null = null
    try {
      const { disk, directory, fileCount, isNew } = options
      const names = await patiently(() => disk.list(`${directory}/${JOURNAL_DIRECTORY}`))
      const there = new Set(journalIndexes(names))
      for (let index = 0; index < Math.max(fileCount, ...[...there].map((each) => each + 1)); index++) {
        const file = new JournalFile(index, options)
        if (index >= fileCount && !there.has(index)) file.wantedBytes = 0
        const mayBeMade = file.wantedBytes > 0 && areMade(files)
        files.push(file)
        if (!there.has(index) && !mayBeMade) continue
        const noRoom = await file.open()
        full ??= noRoom
      }
      const journal = new Journal(files, options, full)
      if (isNew && journal.lack !== null) throw journal.lack
      return journal
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
      await this.#activeFile.disk.writeDurableAt(found.end.positionBytes - found.lastCommit.byteLength, found.lastCommit)
  }

  get #activeFile(): JournalFile {
    return this.#files[this.#active] as JournalFile
  }

  /** True when a commit of any size can be written without waiting for a checkpoint, or for a file to be made (isFilling, lack). */
  prepare(): boolean {
    if (this.lack !== null) return false
    const active = this.#activeFile
    const { commitBytesMax } = this.#options
    if (this.#positionBytes + commitBytesMax <= active.filledBytes) return true
    if (active.filledBytes < active.targetBytes && this.#isFilling) return false
    const free = this.#files.filter((journal) => journal !== active && journal.takesCommits && journal.lastSequence === null)
    const next = this.#files[(this.#active + 1) % this.#files.length]
    const chosen = free.find((journal) => journal === next) ?? free[0]
    if (chosen === undefined) return false
    assert(BLOCK_BYTES + commitBytesMax <= chosen.filledBytes, 'a commit is larger than a journal file')
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
    await active.disk.writeDurableAt(this.#positionBytes, block)
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
        const noRoom = journal.file === null ? await journal.open() : null
        if (noRoom !== null) this.#noRoom = noRoom
        if (journal.file === null) continue
        journal.targetBytes = Math.max(journal.targetBytes, journal.wantedBytes)
        await journal.fill(zeros, { goesOn: () => this.#isFilling, onGrown: () => this.wake() })
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        this.#noRoom = error
        journal.targetBytes = journal.filledBytes // it stays as large as it is; what was not synced is not counted on
        if (!error.isFull) journal.wantedBytes = journal.filledBytes
      }
    }
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

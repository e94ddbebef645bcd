// Finds the commits of a journal file that recovery still needs. Reads every place where a commit may begin, hops over whole
// ones, and believes a commit only when magic, generation, sequence and CRC fit. docs/formats/journal.md has the bytes.
//
// Payloads come from outside: a device could publish bytes that look like a commit. They are only ever looked at behind a torn
// commit, and would have to guess the generation, which starts at a random number.

import type { Core } from '../core/core.ts'
import { BLOCK_BYTES } from './journal-file.ts'
import type { ByteRange, SalvageFile } from './salvage-read.ts'

const CHUNK_BYTES = 512 * 1024

export interface FoundCommit {
  readonly fileIndex: number
  readonly positionBytes: number
  readonly blockBytes: number
  readonly sequence: number
  readonly generation: number
}

export interface GenerationWindow {
  /** Commits up to this are in segments and in the snapshot: skipped without a look. */
  readonly afterSequence: number
  readonly generationMin: number
  readonly generationMax: number
}

/** What a scan of one journal file met beside the commits it handed out. */
export interface JournalFileScan {
  readonly fileIndex: number
  readonly path: string
  /** Sequences of those whose header is right and whose bytes are not: one can be a torn end, several cannot. */
  readonly broken: readonly number[]
  /** Of those, what the device refused to read: no torn end, whatever its place. */
  readonly unreadableSequences: readonly number[]
  /** The whole commit with the greatest sequence, dead ones included, and where it ends. */
  readonly last: { readonly sequence: number; readonly endBytes: number } | null
  readonly unreadable: readonly ByteRange[]
}

/** Whole commits behind the window's start, in file order, each with its bytes handed to `onCommit`, valid until that resolves. */
export async function scanJournalFile(
  core: Core,
  file: SalvageFile,
  { fileIndex, sizeBytes }: { fileIndex: number; sizeBytes: number },
  window: GenerationWindow,
  onCommit: (commit: FoundCommit, block: Uint8Array) => Promise<void> | void
): Promise<JournalFileScan> {
  const broken: number[] = []
  const unreadableSequences: number[] = []
  let last: JournalFileScan['last'] = null
  let room = new Uint8Array(Math.min(CHUNK_BYTES, sizeBytes))
  let chunk = room.subarray(0, 0)
  let chunkAt = 0
  const bytesAt = async (at: number, length: number): Promise<Uint8Array> => {
    if (at < chunkAt || at + length > chunkAt + chunk.byteLength) {
      const wanted = Math.min(Math.max(length, CHUNK_BYTES), sizeBytes - at)
      if (wanted > room.byteLength) room = new Uint8Array(wanted)
      chunk = room.subarray(0, await file.readAt(at, room.subarray(0, wanted)))
      chunkAt = at
    }
    return chunk.subarray(at - chunkAt, at - chunkAt + length)
  }
  for (let at = BLOCK_BYTES; at + BLOCK_BYTES <= sizeBytes; ) {
    const header = core.readCommitHeader(await bytesAt(at, BLOCK_BYTES))
    const isPlausible = header !== null && at + header.blockBytes <= sizeBytes && header.blockBytes <= core.commitBytesMax
    if (!header || !isPlausible || header.generation > window.generationMax) {
      at += BLOCK_BYTES
      continue
    }
    const isNeeded = header.sequence > window.afterSequence && header.generation >= window.generationMin
    const block = await bytesAt(at, header.blockBytes)
    if (block.byteLength < header.blockBytes || !core.verifyCommit(block)) {
      if (isNeeded) broken.push(header.sequence)
      if (isNeeded && file.isUnreadable(at, at + header.blockBytes)) unreadableSequences.push(header.sequence)
      at += BLOCK_BYTES
      continue
    }
    if (isNeeded) {
      const { sequence, generation, blockBytes } = header
      await onCommit({ fileIndex, positionBytes: at, blockBytes, sequence, generation }, block)
    }
    at += header.blockBytes
    if (last === null || header.sequence > last.sequence) last = { sequence: header.sequence, endBytes: at }
  }
  return { fileIndex, path: file.path, broken, unreadableSequences, last, unreadable: file.unreadable }
}

/** The file that holds the newest whole commit, dead ones included; null when none does. */
export function newestScan(scans: readonly JournalFileScan[]): JournalFileScan | null {
  let newest: JournalFileScan | null = null
  for (const scan of scans) if (scan.last && scan.last.sequence > (newest?.last?.sequence ?? -1)) newest = scan
  return newest
}

/**
 * The unreadable ranges in which a commit behind the last whole one may lie. It begins where that one ends or, in another file, behind the
 * header block; when no whole commit is left to count from, any range may hold one.
 */
export function whereMoreMayLie(scans: readonly JournalFileScan[], afterSequence: number): { path: string; range: ByteRange }[] {
  const newest = newestScan(scans)
  const isKnown = newest?.last != null && newest.last.sequence >= afterSequence
  return scans.flatMap((scan) => {
    const beginsAt = scan === newest && newest.last ? newest.last.endBytes : BLOCK_BYTES
    const mayHold = (range: ByteRange): boolean =>
      isKnown ? range.startBytes < beginsAt + BLOCK_BYTES && range.endBytes > beginsAt : range.endBytes > BLOCK_BYTES
    return scan.unreadable.filter(mayHold).map((range) => ({ path: scan.path, range }))
  })
}

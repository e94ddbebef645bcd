// Finds the commits of a journal file that recovery still needs. Reads every place where a commit may begin, hops over whole
// ones, and believes a commit only when magic, generation, sequence and CRC fit. docs/formats/journal.md has the bytes.
//
// Payloads come from outside: a device could publish bytes that look like a commit. They are only ever looked at behind a torn
// commit, and would have to guess the generation, which starts at a random number.

import type { Core } from '../core/core.ts'
import type { DiskFile } from '../io/disk.ts'
import { BLOCK_BYTES } from './journal.ts'

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

/**
 * Whole commits behind the window's start, in file order, each with its bytes handed to `onCommit`, valid until that resolves. Returns the sequences of those whose header
 * is right and whose bytes are not: one can be a torn end, several cannot.
 */
export async function scanJournalFile(
  core: Core,
  file: DiskFile,
  fileIndex: number,
  window: GenerationWindow,
  onCommit: (commit: FoundCommit, block: Uint8Array) => Promise<void> | void
): Promise<number[]> {
  const broken: number[] = []
  const sizeBytes = await file.sizeBytes()
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
      at += BLOCK_BYTES
      continue
    }
    if (isNeeded) {
      const { sequence, generation, blockBytes } = header
      await onCommit({ fileIndex, positionBytes: at, blockBytes, sequence, generation }, block)
    }
    at += header.blockBytes
  }
  return broken
}

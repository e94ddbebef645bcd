// Reads the commit block of the journal: its header, and the frames inside. Layout: docs/formats/journal-block.md.
// Invariants: reads nothing outside the block; nonsense is a RangeError or null, never a wrong frame.
// Not for: the CRC (Core.verifyCommit), what the frames mean (the journal).

import { readSafeInt64, viewOf } from './batch-header.ts'
import type { CommitHeader } from './core.ts'

const COMMIT_MAGIC = 0x57414443 // 'WADC'
const COMMIT_VERSION = 1
const GENERATION_AT = 8
const RESERVED_AT = 12
const SEQUENCE_AT = 16
const PAYLOAD_BYTES_AT = 24
const FRAME_COUNT_AT = 28
const RESERVED_2_AT = 32
export const COMMIT_CRC_AT = 36
export const COMMIT_PAYLOAD_AT = 40
export const COMMIT_BLOCK_ALIGNMENT = 4096
export const FRAME_HEADER_BYTES = 12
const BATCH_FRAME = 1
const STATE_FRAME = 2
const DELETE_FLAG = 1

export type CommitFrame =
  | { readonly kind: 'batch'; readonly topicNumber: number; readonly partitionIndex: number; readonly batch: Uint8Array }
  | { readonly kind: 'state'; readonly key: string; readonly value: Uint8Array | null }

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** null when the bytes do not begin with a possible header. The CRC is not looked at, the payload need not be there. */
export function parseCommitHeader(bytes: Uint8Array, commitBytesMax: number): CommitHeader | null {
  if (bytes.byteLength < COMMIT_PAYLOAD_AT) return null
  const view = viewOf(bytes)
  if (view.getUint32(0) !== COMMIT_MAGIC || view.getUint16(4) !== COMMIT_VERSION || view.getUint16(6) !== 0) return null
  if (view.getUint32(RESERVED_AT) !== 0 || view.getUint32(RESERVED_2_AT) !== 0) return null
  const payloadBytes = view.getUint32(PAYLOAD_BYTES_AT)
  const sequence = readSafeInt64(view, SEQUENCE_AT)
  if (payloadBytes > commitBytesMax - COMMIT_PAYLOAD_AT || !(sequence >= 0)) return null
  return {
    generation: view.getUint32(GENERATION_AT),
    sequence,
    payloadBytes,
    frameCount: view.getUint32(FRAME_COUNT_AT),
    blockBytes: Math.ceil((COMMIT_PAYLOAD_AT + payloadBytes) / COMMIT_BLOCK_ALIGNMENT) * COMMIT_BLOCK_ALIGNMENT
  }
}

/**
 * The frames of a verified commit, in order. Batches and values are views of `commit`.
 * @throws RangeError when frames and header disagree: a damaged writer, since the CRC was right
 */
export function* readFrames(commit: Uint8Array, header: CommitHeader): Iterable<CommitFrame> {
  const end = COMMIT_PAYLOAD_AT + header.payloadBytes
  if (end > commit.byteLength) throw new RangeError(`the commit has ${commit.byteLength} bytes, its header says ${end}`)
  const view = viewOf(commit)
  let at = COMMIT_PAYLOAD_AT
  for (let left = header.frameCount; left > 0; left--) {
    if (FRAME_HEADER_BYTES > end - at) throw new RangeError(`${left} frames are missing at byte ${at} of the commit`)
    const kind = view.getUint8(at)
    if (kind === BATCH_FRAME) {
      const batchBytes = view.getUint32(at + 8)
      const batchAt = at + FRAME_HEADER_BYTES
      if (view.getUint8(at + 1) !== 0 || batchBytes > end - batchAt) throw new RangeError(`bad batch frame at byte ${at} of the commit`)
      const batch = commit.subarray(batchAt, batchAt + batchBytes)
      yield { kind: 'batch', topicNumber: view.getUint32(at + 4), partitionIndex: view.getUint16(at + 2), batch }
      at = batchAt + batchBytes
    } else if (kind === STATE_FRAME) {
      const frame = readStateFrame(commit, view, at, end)
      yield frame
      at += FRAME_HEADER_BYTES + view.getUint8(at + 1) + view.getUint32(at + 4)
    } else {
      throw new RangeError(`unknown frame kind ${kind} at byte ${at} of the commit`)
    }
  }
  if (at !== end) throw new RangeError(`${end - at} bytes behind the last frame of the commit`)
}

function readStateFrame(commit: Uint8Array, view: DataView, at: number, end: number): CommitFrame {
  const keyBytes = view.getUint8(at + 1)
  const flags = view.getUint16(at + 2)
  const valueBytes = view.getUint32(at + 4)
  const keyAt = at + FRAME_HEADER_BYTES
  const valueAt = keyAt + keyBytes
  const isDelete = flags === DELETE_FLAG
  if ((flags !== 0 && !isDelete) || view.getUint32(at + 8) !== 0 || keyBytes === 0 || (isDelete && valueBytes !== 0)) {
    throw new RangeError(`bad state frame at byte ${at} of the commit`)
  }
  if (valueAt > end || valueBytes > end - valueAt) throw new RangeError(`state frame at byte ${at} reaches behind the commit`)
  return {
    kind: 'state',
    key: decodeKey(commit.subarray(keyAt, valueAt), at),
    value: isDelete ? null : commit.subarray(valueAt, valueAt + valueBytes)
  }
}

function decodeKey(bytes: Uint8Array, at: number): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new RangeError(`the state key at byte ${at} of the commit is not UTF-8`)
  }
}

// Is a block of bytes whole zstd frames, up to its last byte? Some versions of Node decompress the beginning of a cut frame and say nothing.
// Source: RFC 8878, 3.1. Not for: decompressing.

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a5
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const
const CHECKSUM_BYTES = 4
const RLE = 1
const RESERVED = 3

/** True when `bytes` is one or more frames back to back, none of them cut. */
export function isWholeZstd(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  do {
    const behind = frameEnd(view, at)
    if (behind === null) return false
    at = behind
  } while (at < bytes.byteLength)
  return true
}

function frameEnd(view: DataView, start: number): number | null {
  if (start + 5 > view.byteLength) return null
  const magic = view.getUint32(start, true)
  if (magic >>> 4 === SKIPPABLE_MAGIC) {
    const behind = start + 8 > view.byteLength ? Number.POSITIVE_INFINITY : start + 8 + view.getUint32(start + 4, true)
    return behind <= view.byteLength ? behind : null
  }
  if (magic !== MAGIC) return null
  const descriptor = view.getUint8(start + 4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const contentSizeBytes = descriptor >> 6 === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[descriptor >> 6] ?? 0)
  let at = start + 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) + contentSizeBytes
  for (;;) {
    if (at + 3 > view.byteLength) return null
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
    const type = (header >> 1) & 3
    if (type === RESERVED) return null
    at += 3 + (type === RLE ? 1 : header >> 3)
    if ((header & 1) === 0) continue
    if ((descriptor & 4) !== 0) at += CHECKSUM_BYTES
    return at <= view.byteLength ? at : null
  }
}

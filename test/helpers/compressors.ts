// Compressors that the product does not have, for batches as other people's clients send them: snappy raw and framed, zstd in stored blocks.

import { gzipSync } from 'node:zlib'
import { ATTRIBUTES_AT, BATCH_LENGTH_AT, CRC_AT, LENGTH_PREFIX_BYTES, RECORDS_AT, viewOf } from '../../runtime/core/batch-header.ts'
import type { Core } from '../../runtime/core/core.ts'

export type ClientCodec = 'none' | 'gzip' | 'snappy' | 'snappy-framed' | 'lz4' | 'zstd'

export const CLIENT_CODECS: readonly ClientCodec[] = ['none', 'gzip', 'snappy', 'snappy-framed', 'lz4', 'zstd']

const ID: Readonly<Record<ClientCodec, number>> = { none: 0, gzip: 1, snappy: 2, 'snappy-framed': 2, lz4: 3, zstd: 4 }

/** Greedy, four bytes at a time: copies of all three kinds and literals of every length code. */
export function snappyRaw(plain: Uint8Array): Uint8Array {
  const out: number[] = []
  for (let left = plain.byteLength; ; left >>>= 7) {
    out.push(left < 0x80 ? left : (left & 0x7f) | 0x80)
    if (left < 0x80) break
  }
  const seen = new Map<number, number>()
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
  let literalFrom = 0
  let at = 0
  while (at + 4 <= plain.byteLength) {
    const word = view.getUint32(at)
    const before = seen.get(word)
    seen.set(word, at)
    if (before === undefined) {
      at++
      continue
    }
    pushLiteral(out, plain.subarray(literalFrom, at))
    let length = 4
    while (length < 64 && at + length < plain.byteLength && plain[before + length] === plain[at + length]) length++
    pushCopy(out, length, at - before)
    at += length
    literalFrom = at
  }
  pushLiteral(out, plain.subarray(literalFrom))
  return Uint8Array.from(out)
}

function pushLiteral(out: number[], bytes: Uint8Array): void {
  if (bytes.byteLength === 0) return
  const code = bytes.byteLength - 1
  const extraBytes = code < 60 ? 0 : code < 2 ** 8 ? 1 : code < 2 ** 16 ? 2 : 3
  out.push((extraBytes === 0 ? code : 59 + extraBytes) << 2)
  for (let index = 0; index < extraBytes; index++) out.push((code >>> (8 * index)) & 0xff)
  for (const byte of bytes) out.push(byte)
}

function pushCopy(out: number[], length: number, distance: number): void {
  if (length <= 11 && distance < 2048) out.push(1 | ((length - 4) << 2) | ((distance >> 8) << 5), distance & 0xff)
  else if (distance < 2 ** 16) out.push(2 | ((length - 1) << 2), distance & 0xff, distance >> 8)
  else out.push(3 | ((length - 1) << 2), distance & 0xff, (distance >> 8) & 0xff, (distance >> 16) & 0xff, distance >>> 24)
}

/** As Java's clients frame it. */
export function snappyFramed(plain: Uint8Array, chunkBytes = 32 * 1024): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])]
  for (let at = 0; at < plain.byteLength; at += chunkBytes) {
    const chunk = snappyRaw(plain.subarray(at, at + chunkBytes))
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, chunk.byteLength)
    parts.push(length, chunk)
  }
  return Buffer.concat(parts)
}

/** One frame of stored blocks: valid, and no smaller. */
export function zstdStored(plain: Uint8Array): Uint8Array {
  const blockBytes = 64 * 1024
  const parts: Uint8Array[] = [Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x50])] // window of 1 MiB, no content size
  for (let at = 0; ; at += blockBytes) {
    const block = plain.subarray(at, at + blockBytes)
    const isLast = at + blockBytes >= plain.byteLength
    const header = (block.byteLength << 3) | (isLast ? 1 : 0)
    parts.push(Uint8Array.from([header & 0xff, (header >> 8) & 0xff, header >> 16]), block)
    if (isLast) return Buffer.concat(parts)
  }
}

export function packed(core: Core, codec: ClientCodec, block: Uint8Array): Uint8Array {
  switch (codec) {
    case 'none':
      return block
    case 'gzip':
      return gzipSync(block, { level: 1 })
    case 'snappy':
      return snappyRaw(block)
    case 'snappy-framed':
      return snappyFramed(block, 300)
    case 'lz4':
      return core.lz4Compress(block)
    case 'zstd':
      return zstdStored(block)
  }
}

/** `batch` (uncompressed) as a client would send it with this codec; `block` puts other bytes where the records were. */
export function withCodec(core: Core, batch: Uint8Array, codec: ClientCodec, block?: Uint8Array): Uint8Array {
  const records = block ?? packed(core, codec, batch.subarray(RECORDS_AT))
  const result = new Uint8Array(RECORDS_AT + records.byteLength)
  result.set(batch.subarray(0, RECORDS_AT))
  result.set(records, RECORDS_AT)
  const view = viewOf(result)
  view.setInt32(BATCH_LENGTH_AT, result.byteLength - LENGTH_PREFIX_BYTES)
  view.setInt16(ATTRIBUTES_AT, (view.getInt16(ATTRIBUTES_AT) & ~7) | ID[codec])
  view.setUint32(CRC_AT, core.crc32c(result.subarray(ATTRIBUTES_AT)))
  return result
}

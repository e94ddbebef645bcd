// A batch with its records block compressed, and back. The header stays readable; the CRC is made anew.
// LZ4 runs in the core on this thread: 64 KiB take a fraction of what a hop to another thread costs. gzip and zstd go to the thread pool.

import { ATTRIBUTES_AT, BATCH_LENGTH_AT, CODEC_MASK, CRC_AT, LENGTH_PREFIX_BYTES, RECORDS_AT, viewOf } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import { type BlockCodec, CODEC_ID, type CodecName } from '../io/codec.ts'

/** The batch's codec; null when it is one we cannot read (snappy, unknown). */
export function codecOf(batch: Uint8Array): CodecName | null {
  const id = viewOf(batch).getInt16(ATTRIBUTES_AT) & CODEC_MASK
  for (const name of ['none', 'gzip', 'lz4', 'zstd'] as const) if (CODEC_ID[name] === id) return name
  return null
}

function withBlock(core: Core, batch: Uint8Array, block: Uint8Array, codec: CodecName): Uint8Array {
  const result = new Uint8Array(RECORDS_AT + block.byteLength)
  result.set(batch.subarray(0, RECORDS_AT))
  result.set(block, RECORDS_AT)
  const view = viewOf(result)
  view.setInt32(BATCH_LENGTH_AT, result.byteLength - LENGTH_PREFIX_BYTES)
  view.setInt16(ATTRIBUTES_AT, (view.getInt16(ATTRIBUTES_AT) & ~CODEC_MASK) | CODEC_ID[codec])
  view.setUint32(CRC_AT, core.crc32c(result.subarray(ATTRIBUTES_AT)))
  return result
}

/** The batch compressed by `codec`, or `batch` itself when that does not make it smaller. `batch` is uncompressed and must not change meanwhile. */
export async function compressBatch(core: Core, blockCodec: BlockCodec, batch: Uint8Array, codec: CodecName): Promise<Uint8Array> {
  if (codec === 'none') return batch
  const block = batch.subarray(RECORDS_AT)
  const packed = codec === 'lz4' ? core.lz4Compress(block) : await blockCodec.compress(codec, block)
  return packed.byteLength < block.byteLength ? withBlock(core, batch, packed, codec) : batch
}

/**
 * The batch with its records in the clear; `batch` itself when it is not compressed.
 * @throws RangeError when the codec is unknown here, the block malformed, or the output larger than the core takes
 */
export async function decompressBatch(core: Core, blockCodec: BlockCodec, batch: Uint8Array): Promise<Uint8Array> {
  const codec = codecOf(batch)
  if (codec === 'none') return batch
  if (codec === null) throw new RangeError('the batch has a codec that is not read here')
  const block = batch.subarray(RECORDS_AT)
  const bytesMax = core.batchBytesMax - RECORDS_AT
  const plain = codec === 'lz4' ? core.lz4Decompress(block, bytesMax) : await blockCodec.decompress(codec, block, bytesMax)
  return withBlock(core, batch, plain, 'none')
}

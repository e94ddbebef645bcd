// A batch with its records block compressed, and back. The header stays readable; the CRC is made anew.
// LZ4 runs in the core on this thread: 64 KiB take a fraction of what a hop to another thread costs. The others are the block codec's.

import { ATTRIBUTES_AT, BATCH_LENGTH_AT, CODEC_MASK, CRC_AT, LENGTH_PREFIX_BYTES, RECORDS_AT, viewOf } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { OpenedBatch, StoredRecord } from '../core/record.ts'
import { type BlockCodec, CODEC_ID, type CodecName, type ReadableCodec } from '../io/codec.ts'

const READABLE = Object.keys(CODEC_ID) as ReadableCodec[]

/** The batch's codec; null when it is none of Kafka's. */
export function codecOf(batch: Uint8Array): ReadableCodec | null {
  const id = viewOf(batch).getInt16(ATTRIBUTES_AT) & CODEC_MASK
  return READABLE.find((name) => CODEC_ID[name] === id) ?? null
}

/** The batch's header for another records block; its CRC is still that of the old one. */
function headFor(batch: Uint8Array, block: Uint8Array, codec: CodecName): Uint8Array {
  const head = new Uint8Array(batch.subarray(0, RECORDS_AT)) // a copy: slice() of a Buffer would be a view of the batch
  const view = viewOf(head)
  view.setInt32(BATCH_LENGTH_AT, RECORDS_AT + block.byteLength - LENGTH_PREFIX_BYTES)
  view.setInt16(ATTRIBUTES_AT, (view.getInt16(ATTRIBUTES_AT) & ~CODEC_MASK) | CODEC_ID[codec])
  return head
}

/** Behind a change of anything that it covers: attributes to the last record. */
export function writeCrc(core: Pick<Core, 'crc32c'>, batch: Uint8Array): void {
  viewOf(batch).setUint32(CRC_AT, core.crc32c(batch.subarray(ATTRIBUTES_AT)))
}

/** In one piece, with the CRC that fits. */
export function joinBatch(core: Core, { head, records }: OpenedBatch): Uint8Array {
  const result = new Uint8Array(RECORDS_AT + records.byteLength)
  result.set(head)
  result.set(records, RECORDS_AT)
  writeCrc(core, result)
  return result
}

/** The batch compressed by `codec`, or `batch` itself when that does not make it smaller. `batch` is uncompressed and must not change meanwhile. */
export async function compressBatch(core: Core, blockCodec: BlockCodec, batch: Uint8Array, codec: CodecName): Promise<Uint8Array> {
  if (codec === 'none') return batch
  const block = batch.subarray(RECORDS_AT)
  const packed = codec === 'lz4' ? core.lz4Compress(block) : await blockCodec.compress(codec, block)
  return packed.byteLength < block.byteLength ? joinBatch(core, { head: headFor(batch, packed, codec), records: packed }) : batch
}

/**
 * Whether the records fit the header is not looked at.
 * @throws RangeError when the codec is unknown, the block malformed, or the output larger than `recordsBytesMax` or than the core takes
 */
export async function openBatch(
  core: Core,
  blockCodec: BlockCodec,
  batch: Uint8Array,
  recordsBytesMax = Number.POSITIVE_INFINITY
): Promise<OpenedBatch> {
  const codec = codecOf(batch)
  if (codec === null) throw new RangeError('the batch has an unknown codec')
  const block = batch.subarray(RECORDS_AT)
  if (codec === 'none') return { head: batch.subarray(0, RECORDS_AT), records: block }
  const bytesMax = Math.min(core.batchBytesMax - RECORDS_AT, recordsBytesMax)
  const records = codec === 'lz4' ? core.lz4Decompress(block, bytesMax) : await blockCodec.decompress(codec, block, bytesMax)
  return { head: headFor(batch, records, 'none'), records }
}

/** `opened` is not needed any more: what was made when it was opened is given back, unless `batch` was in the clear and they are one. */
export function releaseOpened(blockCodec: BlockCodec, opened: OpenedBatch, batch: Uint8Array): void {
  if (codecOf(batch) !== 'none') blockCodec.release(opened.records)
}

/** The batch with its records in the clear, in one piece; `batch` itself when it is not compressed. @throws RangeError as openBatch */
export async function decompressBatch(
  core: Core,
  blockCodec: BlockCodec,
  batch: Uint8Array,
  recordsBytesMax?: number
): Promise<Uint8Array> {
  return codecOf(batch) === 'none' ? batch : joinBatch(core, await openBatch(core, blockCodec, batch, recordsBytesMax))
}

/** What `use` makes of the opened batch, which it must not keep; null when the batch cannot be opened, or `use` finds it malformed (RangeError). */
export async function withOpened<T>(
  core: Core,
  blockCodec: BlockCodec,
  batch: Uint8Array,
  use: (opened: OpenedBatch) => T
): Promise<T | null> {
  try {
    const opened = await openBatch(core, blockCodec, batch)
    try {
      return use(opened)
    } finally {
      releaseOpened(blockCodec, opened, batch)
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return null
  }
}

/** Its records, or those that are wanted; null when the batch cannot be opened. */
export function readBatchRecords(
  core: Core,
  blockCodec: BlockCodec,
  batch: Uint8Array,
  wants?: (offset: number) => boolean
): Promise<StoredRecord[] | null> {
  return withOpened(core, blockCodec, batch, (opened) => core.readOpened(opened, wants))
}

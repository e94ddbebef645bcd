// Compression of a batch's records block, away from the main thread where the platform can. LZ4 is not here: it lives in the WASM core.
// Real: node-codec.ts (node:zlib's thread pool). Simulated: the same bytes, made at once.

/** What we write. */
export type CodecName = 'none' | 'gzip' | 'lz4' | 'zstd'

/** What we read: all that Kafka's clients write. */
export type ReadableCodec = CodecName | 'snappy'

/** Kafka's number of each codec, bits 0-2 of a batch's attributes. */
export const CODEC_ID: Readonly<Record<ReadableCodec, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

/** Not malformed as far as it was read: it would become larger than was allowed. */
export class OutputTooLarge extends RangeError {}

export interface BlockCodec {
  /** Codecs this platform can write, best first. Always contains at least gzip. */
  readonly available: readonly ('gzip' | 'zstd')[]
  compress(codec: 'gzip' | 'zstd', block: Uint8Array): Promise<Uint8Array>
  /**
   * On every platform. Blocks up to 64 KiB may be read on the calling thread, larger ones leave room for other work where they can.
   * @throws RangeError when the block is malformed, or the output would be larger than `bytesMax` (OutputTooLarge where that can be told)
   */
  decompress(codec: 'gzip' | 'snappy' | 'zstd', block: Uint8Array, bytesMax: number): Promise<Uint8Array>
  /** Nobody reads `block` any more, nor anything else in its buffer: the memory may be given back at once. It is empty afterwards, or as it was. */
  release(block: Uint8Array): void
}

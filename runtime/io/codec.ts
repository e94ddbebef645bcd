// Compression of a batch's records block, away from the main thread. LZ4 is not here: it lives in the WASM core.
// Real: node-codec.ts (node:zlib's thread pool). Simulated: the same bytes, made at once.

export type CodecName = 'none' | 'gzip' | 'lz4' | 'zstd'

/** Kafka's number of each codec, bits 0-2 of a batch's attributes. 2 (snappy) is read, never written. */
export const CODEC_ID: Readonly<Record<CodecName, number>> = { none: 0, gzip: 1, lz4: 3, zstd: 4 }

export interface BlockCodec {
  /** Codecs this platform can write, best first. Always contains at least gzip. */
  readonly available: readonly ('gzip' | 'zstd')[]
  compress(codec: 'gzip' | 'zstd', block: Uint8Array): Promise<Uint8Array>
  /** @throws RangeError when the block is malformed, the output would be larger than `bytesMax`, or the codec is not there */
  decompress(codec: 'gzip' | 'zstd', block: Uint8Array, bytesMax: number): Promise<Uint8Array>
}

// zstd without node:zlib, for Node before 22.15: libzstd's decoder as WebAssembly (the package zstddec), loaded when the first block needs it.
// It runs on the calling thread, whole. Not for: compressing, newer versions of Node (node-codec.ts uses zlib's thread pool there).

import { isWholeZstd } from './zstd-frame.ts'

/** @throws RangeError when the block is malformed, cut, or larger than `bytesMax` */
export type ZstdReader = (block: Uint8Array, bytesMax: number) => Uint8Array

let loading: Promise<ZstdReader> | null = null

export function loadZstdReader(): Promise<ZstdReader> {
  loading ??= load()
  return loading
}

async function load(): Promise<ZstdReader> {
  const { ZSTDDecoder } = await import('zstddec')
  const decoder = new ZSTDDecoder()
  await decoder.init()
  return (block, bytesMax) => {
    if (!isWholeZstd(block)) throw new RangeError('the zstd block is malformed or cut')
    // An error of libzstd comes back as an empty output; no batch's records are empty.
    const plain = decoder.decode(block, bytesMax)
    if (plain.byteLength === 0) throw new RangeError('the zstd block is malformed or too large')
    return plain
  }
}

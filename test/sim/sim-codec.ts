// The simulated codec: the same bytes as the real one, made at once, so that no thread pool decides the order of things.

import { gunzipSync, gzipSync } from 'node:zlib'
import type { BlockCodec } from '../../runtime/io/codec.ts'
import { readSnappy } from '../../runtime/io/snappy.ts'
import { loadZstdReader } from '../../runtime/io/zstd-reader.ts'

const readZstd = await loadZstdReader()

export const simCodec: BlockCodec = {
  available: ['gzip'],
  async compress(codec, block) {
    if (codec !== 'gzip') throw new RangeError(`the simulated codec has no ${codec}`)
    return gzipSync(block, { level: 1 })
  },
  async decompress(codec, block, bytesMax) {
    if (codec === 'snappy') return readSnappy(block, bytesMax)
    if (codec === 'zstd') return readZstd(block, bytesMax)
    try {
      return gunzipSync(block, { maxOutputLength: bytesMax })
    } catch (error) {
      throw new RangeError(`the gzip block is malformed or too large: ${String(error)}`)
    }
  },
  /** Really gone, so that whoever reads it afterwards is found out. */
  release({ buffer }) {
    if (buffer.byteLength > Buffer.poolSize && buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] })
  }
}

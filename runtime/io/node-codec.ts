// gzip and zstd by node:zlib, in libuv's thread pool. zstd exists there from Node 22.15: looked for, not assumed; before, it is read by
// WebAssembly (zstd-reader.ts) and not written. snappy is read in JavaScript, in slices.

import { promisify } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import * as zlib from 'node:zlib'
import { type BlockCodec, OutputTooLarge } from './codec.ts'
import { type CompressionStream, Compressor } from './compressor.ts'
import { SnappyReader } from './snappy.ts'
import { isWholeZstd } from './zstd-frame.ts'
import { loadZstdReader } from './zstd-reader.ts'

interface ZstdZlib {
  createZstdCompress?: (options: zlib.ZlibOptions) => CompressionStream
  zstdDecompress?: (
    block: Uint8Array,
    options: { maxOutputLength: number },
    callback: (error: Error | null, result: Buffer) => void
  ) => void
}

const OUTPUT_BYTES = 64 * 1024
/** ZSTD_e_end: @types/node of Node 20 has no name for it. */
const ZSTD_END = 2
/** Level 1 is five times smaller at four times the speed of level 6, which gains another eighth. */
const GZIP: zlib.ZlibOptions = { level: 1, chunkSize: OUTPUT_BYTES, flush: zlib.constants.Z_FINISH }
const ZSTD: zlib.ZlibOptions = { chunkSize: OUTPUT_BYTES, flush: ZSTD_END }

/** Output of one turn of the loop: a fraction of a millisecond. */
const SLICE_BYTES = 64 * 1024
const GZIP_BYTES_MIN = 18
const ZLIB_CHUNK_BYTES_MIN = 64
/** Smaller ones are not worth the message. */
const RELEASED_BYTES_MIN = 64 * 1024
const { port1: nobody, port2 } = new MessageChannel()
port2.close()

const gunzip = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gunzip)

export function createNodeCodec(): BlockCodec {
  const { createZstdCompress, zstdDecompress } = zlib as ZstdZlib
  const gzip = new Compressor(() => zlib.createGzip(GZIP) as CompressionStream)
  const zstd = createZstdCompress && new Compressor(() => createZstdCompress(ZSTD))
  const hasZstd = zstd !== undefined && zstdDecompress !== undefined
  return {
    available: hasZstd ? ['zstd', 'gzip'] : ['gzip'],
    async compress(codec, block) {
      if (codec === 'gzip') return gzip.compress(block)
      if (!zstd) throw new RangeError('zstd needs Node 22.15 or newer')
      return zstd.compress(block)
    },
    async decompress(codec, block, bytesMax) {
      const options = { maxOutputLength: bytesMax }
      if (codec === 'gzip')
        return gunzip(block, { ...options, chunkSize: outputBytes(block, bytesMax) }).catch((error) => refuse(codec, error))
      if (codec === 'snappy') return readSnappyInSlices(block, bytesMax)
      if (!zstdDecompress) return (await loadZstdReader())(block, bytesMax)
      if (!isWholeZstd(block)) throw new RangeError('the zstd block is malformed or cut')
      return promisify(zstdDecompress)(block, options).catch((error) => refuse(codec, error))
    },
    release
  }
}

/**
 * The collector takes little note of memory outside its heap: large blocks would wait for it, tens of MiB of them. A transfer to nobody
 * frees it at once. Small outputs may share their buffer with others (Buffer.poolSize is 8 KiB in Node 20, 64 KiB in Node 24), and what
 * cannot be transferred is left to the collector.
 */
function release(block: Uint8Array): void {
  const { buffer } = block
  if (block.byteLength < RELEASED_BYTES_MIN || block.byteLength <= Buffer.poolSize || !(buffer instanceof ArrayBuffer)) return
  try {
    nobody.postMessage(null, [buffer])
  } catch (error) {
    if (!(error instanceof DOMException)) throw error // DataCloneError
  }
}

async function readSnappyInSlices(block: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  const reader = new SnappyReader(block, bytesMax)
  while (reader.advance(SLICE_BYTES)) await new Promise((resolve) => setImmediate(resolve))
  return reader.output
}

/**
 * One piece of output of the right size, where zlib would make many and join them: what gzip's last four bytes say, a hint and no more.
 * One byte above it, so that zlib sees the end without a second piece.
 */
function outputBytes(block: Uint8Array, bytesMax: number): number {
  if (block.byteLength < GZIP_BYTES_MIN) return ZLIB_CHUNK_BYTES_MIN
  const claimed = new DataView(block.buffer, block.byteOffset, block.byteLength).getUint32(block.byteLength - 4, true)
  return Math.max(ZLIB_CHUNK_BYTES_MIN, Math.min(claimed, bytesMax) + 1)
}

/** zlib's errors are of several classes: all of them say that the block is not what it should be. */
function refuse(codec: string, error: Error): never {
  if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
    throw new OutputTooLarge(`the ${codec} block becomes larger than is taken`, { cause: error })
  throw new RangeError(`the ${codec} block is malformed: ${error.message}`, { cause: error })
}

// A large range of zeros in which only what was written takes memory: the medium of a simulated device, and an image of it.

import { open } from 'node:fs/promises'

const CHUNK_BYTES = 64 * 1024

export class SparseBytes {
  readonly sizeBytes: number
  readonly #chunks = new Map<number, Buffer>()

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
  }

  read(offset: number, length: number): Buffer {
    const result = Buffer.alloc(length)
    this.#eachPart(offset, length, (index, inChunk, at, count) => {
      this.#chunks.get(index)?.copy(result, at, inChunk, inChunk + count)
    })
    return result
  }

  write(offset: number, bytes: Buffer): void {
    this.#eachPart(offset, bytes.byteLength, (index, inChunk, at, count) => {
      let chunk = this.#chunks.get(index)
      if (!chunk) this.#chunks.set(index, (chunk = Buffer.alloc(CHUNK_BYTES)))
      bytes.copy(chunk, inChunk, at, at + count)
    })
  }

  clone(): SparseBytes {
    const copy = new SparseBytes(this.sizeBytes)
    for (const [index, chunk] of this.#chunks) copy.#chunks.set(index, Buffer.from(chunk))
    return copy
  }

  /** As a file with holes. */
  async save(path: string): Promise<void> {
    const file = await open(path, 'w')
    try {
      await file.truncate(this.sizeBytes)
      for (const [index, chunk] of this.#chunks) await file.write(chunk, 0, CHUNK_BYTES, index * CHUNK_BYTES)
    } finally {
      await file.close()
    }
  }

  #eachPart(offset: number, length: number, visit: (index: number, inChunk: number, at: number, count: number) => void): void {
    for (let at = 0; at < length; ) {
      const index = Math.floor((offset + at) / CHUNK_BYTES)
      const inChunk = (offset + at) % CHUNK_BYTES
      const count = Math.min(CHUNK_BYTES - inChunk, length - at)
      visit(index, inChunk, at, count)
      at += count
    }
  }
}

// Compression in libuv's thread pool, with contexts that are used again. A context takes some 100 KiB outside of the collector's heap: one for each block
// would have the collector run for nothing but these, many times a second.
//
// Invariants: one block at a time in a context; one that has failed is not used again. Not for: which codec, its level and its flush (node-codec.ts).

import type { Gzip, ZlibReset } from 'node:zlib'

/** A stream of node:zlib that ends its output with every write, and begins anew with reset(). */
export type CompressionStream = Gzip & ZlibReset

/** More are made when more blocks are compressed at once, and are not kept. */
const IDLE_MAX = 2

export class Compressor {
  readonly #create: () => CompressionStream
  readonly #idle: Context[] = []

  constructor(create: () => CompressionStream) {
    this.#create = create
  }

  /** `block` must not change meanwhile. */
  async compress(block: Uint8Array): Promise<Uint8Array> {
    const context = this.#idle.pop() ?? new Context(this.#create())
    const output = await context.compress(block)
    if (this.#idle.length < IDLE_MAX) this.#idle.push(context)
    else context.close()
    return output
  }
}

class Context {
  readonly #stream: CompressionStream
  #output: Buffer[] = []
  #onError: (error: Error) => void = () => {}

  constructor(stream: CompressionStream) {
    this.#stream = stream
    stream.on('data', (piece: Buffer) => this.#output.push(piece))
    stream.on('error', (error) => this.#onError(error))
  }

  compress(block: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#onError = reject
      this.#stream.write(block, (error) => {
        if (error) return reject(error)
        const output = this.#output
        this.#output = []
        this.#stream.reset()
        resolve(output.length === 1 ? (output[0] as Buffer) : Buffer.concat(output))
      })
    })
  }

  close(): void {
    this.#stream.destroy()
  }
}

// The link between the gateway and one broker, as a TCP forwarder that can be cut and be slow.
// Cut: open connections are reset and new ones refused by reset, as when a modem loses its network.

import { createConnection, createServer, type Server, type Socket } from 'node:net'
import type { Address } from '../../gateway/config/address.ts'

const TICK_MS = 20

/** Sees the requests of one connection, and may change its answers. */
export interface Rewrite {
  onRequest(chunk: Uint8Array): void
  onAnswer(chunk: Uint8Array): Uint8Array[]
}

export interface LinkOptions {
  readonly target: Address
  /** Both directions together; null = as fast as it goes. */
  readonly bytesPerSecond: number | null
  /** Made for each connection. */
  readonly rewrite?: () => Rewrite
}

interface Waiting {
  readonly from: Socket
  readonly to: Socket
  readonly chunk: Uint8Array
}

export class Link {
  readonly #options: LinkOptions
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #isUp = true
  #budgetBytes = 0
  #timer: NodeJS.Timeout | null = null
  readonly #waiting: Waiting[] = []
  #carriedBytes = 0

  private constructor(options: LinkOptions) {
    this.#options = options
    this.#server = createServer((near) => this.#accept(near))
  }

  /** Listens on a free loopback port. */
  static async open(options: LinkOptions): Promise<Link> {
    const link = new Link(options)
    await new Promise<void>((resolve, reject) => link.#server.once('error', reject).listen(0, '127.0.0.1', resolve))
    const { bytesPerSecond } = options
    if (bytesPerSecond !== null) link.#timer = setInterval(() => link.#release(bytesPerSecond), TICK_MS)
    return link
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  get carriedBytes(): number {
    return this.#carriedBytes
  }

  cut(): void {
    this.#isUp = false
    this.#waiting.length = 0
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }

  restore(): void {
    this.#isUp = true
  }

  async close(): Promise<void> {
    this.cut()
    if (this.#timer) clearInterval(this.#timer)
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #accept(near: Socket): void {
    near.on('error', () => near.destroy())
    if (!this.#isUp) {
      near.resetAndDestroy()
      return
    }
    const far = createConnection(this.#options.target)
    far.on('error', () => far.destroy())
    const pair = [near, far] as const
    this.#pairs.add(pair)
    const rewrite = this.#options.rewrite?.()
    near.on('data', (chunk: Buffer) => {
      rewrite?.onRequest(chunk)
      this.#carry(near, far, [chunk])
    })
    far.on('data', (chunk: Buffer) => this.#carry(far, near, rewrite ? rewrite.onAnswer(chunk) : [chunk]))
    const end = (): void => {
      this.#pairs.delete(pair)
      near.destroy()
      far.destroy()
    }
    near.once('close', end)
    far.once('close', end)
  }

  /** `from` rests until all of it is on its way: a slow link holds nothing back but the sockets. */
  #carry(from: Socket, to: Socket, chunks: readonly Uint8Array[]): void {
    if (this.#options.bytesPerSecond === null) {
      for (const chunk of chunks) this.#write(from, to, chunk)
      return
    }
    if (chunks.length === 0) return
    for (const chunk of chunks) this.#waiting.push({ from, to, chunk })
    from.pause()
  }

  #write(from: Socket, to: Socket, chunk: Uint8Array): void {
    if (to.destroyed) return
    this.#carriedBytes += chunk.byteLength
    if (to.write(chunk)) return
    from.pause()
    to.once('drain', () => from.resume())
  }

  #release(bytesPerSecond: number): void {
    const perTick = (bytesPerSecond * TICK_MS) / 1000
    this.#budgetBytes = Math.min(this.#budgetBytes + perTick, perTick * 5)
    while (this.#budgetBytes > 0) {
      const next = this.#waiting.shift()
      if (!next) return
      const piece = next.chunk.subarray(0, Math.max(1, Math.ceil(this.#budgetBytes)))
      this.#budgetBytes -= piece.byteLength
      this.#write(next.from, next.to, piece)
      if (piece.byteLength < next.chunk.byteLength) this.#waiting.unshift({ ...next, chunk: next.chunk.subarray(piece.byteLength) })
      else if (!this.#waiting.some(({ from }) => from === next.from)) next.from.resume()
    }
  }
}

// Joins what is written to a socket in small pieces within one turn of the loop. aedes' packet writer hands over a PUBACK in three pieces and corks the
// socket for each, and hundreds of PUBACKs wait for one commit: with the load of `npm run bench -- ingest` about 0.9 x the events/s without this file.
//
// Invariants: bytes leave in the order of the writes, in the turn in which they were written; write() says false as before while the socket wants to be
// waited for, and 'drain' follows. Not for: bounding what waits for a peer that does not read (aedes and drainTimeoutMs do).

import type { Socket } from 'node:net'
import { hideCork } from './aedes-insides.ts'

const PIECE_BYTES_MAX = 1024
const PAGE_BYTES = { min: 64, max: 16 * 1024 } as const

class SmallWrites {
  readonly #socket: Socket
  readonly #write: Socket['write']
  readonly #end: Socket['end']
  readonly #cork: () => void
  #page: Buffer | null = null
  #usedBytes = 0
  /** What one turn needed last. */
  #pageBytes: number = PAGE_BYTES.min
  #isScheduled = false
  #isCorked = false

  constructor(socket: Socket) {
    this.#socket = socket
    this.#write = socket.write.bind(socket)
    this.#end = socket.end.bind(socket)
    this.#cork = socket.cork.bind(socket)
  }

  write(...args: Parameters<Socket['write']>): boolean {
    const [chunk] = args
    const socket = this.#socket
    if (args.length > 1 || typeof chunk === 'string' || chunk.byteLength > PIECE_BYTES_MAX || socket.destroyed || socket.writableEnded) {
      return this.#writeLarge(args)
    }
    if (this.#page !== null && this.#usedBytes + chunk.byteLength > this.#page.byteLength) this.#growOrFlush(chunk.byteLength)
    this.#page ??= Buffer.allocUnsafe(Math.max(this.#pageBytes, chunk.byteLength))
    this.#page.set(chunk, this.#usedBytes)
    this.#usedBytes += chunk.byteLength
    this.#schedule()
    return !socket.writableNeedDrain
  }

  end(...args: Parameters<Socket['end']>): Socket {
    this.#flush()
    return this.#end(...args)
  }

  #growOrFlush(moreBytes: number): void {
    const page = this.#page as Buffer
    const wanted = Math.max(page.byteLength * 2, this.#usedBytes + moreBytes)
    if (wanted > PAGE_BYTES.max) return this.#flush()
    this.#page = Buffer.allocUnsafe(wanted)
    page.copy(this.#page, 0, 0, this.#usedBytes)
  }

  /** Behind what waits; in one system call with what comes in this turn. */
  #writeLarge(args: Parameters<Socket['write']>): boolean {
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#cork()
      this.#schedule()
    }
    this.#flush()
    return this.#write(...args)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(() => {
      this.#isScheduled = false
      this.#flush()
      if (!this.#isCorked) return
      this.#isCorked = false
      this.#socket.uncork()
    })
  }

  #flush(): void {
    const page = this.#page
    if (page === null) return
    const bytes = page.subarray(0, this.#usedBytes)
    this.#page = null
    this.#pageBytes = Math.min(PAGE_BYTES.max, Math.max(PAGE_BYTES.min, this.#usedBytes))
    this.#usedBytes = 0
    this.#write(bytes)
  }
}

/** From now on `socket.write` joins small pieces, and there is no `socket.cork`: mqtt-packet then writes without it. */
export function joinSmallWrites(socket: Socket): void {
  const writes = new SmallWrites(socket)
  socket.write = ((...args: Parameters<Socket['write']>) => writes.write(...args)) as Socket['write']
  socket.end = ((...args: Parameters<Socket['end']>) => writes.end(...args)) as Socket['end']
  hideCork(socket)
}

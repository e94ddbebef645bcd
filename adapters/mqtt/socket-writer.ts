// Joins what is written to a socket within one turn of the loop: hundreds of PUBACKs wait for one commit and leave in one system call.
//
// Invariants: bytes leave in the order of the writes, in the turn in which they were written. Not for: bounding what waits for a peer that does not read
// (isWritable says when to stop).

import type { Socket } from 'node:net'

/** Larger pieces are handed to the socket as they are. */
export const PIECE_BYTES_MAX = 1024
const PAGE_BYTES = { min: 64, max: 16 * 1024 } as const

export class SocketWriter {
  readonly #socket: Socket
  #page: Buffer | null = null
  #usedBytes = 0
  /** What one turn needed last. */
  #pageBytes: number = PAGE_BYTES.min
  #isScheduled = false
  #isCorked = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** False while the socket wants to be waited for: 'drain' follows. */
  get isWritable(): boolean {
    const { writableNeedDrain, writableLength, writableHighWaterMark } = this.#socket
    return !writableNeedDrain && writableLength + this.#usedBytes < writableHighWaterMark
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && !this.#socket.writableEnded
  }

  write(bytes: Uint8Array): void {
    if (!this.isOpen) return
    if (bytes.byteLength > PIECE_BYTES_MAX) return this.#writeLarge(bytes)
    const at = this.reserve(bytes.byteLength)
    this.page.set(bytes, at)
  }

  /** Room for `bytes` that the caller writes into `page` at once: they count as written. @returns where; -1 = the socket is closed */
  reserve(bytes: number): number {
    if (!this.isOpen) return -1
    this.#makeRoom(bytes)
    this.#usedBytes += bytes
    return this.#usedBytes - bytes
  }

  /** After reserve(), until anything else is written. */
  get page(): Buffer {
    return this.#page as Buffer
  }

  /** A packet of four bytes: PUBACK, PUBREC, PUBREL, PUBCOMP without properties. */
  writeShort(firstByte: number, packetId: number): void {
    const at = this.reserve(4)
    if (at < 0) return
    const { page } = this
    page[at] = firstByte
    page[at + 1] = 2
    page[at + 2] = packetId >> 8
    page[at + 3] = packetId & 0xff
  }

  /** Everything that was written leaves now, ahead of whatever else is written to the socket. */
  flush(): void {
    const page = this.#page
    if (page === null) return
    const bytes = page.subarray(0, this.#usedBytes)
    this.#page = null
    this.#pageBytes = Math.min(PAGE_BYTES.max, Math.max(PAGE_BYTES.min, this.#usedBytes))
    this.#usedBytes = 0
    if (this.isOpen) this.#socket.write(bytes)
  }

  /** A page with room behind #usedBytes. */
  #makeRoom(bytes: number): void {
    if (this.#page !== null && this.#usedBytes + bytes > this.#page.byteLength) this.#growOrFlush(bytes)
    this.#page ??= Buffer.allocUnsafe(Math.max(this.#pageBytes, bytes))
    this.#schedule()
  }

  #growOrFlush(moreBytes: number): void {
    const page = this.#page as Buffer
    const wanted = Math.max(page.byteLength * 2, this.#usedBytes + moreBytes)
    if (wanted > PAGE_BYTES.max) return this.flush()
    this.#page = Buffer.allocUnsafe(wanted)
    page.copy(this.#page, 0, 0, this.#usedBytes)
  }

  /** Behind what waits; in one system call with what comes in this turn. */
  #writeLarge(bytes: Uint8Array): void {
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#socket.cork()
      this.#schedule()
    }
    this.flush()
    this.#socket.write(bytes)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(() => {
      this.#isScheduled = false
      this.flush()
      if (!this.#isCorked) return
      this.#isCorked = false
      this.#socket.uncork()
    })
  }
}

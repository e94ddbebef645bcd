// What a socket gives: pushed in by whoever reads the socket, pulled out by the connection. All sockets of a listener are read into one piece of memory
// that is used again: bytes that are taken in the turn in which they came cost no memory of their own, what is left is copied and reading stops.
//
// Invariants: what read() gives is valid until the turn ends while `isShared` says so; every read of the socket has a view of its own, so that views can be
// told apart; while something is left the socket is not read, so that TCP slows the peer down.
// Not for: packets (packet-reader.ts), when to read (client-connection.ts).

import { Socket } from 'node:net'

const NO_BYTES = Buffer.alloc(0)
const READ_BYTES = 64 * 1024

export class SocketInput {
  readonly #resume: () => void
  #onReadable: (() => void) | null = null
  #bytes: Buffer = NO_BYTES
  #at = 0
  #isShared = false
  #isStopped = true
  #isDiscarding = false

  /** @param resume reads the socket again, after arrived() has said no */
  constructor(resume: () => void) {
    this.#resume = resume
  }

  /** From now on the socket is read. */
  start(onReadable: () => void): void {
    this.#onReadable = onReadable
    this.resume()
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#bytes.length - this.#at
  }

  /** What read() gave last is overwritten when this turn ends. */
  get isShared(): boolean {
    return this.#isShared
  }

  /** @returns at most `bytesMax`, at least 1; null = nothing waits: onReadable is called when something comes */
  read(bytesMax: number): Buffer | null {
    const from = this.#at
    const bytes = this.#bytes
    if (from === bytes.length) {
      this.resume()
      return null
    }
    const end = Math.min(bytes.length, from + bytesMax)
    this.#at = end
    if (end === bytes.length) this.#letGo()
    return from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end)
  }

  /** The socket is read on when nothing waits: its end is seen. */
  resume(): void {
    if (!this.#isStopped || this.length > 0) return
    this.#isStopped = false
    this.#resume()
  }

  /** What waits and what comes is thrown away, so that the peer's end is seen. */
  discard(): void {
    this.#isDiscarding = true
    this.#letGo()
    this.resume()
  }

  /** @param bytes a view of its own, of memory that is used again afterwards @returns whether the socket should be read on; if not, resume follows */
  arrived(bytes: Buffer): boolean {
    if (this.#isDiscarding) return true
    this.#bytes = this.length > 0 ? Buffer.concat([this.#bytes.subarray(this.#at), bytes]) : bytes
    this.#at = 0
    this.#isShared = true
    try {
      this.#onReadable?.()
    } finally {
      this.#isShared = false
      this.#keepRest()
    }
    return !this.#isStopped
  }

  #keepRest(): void {
    if (this.length === 0) return
    const rest = Buffer.allocUnsafeSlow(this.length) // of its own: a piece of a pool would keep all of that
    rest.set(this.#bytes.subarray(this.#at))
    this.#bytes = rest
    this.#at = 0
    this.#isStopped = true
  }

  #letGo(): void {
    this.#bytes = NO_BYTES
    this.#at = 0
  }
}

/** A connection as a listener hands it on. */
export interface Transport {
  readonly socket: Socket
  readonly input: SocketInput
}

/** Reads sockets into one piece of memory. */
export class SocketReads {
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES)

  /**
   * @param accepted by a server that pauses on connect; its handle may go to a socket of its own
   * @returns the socket to use, which is not read before input.start()
   */
  take(accepted: Socket): Transport {
    const handle = handleOf(accepted)
    return handle === null ? readAsStream(accepted) : this.#readIntoBuffer(accepted, handle)
  }

  /** Only a new socket can be told where to read to (`onread`). */
  #readIntoBuffer(accepted: Socket, handle: object): Transport {
    const input = new SocketInput(() => socket.resume())
    const onread = { buffer: this.#buffer, callback: (bytes: number) => this.#onRead(input, socket, bytes) }
    const options = { handle, onread, pauseOnCreate: true }
    const socket: Socket = new Socket(options as object)
    handOver(accepted as unknown as ServerSide, socket as unknown as ServerSide)
    return { socket, input }
  }

  #onRead(input: SocketInput, socket: Socket, bytes: number): boolean {
    if (!input.arrived(this.#buffer.subarray(0, bytes))) return false
    if (bytes < READ_BYTES) return true
    setImmediate(() => socket.resume()) // others have their turn
    return false
  }
}

/** What node:net keeps of a socket that a server has accepted. */
interface ServerSide {
  _handle: object | null
  /** It counts the socket until that closes (getConnections()), and is not closed before. */
  _server: object | null
}

/** `accepted` is nothing any more: its server counts `socket` in its place. */
function handOver(accepted: ServerSide, socket: ServerSide): void {
  socket._server = accepted._server
  accepted._server = null
  accepted._handle = null
}

/** What node:net keeps below a socket; null where it is none that reads into given memory, as one of TLS. */
function handleOf(socket: Socket): object | null {
  const { _handle: handle } = socket as unknown as { _handle?: { useUserBuffer?: unknown } | null }
  return socket.constructor === Socket && typeof handle?.useUserBuffer === 'function' ? handle : null
}

/**
 * For sockets whose memory is their own, as those of TLS, which give what came in pieces of one record each (16 KiB): the pieces of a turn are one read. One by one
 * the first would begin a commit, and the others wait for the next.
 */
export function readAsStream(socket: Socket): Transport {
  let hasEnded = false
  const goOn = (): void => void (hasEnded ? socket.end() : socket.resume())
  const input = new SocketInput(goOn)
  let pieces: Buffer[] = []
  const take = (): void => {
    const [first] = pieces
    if (!first) return
    const more = socket.readableLength
    if (more > 0 && first.length + more <= READ_BYTES) socket.read(more) // comes as 'data'
    const bytes = pieces.length === 1 ? first : Buffer.concat(pieces)
    pieces = []
    if (input.arrived(bytes)) goOn()
  }
  socket.on('data', (bytes: Buffer) => {
    pieces.push(bytes)
    if (pieces.length > 1) return
    socket.pause()
    setImmediate(take)
  })
  // A paused stream sees the end all the same: it is answered when everything before it was taken.
  socket.allowHalfOpen = true
  socket.on('end', () => {
    hasEnded = true
    if (pieces.length === 0 && input.length === 0) socket.end()
  })
  socket.on('close', take) // without an end
  socket.pause()
  return { socket, input }
}

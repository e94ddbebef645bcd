// A TCP connection in memory: at its server end a stream as net.Socket is one, at its client end calls. Bytes take their time, in order; what the
// client does not read fills a window, and then the server has to wait. Either end may close, vanish or reset; a process that dies leaves the bytes
// that its kernel had to the client (kill), or only some of them (power). Also the listener that accepts them.
// Not for: packets (sim-client.ts).

import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { defaultMqttLimits, type ListenerLimits } from '../../adapters/mqtt/limits.ts'
import type { ConnectionHandler, Listener } from '../../adapters/mqtt/listener.ts'
import { SocketInput } from '../../adapters/mqtt/socket-input.ts'
import type { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'

export interface SimConnectionOptions {
  readonly clock: SimClock
  readonly prng: Prng
  /** Of one piece, uniform. */
  readonly latencyMs: { readonly min: number; readonly max: number }
  /** What the client may leave unread before the server has to wait. */
  readonly windowBytes: number
  readonly onData: (bytes: Buffer) => void
  /** The server has closed it, or is gone. */
  readonly onEnd: () => void
}

interface Piece {
  readonly bytes: Buffer
  /** The server's write is done. */
  readonly done: () => void
}

class ServerEnd extends Duplex {
  readonly remoteAddress = '127.0.0.1'
  readonly #connection: SimConnection

  constructor(connection: SimConnection) {
    super({ allowHalfOpen: false })
    this.#connection = connection
  }

  override _read(): void {
    // It is pushed.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#connection.toClient({ bytes: Buffer.from(chunk), done })
  }

  override _final(done: () => void): void {
    this.#connection.serverEnds()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#connection.serverEnds()
    done(error)
  }
}

export class SimConnection {
  readonly #options: SimConnectionOptions
  readonly #server: ServerEnd
  /** When what was sent last arrives. */
  #toServerMs = 0
  #toClientMs = 0
  #unreadBytes = 0
  readonly #inTransit: { isLost: boolean }[] = []
  readonly #unread: Piece[] = []
  #isStalled = false
  /** The client does not look at it any more. */
  #isLeft = false
  #hasServerEnded = false
  #isProcessDead = false

  constructor(listener: SimListener, options: SimConnectionOptions) {
    this.#options = options
    this.#server = new ServerEnd(this)
    this.#arriveAtServer(() => listener.accept(this.#server as unknown as Socket))
  }

  send(bytes: Buffer): void {
    const { prng } = this.#options
    const cutAt = bytes.length > 1 && prng.chance(5) ? prng.between(1, bytes.length - 1) : bytes.length
    for (const piece of [bytes.subarray(0, cutAt), bytes.subarray(cutAt)]) {
      if (piece.length > 0) this.#arriveAtServer(() => this.#server.push(piece))
    }
  }

  /** The client closes: what it has sent arrives. */
  end(): void {
    this.#isLeft = true
    this.#arriveAtServer(() => this.#server.push(null))
  }

  /** The client's host resets the connection: the server hears of it as an error. */
  reset(): void {
    this.#isLeft = true
    this.#arriveAtServer(() => this.#server.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })))
  }

  /** The client is gone without a word. */
  vanish(): void {
    this.#isLeft = true
  }

  /** The client reads nothing for a while. */
  stall(durationMs: number): void {
    this.#isStalled = true
    this.#options.clock.after(durationMs, () => {
      this.#isStalled = false
      for (const piece of this.#unread.splice(0)) this.#read(piece)
      if (this.#hasServerEnded && !this.#isLeft) this.#options.onEnd()
    })
  }

  /** The server's process is dead: nothing of it runs any more. */
  processDied(kind: 'kill' | 'power'): void {
    if (this.#isProcessDead) return
    this.#isProcessDead = true
    this.#server.removeAllListeners()
    if (kind === 'power') {
      const kept = this.#options.prng.below(this.#inTransit.length + 1)
      for (const piece of this.#inTransit.slice(kept)) piece.isLost = true
    }
    this.#endClient()
  }

  // --- what the server end calls

  toClient(piece: Piece): void {
    const transit = { isLost: false }
    this.#inTransit.push(transit)
    this.#unreadBytes += piece.bytes.length
    const isWithinWindow = this.#unreadBytes <= this.#options.windowBytes
    const { clock } = this.#options
    this.#toClientMs = Math.max(this.#toClientMs, clock.monotonicMs() + this.#latencyMs())
    clock.after(this.#toClientMs - clock.monotonicMs(), () => {
      this.#inTransit.splice(this.#inTransit.indexOf(transit), 1)
      if (transit.isLost) return
      const arrived = isWithinWindow ? { bytes: piece.bytes, done: () => undefined } : piece
      if (this.#isStalled) this.#unread.push(arrived)
      else this.#read(arrived)
    })
    if (isWithinWindow) piece.done()
  }

  serverEnds(): void {
    if (!this.#isProcessDead) this.#endClient()
  }

  #endClient(): void {
    if (this.#hasServerEnded) return
    const { clock } = this.#options
    this.#toClientMs = Math.max(this.#toClientMs, clock.monotonicMs() + this.#latencyMs())
    clock.after(this.#toClientMs - clock.monotonicMs(), () => {
      this.#hasServerEnded = true
      if (!this.#isStalled && !this.#isLeft) this.#options.onEnd()
    })
  }

  #read({ bytes, done }: Piece): void {
    this.#unreadBytes -= bytes.length
    if (!this.#isLeft) this.#options.onData(bytes)
    if (!this.#isProcessDead) done()
  }

  #arriveAtServer(arrive: () => void): void {
    const { clock } = this.#options
    this.#toServerMs = Math.max(this.#toServerMs, clock.monotonicMs() + this.#latencyMs())
    clock.after(this.#toServerMs - clock.monotonicMs(), () => {
      if (!this.#isProcessDead && !this.#server.destroyed && !this.#server.readableEnded) arrive()
    })
  }

  #latencyMs(): number {
    const { min, max } = this.#options.latencyMs
    return min + this.#options.prng.fraction() * (max - min)
  }
}

/** An address of the broker, as listener.ts is one. */
export class SimListener {
  readonly limits: ListenerLimits
  readonly address = { host: '127.0.0.1', port: 1883 }
  readonly sockets = new Set<Socket>()
  acceptedCount = 0
  #handler: ConnectionHandler | null = null
  #isAccepting = true

  constructor(limits: Partial<ListenerLimits>) {
    this.limits = { ...defaultMqttLimits, ...limits }
  }

  asListener(): Listener {
    return this as unknown as Listener
  }

  open(handler: ConnectionHandler): void {
    this.#handler = handler
  }

  stopAccepting(): void {
    this.#isAccepting = false
  }

  accept(socket: Socket): void {
    if (!this.#isAccepting || this.#handler === null) return void socket.destroy()
    this.acceptedCount++
    this.sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.sockets.delete(socket))
    this.#handler.onConnection({ socket, input: inputOf(socket) }, this.limits, null)
  }
}

/** What it gives is wrong when the turn is over, as with memory that the next read overwrites. */
function inputOf(socket: Socket): SocketInput {
  const input = new SocketInput(() => socket.resume())
  socket.on('data', (bytes: Buffer) => {
    const shared = Buffer.from(bytes)
    if (!input.arrived(shared)) socket.pause()
    shared.fill(0xa5)
  })
  socket.pause()
  return input
}

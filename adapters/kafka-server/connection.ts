// One client connection. Requests are carried out and answered one after another, as in Kafka: a parked Fetch or JoinGroup holds
// what follows it. Nothing is read while enough is waiting, and nothing is carried out while the client does not read its answers.
// A request takes its bytes from the budget of all connections once its length is known: until it has them, the socket is not read.
// Small ones come from a few bytes that each connection has of its own, so that heartbeats and fetches do not wait for large produces.
// Every end has a name (CloseReason).

import type { Socket } from 'node:net'
import { FrameSplitter } from '../kafka-protocol/frame.ts'
import { ProtocolError } from '../kafka-protocol/protocol-error.ts'
import { ConnectionRefusal, type RequestContext, type ServerContext } from './context.ts'
import { dispatch } from './dispatch.ts'
import type { FrameBudget } from './frame-budget.ts'

/**
 * peer         the client closed or vanished
 * idle         silent for too long, or in the middle of a request while others wait for its bytes
 * slow-reader  answers were not read for too long
 * frame        a length in front of a message that is negative or above the bound
 * malformed    a message that cannot be read
 * unsupported  an API or version that is not served
 * refused      a request without an answer (acks=0) failed
 * full         more connections than the cap
 * internal     a fault of ours
 * shutdown     the listener closes
 */
export type CloseReason =
  | 'peer'
  | 'idle'
  | 'slow-reader'
  | 'frame'
  | 'malformed'
  | 'unsupported'
  | 'refused'
  | 'full'
  | 'internal'
  | 'shutdown'

export interface ConnectionLimits {
  readonly frameBytesMax: number
  /** Whole requests that may wait behind the one being carried out. */
  readonly queuedBytesMax: number
  readonly idleMsMax: number
  /** The same in the middle of a request that holds bytes of the common budget. */
  readonly frameIdleMsMax: number
  /** How fast such a request must come, on the whole. */
  readonly frameBytesPerSecondMin: number
}

/** Requests up to this size wait for nobody, as long as the connection has no others in work. */
const OWN_BYTES = 16 * 1024
/** What a request takes in memory beside its bytes: buffers, places in queues, its answer's promise. */
const FRAME_OVERHEAD_BYTES = 512
/** Key, version, correlation id of a request. */
const FRAME_BYTES_MIN = 8

/** What one request holds until it is answered. */
interface Reserved {
  readonly ownBytes: number
  readonly commonBytes: number
}

interface QueuedFrame {
  readonly frame: Uint8Array
  readonly reserved: Reserved
}

export interface ConnectionEvents {
  readonly onRequest: (name: string) => void
  readonly onBytes: (direction: 'received' | 'sent', bytes: number) => void
  readonly onClose: (reason: CloseReason, detail: string) => void
  /** An error nobody expected: a bug of ours. */
  readonly onError: (error: unknown) => void
}

export class Connection {
  readonly #socket: Socket
  readonly #server: ServerContext
  readonly #limits: ConnectionLimits
  readonly #events: ConnectionEvents
  readonly #splitter: FrameSplitter
  readonly #abort = new AbortController()
  readonly #clientHost: string
  readonly #budget: FrameBudget
  #ownBytesLeft = OWN_BYTES
  /** Of the request that is being read. */
  #reserved: Reserved | null = null
  #stopWaiting: (() => void) | null = null
  #deadline: NodeJS.Timeout | null = null
  #queue: QueuedFrame[] = []
  #queuedBytes = 0
  #isRunning = false
  #work: Promise<void> | null = null
  #isWaitingForDrain = false
  #isClosed = false

  constructor(socket: Socket, server: ServerContext, bounds: { limits: ConnectionLimits; budget: FrameBudget }, events: ConnectionEvents) {
    const { limits, budget } = bounds
    this.#socket = socket
    this.#server = server
    this.#limits = limits
    this.#budget = budget
    this.#events = events
    this.#splitter = new FrameSplitter(limits.frameBytesMax)
    this.#clientHost = socket.remoteAddress ?? ''
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error) => this.close('peer', error.message))
    socket.on('close', () => this.close('peer', 'closed by the client'))
    socket.on('timeout', () => this.#timeOut())
    socket.setTimeout(limits.idleMsMax)
  }

  /** What is being carried out, until it has ended; never rejects. null = nothing is. */
  get work(): Promise<void> | null {
    return this.#isRunning ? this.#work : null
  }

  /** The first reason counts. */
  close(reason: CloseReason, detail: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const held = this.#queue.map(({ reserved }) => reserved)
    if (this.#reserved) held.push(this.#reserved)
    this.#reserved = null
    this.#queue = []
    this.#queuedBytes = 0
    this.#abort.abort()
    this.#socket.destroy()
    this.#events.onClose(reason, detail)
    this.#stopWaiting?.()
    this.#stopWaiting = null
    this.#stopDeadline()
    for (const reserved of held) this.#giveBack(reserved)
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosed) return
    this.#events.onBytes('received', chunk.byteLength)
    this.#splitter.add(chunk)
    this.#takeFrames()
  }

  #takeFrames(): void {
    if (this.#isClosed) return
    try {
      while (this.#reserveNext()) {
        const frame = this.#splitter.take()
        if (frame === null) break
        this.#queue.push({ frame, reserved: this.#reserved as Reserved })
        this.#queuedBytes += frame.byteLength + FRAME_OVERHEAD_BYTES
        this.#reserved = null
        this.#stopDeadline()
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.close('frame', error.message)
      return
    }
    this.#steer()
    if (!this.#isRunning) this.#work = this.#run()
  }

  /** True when the next request has its bytes; false while its length is not known, or when it waits for them. */
  #reserveNext(): boolean {
    if (this.#reserved) return true
    const frameBytes = this.#splitter.nextFrameBytes()
    if (frameBytes === null || this.#stopWaiting) return false
    if (frameBytes < FRAME_BYTES_MIN) throw new ProtocolError('frame', `frame of ${frameBytes} bytes, shorter than a request's header`)
    const bytes = frameBytes + FRAME_OVERHEAD_BYTES
    if (bytes <= this.#ownBytesLeft) {
      this.#ownBytesLeft -= bytes
      this.#reserved = { ownBytes: bytes, commonBytes: 0 }
    } else if (this.#budget.take(bytes)) this.#holdCommon(bytes)
    else {
      this.#stopWaiting = this.#budget.wait(bytes, () => {
        this.#stopWaiting = null
        this.#holdCommon(bytes)
        this.#takeFrames()
      })
      return false
    }
    return true
  }

  /** Who holds bytes that others wait for must send them: in all, not only now and then. */
  #holdCommon(bytes: number): void {
    this.#reserved = { ownBytes: 0, commonBytes: bytes }
    this.#stopDeadline()
    const { frameIdleMsMax, frameBytesPerSecondMin } = this.#limits
    const allowedMs = frameIdleMsMax + (bytes / frameBytesPerSecondMin) * 1000
    const look = (): void => {
      // While we do not read, the peer cannot send.
      if (this.#isHoldingUp) this.close('idle', `a request of ${bytes} bytes was not whole after ${Math.round(allowedMs)} ms`)
      else this.#deadline = setTimeout(look, frameIdleMsMax).unref()
    }
    this.#deadline = setTimeout(look, allowedMs).unref()
  }

  #stopDeadline(): void {
    if (this.#deadline) clearTimeout(this.#deadline)
    this.#deadline = null
  }

  #giveBack({ ownBytes, commonBytes }: Reserved): void {
    this.#ownBytesLeft += ownBytes
    if (commonBytes > 0) this.#budget.giveBack(commonBytes)
  }

  /** Reads on or not, and how patiently. */
  #steer(): void {
    if (this.#isClosed) return
    if (this.#stopWaiting || this.#queuedBytes > this.#limits.queuedBytesMax) this.#socket.pause()
    else this.#socket.resume()
    const { idleMsMax, frameIdleMsMax } = this.#limits
    const timeoutMs = this.#isHoldingUp ? Math.min(frameIdleMsMax, idleMsMax) : idleMsMax
    if (this.#socket.timeout !== timeoutMs) this.#socket.setTimeout(timeoutMs)
  }

  /** A request has begun, holds common bytes, and its end has not come. */
  get #isHoldingUp(): boolean {
    return this.#reserved !== null && this.#reserved.commonBytes > 0 && this.#queuedBytes <= this.#limits.queuedBytesMax
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    try {
      for (let next = this.#queue.shift(); next && !this.#isClosed; next = this.#queue.shift()) await this.#carryOut(next)
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isRunning = false
    }
  }

  async #carryOut({ frame, reserved }: QueuedFrame): Promise<void> {
    this.#queuedBytes -= frame.byteLength + FRAME_OVERHEAD_BYTES
    this.#steer()
    try {
      const answer = await dispatch(frame, (header) => this.#contextOf(header))
      if (answer && !this.#isClosed) await this.#send(answer)
    } finally {
      this.#giveBack(reserved)
    }
    this.#takeFrames()
  }

  #contextOf({ apiVersion, clientId, name }: { apiVersion: number; clientId: string; name: string }): RequestContext {
    this.#events.onRequest(name)
    return { ...this.#server, apiVersion, clientId, clientHost: this.#clientHost, signal: this.#abort.signal }
  }

  async #send(chunks: readonly Uint8Array[]): Promise<void> {
    this.#socket.cork()
    let hasRoom = true
    let bytes = 0
    for (const chunk of chunks) {
      hasRoom = this.#socket.write(chunk)
      bytes += chunk.byteLength
    }
    this.#socket.uncork()
    this.#events.onBytes('sent', bytes)
    if (hasRoom || this.#isClosed) return
    this.#isWaitingForDrain = true
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done)
        this.#abort.signal.removeEventListener('abort', done)
        resolve()
      }
      this.#socket.once('drain', done)
      this.#abort.signal.addEventListener('abort', done, { once: true })
    })
    this.#isWaitingForDrain = false
  }

  #timeOut(): void {
    const { idleMsMax, frameIdleMsMax } = this.#limits
    if (this.#isHoldingUp) this.close('idle', `a request stood still for ${Math.min(frameIdleMsMax, idleMsMax)} ms`)
    else if (this.#isWaitingForDrain) this.close('slow-reader', `answers were not read for ${idleMsMax} ms`)
    else if (!this.#isRunning && !this.#stopWaiting) this.close('idle', `nothing came for ${idleMsMax} ms`)
    else this.#socket.setTimeout(idleMsMax)
  }

  #fail(error: unknown): void {
    if (error instanceof ProtocolError) this.close('malformed', error.message)
    else if (error instanceof ConnectionRefusal) this.close(error.reason, error.message)
    else {
      this.close('internal', String(error))
      this.#events.onError(error)
    }
  }
}

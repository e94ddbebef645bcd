// One client connection. Requests are carried out and answered one after another, as in Kafka: a parked Fetch or JoinGroup holds
// what follows it. Nothing is read while enough is waiting, and nothing is carried out while the client does not read its answers.
// Every end has a name (CloseReason).

import type { Socket } from 'node:net'
import { FrameSplitter } from '../kafka-protocol/frame.ts'
import { ProtocolError } from '../kafka-protocol/protocol-error.ts'
import { ConnectionRefusal, type RequestContext, type ServerContext } from './context.ts'
import { dispatch } from './dispatch.ts'

/**
 * peer         the client closed or vanished
 * idle         silent for too long
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
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #isRunning = false
  #isWaitingForDrain = false
  #isClosed = false

  constructor(socket: Socket, server: ServerContext, limits: ConnectionLimits, events: ConnectionEvents) {
    this.#socket = socket
    this.#server = server
    this.#limits = limits
    this.#events = events
    this.#splitter = new FrameSplitter(limits.frameBytesMax)
    this.#clientHost = socket.remoteAddress ?? ''
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error) => this.close('peer', error.message))
    socket.on('close', () => this.close('peer', 'closed by the client'))
    socket.setTimeout(limits.idleMsMax, () => this.#timeOut())
  }

  /** The first reason counts. */
  close(reason: CloseReason, detail: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#queue = []
    this.#queuedBytes = 0
    this.#abort.abort()
    this.#socket.destroy()
    this.#events.onClose(reason, detail)
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosed) return
    this.#events.onBytes('received', chunk.byteLength)
    try {
      for (const frame of this.#splitter.push(chunk)) {
        this.#queue.push(frame)
        this.#queuedBytes += frame.byteLength
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.close('frame', error.message)
      return
    }
    if (this.#queuedBytes > this.#limits.queuedBytesMax) this.#socket.pause()
    void this.#run()
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    try {
      for (let frame = this.#queue.shift(); frame; frame = this.#queue.shift()) {
        this.#queuedBytes -= frame.byteLength
        if (this.#queuedBytes <= this.#limits.queuedBytesMax) this.#socket.resume()
        const answer = await dispatch(frame, (header) => this.#contextOf(header))
        if (this.#isClosed) return
        if (answer) await this.#send(answer)
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isRunning = false
    }
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
    if (this.#isWaitingForDrain) this.close('slow-reader', `answers were not read for ${this.#limits.idleMsMax} ms`)
    else if (!this.#isRunning) this.close('idle', `nothing came for ${this.#limits.idleMsMax} ms`)
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

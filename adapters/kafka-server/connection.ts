// One client connection. Requests are carried out and answered one after another, as in Kafka: a Fetch or JoinGroup that waits holds
// what follows it. Only Produces that follow each other overlap: each is queued behind the one before, without waiting for the sync of that, and
// they are answered in order. Whatever else comes waits until they are answered, so it sees what they wrote.
// Nothing is read while enough is waiting, and nothing more is carried out while the client does not read its answers.
// A request takes its bytes from the budget of all connections once its length is known: until it has them, the socket is not read.
// Small ones come from a few bytes that each connection has of its own, so that heartbeats and fetches do not wait for large produces.
// Nobody holds bytes of the budget while he waits for something that may never happen: a large request behind a Fetch, JoinGroup or SyncGroup
// is not read before that is answered (a Fetch at once, then, with what there is), and one of these that is large itself waits shortly (Fetch) or
// gives its bytes back first.
// A large answer takes its bytes from a second budget before it is made, and gives them back when the kernel has it: who does not read holds
// up others only for a while. Requests are read into memory of their own length, which is given back at once when they are answered.
// A peer that closes, or vanishes, has sent what it has sent: requests that are there whole are carried out, as in Kafka, and only waiting ends.
// Every end has a name (CloseReason).

import type { Socket } from 'node:net'
import { ProtocolError } from '../kafka-protocol/protocol-error.ts'
import { type ConnectionContext, ConnectionRefusal, type RequestContext } from './context.ts'
import { dispatch, type Manners, mannersOf } from './dispatch.ts'
import type { FrameBudget } from './frame-budget.ts'
import type { FrameMemory } from './frame-memory.ts'
import { withSharedReads } from './shared-reads.ts'
import { Turn } from './turn.ts'

/**
 * peer         the client closed or vanished
 * idle         silent for too long, or in the middle of a request while others wait for its bytes
 * slow-reader  answers were not read for too long, or not in time while others wait for the bytes of a large one
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
  /** Whole requests behind the one that is answered next: they wait, or are in work too. */
  readonly queuedBytesMax: number
  readonly idleMsMax: number
  /** The same in the middle of a request that holds bytes of the common budget. */
  readonly frameIdleMsMax: number
  /** How fast such a request must come, on the whole. */
  readonly frameBytesPerSecondMin: number
}

const LENGTH_BYTES = 4
/** Answers up to this size wait for nobody. */
const OWN_ANSWER_BYTES = 4 * 1024
/** Requests up to this size wait for nobody, as long as the connection has no others in work. */
const OWN_BYTES = 16 * 1024
/** What a request takes in memory beside its bytes: buffers, places in queues, its answer's promise. */
const FRAME_OVERHEAD_BYTES = 512
/** How long a Fetch may wait that is larger than what a connection has of its own. */
const LARGE_WAIT_MS_MAX = 1000
/** Key, version, correlation id of a request. */
const FRAME_BYTES_MIN = 8
/** A handshake record of TLS 1.x where the length of a request stands: 370 MB, which nobody sends. */
const TLS_BEGIN = 0x160301

/** Requests of one connection that are in work at once. Clients have five on their way, some (librdkafka) a million: each takes memory beside its bytes. */
const IN_WORK_MAX = 32

let lastConnectionId = 0

/** What one request holds until it is answered. */
interface Reserved {
  readonly ownBytes: number
  readonly commonBytes: number
}

/** A whole request. */
interface QueuedFrame {
  readonly frame: Uint8Array
  readonly manners: Manners
  readonly reserved: Reserved
  /** About what it takes in memory. Of the frame nothing is left to measure once it is given back. */
  readonly bytes: number
}

/** A request that is being carried out. */
interface Work extends QueuedFrame {
  /** null: none is sent. */
  answer: Promise<Uint8Array[] | null>
  /** Its bytes are given back. Fine to call twice. */
  readonly release: () => void
  readonly parts: AnswerParts
}

/** What its answer takes. */
interface AnswerParts {
  /** Of the common budget. */
  bytes: number
  /** Memory that was made for it. */
  blocks: Uint8Array[]
}

export interface ConnectionBounds {
  readonly limits: ConnectionLimits
  readonly budget: FrameBudget
  /** Of answers. */
  readonly answerBudget: FrameBudget
  readonly memory: FrameMemory
  /** Nobody reads it any more. */
  readonly release: (block: Uint8Array) => void
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
  readonly #server: ConnectionContext
  readonly #limits: ConnectionLimits
  readonly #events: ConnectionEvents
  /** Ends the wait of the request in work: the peer has gone, or another is held back behind it. */
  #wait = new AbortController()
  /** No answer can be sent any more. */
  readonly #deaf = new AbortController()
  readonly #clientHost: string
  readonly #id = ++lastConnectionId
  readonly #turn = new Turn()
  readonly #budget: FrameBudget
  readonly #answerBudget: FrameBudget
  readonly #memory: FrameMemory
  readonly #release: (block: Uint8Array) => void
  readonly #length = new Uint8Array(LENGTH_BYTES)
  #lengthFilled = 0
  /** The request that is being read. */
  #frame: Uint8Array | null = null
  #frameFilled = 0
  /** Read behind the length of a request that waits for its bytes. */
  #rest: Uint8Array | null = null
  /** A large request waits for the answers of those in front of it, unread. */
  #isHeldBack = false
  /** Requests in the queue and in work that may wait for something to happen. */
  #mayWaitCount = 0
  #ownBytesLeft = OWN_BYTES
  /** Of the request that is being read. */
  #reserved: Reserved | null = null
  #stopWaiting: (() => void) | null = null
  #deadline: NodeJS.Timeout | null = null
  #queue: QueuedFrame[] = []
  /** In the order of their answers. More than one: all of them overlap. */
  #inWork: Work[] = []
  /** Of the queue and in work. */
  #heldBytes = 0
  #beginsLater = false
  #isRunning = false
  #work: Promise<void> | null = null
  #isWaitingForDrain = false
  /** Why nothing more comes from the peer; null = something may. */
  #peerEnded: string | null = null
  #isClosed = false

  /** `accepted` has not been read yet, and is not to be used any more. */
  constructor(accepted: Socket, server: ConnectionContext, bounds: ConnectionBounds, events: ConnectionEvents) {
    const { limits, budget, answerBudget, memory, release } = bounds
    const socket = withSharedReads(accepted, {
      expectedBytes: () => (this.#frame === null ? 0 : this.#frame.byteLength - this.#frameFilled),
      onBytes: (bytes) => this.#receive(bytes)
    })
    this.#socket = socket
    this.#server = server
    this.#limits = limits
    this.#budget = budget
    this.#answerBudget = answerBudget
    this.#memory = memory
    this.#release = release
    this.#events = events
    this.#clientHost = socket.remoteAddress ?? ''
    socket.on('error', (error) => this.#endOfPeer(error.message))
    socket.on('end', () => this.#endOfPeer('closed by the client'))
    socket.on('close', () => {
      this.#deaf.abort()
      this.#endOfPeer('closed by the client')
    })
    socket.on('timeout', () => this.#timeOut())
    socket.setTimeout(limits.idleMsMax)
    socket.resume()
  }

  /** Nothing more comes from it; what was there whole may still be carried out. */
  get hasPeerEnded(): boolean {
    return this.#peerEnded !== null
  }

  /** What is being carried out, until it has ended; never rejects. null = nothing is. */
  get work(): Promise<void> | null {
    return this.#isRunning ? this.#work : null
  }

  /** The first reason counts. */
  close(reason: CloseReason, detail: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const waiting = this.#queue
    this.#queue = []
    this.#wait.abort()
    this.#deaf.abort()
    this.#socket.destroy()
    this.#events.onClose(reason, detail)
    this.#dropUnread()
    for (const one of waiting) {
      this.#heldBytes -= one.bytes
      this.#giveBack(one.reserved)
    }
  }

  /** The request that is being read, or waits to be, does not come any more. */
  #dropUnread(): void {
    const reserved = this.#reserved
    this.#reserved = null
    this.#frame = null
    this.#rest = null
    this.#isHeldBack = false
    this.#stopWaiting?.()
    this.#stopWaiting = null
    this.#stopDeadline()
    if (reserved) this.#giveBack(reserved)
  }

  /** What is there whole is carried out, up to what waits for other members of a group; then the connection ends. */
  #endOfPeer(detail: string): void {
    if (this.#isClosed) return
    if (this.#peerEnded === null) {
      this.#peerEnded = detail
      this.#wait.abort()
      this.#dropUnread()
    }
    // A place among the connections is not kept for who has gone and would be waited for.
    if (this.#inWork[0]?.manners.waitsFor === 'members') this.close('peer', this.#peerEnded)
    else if (!this.#isRunning) this.#finish(this.#peerEnded)
  }

  #finish(detail: string): void {
    if (this.#socket.destroyed) this.close('peer', detail)
    else this.#socket.destroySoon() // with the last answers, as long as the peer reads them
  }

  #receive(bytes: Uint8Array): void {
    if (this.#isClosed) return
    this.#events.onBytes('received', bytes.byteLength)
    this.#take(bytes)
  }

  /** Cuts requests, as far as they have their bytes, and goes on with them. */
  #take(bytes: Uint8Array): void {
    try {
      this.#cut(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.close('frame', error.message)
      return
    }
    this.#steer()
    if (this.#isRunning) this.#begin()
    else this.#work = this.#run()
  }

  #cut(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; ) {
      if (this.#frame === null) {
        while (this.#lengthFilled < LENGTH_BYTES && at < bytes.byteLength) this.#length[this.#lengthFilled++] = bytes[at++] as number
        if (this.#lengthFilled < LENGTH_BYTES) return
        if (!this.#reserve(this.#frameBytes())) {
          this.#rest = new Uint8Array(bytes.subarray(at))
          return
        }
      }
      at += this.#fill(bytes.subarray(at))
    }
  }

  /** @throws ProtocolError */
  #frameBytes(): number {
    const frameBytes = new DataView(this.#length.buffer).getInt32(0)
    const { frameBytesMax } = this.#limits
    if (frameBytes >>> 8 === TLS_BEGIN)
      throw new ProtocolError('frame', 'it begins TLS, and this address has none (kafka.tls): is it meant to?')
    if (frameBytes < 0 || frameBytes > frameBytesMax)
      throw new ProtocolError('frame', `frame of ${frameBytes} bytes, the bound is ${frameBytesMax}`)
    if (frameBytes < FRAME_BYTES_MIN) throw new ProtocolError('frame', `frame of ${frameBytes} bytes, shorter than a request's header`)
    return frameBytes
  }

  /** True when the request has its bytes; false when it waits for them. */
  #reserve(frameBytes: number): boolean {
    const bytes = frameBytes + FRAME_OVERHEAD_BYTES
    const allocate = (): void => {
      this.#frame = this.#memory.take(frameBytes)
    }
    if (bytes <= this.#ownBytesLeft) {
      this.#ownBytesLeft -= bytes
      this.#reserved = { ownBytes: bytes, commonBytes: 0 }
    } else if (this.#mayWaitCount > 0) {
      this.#isHeldBack = true
      this.#wait.abort()
      return false
    } else if (this.#budget.take(bytes)) this.#holdCommon(bytes)
    else {
      this.#stopWaiting = this.#budget.wait(bytes, () => {
        this.#stopWaiting = null
        this.#holdCommon(bytes)
        allocate()
        this.#takeRest()
      })
      return false
    }
    allocate()
    return true
  }

  #takeRest(): void {
    const rest = this.#rest ?? new Uint8Array(0)
    this.#rest = null
    this.#take(rest)
  }

  /** Returns how many of `bytes` belonged to the request. */
  #fill(bytes: Uint8Array): number {
    const frame = this.#frame as Uint8Array
    const count = Math.min(frame.byteLength - this.#frameFilled, bytes.byteLength)
    frame.set(bytes.subarray(0, count), this.#frameFilled)
    this.#frameFilled += count
    if (this.#frameFilled < frame.byteLength) return count
    const manners = mannersOf(frame)
    if (manners.waitsFor !== 'nothing') this.#mayWaitCount++
    const queued = { frame, manners, reserved: this.#reserved as Reserved, bytes: frame.byteLength + FRAME_OVERHEAD_BYTES }
    this.#queue.push(queued)
    this.#heldBytes += queued.bytes
    this.#frame = null
    this.#frameFilled = 0
    this.#lengthFilled = 0
    this.#reserved = null
    this.#stopDeadline()
    return count
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
    if (this.#stopWaiting || this.#isHeldBack || this.#isFull) this.#socket.pause()
    else this.#socket.resume()
    const { idleMsMax, frameIdleMsMax } = this.#limits
    const timeoutMs = this.#isHoldingUp ? Math.min(frameIdleMsMax, idleMsMax) : idleMsMax
    if (this.#socket.timeout !== timeoutMs) this.#socket.setTimeout(timeoutMs)
  }

  /** A request has begun, holds common bytes, and its end has not come. */
  get #isHoldingUp(): boolean {
    return this.#reserved !== null && this.#reserved.commonBytes > 0 && !this.#isFull
  }

  /** Enough waits behind the request that is answered next. */
  get #isFull(): boolean {
    const [first] = this.#inWork
    return this.#heldBytes - (first?.bytes ?? 0) > this.#limits.queuedBytesMax
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    try {
      while (this.#queue.length > 0 || this.#inWork.length > 0) {
        if (this.#turn.isOver) await this.#turn.next()
        this.#begin()
        const [first] = this.#inWork
        if (first) await this.#answer(first)
      }
    } catch (error) {
      this.#fail(error)
    }
    for (const work of this.#inWork) await this.#end(work)
    this.#isRunning = false
    if (this.#peerEnded !== null && !this.#isClosed) this.#finish(this.#peerEnded)
  }

  /** Takes in hand what may be by now. */
  #begin(): void {
    for (let next = this.#queue[0]; next && this.#mayBegin(next); next = this.#queue[0]) {
      if (this.#inWork.length > 0 && this.#turn.isOver) return this.#beginLater()
      if (this.#peerEnded !== null && next.manners.waitsFor === 'members') return this.close('peer', this.#peerEnded)
      this.#queue.shift()
      this.#carryOut(next)
      this.#steer()
    }
  }

  #beginLater(): void {
    if (this.#beginsLater) return
    this.#beginsLater = true
    void this.#turn.next().then(() => {
      this.#beginsLater = false
      this.#begin()
    })
  }

  #mayBegin({ manners }: QueuedFrame): boolean {
    const [first] = this.#inWork
    if (!first) return true
    return manners.overlaps && first.manners.overlaps && this.#inWork.length < IN_WORK_MAX && !this.#isWaitingForDrain
  }

  #carryOut(queued: QueuedFrame): void {
    const { frame, reserved } = queued
    let isReleased = false
    const release = (): void => {
      if (isReleased) return
      isReleased = true
      this.#memory.give(frame)
      this.#giveBack(reserved)
      this.#memory.trim()
    }
    const waitMsMax = reserved.commonBytes > 0 ? LARGE_WAIT_MS_MAX : Number.POSITIVE_INFINITY
    this.#wait = new AbortController()
    if (this.#isHeldBack || this.#peerEnded !== null) this.#wait.abort()
    const parts: AnswerParts = { bytes: 0, blocks: [] }
    const work: Work = { ...queued, answer: Promise.resolve(null), release, parts }
    this.#inWork.push(work) // first: what is given back meanwhile may bring more
    work.answer = dispatch(frame, (header) => ({ ...this.#contextOf(header, parts), waitMsMax, releaseRequest: release }))
    work.answer.catch(() => undefined) // it is looked at in its turn
  }

  /** Answers the request whose turn it is, and lets go of it. Rejects as its handler. */
  async #answer(work: Work): Promise<void> {
    try {
      const chunks = await work.answer
      if (chunks && !this.#isClosed) await this.#send(chunks, work.parts)
    } finally {
      await this.#end(work)
    }
    if (this.#isHeldBack && this.#mayWaitCount === 0 && !this.#isClosed) {
      this.#isHeldBack = false
      this.#takeRest()
    } else this.#steer()
  }

  /** Lets go of a request once nothing is done for it any more. */
  async #end(work: Work): Promise<void> {
    await work.answer.catch(() => undefined)
    work.release()
    this.#inWork = this.#inWork.filter((other) => other !== work)
    this.#heldBytes -= work.bytes
    if (work.manners.waitsFor !== 'nothing') this.#mayWaitCount--
    this.#answerBudget.giveBack(work.parts.bytes)
    work.parts.bytes = 0
  }

  /** Takes bytes of the common budget for an answer; resolves when it has them, or when the connection is gone. */
  async #reserveAnswer(bytes: number, parts: AnswerParts): Promise<boolean> {
    const { signal } = this.#deaf
    if (bytes <= OWN_ANSWER_BYTES || signal.aborted) return !signal.aborted
    const hasBytes =
      this.#answerBudget.take(bytes) ||
      (await new Promise<boolean>((resolve) => {
        const leave = this.#answerBudget.wait(bytes, () => {
          signal.removeEventListener('abort', giveUp)
          resolve(true)
        })
        const giveUp = (): void => {
          leave()
          resolve(false)
        }
        signal.addEventListener('abort', giveUp, { once: true })
      }))
    if (hasBytes) parts.bytes += bytes
    return hasBytes
  }

  /** The answer is there: what it really takes is held from now on, whether there is room or not. */
  #holdAnswer(bytes: number, parts: AnswerParts): void {
    const heldBytes = bytes <= OWN_ANSWER_BYTES ? 0 : bytes
    if (heldBytes > parts.bytes) this.#answerBudget.force(heldBytes - parts.bytes)
    else this.#answerBudget.giveBack(parts.bytes - heldBytes)
    parts.bytes = heldBytes
  }

  #contextOf(
    { apiVersion, clientId, name }: { apiVersion: number; clientId: string; name: string },
    parts: AnswerParts
  ): Omit<RequestContext, 'waitMsMax' | 'releaseRequest'> {
    this.#events.onRequest(name)
    return {
      ...this.#server,
      apiVersion,
      clientId,
      clientHost: this.#clientHost,
      connectionId: this.#id,
      signal: this.#wait.signal,
      reserveAnswer: (bytes) => this.#reserveAnswer(bytes, parts),
      answerBytesFree: () => this.#answerBudget.freeBytes,
      releaseWhenSent: (block) => void parts.blocks.push(block)
    }
  }

  async #send(chunks: readonly Uint8Array[], parts: AnswerParts): Promise<void> {
    if (this.#deaf.signal.aborted) return
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
    this.#holdAnswer(bytes, parts)
    this.#socket.cork()
    let hasRoom = true
    for (const chunk of chunks) hasRoom = this.#socket.write(chunk)
    this.#socket.uncork()
    this.#events.onBytes('sent', bytes)
    if (hasRoom || this.#isClosed) return
    this.#isWaitingForDrain = true
    const watch = parts.bytes > 0 ? this.#watchReader(bytes) : null
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done)
        this.#deaf.signal.removeEventListener('abort', done)
        resolve()
      }
      this.#socket.once('drain', done)
      this.#deaf.signal.addEventListener('abort', done, { once: true })
    })
    if (watch) clearInterval(watch)
    this.#isWaitingForDrain = false
    if (this.#deaf.signal.aborted) return // the kernel may not be through with them: left to the collector
    for (const block of parts.blocks) this.#release(block)
  }

  /** Who holds bytes of answers that others wait for must read them, in all and not only now and then. */
  #watchReader(bytes: number): NodeJS.Timeout {
    const { frameIdleMsMax, frameBytesPerSecondMin } = this.#limits
    const allowedMs = frameIdleMsMax + (bytes / frameBytesPerSecondMin) * 1000
    const look = (): void => {
      if (this.#answerBudget.waitingCount === 0) return
      this.close('slow-reader', `an answer of ${bytes} bytes was not read within ${Math.round(allowedMs)} ms, and others wait`)
    }
    return setInterval(look, allowedMs).unref()
  }

  #timeOut(): void {
    const { idleMsMax, frameIdleMsMax } = this.#limits
    if (this.#isHoldingUp) this.close('idle', `a request stood still for ${Math.min(frameIdleMsMax, idleMsMax)} ms`)
    // It is not read, so nobody would hear that the peer has gone.
    else if (this.#isHeldBack) this.close('idle', `a request behind one that waits was not read for ${idleMsMax} ms`)
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

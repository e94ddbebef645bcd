// One connection of a client, from its first byte to its end: packets out of the socket one at a time, time limits, pauses, answers in the form of
// its version. What the packets mean is the session layer's (mqtt-sessions.ts).
//
// Invariants:
//   C1  The session layer gets one packet at a time, in order, and none behind CONNECT before `resume()`; nothing after the connection ends.
//   C2  While reading is paused the bytes stay in the socket, so that TCP slows the device down; a CONNECT is read also meanwhile: who comes again
//       takes the place of his dead connection. No time limit of the peer runs out during a pause.
//   C3  A peer that does not read what it is sent is not read either, and is closed after drainTimeoutMs.
//   C4  `onEnd` is called once, after the last packet.
// Not for: sessions, rights, storage.

import type { Socket } from 'node:net'
import { PacketReader, type Unfinished } from './packet-reader.ts'
import type { AckPacket, ClientPacket, ConnackOptions, ConnectPacket, DeliveryOptions, ProtocolVersion } from './packets.ts'
import { ReasonCode } from './packets.ts'
import { reasonTextOf, reasonTextOfCode } from './reason-text.ts'
import { type CloseReason, closeDetailOf, closeReasonOf, GateFault } from './reasons.ts'
import type { Connection } from './session-layer.ts'
import type { SocketInput } from './socket-input.ts'
import { PIECE_BYTES_MAX, SocketWriter } from './socket-writer.ts'
import { ACK_BYTES, ackPacket, connackPacket, disconnectPacket, packetBytes, publishBodyBytes, writePublishHead } from './wire-write.ts'

export interface ConnectionEvents {
  /** `pending` packets of this connection are not done. */
  onPacket(connection: ClientConnection, packet: ClientPacket): void
  /** It closes for a reason of ours, or failed. Not called for DISCONNECT, a takeover, or a peer that simply leaves. */
  onFail(connection: ClientConnection, reason: CloseReason, detail: string): void
  /** What waits for it may be sent. */
  onDrain(connection: ClientConnection): void
  onEnd(connection: ClientConnection): void
}

/** Takes packets from the reader before they become objects (connection-lane.ts). */
export interface PacketLane {
  /** 'empty': there is nothing more now; 'packet': the reader has the next one; 'full': wait for onceRoom(). */
  take(reader: PacketReader): 'empty' | 'packet' | 'full'
  /** take() would say so of a PUBLISH. */
  readonly isFull: boolean
  onceRoom(turn: () => void): void
}

export interface ConnectionLimits {
  readonly connectTimeoutMs: number
  readonly drainTimeoutMs: number
  readonly topicAliasMaximum: number
  readonly unfinished: Unfinished
}

const CONNECT_PIECE_BYTES = 256
/** A pause that ended so short ago counts: what arrived during it may not have been read yet. */
const AFTER_PAUSE_MS = 1_000
/** A peer that does not take the last bytes, or does not close its side, is not waited for longer. */
const GOODBYE_MS_MAX = 1_000

export class ClientConnection {
  readonly connection: Connection
  readonly #socket: Socket
  readonly #input: SocketInput
  readonly #events: ConnectionEvents
  readonly #limits: ConnectionLimits
  readonly #reader: PacketReader
  readonly #writer: SocketWriter
  #isHeld = false
  /** CONNACK has left. */
  #isAccepted = false
  #isWaiting = false
  #isReading = false
  #pausedUntilMs = 0
  #timer: NodeJS.Timeout | null = null
  #drainTimer: NodeJS.Timeout | null = null
  #lastReadMs = performance.now()
  #isEnding = false
  #hasEnded = false
  #hasFailed = false
  /** It takes reason strings (MQTT 5). */
  #wantsReasons = false
  /** Largest packet that the client takes. */
  #packetBytesMax = Number.POSITIVE_INFINITY
  #pendingCount = 0
  #lane: PacketLane | null = null
  #isWaitingForLane = false
  /** Ends the connection behind the packets that are not done. */
  #lastFault: Error | null = null
  /** null before CONNECT, and while it is empty. */
  clientId: string | null = null

  constructor(connection: Connection, limits: ConnectionLimits, events: ConnectionEvents) {
    this.connection = connection
    this.#socket = connection.socket
    this.#input = connection.input
    this.#limits = limits
    this.#events = events
    this.#reader = new PacketReader(connection.limits, limits)
    this.#writer = new SocketWriter(connection.socket)
    this.#limitTime(limits.connectTimeoutMs, 'connect-timeout')
    const socket = this.#socket
    socket.on('drain', () => this.#onDrain())
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#end())
    if (socket.destroyed) setImmediate(() => this.#end())
    else this.#input.start(() => this.#read())
  }

  /** 0 before CONNECT. */
  get version(): 0 | ProtocolVersion {
    return this.#reader.version
  }

  /** Packets that were handed over and are not done. */
  get pendingCount(): number {
    return this.#pendingCount
  }

  /** Whoever says that one is done answers it in the same turn. */
  set pendingCount(count: number) {
    this.#pendingCount = count
    if (count === 0 && this.#lastFault !== null) queueMicrotask(() => this.#endForLastFault())
  }

  /** Nothing that is sent reaches it any more. */
  get isClosed(): boolean {
    return this.#isEnding || this.#socket.destroyed
  }

  get isWritable(): boolean {
    return !this.isClosed && this.#writer.isWritable
  }

  /** PUBLISH packets go by it from now on, as far as it takes them. */
  useLane(lane: PacketLane): void {
    this.#lane = lane
  }

  /** CONNECT is being decided: nothing behind it is parsed before resume(). */
  hold(): void {
    this.#isHeld = true
  }

  resume(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#read()
  }

  /** The client is connected: the time limit is its keep-alive from now on. */
  accept(options: ConnackOptions, keepAliveSeconds: number): void {
    this.#isAccepted = true
    const bytes = connackPacket(this.#versionOr4(), options)
    if (bytes && bytes.byteLength > this.#packetBytesMax) return this.destroy() // it takes less than CONNACK: nothing may be sent (MQTT-3.1.2-24)
    if (bytes) this.#write(bytes)
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (keepAliveSeconds > 0) this.#limitTime(keepAliveSeconds * 1_500, 'keepalive-timeout')
  }

  /** @returns false when the packet is larger than the client takes: nothing was sent */
  sendPublish(options: DeliveryOptions): boolean {
    const version = this.#versionOr4()
    const bodyBytes = publishBodyBytes(version, options)
    const bytes = packetBytes(bodyBytes)
    if (bytes > this.#packetBytesMax) return false
    const { payload } = options
    const isSmall = payload.byteLength <= PIECE_BYTES_MAX
    const at = this.#writer.reserve(isSmall ? bytes : bytes - payload.byteLength)
    if (at >= 0) {
      const { page } = this.#writer
      const endAt = writePublishHead(page, at, version, options, bodyBytes)
      if (isSmall) page.set(payload, endAt)
      else this.#writer.write(payload)
    }
    this.#afterWrite()
    return true
  }

  sendPubrel(packetId: number): void {
    this.sendAck('pubrel', packetId, ReasonCode.success)
  }

  /** `refusal`: why, to a client that wants to know. */
  sendAck(type: AckPacket['type'], packetId: number, reasonCode: number, refusal: Error | null = null): void {
    if (reasonCode === ReasonCode.success || this.version !== 5) {
      this.#writer.writeShort(ACK_BYTES[type], packetId)
      this.#afterWrite()
      return
    }
    const bytes = this.#withReason(refusal ? reasonTextOf(refusal) : '', (words) => ackPacket(5, type, packetId, reasonCode, words))
    if (bytes) this.#write(bytes)
  }

  /** PUBACKs of success, one behind the other. */
  sendAcks(bytes: Uint8Array): void {
    this.#write(bytes)
  }

  /** A packet larger than the client takes ends the connection (MQTT-3.1.2-24). */
  send(bytes: Uint8Array): void {
    if (bytes.byteLength <= this.#packetBytesMax) return this.#write(bytes)
    this.#fail(
      new GateFault('packet-too-large', `an answer of ${bytes.byteLength} bytes, it takes ${this.#packetBytesMax}`, {
        reasonCode: ReasonCode.packetTooLarge
      })
    )
  }

  /** As send(), with `words` where the client wants them and takes a packet of that size. */
  sendWithReason(words: string, packetWith: (reasonText: string) => Uint8Array): void {
    this.send(this.#withReason(words, packetWith) ?? packetWith(''))
  }

  /** Ends it for `fault`: what was answered before leaves first, then the fault's answer. */
  refuse(fault: Error): void {
    this.#fail(fault)
  }

  /** As refuse(), in place of CONNACK. */
  refuseConnect({ reason, detail, clientId, reasonCode }: GateFault): void {
    const version = this.#versionOr4()
    const words = reasonTextOf(new GateFault(reason, detail))
    const answer = this.#withReason(words, (reasonText) => connackPacket(version, { isSessionPresent: false, reasonCode, reasonText }))
    this.#fail(new GateFault(reason, detail, { answer, clientId, reasonCode }))
  }

  /** As refuse(), behind the answers to what is not done: the client would send again what is stored. Nothing more is handed over. */
  refuseBehindPending(fault: Error): void {
    if (this.#pendingCount === 0) return this.#fail(fault)
    this.#lastFault ??= fault
    this.hold()
  }

  /** Ends it without a fault. MQTT 5 clients are told why with `reasonCode`; null = they said goodbye themselves. */
  close(reasonCode: number | null): void {
    if (this.isClosed) return
    this.#goodbye(reasonCode === null ? null : this.#disconnect(reasonCode, reasonTextOfCode(reasonCode)))
  }

  destroy(): void {
    this.#socket.destroy()
  }

  // --- reading

  #read(): void {
    if (this.#isReading) return
    this.#isReading = true
    try {
      while (this.#handPackets() && this.#readChunk());
    } finally {
      this.#isReading = false
      this.#reader.own()
    }
  }

  /** Hands over what was read. @returns whether more is wanted */
  #handPackets(): boolean {
    while (!this.#isHeld && !this.isClosed) {
      const taken = this.#lane?.take(this.#reader) ?? 'packet'
      if (taken === 'empty') return true
      if (taken === 'full') return this.#waitForLane()
      const packet = this.#reader.next()
      if (packet === null) {
        if (this.#reader.fault) this.#fail(this.#reader.fault)
        return !this.isClosed
      }
      if (packet.type === 'connect') this.#learn(packet)
      this.#events.onPacket(this, packet)
    }
    if (!this.isClosed) return false
    this.#discard()
    return false
  }

  /** What an answer to CONNECT may be already. */
  #learn({ version, packetBytesMax, wantsProblemInformation }: ConnectPacket): void {
    this.#packetBytesMax = packetBytesMax
    this.#wantsReasons = version === 5 && wantsProblemInformation
  }

  /** @returns whether something came that may hold packets */
  #readChunk(): boolean {
    const input = this.#input
    const { pause } = this.connection
    const { state } = pause
    if (state === 'discard') return this.#discard()
    if (state === 'wait' && this.#reader.isPastConnect) {
      if (input.length === 0)
        input.resume() // the end is seen
      else this.#wait()
      return false
    }
    if (!this.#writer.isWritable) return false // 'drain' reads on
    if (this.#lane?.isFull && input.length > 0) return this.#waitForLane() // what would only be kept stays in the socket
    const bytesMax = state === 'wait' ? Math.min(pause.readBytesMax, CONNECT_PIECE_BYTES) : pause.readBytesMax
    const isMore = input.length > bytesMax
    const chunk = input.read(bytesMax)
    if (chunk === null) return false
    this.#lastReadMs = performance.now()
    this.#reader.push(chunk, input.isShared)
    if (!isMore) return true
    this.#handPackets()
    setImmediate(() => this.#read()) // others have their turn
    return false
  }

  /** What arrives is read and thrown away, so that the peer's end of the connection is seen: then the socket closes. */
  #discard(): false {
    this.#input.discard()
    return false
  }

  /** There is no room in the commit: what was read stays where it is. */
  #waitForLane(): false {
    if (this.#isWaitingForLane) return false
    this.#isWaitingForLane = true
    this.#lane?.onceRoom(() => {
      this.#isWaitingForLane = false
      this.#pausedUntilMs = performance.now() + AFTER_PAUSE_MS
      this.#read()
    })
    return false
  }

  #wait(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.connection.pause.onceReadable(() => {
      this.#isWaiting = false
      this.#pausedUntilMs = performance.now() + AFTER_PAUSE_MS
      this.#read()
    })
  }

  // --- time limits

  /** Begins anew while the silence is not the peer's. */
  #limitTime(limitMs: number, reason: CloseReason): void {
    const isConnect = reason === 'connect-timeout'
    const look = (): void => {
      const nowMs = performance.now()
      const silentMs = isConnect ? limitMs : nowMs - this.#lastReadMs
      if (this.#isPaused(nowMs) || (!isConnect && this.pendingCount > 0)) this.#timer = setTimeout(look, limitMs)
      else if (silentMs < limitMs) this.#timer = setTimeout(look, limitMs - silentMs)
      else this.#fail(new GateFault(reason, '', { reasonCode: ReasonCode.keepAliveTimeout }))
    }
    this.#timer = setTimeout(look, limitMs)
  }

  #isPaused(nowMs: number): boolean {
    return this.#isWaiting || this.#isWaitingForLane || nowMs < this.#pausedUntilMs
  }

  // --- writing

  #versionOr4(): ProtocolVersion {
    return this.version === 0 ? 4 : this.version
  }

  #write(bytes: Uint8Array): void {
    this.#writer.write(bytes)
    this.#afterWrite()
  }

  #afterWrite(): void {
    if (this.#drainTimer !== null || this.#writer.isWritable) return
    this.#drainTimer = setTimeout(() => this.#fail(new GateFault('drain-timeout', '')), this.#limits.drainTimeoutMs)
  }

  #onDrain(): void {
    if (this.#drainTimer) clearTimeout(this.#drainTimer)
    this.#drainTimer = null
    if (this.isClosed) return
    this.#events.onDrain(this)
    this.#read()
  }

  // --- the end

  #endForLastFault(): void {
    if (this.#lastFault === null) return
    this.#fail(this.#lastFault)
    this.#read() // what it has sent since is thrown away: unread, it would reset the connection in front of the answers
  }

  #fail(error: Error): void {
    if (this.#hasFailed || this.#hasEnded) return
    this.#hasFailed = true
    if (!this.#isEnding) this.#events.onFail(this, closeReasonOf(error) ?? 'protocol', closeDetailOf(error))
    const answer = error instanceof GateFault ? (error.answer ?? this.#disconnect(error.reasonCode, reasonTextOf(error))) : null
    const isOurs = closeReasonOf(error) !== 'connection-lost' && closeReasonOf(error) !== 'drain-timeout'
    if (isOurs && !this.isClosed) this.#goodbye(answer)
    else this.#socket.destroy()
  }

  /** null where the client has no word for it. */
  #disconnect(reasonCode: number, words: string): Uint8Array | null {
    if (this.version !== 5 || !this.#isAccepted) return null
    return this.#withReason(words, (reasonText) => disconnectPacket(reasonCode, reasonText))
  }

  /** A packet with its reason string, or without where the client does not want it or it would be too large; null when it takes neither. */
  #withReason(words: string, packetWith: (reasonText: string) => Uint8Array | null): Uint8Array | null {
    for (const reasonText of this.#wantsReasons && words !== '' ? [words, ''] : ['']) {
      const bytes = packetWith(reasonText)
      if (bytes && bytes.byteLength <= this.#packetBytesMax) return bytes
    }
    return null
  }

  #goodbye(lastBytes: Uint8Array | null): void {
    if (lastBytes) this.#writer.write(lastBytes)
    this.#writer.flush()
    this.#isEnding = true
    // Closed at once, what the peer is still sending would be answered by the kernel with a reset, and that may cost it our last packet.
    this.#socket.end(() => this.#end())
    this.#discard()
    const timer = setTimeout(() => this.#socket.destroy(), GOODBYE_MS_MAX).unref()
    this.#socket.once('close', () => clearTimeout(timer)) // or it would hold all of the connection for that long
  }

  #end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#isEnding = true
    this.#reader.close()
    if (this.#timer) clearTimeout(this.#timer)
    if (this.#drainTimer) clearTimeout(this.#drainTimer)
    this.#events.onEnd(this)
  }
}

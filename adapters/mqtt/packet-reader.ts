// Cuts what a socket gives into packets, and reads them. The first thing that a byte from outside meets.
//
// Invariants:
//   R1  The fixed header is checked byte by byte, before anything of the packet is kept: type, flags, length, and that CONNECT is the first packet and the
//       only one. A packet is at most packetBytesMax long, a CONNECT connectBytesMax,
//       and its will willBytesMax beside that.
//   R2  What is kept of a packet that comes in pieces grows with what has come, not with what was announced. A packet that lies whole in one read is not copied.
//   R3  Any split of the bytes gives the same packets and the same fault. After a fault nothing is read any more.
// Not for: fields of the packets (packet-read.ts), when to read (client-connection.ts).
//
// The fast lane (connection-lane.ts) takes whole PUBLISH packets out of what push() was given, before next() sees them: offer(), took(), hold().

import type { ListenerLimits } from './limits.ts'
import {
  connectFault,
  type PublishContext,
  type ReadLimits,
  readAck,
  readConnect,
  readDisconnect,
  readPublish,
  readSubscribe,
  readUnsubscribe
} from './packet-read.ts'
import { type ClientPacket, type ProtocolVersion, ReasonCode } from './packets.ts'
import { PublishTopics } from './publish-topics.ts'
import { GateFault, type GateReason } from './reasons.ts'
import { WireCursor } from './wire-cursor.ts'

const CONNECT = 1
const PUBLISH = 3
const PUBACK = 4
const PUBCOMP = 7
const SUBSCRIBE = 8
const UNSUBSCRIBE = 10
const PINGREQ = 12
const DISCONNECT = 14
/** Flags by type; those of PUBLISH say something. null = comes from no client. */
const FLAGS: readonly (number | null)[] = [null, 0, null, 0, 0, 0, 2, 0, 2, null, 2, null, 0, null, 0, null]
const DUP = 8
const LENGTH_BYTES_MAX = 4
const FIRST_PIECE_BYTES = 512
/** The first byte of a TLS handshake: in MQTT a CONNECT with flags that it never has. */
const TLS_BEGIN = 0x16
const TLS_WORDS = 'it begins TLS, and this address has none (mqtt[].tls): is it meant to?'
const NO_BYTES = Buffer.alloc(0)
const PADDED = 'a remaining length that is not in its shortest form (MQTT-1.5.5-1)'
const PING: ClientPacket = { type: 'pingreq' }

/** What all readers keep together of packets that come in pieces. */
export interface Unfinished {
  bytes: number
  readonly bytesMax: number
}

export type PacketReaderLimits = Omit<ListenerLimits, 'connectionsMax'> & ReadLimits

export class PacketReader {
  readonly #limits: PacketReaderLimits
  readonly #topicAliasMaximum: number
  readonly #unfinished: Unfinished
  readonly #cursor = new WireCursor()
  /** The beginning of a packet that the lane left, in front of the chunk. */
  #head: Buffer = NO_BYTES
  #chunk: Buffer = NO_BYTES
  #at = 0
  /** The chunk's memory is not ours. */
  #isShared = false
  /** First byte of the packet that has begun; -1 = none has. */
  #first = -1
  #length = 0
  #lengthBytes = 0
  /** The length is known: `#length` bytes of body follow. */
  #isInBody = false
  /** Of a body that comes in pieces. */
  #kept: Buffer = NO_BYTES
  #keptBytes = 0
  #version: 0 | ProtocolVersion = 0
  #isBridge = false
  /** Of PUBLISH packets; null before CONNECT. */
  #publishes: PublishContext | null = null
  #fault: GateFault | null = null

  constructor(
    limits: PacketReaderLimits,
    {
      topicAliasMaximum,
      unfinished = { bytes: 0, bytesMax: Number.POSITIVE_INFINITY }
    }: { topicAliasMaximum: number; unfinished?: Unfinished }
  ) {
    this.#limits = limits
    this.#topicAliasMaximum = topicAliasMaximum
    this.#unfinished = unfinished
  }

  /** The connection is gone: what it had not finished is nobody's. */
  close(): void {
    this.#release()
    this.#setHead(NO_BYTES)
    this.#fault ??= new GateFault('connection-lost', 'connection closed')
  }

  /** Set once: nothing is read after it. */
  get fault(): GateFault | null {
    return this.#fault
  }

  /** 0 before a whole CONNECT. */
  get version(): 0 | ProtocolVersion {
    return this.#version
  }

  get isPastConnect(): boolean {
    return this.#version !== 0
  }

  /** All that was pushed before has been taken: next() gave null. `chunk` must not change; one that is shared not before own(). */
  push(chunk: Uint8Array, isShared = false): void {
    this.#isShared = isShared && this.#at === this.#chunk.length
    if (this.#at < this.#chunk.length) chunk = Buffer.concat([this.#chunk.subarray(this.#at), chunk])
    this.#chunk = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    this.#at = 0
  }

  /** What is left of a chunk whose memory is used again is copied. */
  own(): void {
    if (!this.#isShared) return
    this.#isShared = false
    if (this.#at === this.#chunk.length) return void this.#letGo()
    const rest = Buffer.allocUnsafeSlow(this.#chunk.length - this.#at)
    rest.set(this.#chunk.subarray(this.#at))
    this.#chunk = rest
    this.#at = 0
  }

  // --- the lane

  /** What is unread when a packet begins there: the head, then the chunk from `at` on; null within a packet, and when there is nothing. */
  offer(): { readonly head: Buffer; readonly chunk: Buffer; readonly at: number } | null {
    if (this.#first >= 0 || this.#fault !== null) return null
    if (this.#head.length === 0 && this.#at === this.#chunk.length) return null
    return { head: this.#head, chunk: this.#chunk, at: this.#at }
  }

  /** So many bytes of what was offered were whole packets, and are done with. */
  took(bytes: number): void {
    const ofHead = Math.min(bytes, this.#head.length)
    if (ofHead > 0) this.#setHead(ofHead === this.#head.length ? NO_BYTES : Buffer.from(this.#head.subarray(ofHead)))
    this.#at += bytes - ofHead
    if (this.#at === this.#chunk.length) this.#letGo()
  }

  /** What is left is the beginning of a packet: it waits, in a copy of its own, for what comes. */
  hold(): void {
    const moreBytes = this.#chunk.length - this.#at
    if (moreBytes === 0) return
    if (!this.#isRoomFor(moreBytes)) return
    const head = Buffer.allocUnsafeSlow(this.#head.length + moreBytes) // of its own: a piece of a pool would keep all of that
    head.set(this.#head)
    head.set(this.#chunk.subarray(this.#at), this.#head.length)
    this.#setHead(head)
    this.#letGo()
  }

  #setHead(head: Buffer): void {
    this.#unfinished.bytes += head.length - this.#head.length
    this.#head = head.length === 0 ? NO_BYTES : head
  }

  // --- packets

  /** The next whole packet; null when more bytes are needed, or after a fault. */
  next(): ClientPacket | null {
    if (this.#head.length > 0) this.#joinHead()
    else this.own() // packets are views of it
    while (this.#fault === null) {
      if (this.#isInBody) {
        if (this.#findBody()) return this.#readBody()
        return this.#letGo()
      }
      if (this.#at === this.#chunk.length) return this.#letGo()
      const byte = this.#chunk[this.#at++] as number
      if (this.#first < 0) this.#readFirst(byte)
      else this.#readLength(byte)
    }
    return this.#letGo()
  }

  #joinHead(): void {
    this.#chunk = Buffer.concat([this.#head, this.#chunk.subarray(this.#at)])
    this.#at = 0
    this.#isShared = false
    this.#setHead(NO_BYTES)
  }

  /** What was read does not stay in memory while more is waited for. */
  #letGo(): null {
    this.#chunk = NO_BYTES
    this.#at = 0
    return null
  }

  #readFirst(byte: number): void {
    const type = byte >> 4
    const flags = byte & 0x0f
    const expected = FLAGS[type] as number | null
    if (expected === null) return this.#fail('packet-type', `packet type ${type} comes from no client`, ReasonCode.protocolError)
    if (this.#version === 0 && type !== CONNECT)
      return this.#fail('connect-expected', `packet type ${type} before CONNECT`, ReasonCode.protocolError)
    if (this.#version !== 0 && type === CONNECT) return this.#fail('second-connect', 'MQTT-3.1.0-2', ReasonCode.protocolError)
    if (type === PUBLISH) {
      if ((flags & 6) === 6) return this.#fail('packet-flags', 'QoS 3 (MQTT-3.3.1-4)')
      if ((flags & 0x0e) === DUP) return this.#fail('packet-flags', 'DUP with QoS 0 (MQTT-3.3.1-2)', ReasonCode.protocolError)
    } else if (flags !== expected && !this.#isRepeat(flags, expected)) {
      const isTls = byte === TLS_BEGIN && this.#version === 0
      return this.#fail('packet-flags', isTls ? TLS_WORDS : `type ${type} with flags ${flags}`)
    }
    this.#first = byte
    this.#length = 0
    this.#lengthBytes = 0
  }

  /** MQTT 3.1 repeats PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP, as it does PUBLISH. */
  #isRepeat(flags: number, expected: number): boolean {
    return this.#version === 3 && expected === 2 && flags === (DUP | 2)
  }

  #readLength(byte: number): void {
    this.#length |= (byte & 0x7f) << (7 * this.#lengthBytes)
    this.#lengthBytes++
    if (byte >= 0x80) {
      if (this.#lengthBytes === LENGTH_BYTES_MAX) this.#fail('packet-length', `more than ${LENGTH_BYTES_MAX} bytes of remaining length`)
      return
    }
    const type = this.#first >> 4
    const packetBytes = 1 + this.#lengthBytes + this.#length
    const { packetBytesMax, connectBytesMax, willBytesMax } = this.#limits
    const bytesMax = type === CONNECT ? Math.min(packetBytesMax, connectBytesMax + willBytesMax) : packetBytesMax
    if (packetBytes > bytesMax) {
      const reason = type === CONNECT ? 'connect-too-large' : 'packet-too-large'
      return this.#fail(reason, `${packetBytes} bytes, at most ${bytesMax}`, ReasonCode.packetTooLarge)
    }
    if (type !== PUBLISH && !this.#isLengthRight(type)) return this.#fail('packet-length', `type ${type} of ${this.#length} bytes`)
    if (this.#version === 5 && this.#isPadded()) return this.#fail('packet-length', PADDED)
    this.#isInBody = true
  }

  /** Some packets have a fixed length, most of them in MQTT 3 only. */
  #isLengthRight(type: number): boolean {
    if (type === PINGREQ) return this.#length === 0
    if (this.#version === 5) return true
    if (type === DISCONNECT) return this.#length === 0
    return type < PUBACK || type > PUBCOMP || this.#length === 2
  }

  /** The remaining length is not in its shortest form. */
  #isPadded(): boolean {
    return this.#lengthBytes > 1 && this.#length < 1 << (7 * (this.#lengthBytes - 1))
  }

  /** Sets the cursor on the body. @returns false when not all of it has come */
  #findBody(): boolean {
    const available = this.#chunk.length - this.#at
    if (this.#keptBytes === 0 && available >= this.#length) {
      this.#cursor.set(this.#chunk, this.#at, this.#at + this.#length)
      this.#at += this.#length
      return true
    }
    const taken = Math.min(this.#length - this.#keptBytes, available)
    this.#keep(this.#chunk.subarray(this.#at, this.#at + taken))
    this.#at += taken
    if (this.#fault !== null || this.#keptBytes < this.#length) return false
    this.#cursor.set(this.#kept, 0, this.#keptBytes)
    this.#release()
    return true
  }

  #readBody(): ClientPacket | null {
    const first = this.#first
    this.#first = -1
    this.#isInBody = false
    try {
      return this.#read(first)
    } catch (error) {
      if (!(error instanceof GateFault)) throw error
      this.#fault = error
      return this.#letGo()
    } finally {
      this.#cursor.clear()
    }
  }

  #read(first: number): ClientPacket {
    const type = first >> 4
    const version = this.#version as ProtocolVersion
    const limits = this.#limits
    const cursor = this.#cursor
    switch (type) {
      case PUBLISH:
        return readPublish(cursor, first & 0x0f, this.#publishes as PublishContext)
      case CONNECT:
        return this.#readConnect()
      case SUBSCRIBE:
        return readSubscribe(cursor, version, this.#isBridge, limits)
      case UNSUBSCRIBE:
        return readUnsubscribe(cursor, version, limits)
      case PINGREQ:
        return PING
      case DISCONNECT:
        return readDisconnect(cursor, version, limits)
      default:
        return readAck(cursor, type as 4 | 5 | 6 | 7, version, limits)
    }
  }

  #readConnect(): ClientPacket {
    const limits = this.#limits
    const packet = readConnect(this.#cursor, 1 + this.#lengthBytes + this.#length, limits)
    const { version, isBridge } = packet
    if (version === 5 && this.#isPadded()) throw connectFault(version, 'packet-length', PADDED)
    this.#version = version
    this.#isBridge = isBridge
    this.#publishes = { version, topics: new PublishTopics(limits), topicAliasMaximum: this.#topicAliasMaximum, limits }
    return packet
  }

  /** Grows with what has come, not with what was announced. */
  #keep(piece: Uint8Array): void {
    const bytes = this.#keptBytes + piece.length
    if (bytes > this.#kept.length) {
      const size = Math.min(this.#length, Math.max(bytes, this.#kept.length * 2, FIRST_PIECE_BYTES))
      if (!this.#hasRoomFor(size)) return
      const larger = Buffer.allocUnsafeSlow(size)
      larger.set(this.#kept.subarray(0, this.#keptBytes))
      this.#kept = larger
    }
    this.#kept.set(piece, this.#keptBytes)
    this.#keptBytes = bytes
  }

  #hasRoomFor(size: number): boolean {
    const moreBytes = size - this.#kept.length
    if (!this.#isRoomFor(moreBytes)) return false
    this.#unfinished.bytes += moreBytes
    return true
  }

  #isRoomFor(moreBytes: number): boolean {
    const unfinished = this.#unfinished
    if (unfinished.bytes + moreBytes > unfinished.bytesMax) {
      const detail = `unfinished packets of all connections take ${unfinished.bytes} bytes`
      this.#fault = new GateFault('busy', detail, { reasonCode: ReasonCode.serverBusy })
      return false
    }
    return true
  }

  #release(): void {
    this.#unfinished.bytes -= this.#kept.length
    this.#kept = NO_BYTES
    this.#keptBytes = 0
  }

  #fail(reason: GateReason, detail: string, reasonCode: number = ReasonCode.malformedPacket): void {
    this.#fault = new GateFault(reason, detail, { reasonCode })
  }
}

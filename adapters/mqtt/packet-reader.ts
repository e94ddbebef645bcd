// Cuts what a socket gives into packets, and reads them. The first thing that a byte from outside meets.
//
// Invariants:
//   R1  The fixed header is checked byte by byte, before anything of the packet is kept: type, flags, length, and that CONNECT is the first packet and the
//       only one. A packet is at most packetBytesMax long, a CONNECT connectBytesMax + willBytesMax.
//   R2  What is kept of a packet that comes in pieces grows with what has come, not with what was announced. A packet that lies whole in one read is not copied.
//   R3  Any split of the bytes gives the same packets and the same fault. After a fault nothing is read any more.
// Not for: fields of the packets (packet-read.ts), when to read (client-connection.ts).
//
// Place kept for the fast lane: it takes whole PUBLISH packets out of what push() is given, before next() sees them.

import type { ListenerLimits } from './limits.ts'
import { type ReadLimits, readAck, readConnect, readDisconnect, readPublish, readSubscribe, readUnsubscribe, topicNameFault } from './packet-read.ts'
import { type ClientPacket, type ProtocolVersion, ReasonCode } from './packets.ts'
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
/** CONNECT, PUBLISH, PUBACK … PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT: what a client may send. */
const CLIENT_TYPES: ReadonlySet<number> = new Set([CONNECT, PUBLISH, 4, 5, 6, 7, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT])
const FLAGS_TWO: ReadonlySet<number> = new Set([6, SUBSCRIBE, UNSUBSCRIBE])
const LENGTH_BYTES_MAX = 4
const FIRST_PIECE_BYTES = 512
const NO_BYTES = Buffer.alloc(0)
/** By type, for the words of faults. */
const NAMES = ['', 'CONNECT', '', 'PUBLISH', 'PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'SUBSCRIBE', '', 'UNSUBSCRIBE', '', 'PINGREQ', '', 'DISCONNECT']
const PING: ClientPacket = { type: 'pingreq' }

export type PacketReaderLimits = Omit<ListenerLimits, 'connectionsMax'> & ReadLimits

export class PacketReader {
  readonly #limits: PacketReaderLimits
  readonly #topicAliasMaximum: number
  #chunk: Buffer = NO_BYTES
  #at = 0
  /** First byte of the packet that has begun; -1 = none has. */
  #first = -1
  #length = 0
  #lengthBytes = 0
  /** Bytes behind the fixed header; -1 = not known yet. */
  #bodyBytes = -1
  /** Of a body that comes in pieces. */
  #kept: Buffer = NO_BYTES
  #keptBytes = 0
  #version: 0 | ProtocolVersion = 0
  #fault: GateFault | null = null
  /** Devices publish to the same topic again and again. */
  #lastTopicBytes: Buffer = NO_BYTES
  #lastTopic = ''

  constructor(limits: PacketReaderLimits, { topicAliasMaximum }: { topicAliasMaximum: number }) {
    this.#limits = limits
    this.#topicAliasMaximum = topicAliasMaximum
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

  /** All that was pushed before has been taken: next() gave null. `chunk` must not change. */
  push(chunk: Uint8Array): void {
    const isLeft = this.#at < this.#chunk.length
    this.#chunk = isLeft ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : asBuffer(chunk)
    this.#at = 0
  }

  /** The next whole packet; null when more bytes are needed, or after a fault. */
  next(): ClientPacket | null {
    while (this.#fault === null) {
      if (this.#bodyBytes >= 0) return this.#takeBody()
      if (this.#at === this.#chunk.length) {
        this.#chunk = NO_BYTES
        this.#at = 0
        return null
      }
      const byte = this.#chunk[this.#at++] as number
      if (this.#first < 0) this.#readFirst(byte)
      else this.#readLength(byte)
    }
    return null
  }

  #readFirst(byte: number): void {
    const type = byte >> 4
    const flags = byte & 0x0f
    if (!CLIENT_TYPES.has(type)) return this.#fail('packet-type', `packet type ${type} comes from no client`, ReasonCode.protocolError)
    if (this.#version === 0 && type !== CONNECT) return this.#fail('connect-expected', `packet type ${type} before CONNECT`, ReasonCode.protocolError)
    if (this.#version !== 0 && type === CONNECT) return this.#fail('second-connect', 'MQTT-3.1.0-2', ReasonCode.protocolError)
    if (type === PUBLISH ? ((flags >> 1) & 3) === 3 : flags !== (FLAGS_TWO.has(type) ? 2 : 0)) {
      return this.#fail('packet-flags', `type ${type} with flags ${flags}`)
    }
    if (type === PUBLISH && (flags & 0x0e) === 8) return this.#fail('packet-flags', 'DUP with QoS 0 (MQTT-3.3.1-2)', ReasonCode.protocolError)
    this.#first = byte
    this.#length = 0
    this.#lengthBytes = 0
  }

  #readLength(byte: number): void {
    this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes
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
    const isPing = type === PINGREQ
    const isShort = type >= PUBACK && type <= PUBCOMP && this.#version < 5
    if ((isPing && this.#length !== 0) || (isShort && this.#length !== 2)) {
      return this.#fail('packet-length', `type ${type} of ${this.#length} bytes`)
    }
    this.#bodyBytes = this.#length
  }

  #takeBody(): ClientPacket | null {
    const available = this.#chunk.length - this.#at
    const name = NAMES[this.#first >> 4] as string
    let body: WireCursor
    if (this.#keptBytes === 0 && available >= this.#bodyBytes) {
      body = new WireCursor(this.#chunk, name, this.#at, this.#at + this.#bodyBytes)
      this.#at += this.#bodyBytes
    } else {
      const taken = Math.min(this.#bodyBytes - this.#keptBytes, available)
      this.#keep(this.#chunk.subarray(this.#at, this.#at + taken))
      this.#at += taken
      if (this.#keptBytes < this.#bodyBytes) return null
      body = new WireCursor(this.#kept, name, 0, this.#keptBytes)
      this.#kept = NO_BYTES
      this.#keptBytes = 0
    }
    const first = this.#first
    this.#first = -1
    this.#bodyBytes = -1
    try {
      return this.#read(first, body)
    } catch (error) {
      if (!(error instanceof GateFault)) throw error
      this.#fault = error
      return null
    }
  }

  #read(first: number, body: WireCursor): ClientPacket {
    const type = first >> 4
    const version = this.#version as ProtocolVersion
    const limits = this.#limits
    switch (type) {
      case PUBLISH:
        return readPublish(body, { flags: first & 0x0f, version, topicAliasMaximum: this.#topicAliasMaximum, takeTopic: this.#takeTopic }, limits)
      case CONNECT: {
        const packet = readConnect(body, limits)
        this.#version = packet.version
        return packet
      }
      case SUBSCRIBE:
        return readSubscribe(body, version, limits)
      case UNSUBSCRIBE:
        return readUnsubscribe(body, version, limits)
      case PINGREQ:
        return PING
      case DISCONNECT:
        return readDisconnect(body, version, limits)
      default:
        return readAck(body, type as 4 | 5 | 6 | 7, version, limits)
    }
  }

  readonly #takeTopic = (cursor: WireCursor, length: number): string => {
    if (cursor.isNext(this.#lastTopicBytes, length)) {
      cursor.skip(length)
      return this.#lastTopic
    }
    const bytes = cursor.take(length)
    const reason = topicNameFault(bytes, this.#limits.topicLevelsMax)
    if (reason) throw new GateFault(reason, 'in the topic of a PUBLISH', { reasonCode: ReasonCode.topicNameInvalid })
    this.#lastTopicBytes = Buffer.from(bytes)
    this.#lastTopic = bytes.toString()
    return this.#lastTopic
  }

  /** Grows with what has come, not with what was announced. */
  #keep(piece: Uint8Array): void {
    const bytes = this.#keptBytes + piece.length
    if (bytes > this.#kept.length) {
      const larger = Buffer.alloc(Math.min(this.#bodyBytes, Math.max(bytes, this.#kept.length * 2, FIRST_PIECE_BYTES)))
      larger.set(this.#kept.subarray(0, this.#keptBytes))
      this.#kept = larger
    }
    this.#kept.set(piece, this.#keptBytes)
    this.#keptBytes = bytes
  }

  #fail(reason: GateReason, detail: string, reasonCode: number = ReasonCode.malformedPacket): void {
    this.#fault = new GateFault(reason, detail, { reasonCode })
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

// Stands between a socket and the MQTT parser and looks at every byte before the parser does: packet lengths, types, flags, the
// topic of each PUBLISH, all of CONNECT, SUBSCRIBE and UNSUBSCRIBE (wire-read.ts). The parser keeps what was announced until it is complete; the gate
// sees to it that what is announced is small. Cheap for valid traffic: fixed header and topic are read byte by byte, payloads are skipped.
//
// Invariants: what passes is, split in any way, a sequence of packets a client may send, each at most packetBytesMax long; before
// the first CONNECT nothing else passes; after a fault nothing passes any more.
// Not for: which client ids, filters and wills are taken (name-rules.ts).
//
// Places kept for later: TLS ends below the gate (it is handed plain bytes, by guardSocket, from net.Socket or tls.TLSSocket
// alike); a fast lane takes whole PUBLISH packets out of what the guarded socket's read returns, when the client is connected and
// nobody subscribes locally.

import type { ListenerLimits } from './limits.ts'
import { GateFault, type GateReason } from './reasons.ts'
import { Utf8TopicCheck } from './utf8-topic-check.ts'
import { connectFault, subscribeFault, unsubscribeFault } from './wire-read.ts'

const CONNECT = 1
const PUBLISH = 3
const PINGREQ = 12
const DISCONNECT = 14
const PUBREL = 6
/** PUBACK, PUBREC, PUBREL, PUBCOMP: a packet id and nothing else. */
const isAcknowledgement = (type: number): boolean => type >= 4 && type <= 7
/** CONNECT, PUBLISH, PUBACK … PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT: what a client may send. */
const CLIENT_TYPES = new Set([CONNECT, PUBLISH, 4, 5, PUBREL, 7, 8, 10, PINGREQ, DISCONNECT])
const SUBSCRIBE = 8
const FLAGS_TWO = new Set([PUBREL, SUBSCRIBE, 10])
const LENGTH_BYTES_MAX = 4
const FIRST_PIECE_BYTES = 512
const NO_BYTES = new Uint8Array(0)

type Step = 'header' | 'length' | 'topic-length-high' | 'topic-length-low' | 'topic' | 'id-high' | 'id-low' | 'body' | 'rest'

export type GateLimits = Omit<ListenerLimits, 'connectionsMax'>

export class Gate {
  readonly #limits: GateLimits
  readonly #topic = new Utf8TopicCheck()
  #step: Step = 'header'
  #type = 0
  #qos = 0
  #hasConnected = false
  /** Bytes of the packet that are still to come, as far as its length is known. */
  #leftBytes = 0
  #lengthBytes = 0
  #topicLeftBytes = 0
  #packetId = 0
  /** Of a CONNECT, SUBSCRIBE or UNSUBSCRIBE that comes in pieces: what has come. */
  #body = NO_BYTES
  #bodyBytes = 0
  #fault: GateFault | null = null

  constructor(limits: GateLimits) {
    this.#limits = limits
  }

  /** The CONNECT has gone through, whole. */
  get isPastConnect(): boolean {
    return this.#hasConnected && !(this.#type === CONNECT && this.#step === 'body')
  }

  /** @returns null when all of `chunk` may go on; otherwise none of it, nor anything after it */
  check(chunk: Uint8Array): GateFault | null {
    let at = 0
    while (this.#fault === null && at < chunk.length) {
      if (this.#step === 'rest') at = this.#skip(chunk, at)
      else if (this.#step === 'body') at = this.#readBody(chunk, at)
      else if (this.#step === 'topic') at = this.#readTopic(chunk, at)
      else this.#readByte(chunk[at++] as number)
    }
    return this.#fault
  }

  #skip(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#leftBytes, chunk.length - at)
    this.#leftBytes -= taken
    if (this.#leftBytes === 0) this.#step = 'header'
    return at + taken
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#leftBytes, chunk.length - at)
    const piece = chunk.subarray(at, at + taken)
    this.#leftBytes -= taken
    if (this.#leftBytes > 0 || this.#bodyBytes > 0) this.#keep(piece)
    if (this.#leftBytes === 0) this.#endBody(this.#bodyBytes > 0 ? this.#body.subarray(0, this.#bodyBytes) : piece)
    return at + taken
  }

  /** Grows with what has come, not with what was announced. */
  #keep(piece: Uint8Array): void {
    const bytes = this.#bodyBytes + piece.length
    if (bytes > this.#body.length) {
      const larger = new Uint8Array(Math.max(bytes, this.#body.length * 2, FIRST_PIECE_BYTES))
      larger.set(this.#body.subarray(0, this.#bodyBytes))
      this.#body = larger
    }
    this.#body.set(piece, this.#bodyBytes)
    this.#bodyBytes = bytes
  }

  #endBody(body: Uint8Array): void {
    const type = this.#type
    this.#fault = type === CONNECT ? connectFault(body) : type === SUBSCRIBE ? subscribeFault(body) : unsubscribeFault(body)
    this.#body = NO_BYTES
    this.#bodyBytes = 0
    this.#step = 'header'
  }

  #readTopic(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#topicLeftBytes, chunk.length - at)
    const reason = this.#topic.add(chunk, at, at + taken)
    this.#topicLeftBytes -= taken
    this.#leftBytes -= taken
    if (reason) this.#fail(reason, 'in the topic of a PUBLISH')
    else if (this.#topicLeftBytes === 0) this.#endTopic()
    return at + taken
  }

  #readByte(byte: number): void {
    switch (this.#step) {
      case 'header':
        return this.#readHeader(byte)
      case 'length':
        return this.#readLength(byte)
      case 'topic-length-high':
        this.#topicLeftBytes = byte << 8
        this.#leftBytes--
        this.#step = 'topic-length-low'
        return
      case 'topic-length-low':
        this.#topicLeftBytes |= byte
        this.#leftBytes--
        return this.#beginTopic()
      case 'id-high':
        this.#packetId = byte << 8
        this.#leftBytes--
        this.#step = 'id-low'
        return
      default:
        this.#packetId |= byte
        this.#leftBytes--
        if (this.#packetId === 0) return this.#fail('packet-id-zero', 'MQTT-2.3.1-1')
        this.#step = this.#leftBytes === 0 ? 'header' : 'rest'
    }
  }

  #readHeader(byte: number): void {
    this.#type = byte >> 4
    const flags = byte & 0x0f
    if (!CLIENT_TYPES.has(this.#type)) return this.#fail('packet-type', `type ${this.#type} is not for clients to send`)
    if (!this.#hasConnected && this.#type !== CONNECT) return this.#fail('connect-expected', `type ${this.#type} before CONNECT`)
    if (this.#hasConnected && this.#type === CONNECT) return this.#fail('second-connect', 'MQTT-3.1.0-2')
    this.#qos = (flags >> 1) & 3
    if (this.#type === PUBLISH ? this.#qos === 3 : flags !== (FLAGS_TWO.has(this.#type) ? 2 : 0)) {
      return this.#fail('packet-flags', `type ${this.#type} with flags ${flags}`)
    }
    if (this.#type === PUBLISH && flags >= 8 && this.#qos === 0) return this.#fail('packet-flags', 'DUP with QoS 0 (MQTT-3.3.1-2)')
    this.#leftBytes = 0
    this.#lengthBytes = 0
    this.#step = 'length'
  }

  #readLength(byte: number): void {
    this.#leftBytes += (byte & 0x7f) * 128 ** this.#lengthBytes
    this.#lengthBytes++
    if (byte >= 0x80) {
      if (this.#lengthBytes === LENGTH_BYTES_MAX) this.#fail('packet-length', `more than ${LENGTH_BYTES_MAX} bytes of remaining length`)
      return
    }
    const packetBytes = 1 + this.#lengthBytes + this.#leftBytes
    const { packetBytesMax, connectBytesMax, willBytesMax } = this.#limits
    const bytesMax = this.#type === CONNECT ? Math.min(packetBytesMax, connectBytesMax + willBytesMax) : packetBytesMax
    if (packetBytes > bytesMax) {
      return this.#fail(this.#type === CONNECT ? 'connect-too-large' : 'packet-too-large', `${packetBytes} bytes, at most ${bytesMax}`)
    }
    this.#beginBody()
  }

  #beginBody(): void {
    const type = this.#type
    const leftBytes = this.#leftBytes
    if (type === CONNECT) this.#hasConnected = true
    if (type === PUBLISH) {
      if (leftBytes < 2) return this.#fail('packet-length', 'a PUBLISH without a topic')
      this.#step = 'topic-length-high'
    } else if (isAcknowledgement(type)) {
      if (leftBytes !== 2) return this.#fail('packet-length', `type ${type} of ${leftBytes} bytes`)
      this.#step = 'id-high'
    } else if (type === PINGREQ || type === DISCONNECT) {
      if (leftBytes !== 0) return this.#fail('packet-length', `type ${type} of ${leftBytes} bytes`)
      this.#step = 'header'
    } else {
      if (leftBytes === 0) return this.#fail('packet-length', `type ${type} of 0 bytes`)
      this.#step = 'body'
    }
  }

  #beginTopic(): void {
    const topicBytes = this.#topicLeftBytes
    if (topicBytes === 0) return this.#fail('topic-empty', 'MQTT-4.7.3-1')
    if (topicBytes > this.#limits.mqttTopicBytesMax) {
      return this.#fail('topic-too-long', `${topicBytes} bytes, at most ${this.#limits.mqttTopicBytesMax}`)
    }
    if (topicBytes + (this.#qos > 0 ? 2 : 0) > this.#leftBytes) return this.#fail('packet-length', 'a topic longer than its PUBLISH')
    this.#topic.begin()
    this.#step = 'topic'
  }

  #endTopic(): void {
    const reason = this.#topic.end()
    if (reason) return this.#fail(reason, 'in the topic of a PUBLISH')
    if (this.#qos > 0) this.#step = 'id-high'
    else this.#step = this.#leftBytes === 0 ? 'header' : 'rest'
  }

  #fail(reason: GateReason, detail: string): void {
    this.#fault = new GateFault(reason, detail)
  }
}

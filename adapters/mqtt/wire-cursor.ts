// Reads the fields of one MQTT packet one after the other, from the bytes behind its fixed header.
//
// Invariants: never reads behind the end of the packet, whatever lies there; what is cut off, or no text, throws a GateFault. One cursor serves a whole
// connection: it is set on each packet, and nothing that it gave away changes then. Not for: which fields a packet has (packet-read.ts).
// Source: MQTT 5.0 section 1.5, MQTT 3.1.1 section 1.5.3.

import { isUtf8 } from 'node:buffer'
import { ReasonCode } from './packets.ts'
import { GateFault, type GateReason } from './reasons.ts'

const LENGTH_BYTES_MAX = 4
const NO_BYTES = Buffer.alloc(0)

export class WireCursor {
  #bytes: Buffer = NO_BYTES
  #at = 0
  #endAt = 0
  /** For the words of faults. */
  #packet = ''

  /** On the body of a packet: `bytes` from `at` to `endAt`. */
  set(bytes: Buffer, at: number, endAt: number): void {
    this.#bytes = bytes
    this.#at = at
    this.#endAt = endAt
  }

  /** The packet is read: its bytes are let go. */
  clear(): void {
    this.#bytes = NO_BYTES
    this.#at = 0
    this.#endAt = 0
  }

  /** The name of the packet, for faults. */
  begin(packet: string): void {
    this.#packet = packet
  }

  get leftBytes(): number {
    return this.#endAt - this.#at
  }

  /** The next `length` bytes are all there is until widen(): a field of theirs cannot reach out of them. @returns what widen() wants */
  narrow(length: number): number {
    this.#need(length)
    const endAt = this.#endAt
    this.#endAt = this.#at + length
    return endAt
  }

  widen(endAt: number): void {
    this.#endAt = endAt
  }

  /** In `bytes`. */
  get at(): number {
    return this.#at
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  byte(): number {
    this.#need(1)
    return this.#bytes[this.#at++] as number
  }

  uint16(): number {
    this.#need(2)
    const at = this.#at
    this.#at = at + 2
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number)
  }

  uint32(): number {
    return this.uint16() * 65_536 + this.uint16()
  }

  /** A Variable Byte Integer, in its shortest form (MQTT-1.5.5-1). */
  variableInteger(): number {
    let value = 0
    for (let index = 0; index < LENGTH_BYTES_MAX; index++) {
      const byte = this.byte()
      value |= (byte & 0x7f) << (7 * index)
      if (byte >= 0x80) continue
      if (byte === 0 && index > 0) break
      return value
    }
    throw this.fault('packet-length', 'a length of five bytes, or not in its shortest form (MQTT-1.5.5-1)')
  }

  /** Passes over `length` bytes. @returns where they begin; they end at `at` */
  skip(length: number): number {
    this.#need(length)
    const from = this.#at
    this.#at = from + length
    return from
  }

  /** Passes over two bytes of length and as many bytes. @returns where these begin; they end at `at` */
  skipBinary(): number {
    return this.skip(this.uint16())
  }

  /** The same for a text, UTF-8 without U+0000. @throws GateFault with `reason` */
  skipText(reason: GateReason, what: string): number {
    const from = this.skipBinary()
    if (isText(this.#bytes, from, this.#at)) return from
    throw this.fault(reason, `${what} is not UTF-8, or has U+0000 (MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-1.5.4-1, MQTT-1.5.4-2)`)
  }

  text(reason: GateReason, what: string): string {
    const from = this.skipText(reason, what)
    return this.#bytes.toString('utf8', from, this.#at)
  }

  /** Two bytes of length and as many bytes: in memory of their own. */
  ownBinary(): Uint8Array {
    const from = this.skipBinary()
    return new Uint8Array(this.#bytes.subarray(from, this.#at))
  }

  /** Everything that is left: a view. */
  rest(): Buffer {
    const from = this.#at
    this.#at = this.#endAt
    return this.#bytes.subarray(from, this.#endAt)
  }

  end(): void {
    if (this.leftBytes > 0) throw this.fault('packet-length', `${this.leftBytes} bytes behind the end`)
  }

  fault(reason: GateReason, what: string, reasonCode: number = ReasonCode.malformedPacket): GateFault {
    return new GateFault(reason, `${this.#packet}: ${what}`, { reasonCode })
  }

  #need(count: number): void {
    if (this.#endAt - this.#at < count) throw this.fault('packet-length', 'it ends inside a field')
  }
}

/** UTF-8 without U+0000. */
function isText(bytes: Buffer, from: number, to: number): boolean {
  let isAscii = true
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    if (byte === 0) return false
    if (byte >= 0x80) isAscii = false
  }
  return isAscii || isUtf8(bytes.subarray(from, to))
}

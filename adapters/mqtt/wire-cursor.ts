// Reads the fields of one MQTT packet one after the other, from the bytes behind its fixed header.
//
// Invariants: never reads behind the end; what is cut off, or no text, throws a GateFault. Not for: which fields a packet has (packet-read.ts).
// Source: MQTT 5.0 section 1.5, MQTT 3.1.1 section 1.5.3.

import { isUtf8 } from 'node:buffer'
import { ReasonCode } from './packets.ts'
import { GateFault, type GateReason } from './reasons.ts'

const LENGTH_BYTES_MAX = 4

export class WireCursor {
  readonly #bytes: Buffer
  /** For the words of faults. */
  readonly #packet: string
  readonly #endAt: number
  #at: number

  /** Of the bytes from `at` to `endAt`. */
  constructor(bytes: Buffer, packet: string, at: number, endAt: number) {
    this.#bytes = bytes
    this.#packet = packet
    this.#at = at
    this.#endAt = endAt
  }

  get leftBytes(): number {
    return this.#endAt - this.#at
  }

  get at(): number {
    return this.#at
  }

  byte(): number {
    this.#need(1)
    return this.#bytes[this.#at++] as number
  }

  uint16(): number {
    this.#need(2)
    this.#at += 2
    return this.#bytes.readUInt16BE(this.#at - 2)
  }

  uint32(): number {
    this.#need(4)
    this.#at += 4
    return this.#bytes.readUInt32BE(this.#at - 4)
  }

  /** A Variable Byte Integer, in its shortest form (MQTT-1.5.5-1). */
  variableInteger(): number {
    let value = 0
    for (let index = 0; index < LENGTH_BYTES_MAX; index++) {
      const byte = this.byte()
      value += (byte & 0x7f) * 128 ** index
      if (byte >= 0x80) continue
      if (byte === 0 && index > 0) break
      return value
    }
    throw this.fault('packet-length', 'a length that is not in its shortest form (MQTT-1.5.5-1)')
  }

  /** A view. */
  take(length: number): Buffer {
    this.#need(length)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** The next `length` bytes are what `known` says. They are not taken. */
  isNext(known: Buffer, length: number): boolean {
    if (length !== known.length || length > this.leftBytes) return false
    for (let index = 0; index < length; index++) if (this.#bytes[this.#at + index] !== known[index]) return false
    return true
  }

  skip(length: number): void {
    this.#need(length)
    this.#at += length
  }

  /** Two bytes of length and as many bytes: a view. */
  binary(): Buffer {
    return this.take(this.uint16())
  }

  /** The bytes of a text: UTF-8 without U+0000. @throws GateFault with `reason` */
  textBytes(reason: GateReason, what: string): Buffer {
    const bytes = this.binary()
    if (isText(bytes)) return bytes
    throw this.fault(reason, `${what} is not UTF-8, or has U+0000 (MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-1.5.4-1, MQTT-1.5.4-2)`)
  }

  text(reason: GateReason, what: string): string {
    return this.textBytes(reason, what).toString()
  }

  /** Everything that is left: a view. */
  rest(): Buffer {
    return this.take(this.leftBytes)
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

export function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(0)
}

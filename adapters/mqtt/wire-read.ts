// Reads the bodies of CONNECT, SUBSCRIBE and UNSUBSCRIBE of MQTT 3.1 and 3.1.1 from their bytes, and says what a client may not send in them.
// A CONNECT of another version is answered in the words of that version.
//
// Invariants: never throws, reads no byte twice but for strings, keeps nothing.
// Not for: fixed headers and PUBLISH (gate.ts), which names are taken (name-rules.ts), bodies of MQTT 5.
// Source: MQTT 3.1.1 sections 1.5.3, 3.1, 3.8, 3.10.

import { isUtf8 } from 'node:buffer'
import { isWellFormedFilter } from './name-rules.ts'
import { GateFault, type GateReason } from './reasons.ts'

/** Mosquitto's bridges set it in the protocol level to say that they are bridges. */
const BRIDGE_BIT = 0x80
const MQTT_5 = 5
/** CONNACK, session present 0, return code 1; in MQTT 5 reason code 0x84 and no properties: both are "unacceptable protocol version". */
const CONNACK_VERSION = Uint8Array.of(0x20, 2, 0, 1)
const CONNACK_CLIENT_ID = Uint8Array.of(0x20, 2, 0, 2)
const CONNACK_VERSION_5 = Uint8Array.of(0x20, 3, 0, 0x84, 0)

class Body {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get leftBytes(): number {
    return this.#bytes.length - this.#at
  }

  /** null when it is cut off. */
  byte(): number | null {
    return this.#bytes[this.#at++] ?? null
  }

  uint16(): number | null {
    if (this.leftBytes < 2) return null
    this.#at += 2
    return this.#bytes.readUInt16BE(this.#at - 2)
  }

  /** Two bytes of length and as many bytes; null when they are cut off. */
  binary(): Buffer | null {
    const length = this.uint16()
    if (length === null || length > this.leftBytes) return null
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** Skips a Variable Byte Integer and as many bytes; false when they are cut off. */
  skipProperties(): boolean {
    let length = 0
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.byte()
      if (byte === null) return false
      length |= (byte & 0x7f) << shift
      if (byte >= 0x80) continue
      if (length > this.leftBytes) return false
      this.#at += length
      return true
    }
    return false
  }
}

/** `body`: all bytes behind the fixed header of a CONNECT. @returns null when it may go on */
export function connectFault(body: Uint8Array): GateFault | null {
  const read = new Body(body)
  const name = read.binary()?.toString('latin1')
  const level = read.byte()
  if (name === undefined || level === null) return cutOff('CONNECT')
  if (name !== 'MQTT' && name !== 'MQIsdp') return new GateFault('protocol-version', 'a protocol that is not MQTT (MQTT-3.1.2-1)')
  if ((level & ~BRIDGE_BIT) !== (name === 'MQTT' ? 4 : 3)) return versionFault(level, read)
  const flags = read.byte()
  if (flags === null || read.uint16() === null) return cutOff('CONNECT')
  return flagsFault(flags) ?? payloadFault(flags, read)
}

/** `body`: all bytes behind the fixed header of a SUBSCRIBE. @returns null when it may go on */
export function subscribeFault(body: Uint8Array): GateFault | null {
  return filtersFault('SUBSCRIBE', new Body(body), (read) => {
    const qos = read.byte()
    if (qos === null) return cutOff('SUBSCRIBE')
    return qos > 2 ? new GateFault('packet-flags', `a SUBSCRIBE asks for QoS byte ${qos} (MQTT-3-8.3-4)`) : null
  })
}

/** `body`: all bytes behind the fixed header of an UNSUBSCRIBE. @returns null when it may go on */
export function unsubscribeFault(body: Uint8Array): GateFault | null {
  return filtersFault('UNSUBSCRIBE', new Body(body), () => null)
}

/** Words for people about a protocol level that is not served. */
export function versionWords(version: number): string {
  return `${version === MQTT_5 ? 'MQTT 5' : `MQTT protocol level ${version}`} is not in this version, MQTT 3.1.1 is`
}

function versionFault(level: number, read: Body): GateFault {
  read.byte()
  read.uint16()
  const clientId = level !== MQTT_5 || read.skipProperties() ? read.binary() : null
  return new GateFault('protocol-version', versionWords(level), {
    answer: level === MQTT_5 ? CONNACK_VERSION_5 : CONNACK_VERSION,
    clientId: clientId && isText(clientId) ? clientId.toString() : null
  })
}

function flagsFault(flags: number): GateFault | null {
  const hasWill = (flags & 0x04) !== 0
  if ((flags & 0x01) !== 0) return new GateFault('connect-flags', 'the reserved flag of CONNECT is set (MQTT-3.1.2-3)')
  if (!hasWill && (flags & 0x38) !== 0) return new GateFault('connect-flags', 'will QoS or will retain without a will (MQTT-3.1.2-11)')
  if ((flags & 0x18) === 0x18) return new GateFault('will', 'QoS 3 (MQTT-3.1.2-14)')
  if ((flags & 0xc0) === 0x40) return new GateFault('connect-flags', 'a password without a user name (MQTT-3.1.2-22)')
  return null
}

function payloadFault(flags: number, read: Body): GateFault | null {
  const clientId = read.binary()
  if (clientId === null) return cutOff('CONNECT')
  if (!isText(clientId)) return noText('client-id', 'the client id of a CONNECT', CONNACK_CLIENT_ID)
  if ((flags & 0x04) !== 0) {
    const topic = read.binary()
    if (topic === null || read.binary() === null) return cutOff('CONNECT')
    if (!isText(topic)) return noText('will', 'its topic')
  }
  if ((flags & 0x80) !== 0) {
    const userName = read.binary()
    if (userName === null) return cutOff('CONNECT')
    if (!isText(userName)) return noText('string-utf8', 'the user name of a CONNECT')
  }
  if ((flags & 0x40) !== 0 && read.binary() === null) return cutOff('CONNECT')
  return read.leftBytes > 0 ? new GateFault('packet-length', `${read.leftBytes} bytes behind the end of a CONNECT`) : null
}

function filtersFault(packet: string, read: Body, readOptions: (read: Body) => GateFault | null): GateFault | null {
  const packetId = read.uint16()
  if (packetId === null) return cutOff(packet)
  if (packetId === 0) return new GateFault('packet-id-zero', 'MQTT-2.3.1-1')
  if (read.leftBytes === 0) return new GateFault('packet-length', `${packet} without a filter (MQTT-3.8.3-3, MQTT-3.10.3-2)`)
  while (read.leftBytes > 0) {
    const filter = read.binary()
    if (filter === null) return cutOff(packet)
    if (!isText(filter)) return noText('string-utf8', `a filter of ${packet}`)
    if (!isWellFormedFilter(filter.toString()))
      return new GateFault('filter', `a filter of ${packet} (MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-1)`)
    const fault = readOptions(read)
    if (fault) return fault
  }
  return null
}

function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(0)
}

function noText(reason: GateReason, what: string, answer: Uint8Array | null = null): GateFault {
  return new GateFault(reason, `${what} is not UTF-8, or has U+0000 (MQTT-1.5.3-1, MQTT-1.5.3-2)`, { answer })
}

function cutOff(packet: string): GateFault {
  return new GateFault('packet-length', `${packet} ends inside a field`)
}

// What a server may send, of both versions, taken apart strictly: whatever a standard forbids is an error that names the statement. Written
// from the standards: no parser, no code of ours.

import { isUtf8 } from 'node:buffer'
import type { Version } from './encode.ts'

export type Kind =
  | 'connack'
  | 'publish'
  | 'puback'
  | 'pubrec'
  | 'pubrel'
  | 'pubcomp'
  | 'suback'
  | 'unsuback'
  | 'pingresp'
  | 'disconnect'
  | 'auth'
export type Value = number | string | Buffer | readonly [string, string]

export interface Packet {
  readonly kind: Kind
  readonly firstByte: number
  /** The whole packet. */
  readonly bytes: Buffer
  /** 0 = it has none. */
  readonly packetId: number
  /** Return code, reason code. */
  readonly code: number
  /** Of SUBACK and UNSUBACK. */
  readonly codes: readonly number[]
  readonly sessionPresent: boolean
  readonly topic: string
  readonly payload: Buffer
  readonly text: string
  readonly qos: number
  readonly dup: boolean
  readonly retain: boolean
  readonly properties: readonly (readonly [id: number, value: Value])[]
}

/** The first value of a property. */
export const propOf = (packet: Packet, id: number): Value | undefined => packet.properties.find(([other]) => other === id)?.[1]
export const propsOf = (packet: Packet, id: number): Value[] =>
  packet.properties.filter(([other]) => other === id).map(([, value]) => value)

export class WireFault extends Error {
  override readonly name = 'WireFault'
}

function must(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new WireFault(what)
}

const KINDS = new Map<number, Kind>([
  [2, 'connack'],
  [3, 'publish'],
  [4, 'puback'],
  [5, 'pubrec'],
  [6, 'pubrel'],
  [7, 'pubcomp'],
  [9, 'suback'],
  [11, 'unsuback'],
  [13, 'pingresp'],
  [14, 'disconnect'],
  [15, 'auth']
])

const PROPERTIES: Record<Kind, readonly number[]> = {
  connack: [17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42],
  publish: [1, 2, 3, 8, 9, 11, 35, 38],
  puback: [31, 38],
  pubrec: [31, 38],
  pubrel: [31, 38],
  pubcomp: [31, 38],
  suback: [31, 38],
  unsuback: [31, 38],
  pingresp: [],
  disconnect: [28, 31, 38],
  auth: [21, 22, 31, 38]
}

const CONNACK_CODES = [
  0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f
]
const PUBLISH_CODES = [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const RELEASE_CODES = [0, 0x92]

/** Reason codes of MQTT 5 that a server may put into a packet. */
const CODES: Partial<Record<Kind, readonly number[]>> = {
  connack: CONNACK_CODES,
  puback: PUBLISH_CODES,
  pubrec: PUBLISH_CODES,
  pubrel: RELEASE_CODES,
  pubcomp: RELEASE_CODES,
  suback: [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  unsuback: [0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  disconnect: [
    0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d,
    0x9e, 0x9f, 0xa0, 0xa1, 0xa2
  ],
  auth: [0, 0x18]
}

const BYTE = new Set([1, 23, 25, 36, 37, 40, 41, 42])
const TWO_BYTES = new Set([19, 33, 34, 35])
const FOUR_BYTES = new Set([2, 17, 24, 39])
const BINARY = new Set([9, 22])
const NOT_ZERO = new Set([11, 33, 35, 39])
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Cursor {
  at = 0
  readonly bytes: Buffer
  readonly what: string

  constructor(bytes: Buffer, what: string) {
    this.bytes = bytes
    this.what = what
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  take(length: number): Buffer {
    must(this.left >= length, `${this.what} is cut off: ${this.bytes.toString('hex')}`)
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  byte(): number {
    return this.take(1)[0] as number
  }

  uint16(): number {
    return this.take(2).readUInt16BE()
  }

  uint32(): number {
    return this.take(4).readUInt32BE()
  }

  binary(): Buffer {
    return this.take(this.uint16())
  }

  string(): string {
    const bytes = this.binary()
    must(isUtf8(bytes), `[MQTT-1.5.4-1] ill-formed UTF-8 in ${this.what}: ${bytes.toString('hex')}`)
    must(!bytes.includes(0), `[MQTT-1.5.4-2] U+0000 in ${this.what}`)
    return utf8.decode(bytes)
  }

  variable(): number {
    const start = this.at
    let value = 0
    for (let shift = 0; ; shift += 7) {
      must(shift < 28, `variable byte integer of more than four bytes in ${this.what}`)
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    const minimum = value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4
    must(this.at - start === minimum, `[MQTT-1.5.5-1] ${value} in ${this.at - start} bytes in ${this.what}`)
    return value
  }
}

function readValue(cursor: Cursor, id: number): Value {
  if (BYTE.has(id)) return cursor.byte()
  if (TWO_BYTES.has(id)) return cursor.uint16()
  if (FOUR_BYTES.has(id)) return cursor.uint32()
  if (id === 11) return cursor.variable()
  if (BINARY.has(id)) return cursor.binary()
  return id === 38 ? [cursor.string(), cursor.string()] : cursor.string()
}

function readProperties(cursor: Cursor, kind: Kind): (readonly [number, Value])[] {
  const inside = new Cursor(cursor.take(cursor.variable()), `the properties of ${kind}`)
  const found: (readonly [number, Value])[] = []
  while (inside.left > 0) {
    const id = inside.variable()
    must(PROPERTIES[kind].includes(id), `property ${id} may not be in ${kind}`)
    const isRepeatable = id === 38 || (id === 11 && kind === 'publish')
    must(isRepeatable || !found.some(([other]) => other === id), `property ${id} twice in ${kind}`)
    const value = readValue(inside, id)
    if (BYTE.has(id)) must(value === 0 || value === 1, `property ${id} is ${value}`)
    if (NOT_ZERO.has(id)) must(value !== 0, `property ${id} is 0`)
    found.push([id, value])
  }
  return found
}

const checkCode = (version: Version, kind: Kind, code: number, allowedBefore5: readonly number[]): void => {
  const allowed = version === 5 ? (CODES[kind] ?? []) : allowedBefore5
  must(allowed.includes(code), `code 0x${code.toString(16)} may not be in ${kind}`)
}

const EMPTY = {
  packetId: 0,
  code: 0,
  codes: [],
  sessionPresent: false,
  topic: '',
  payload: Buffer.alloc(0),
  text: '',
  qos: 0,
  dup: false,
  retain: false,
  properties: []
}

type Body = Partial<Omit<Packet, 'kind' | 'firstByte' | 'bytes'>>

function readConnack(cursor: Cursor, version: Version): Body {
  const flags = cursor.byte()
  if (version > 3) must(flags <= 1, `[MQTT-3.2.2-1] acknowledge flags ${flags}`)
  const code = cursor.byte()
  checkCode(version, 'connack', code, [0, 1, 2, 3, 4, 5])
  must(code === 0 || flags === 0, '[MQTT-3.2.2-6] session present with a refusal')
  return { sessionPresent: flags === 1, code, properties: version === 5 ? readProperties(cursor, 'connack') : [] }
}

function readPublish(cursor: Cursor, version: Version, firstByte: number): Body {
  const qos = (firstByte >> 1) & 3
  const dup = (firstByte & 8) !== 0
  must(qos < 3, '[MQTT-3.3.1-4] QoS 3')
  must(qos > 0 || !dup, '[MQTT-3.3.1-2] DUP with QoS 0')
  const topic = cursor.string()
  must(!/[+#]/.test(topic), `[MQTT-3.3.2-2] wildcard in the topic ${topic}`)
  const packetId = qos > 0 ? cursor.uint16() : 0
  must(qos === 0 || packetId > 0, '[MQTT-2.2.1-4] packet id 0')
  const properties = version === 5 ? readProperties(cursor, 'publish') : []
  must(topic !== '' || properties.some(([id]) => id === 35), '[MQTT-4.7.3-1] empty topic')
  const payload = Buffer.from(cursor.take(cursor.left))
  return { qos, dup, retain: (firstByte & 1) !== 0, topic, packetId, properties, payload, text: payload.toString() }
}

function readAck(cursor: Cursor, version: Version, kind: Kind): Body {
  const packetId = cursor.uint16()
  must(packetId > 0, `${kind} of packet id 0`)
  const code = version === 5 && cursor.left > 0 ? cursor.byte() : 0
  checkCode(version, kind, code, [0])
  return { packetId, code, properties: version === 5 && cursor.left > 0 ? readProperties(cursor, kind) : [] }
}

function readSuback(cursor: Cursor, version: Version): Body {
  const packetId = cursor.uint16()
  const properties = version === 5 ? readProperties(cursor, 'suback') : []
  const codes = [...cursor.take(cursor.left)]
  must(codes.length > 0, 'SUBACK without a code')
  for (const code of codes) checkCode(version, 'suback', code, [0, 1, 2, 0x80])
  return { packetId, properties, codes }
}

function readUnsuback(cursor: Cursor, version: Version): Body {
  const packetId = cursor.uint16()
  if (version < 5) return { packetId }
  const properties = readProperties(cursor, 'unsuback')
  const codes = [...cursor.take(cursor.left)]
  must(codes.length > 0, 'UNSUBACK without a code')
  for (const code of codes) checkCode(version, 'unsuback', code, [])
  return { packetId, properties, codes }
}

function readEnd(cursor: Cursor, version: Version, kind: Kind): Body {
  must(version === 5, `${kind} is not sent by servers before MQTT 5`)
  const code = cursor.left > 0 ? cursor.byte() : 0
  checkCode(version, kind, code, [])
  return { code, properties: cursor.left > 0 ? readProperties(cursor, kind) : [] }
}

function readBody(cursor: Cursor, version: Version, kind: Kind, firstByte: number): Body {
  switch (kind) {
    case 'connack':
      return readConnack(cursor, version)
    case 'publish':
      return readPublish(cursor, version, firstByte)
    case 'suback':
      return readSuback(cursor, version)
    case 'unsuback':
      return readUnsuback(cursor, version)
    case 'pingresp':
      return {}
    case 'disconnect':
    case 'auth':
      return readEnd(cursor, version, kind)
    default:
      return readAck(cursor, version, kind)
  }
}

/** The first packet of `bytes`, null when more bytes are needed. Throws a WireFault for what no server may send. */
export function decode(bytes: Buffer, version: Version): Packet | null {
  let length = 0
  let at = 1
  for (let shift = 0; ; shift += 7) {
    if (at >= bytes.length) return null
    must(shift < 28, 'remaining length of more than four bytes')
    const byte = bytes[at++] as number
    length += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) break
  }
  must(
    at - 1 === (length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : 4),
    '[MQTT-1.5.5-1] remaining length is not in its shortest form'
  )
  if (bytes.length < at + length) return null
  const whole = Buffer.from(bytes.subarray(0, at + length))
  const firstByte = whole[0] as number
  const kind = KINDS.get(firstByte >> 4)
  must(kind !== undefined, `no server sends a packet of type ${firstByte >> 4}`)
  if (kind !== 'publish') must((firstByte & 15) === (kind === 'pubrel' ? 2 : 0), `[MQTT-2.1.3-1] flags of ${kind}`)
  const cursor = new Cursor(whole.subarray(at), kind)
  const body = readBody(cursor, version, kind, firstByte)
  must(cursor.left === 0, `${cursor.left} bytes left over in ${kind}`)
  return { kind, firstByte, bytes: whole, ...EMPTY, ...body }
}

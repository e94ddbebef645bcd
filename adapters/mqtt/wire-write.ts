// Packets to clients as bytes, in the form of each version. MQTT 3 has fewer words: what it cannot say is left out, or said with the nearest code.
//
// Not for: what to send when. Source: MQTT 3.1.1 and 5.0, sections 3.2 to 3.14.

import { Property } from './mqtt-properties.ts'
import { type AckPacket, type ConnackOptions, type DeliveryOptions, type ProtocolVersion, ReasonCode } from './packets.ts'

const CONNACK = 0x20
const SUBACK = 0x90
const UNSUBACK = 0xb0
const DISCONNECT = 0xe0
/** First byte of each. */
export const ACK_BYTES: Readonly<Record<AckPacket['type'], number>> = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 }
const PINGRESP = Buffer.from([0xd0, 0])

/** Return codes of MQTT 3.1.1, 3.2.2.3; what is not here closes the connection without a CONNACK. */
const RETURN_CODES = new Map<number, number>([
  [ReasonCode.success, 0],
  [ReasonCode.unsupportedVersion, 1],
  [ReasonCode.clientIdNotValid, 2],
  [ReasonCode.serverUnavailable, 3],
  [ReasonCode.serverBusy, 3],
  [ReasonCode.quotaExceeded, 3],
  [ReasonCode.badCredentials, 4],
  [ReasonCode.notAuthorized, 5]
])

/** null when the version has no word for it. */
export function connackPacket(version: ProtocolVersion, options: ConnackOptions): Buffer | null {
  const { isSessionPresent, reasonCode } = options
  if (version === 5) {
    return packet(CONNACK, [
      Buffer.from([isSessionPresent ? 1 : 0, reasonCode]),
      propertyBlock(reasonCode < 0x80 ? connackProperties(options) : reasonProperty(options.reasonText))
    ])
  }
  const returnCode = RETURN_CODES.get(reasonCode)
  return returnCode === undefined ? null : Buffer.from([CONNACK, 2, isSessionPresent && version === 4 ? 1 : 0, returnCode])
}

function connackProperties(options: ConnackOptions): Buffer[] {
  const { sessionExpirySeconds, receiveMaximum, packetBytesMax, assignedClientId, topicAliasMaximum, serverKeepAliveSeconds } = options
  const properties: Buffer[] = []
  if (sessionExpirySeconds !== undefined) properties.push(uint32(Property.sessionExpiry, sessionExpirySeconds))
  if (receiveMaximum !== undefined) properties.push(uint16(Property.receiveMaximum, receiveMaximum))
  if (packetBytesMax !== undefined) properties.push(uint32(Property.maximumPacketSize, packetBytesMax))
  if (assignedClientId !== undefined) properties.push(text(Property.assignedClientId, assignedClientId))
  if (topicAliasMaximum !== undefined) properties.push(uint16(Property.topicAliasMaximum, topicAliasMaximum))
  if (serverKeepAliveSeconds !== undefined) properties.push(uint16(Property.serverKeepAlive, serverKeepAliveSeconds))
  properties.push(Buffer.from([Property.sharedSubscriptionAvailable, 0]))
  return properties
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP; `reasonText` in MQTT 5 with a code that is none of success. */
export function ackPacket(
  version: ProtocolVersion,
  type: AckPacket['type'],
  packetId: number,
  reasonCode: number,
  reasonText = ''
): Buffer {
  const id = [packetId >> 8, packetId & 0xff]
  const isShort = version < 5 || reasonCode === ReasonCode.success
  if (isShort) return Buffer.from([ACK_BYTES[type], 2, ...id])
  if (reasonText === '') return Buffer.from([ACK_BYTES[type], 3, ...id, reasonCode])
  return packet(ACK_BYTES[type], [Buffer.from([...id, reasonCode]), propertyBlock(reasonProperty(reasonText))])
}

/** `reasonText` in MQTT 5. */
export function subackPacket(version: ProtocolVersion, packetId: number, codes: readonly number[], reasonText = ''): Buffer {
  if (version === 5) return packet(SUBACK, [idBytes(packetId), propertyBlock(reasonProperty(reasonText)), Buffer.from(codes)])
  return packet(SUBACK, [idBytes(packetId), Buffer.from(codes.map((code) => (code < 0x80 ? code : 0x80)))])
}

export function unsubackPacket(version: ProtocolVersion, packetId: number, codes: readonly number[]): Buffer {
  return packet(UNSUBACK, version === 5 ? [idBytes(packetId), NO_PROPERTIES, Buffer.from(codes)] : [idBytes(packetId)])
}

export function pingrespPacket(): Buffer {
  return PINGRESP
}

/** MQTT 5 only. */
export function disconnectPacket(reasonCode: number, reasonText = ''): Buffer {
  if (reasonText === '') return Buffer.from([DISCONNECT, 1, reasonCode])
  return packet(DISCONNECT, [Buffer.from([reasonCode]), propertyBlock(reasonProperty(reasonText))])
}

function reasonProperty(reasonText = ''): Buffer[] {
  return reasonText === '' ? [] : [text(Property.reasonString, reasonText)]
}

// --- PUBLISH

/** Bytes behind the fixed header, the payload included. */
export function publishBodyBytes(version: ProtocolVersion, options: DeliveryOptions): number {
  const propertyBytes = version === 5 ? propertyBytesOf(options) : 0
  const allProperties = version === 5 ? lengthBytes(propertyBytes) + propertyBytes : 0
  return 2 + Buffer.byteLength(options.topic) + (options.qos > 0 ? 2 : 0) + allProperties + options.payload.byteLength
}

/** Bytes of a whole packet. */
export function packetBytes(bodyBytes: number): number {
  return 1 + lengthBytes(bodyBytes) + bodyBytes
}

/** A PUBLISH but for its payload, which follows. @returns where it ends */
export function writePublishHead(
  bytes: Buffer,
  start: number,
  version: ProtocolVersion,
  options: DeliveryOptions,
  bodyBytes: number
): number {
  const { topic, qos, packetId, dup, retain } = options
  bytes[start] = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
  const topicAt = writeLength(bytes, bodyBytes, start + 1)
  const topicBytes = bytes.write(topic, topicAt + 2)
  bytes[topicAt] = topicBytes >> 8
  bytes[topicAt + 1] = topicBytes & 0xff
  let at = topicAt + 2 + topicBytes
  if (qos > 0) {
    bytes[at++] = packetId >> 8
    bytes[at++] = packetId & 0xff
  }
  return version === 5 ? writeProperties(bytes, options, propertyBytesOf(options), at) : at
}

function propertyBytesOf({ properties, expirySeconds, subscriptionIds }: DeliveryOptions): number {
  let propertyBytes = (properties?.forwarded.byteLength ?? 0) + (expirySeconds === null ? 0 : 5)
  for (const id of subscriptionIds) propertyBytes += 1 + lengthBytes(id)
  return propertyBytes
}

function writeProperties(
  bytes: Buffer,
  { properties, expirySeconds, subscriptionIds }: DeliveryOptions,
  propertyBytes: number,
  start: number
): number {
  let at = writeLength(bytes, propertyBytes, start)
  if (properties) {
    bytes.set(properties.forwarded, at)
    at += properties.forwarded.byteLength
  }
  if (expirySeconds !== null) {
    bytes[at] = Property.messageExpiry
    at = bytes.writeUInt32BE(expirySeconds, at + 1)
  }
  for (const id of subscriptionIds) {
    bytes[at] = Property.subscriptionId
    at = writeLength(bytes, id, at + 1)
  }
  return at
}

// --- fields

const NO_PROPERTIES = Buffer.from([0])

function lengthBytes(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4
}

/** A Variable Byte Integer. @returns where it ends */
function writeLength(bytes: Buffer, value: number, start: number): number {
  let at = start
  let left = value
  while (left > 127) {
    bytes[at++] = (left & 0x7f) | 0x80
    left >>>= 7
  }
  bytes[at++] = left
  return at
}

function packet(firstByte: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(1 + lengthBytes(body.byteLength))
  head[0] = firstByte
  writeLength(head, body.byteLength, 1)
  return Buffer.concat([head, body])
}

function propertyBlock(properties: readonly Buffer[]): Buffer {
  const body = Buffer.concat(properties)
  const head = Buffer.alloc(lengthBytes(body.byteLength))
  writeLength(head, body.byteLength, 0)
  return Buffer.concat([head, body])
}

function idBytes(packetId: number): Buffer {
  return Buffer.from([packetId >> 8, packetId & 0xff])
}

function uint16(property: number, value: number): Buffer {
  return Buffer.from([property, value >> 8, value & 0xff])
}

function uint32(property: number, value: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes[0] = property
  bytes.writeUInt32BE(value, 1)
  return bytes
}

function text(property: number, value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([property, bytes.byteLength >> 8, bytes.byteLength & 0xff]), bytes])
}

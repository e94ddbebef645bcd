// The bodies of the packets that a client may send, MQTT 3.1, 3.1.1 and 5, as objects. Everything that the standards forbid in them throws a GateFault.
//
// Not for: fixed headers, lengths and the order of packets (packet-reader.ts), which names are taken (name-rules.ts), rights.
// Source: MQTT 3.1.1 and 5.0, sections 3.1 to 3.14.

import { Property, type PropertyLimits, readProperties } from './mqtt-properties.ts'
import { isWellFormedFilter, levelsOf } from './name-rules.ts'
import {
  type AckPacket,
  type ConnectPacket,
  type DisconnectPacket,
  type ProtocolVersion,
  type PublishPacket,
  type Qos,
  ReasonCode,
  SESSION_NEVER_EXPIRES,
  type SubscribePacket,
  type SubscriptionRequest,
  type UnsubscribePacket,
  type WillPacket
} from './packets.ts'
import type { PublishTopics } from './publish-topics.ts'
import { type CloseReason, GateFault } from './reasons.ts'
import type { WireCursor } from './wire-cursor.ts'
import { connackPacket } from './wire-write.ts'

export interface ReadLimits extends PropertyLimits {
  /** A CONNECT, its fixed header included, without its will. */
  readonly connectBytesMax: number
  readonly mqttTopicBytesMax: number
  readonly topicLevelsMax: number
}

/** Bridges of Mosquitto and of others set it in the protocol level of MQTT 3 to say that they are bridges. */
const BRIDGE_BIT = 0x80
const RECEIVE_MAXIMUM = 65_535

// --- CONNECT

/** `packetBytes` with the fixed header. @throws GateFault, with an answer in the words of its version */
export function readConnect(cursor: WireCursor, packetBytes: number, limits: ReadLimits): ConnectPacket {
  cursor.begin('CONNECT')
  const { version, isBridge } = readVersion(cursor)
  try {
    return { ...readConnectBody(cursor, version, packetBytes, limits), isBridge }
  } catch (error) {
    if (!(error instanceof GateFault)) throw error
    const { reason, detail } = error
    // MQTT 3 has a return code for a client id; in MQTT 5 one that is no text is a malformed packet.
    throw connectFault(version, reason, detail, version < 5 && reason === 'client-id' ? ReasonCode.clientIdNotValid : error.reasonCode)
  }
}

/** With the CONNACK that says so, where the version has a word for it. */
export function connectFault(
  version: ProtocolVersion,
  reason: CloseReason,
  detail: string,
  reasonCode: number = ReasonCode.malformedPacket
): GateFault {
  return new GateFault(reason, detail, { reasonCode, answer: connackPacket(version, { isSessionPresent: false, reasonCode }) })
}

function readVersion(cursor: WireCursor): { version: ProtocolVersion; isBridge: boolean } {
  const from = cursor.skipBinary()
  const name = cursor.bytes.toString('latin1', from, cursor.at)
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    throw new GateFault('protocol-version', 'a protocol that is not MQTT (MQTT-3.1.2-1)', { reasonCode: ReasonCode.unsupportedVersion })
  }
  const byte = cursor.byte()
  const level = byte & ~BRIDGE_BIT
  const isBridge = (byte & BRIDGE_BIT) !== 0
  if (name === 'MQTT' && (level === 4 || level === 5)) return { version: level, isBridge }
  if (name === 'MQIsdp' && level === 3) return { version: level, isBridge }
  const answer = connackPacket(4, { isSessionPresent: false, reasonCode: ReasonCode.unsupportedVersion })
  throw new GateFault('protocol-version', `protocol level ${level} of ${name}`, { reasonCode: ReasonCode.unsupportedVersion, answer })
}

function readConnectBody(
  cursor: WireCursor,
  version: ProtocolVersion,
  packetBytes: number,
  limits: ReadLimits
): Omit<ConnectPacket, 'isBridge'> {
  const flags = cursor.byte()
  checkConnectFlags(cursor, flags, version)
  const keepAliveSeconds = cursor.uint16()
  const properties = version === 5 ? readProperties(cursor, 'connect', limits) : null
  if (properties?.values.has(Property.authenticationMethod)) {
    throw cursor.fault('authentication-method', 'no method but user name and password is offered', ReasonCode.badAuthenticationMethod)
  }
  if (properties?.values.has(Property.authenticationData)) {
    throw cursor.fault('properties', 'authentication data without a method (MQTT 5, 3.1.2.11.10)', ReasonCode.protocolError)
  }
  const clientId = cursor.text('client-id', 'the client id')
  const willAt = cursor.at
  const will = (flags & 0x04) === 0 ? null : readWill(cursor, flags, version, limits)
  const bytes = packetBytes - (cursor.at - willAt)
  const userName = (flags & 0x80) === 0 ? null : cursor.text('string-utf8', 'the user name')
  const password = (flags & 0x40) === 0 ? null : cursor.ownBinary()
  cursor.end()
  if (bytes > limits.connectBytesMax) {
    const detail = `${bytes} bytes${will ? ' without its will' : ''}, at most ${limits.connectBytesMax}`
    throw cursor.fault('connect-too-large', detail, ReasonCode.packetTooLarge)
  }
  const isClean = (flags & 0x02) !== 0
  const number = (id: number): number | undefined => properties?.values.get(id)
  return {
    type: 'connect',
    version,
    isClean,
    keepAliveSeconds,
    clientId,
    will,
    userName,
    password,
    sessionExpirySeconds: version === 5 ? (number(Property.sessionExpiry) ?? 0) : isClean ? 0 : SESSION_NEVER_EXPIRES,
    receiveMaximum: number(Property.receiveMaximum) ?? RECEIVE_MAXIMUM,
    packetBytesMax: number(Property.maximumPacketSize) ?? Number.POSITIVE_INFINITY,
    wantsProblemInformation: number(Property.requestProblemInformation) !== 0
  }
}

function checkConnectFlags(cursor: WireCursor, flags: number, version: ProtocolVersion): void {
  const hasWill = (flags & 0x04) !== 0
  if ((flags & 0x01) !== 0) throw cursor.fault('connect-flags', 'the reserved flag is set (MQTT-3.1.2-3)')
  if (!hasWill && (flags & 0x38) !== 0) throw cursor.fault('connect-flags', 'will QoS or will retain without a will (MQTT-3.1.2-11)')
  if ((flags & 0x18) === 0x18) throw cursor.fault('will', 'QoS 3 (MQTT-3.1.2-14)')
  if (version < 5 && (flags & 0xc0) === 0x40) throw cursor.fault('connect-flags', 'a password without a user name (MQTT-3.1.2-22)')
}

function readWill(cursor: WireCursor, flags: number, version: ProtocolVersion, limits: ReadLimits): WillPacket {
  const properties = version === 5 ? readProperties(cursor, 'will', limits) : null
  const topic = cursor.text('will', 'the will topic')
  const payload = cursor.ownBinary()
  return {
    topic,
    payload,
    qos: ((flags >> 3) & 3) as Qos,
    retain: (flags & 0x20) !== 0,
    delaySeconds: properties?.values.get(Property.willDelay) ?? 0,
    properties: properties?.message ?? null
  }
}

// --- PUBLISH

/** What a connection reads its PUBLISH packets with. */
export interface PublishContext {
  readonly version: ProtocolVersion
  readonly topics: PublishTopics
  readonly topicAliasMaximum: number
  readonly limits: ReadLimits
}

/** @throws GateFault */
export function readPublish(
  cursor: WireCursor,
  flags: number,
  { version, topics, topicAliasMaximum, limits }: PublishContext
): PublishPacket {
  cursor.begin('PUBLISH')
  const qos = ((flags >> 1) & 3) as Qos
  const topicAt = cursor.skipBinary()
  const topicBytes = cursor.at - topicAt
  if (topicBytes > limits.mqttTopicBytesMax) {
    throw cursor.fault('topic-too-long', `${topicBytes} bytes, at most ${limits.mqttTopicBytesMax}`, ReasonCode.topicNameInvalid)
  }
  const topic = topics.read(cursor.bytes, topicAt, cursor.at)
  const packetId = qos === 0 ? 0 : cursor.uint16()
  if (qos > 0 && packetId === 0) throw cursor.fault('packet-id-zero', 'MQTT-2.3.1-1, MQTT-2.2.1-3')
  const properties = version === 5 ? readProperties(cursor, 'publish', limits) : null
  const topicAlias = properties?.values.get(Property.topicAlias) ?? null
  if (topicAlias !== null && topicAlias > topicAliasMaximum) {
    throw cursor.fault('topic-alias', `${topicAlias}, at most ${topicAliasMaximum} (MQTT-3.3.2-9)`, ReasonCode.topicAliasInvalid)
  }
  if (topic === '' && topicAlias === null) throw cursor.fault('topic-empty', 'MQTT-4.7.3-1', ReasonCode.protocolError)
  return {
    type: 'publish',
    topic,
    payload: cursor.rest(),
    qos,
    retain: (flags & 1) !== 0,
    dup: (flags & 8) !== 0,
    packetId,
    topicAlias,
    properties: properties?.message ?? null
  }
}

// --- PUBACK, PUBREC, PUBREL, PUBCOMP

const ACK_NAMES = { 4: 'puback', 5: 'pubrec', 6: 'pubrel', 7: 'pubcomp' } as const
/** MQTT 5, 3.4.2.1 to 3.7.2.1. */
const RECEIVER_CODES: ReadonlySet<number> = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
const RELEASE_CODES: ReadonlySet<number> = new Set([0x00, 0x92])

/** @throws GateFault */
export function readAck(cursor: WireCursor, type: 4 | 5 | 6 | 7, version: ProtocolVersion, limits: ReadLimits): AckPacket {
  const name = ACK_NAMES[type]
  cursor.begin(name)
  const packetId = cursor.uint16()
  if (packetId === 0) throw cursor.fault('packet-id-zero', 'MQTT-2.3.1-1, MQTT-2.2.1-3')
  let reasonCode = 0
  if (version === 5 && cursor.leftBytes > 0) {
    reasonCode = cursor.byte()
    if (!(type < 6 ? RECEIVER_CODES : RELEASE_CODES).has(reasonCode)) {
      throw cursor.fault('reason-code', `0x${reasonCode.toString(16)}`, ReasonCode.protocolError)
    }
    if (cursor.leftBytes > 0) readProperties(cursor, 'ack', limits)
  }
  cursor.end()
  return { type: name, packetId, reasonCode }
}

// --- SUBSCRIBE, UNSUBSCRIBE

/** @throws GateFault */
export function readSubscribe(cursor: WireCursor, version: ProtocolVersion, isBridge: boolean, limits: ReadLimits): SubscribePacket {
  cursor.begin('SUBSCRIBE')
  const packetId = readFilterPacketId(cursor)
  const properties = version === 5 ? readProperties(cursor, 'subscribe', limits) : null
  needsFilter(cursor)
  const subscriptions: SubscriptionRequest[] = []
  while (cursor.leftBytes > 0) {
    const filter = readFilter(cursor, limits)
    subscriptions.push(version === 5 ? readOptions(cursor, filter) : readQos(cursor, filter, isBridge))
  }
  return { type: 'subscribe', packetId, subscriptions, subscriptionId: properties?.values.get(Property.subscriptionId) ?? null }
}

/** @throws GateFault */
export function readUnsubscribe(cursor: WireCursor, version: ProtocolVersion, limits: ReadLimits): UnsubscribePacket {
  cursor.begin('UNSUBSCRIBE')
  const packetId = readFilterPacketId(cursor)
  if (version === 5) readProperties(cursor, 'unsubscribe', limits)
  needsFilter(cursor)
  const filters: string[] = []
  while (cursor.leftBytes > 0) filters.push(readFilter(cursor, limits))
  return { type: 'unsubscribe', packetId, filters }
}

function readFilterPacketId(cursor: WireCursor): number {
  const packetId = cursor.uint16()
  if (packetId === 0) throw cursor.fault('packet-id-zero', 'MQTT-2.3.1-1, MQTT-2.2.1-3')
  return packetId
}

function needsFilter(cursor: WireCursor): void {
  if (cursor.leftBytes === 0) throw cursor.fault('packet-length', 'no filter (MQTT-3.8.3-3, MQTT-3.10.3-2)', ReasonCode.protocolError)
}

function readFilter(cursor: WireCursor, { topicLevelsMax }: ReadLimits): string {
  const filter = cursor.text('string-utf8', 'a filter')
  if (!isWellFormedFilter(filter) || levelsOf(filter) > topicLevelsMax) {
    throw cursor.fault('filter', 'a filter that is none (MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-1)', ReasonCode.topicFilterInvalid)
  }
  return filter
}

/** A bridge wants what it would say with the options of MQTT 5, or it would get back what it sends. */
function readQos(cursor: WireCursor, filter: string, isBridge: boolean): SubscriptionRequest {
  const qos = cursor.byte()
  if (qos > 2) throw cursor.fault('packet-flags', `it asks for QoS byte ${qos} (MQTT-3-8.3-4)`)
  return { filter, qos: qos as Qos, noLocal: isBridge, retainAsPublished: isBridge, retainHandling: 0 }
}

function readOptions(cursor: WireCursor, filter: string): SubscriptionRequest {
  const options = cursor.byte()
  const qos = options & 3
  const retainHandling = (options >> 4) & 3
  const noLocal = (options & 0x04) !== 0
  if ((options & 0xc0) !== 0) throw cursor.fault('packet-flags', 'reserved bits of the subscription options (MQTT-3.8.3-5)')
  if (qos === 3) throw cursor.fault('packet-flags', 'QoS 3 (MQTT 5, 3.8.3.1)', ReasonCode.protocolError)
  if (retainHandling === 3) throw cursor.fault('packet-flags', 'retain handling 3 (MQTT 5, 3.8.3.1)', ReasonCode.protocolError)
  if (noLocal && filter.startsWith('$share/')) {
    throw cursor.fault('packet-flags', 'no local on a shared subscription (MQTT-3.8.3-4)', ReasonCode.protocolError)
  }
  return {
    filter,
    qos: qos as Qos,
    noLocal,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2
  }
}

// --- DISCONNECT

/** MQTT 5, 3.14.2.1: those of a client. */
const DISCONNECT_CODES: ReadonlySet<number> = new Set([0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99])

/** @throws GateFault */
export function readDisconnect(cursor: WireCursor, version: ProtocolVersion, limits: ReadLimits): DisconnectPacket {
  cursor.begin('DISCONNECT')
  let reasonCode = 0
  let sessionExpirySeconds: number | null = null
  if (version === 5 && cursor.leftBytes > 0) {
    reasonCode = cursor.byte()
    if (!DISCONNECT_CODES.has(reasonCode)) throw cursor.fault('reason-code', `0x${reasonCode.toString(16)}`, ReasonCode.protocolError)
    if (cursor.leftBytes > 0) {
      const { values } = readProperties(cursor, 'disconnect', limits)
      sessionExpirySeconds = values.get(Property.sessionExpiry) ?? null
    }
  }
  cursor.end()
  return { type: 'disconnect', reasonCode, sessionExpirySeconds }
}

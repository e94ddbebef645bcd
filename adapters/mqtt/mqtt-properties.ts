// Properties of MQTT 5: which there are, where they may stand, what they may be.
//
// Invariants: an unknown property, one that its packet may not have, one that comes twice, or a value that is not allowed throws a GateFault; so does more
// than a bounded number of bytes. Not for: what they mean.
// Source: MQTT 5.0 section 2.2.2 and the sections of the packets.

import type { MessageProperties } from './packets.ts'
import { ReasonCode } from './packets.ts'
import type { WireCursor } from './wire-cursor.ts'

export const Property = {
  payloadFormat: 1,
  messageExpiry: 2,
  contentType: 3,
  responseTopic: 8,
  correlationData: 9,
  subscriptionId: 11,
  sessionExpiry: 17,
  assignedClientId: 18,
  serverKeepAlive: 19,
  authenticationMethod: 21,
  authenticationData: 22,
  requestProblemInformation: 23,
  willDelay: 24,
  requestResponseInformation: 25,
  reasonString: 31,
  receiveMaximum: 33,
  topicAliasMaximum: 34,
  topicAlias: 35,
  userProperty: 38,
  maximumPacketSize: 39,
  sharedSubscriptionAvailable: 42
} as const

export type PropertyOwner = 'connect' | 'will' | 'publish' | 'ack' | 'subscribe' | 'unsubscribe' | 'disconnect'

type Kind = 'flag' | 'uint16' | 'uint32' | 'variable' | 'text' | 'binary' | 'pair'

const KINDS = new Map<number, Kind>([
  [Property.payloadFormat, 'flag'],
  [Property.messageExpiry, 'uint32'],
  [Property.contentType, 'text'],
  [Property.responseTopic, 'text'],
  [Property.correlationData, 'binary'],
  [Property.subscriptionId, 'variable'],
  [Property.sessionExpiry, 'uint32'],
  [Property.authenticationMethod, 'text'],
  [Property.authenticationData, 'binary'],
  [Property.requestProblemInformation, 'flag'],
  [Property.willDelay, 'uint32'],
  [Property.requestResponseInformation, 'flag'],
  [Property.reasonString, 'text'],
  [Property.receiveMaximum, 'uint16'],
  [Property.topicAliasMaximum, 'uint16'],
  [Property.topicAlias, 'uint16'],
  [Property.userProperty, 'pair'],
  [Property.maximumPacketSize, 'uint32']
])

const MESSAGE = [
  Property.payloadFormat,
  Property.messageExpiry,
  Property.contentType,
  Property.responseTopic,
  Property.correlationData,
  Property.userProperty
]

const ALLOWED: Readonly<Record<PropertyOwner, ReadonlySet<number>>> = {
  connect: new Set([
    Property.sessionExpiry,
    Property.authenticationMethod,
    Property.authenticationData,
    Property.requestProblemInformation,
    Property.requestResponseInformation,
    Property.receiveMaximum,
    Property.topicAliasMaximum,
    Property.userProperty,
    Property.maximumPacketSize
  ]),
  will: new Set([...MESSAGE, Property.willDelay]),
  publish: new Set([...MESSAGE, Property.topicAlias]),
  ack: new Set([Property.reasonString, Property.userProperty]),
  subscribe: new Set([Property.subscriptionId, Property.userProperty]),
  unsubscribe: new Set([Property.userProperty]),
  disconnect: new Set([Property.sessionExpiry, Property.reasonString, Property.userProperty])
}

/** Those that go on to subscribers as they came. */
const FORWARDED: ReadonlySet<number> = new Set(MESSAGE.filter((id) => id !== Property.messageExpiry))
const NOT_ZERO: ReadonlySet<number> = new Set([
  Property.receiveMaximum,
  Property.maximumPacketSize,
  Property.topicAlias,
  Property.subscriptionId
])

/** Of one message: what is kept and sent on. */
export interface PropertyLimits {
  readonly propertyBytesMax: number
  readonly userPropertiesMax: number
}

export interface PropertiesRead {
  /** Every property but the user properties; of texts and binary data only that they are there, as 0. */
  readonly values: ReadonlyMap<number, number>
  /** null when there is nothing of it. */
  readonly message: MessageProperties | null
}

const NONE: PropertiesRead = { values: new Map(), message: null }

/** The property block that begins at the cursor. @throws GateFault */
export function readProperties(cursor: WireCursor, owner: PropertyOwner, limits: PropertyLimits): PropertiesRead {
  const length = cursor.variableInteger()
  if (length === 0) return NONE
  const packetEndAt = cursor.narrow(length)
  if (length > limits.propertyBytesMax) {
    throw cursor.fault('properties', `${length} bytes of properties, at most ${limits.propertyBytesMax}`, ReasonCode.packetTooLarge)
  }
  const values = new Map<number, number>()
  const isMessage = owner === 'publish' || owner === 'will'
  const forwarded: Buffer[] = []
  let userPropertyCount = 0
  while (cursor.leftBytes > 0) {
    const from = cursor.at
    const id = cursor.variableInteger()
    const kind = KINDS.get(id)
    if (kind === undefined || !ALLOWED[owner].has(id)) throw cursor.fault('properties', `property ${id} does not belong here`)
    const value = readValue(cursor, id, kind)
    if (id === Property.userProperty) userPropertyCount++
    else if (values.has(id)) throw cursor.fault('properties', `property ${id} comes twice`, ReasonCode.protocolError)
    else values.set(id, value)
    if (isMessage && FORWARDED.has(id)) forwarded.push(cursor.bytes.subarray(from, cursor.at))
  }
  cursor.widen(packetEndAt)
  if (userPropertyCount > limits.userPropertiesMax) {
    throw cursor.fault('properties', `${userPropertyCount} user properties, at most ${limits.userPropertiesMax}`, ReasonCode.quotaExceeded)
  }
  const expirySeconds = values.get(Property.messageExpiry) ?? null
  return { values, message: forwarded.length === 0 && expirySeconds === null ? null : { forwarded: joined(forwarded), expirySeconds } }
}

/** @returns a number or a flag; 0 of the others */
function readValue(cursor: WireCursor, id: number, kind: Kind): number {
  if (kind === 'text') return readText(cursor, id)
  if (kind === 'binary') {
    cursor.skipBinary()
    return 0
  }
  if (kind === 'pair') {
    cursor.skipText('string-utf8', 'the name of a user property')
    cursor.skipText('string-utf8', 'the value of a user property')
    return 0
  }
  const value =
    kind === 'flag' ? cursor.byte() : kind === 'uint16' ? cursor.uint16() : kind === 'uint32' ? cursor.uint32() : cursor.variableInteger()
  if (kind === 'flag' && value > 1)
    throw cursor.fault('properties', `property ${id} is ${value}, 0 or 1 is allowed`, ReasonCode.protocolError)
  if (value === 0 && NOT_ZERO.has(id)) {
    const reasonCode = id === Property.topicAlias ? ReasonCode.topicAliasInvalid : ReasonCode.protocolError
    throw cursor.fault('properties', `property ${id} is 0`, reasonCode)
  }
  return value
}

function readText(cursor: WireCursor, id: number): number {
  const from = cursor.skipText('string-utf8', 'a property')
  if (id === Property.responseTopic && !isResponseTopic(cursor.bytes.subarray(from, cursor.at))) {
    throw cursor.fault('properties', 'the response topic is no topic name (MQTT-3.3.2-14)', ReasonCode.topicNameInvalid)
  }
  return 0
}

function isResponseTopic(bytes: Buffer): boolean {
  return bytes.length > 0 && !bytes.includes(0x2b) && !bytes.includes(0x23)
}

/** In memory of its own, and no more of it: what is kept for long must not keep a page of others. */
function joined(parts: readonly Buffer[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export interface ForwardedProperties {
  readonly contentType: string | null
  readonly responseTopic: string | null
  readonly correlationData: Uint8Array | null
  /** Its publisher says that the payload is UTF-8. */
  readonly isText: boolean
  readonly userProperties: readonly (readonly [name: string, value: string])[]
}

/** As `forwarded` of MessageProperties has them. */
export function writeForwarded({ contentType, responseTopic, correlationData, isText, userProperties }: ForwardedProperties): Uint8Array {
  const parts: Buffer[] = []
  const put = (id: number, ...values: readonly Uint8Array[]): void => {
    parts.push(Buffer.of(id))
    for (const value of values) parts.push(Buffer.of(value.byteLength >> 8, value.byteLength & 0xff), Buffer.from(value))
  }
  if (isText) parts.push(Buffer.of(Property.payloadFormat, 1))
  if (contentType !== null) put(Property.contentType, Buffer.from(contentType))
  if (responseTopic !== null) put(Property.responseTopic, Buffer.from(responseTopic))
  if (correlationData !== null) put(Property.correlationData, correlationData)
  for (const [name, value] of userProperties) put(Property.userProperty, Buffer.from(name), Buffer.from(value))
  return joined(parts)
}

/** `forwarded` of MessageProperties, which was checked when it was read. */
export function readForwarded(forwarded: Uint8Array): ForwardedProperties {
  const bytes = Buffer.from(forwarded.buffer, forwarded.byteOffset, forwarded.byteLength)
  const texts = new Map<number, Buffer>()
  const userProperties: (readonly [string, string])[] = []
  let isUtf8Payload = false
  let at = 0
  const next = (): Buffer => {
    const length = bytes.readUInt16BE(at)
    at += 2 + length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const id = bytes[at++] as number
    if (id === Property.payloadFormat) isUtf8Payload = bytes[at++] === 1
    else if (id === Property.userProperty) userProperties.push([next().toString(), next().toString()])
    else texts.set(id, next())
  }
  return {
    contentType: texts.get(Property.contentType)?.toString() ?? null,
    responseTopic: texts.get(Property.responseTopic)?.toString() ?? null,
    correlationData: texts.get(Property.correlationData) ?? null,
    isText: isUtf8Payload,
    userProperties
  }
}

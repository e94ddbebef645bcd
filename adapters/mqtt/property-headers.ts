// What an MQTT message has beside topic and payload, as headers of its record, and back: QoS and retain flag where they are not the usual ones, properties
// of MQTT 5. User properties keep their names and their order, the others have names of ours. What a subscriber is sent later is made from them.
// Not for: topic and client id (runtime/broker/routes.ts).

import type { RecordHeader } from '../../runtime/core/record.ts'
import { headerText } from '../../runtime/core/record-headers.ts'
import { readForwarded, writeForwarded } from './mqtt-properties.ts'
import type { MessageProperties, Qos } from './packets.ts'

export interface MessageMarks {
  readonly qos: Qos
  readonly isRetained: boolean
  readonly properties: MessageProperties | null
}

/** As MessageMarks, of a record; `expiresMs` is wall time, null = it does not expire. */
export interface StoredMarks extends MessageMarks {
  readonly expiresMs: number | null
}

const encoder = new TextEncoder()
const key = (name: string): Uint8Array => encoder.encode(name)

const Name = {
  qos: 'mqtt.qos',
  retain: 'mqtt.retain',
  contentType: 'mqtt.content-type',
  responseTopic: 'mqtt.response-topic',
  correlationData: 'mqtt.correlation-data',
  format: 'mqtt.format',
  expires: 'mqtt.expires'
} as const
const CONTENT_TYPE = key(Name.contentType)
const RESPONSE_TOPIC = key(Name.responseTopic)
const CORRELATION_DATA = key(Name.correlationData)
const FORMAT = key(Name.format)
const EXPIRES = key(Name.expires)
const TEXT = encoder.encode('text')
/** Headers with these beginnings are ours: a user property of such a name gets USER_PREFIX in front, or it could pass for one of them. */
const OUR_PREFIXES = ['mqtt.', 'wadi.']
const USER_PREFIX = 'mqtt.user.'

/** By QoS and retain flag, so that events of one kind share them. QoS 1, not retained, is what most are: it has none. */
const FLAG_HEADERS = ([0, 1, 2] as const).map((qos) => [flagHeaders(qos, false), flagHeaders(qos, true)] as const)

function flagHeaders(qos: Qos, isRetained: boolean): readonly RecordHeader[] {
  const headers: RecordHeader[] = []
  if (qos !== 1) headers.push({ key: key(Name.qos), value: encoder.encode(String(qos)) })
  if (isRetained) headers.push({ key: key(Name.retain), value: encoder.encode('1') })
  return headers
}

/** `mqtt.format` is `text` for UTF-8; `mqtt.expires` is wall time in ms, as digits. Messages without properties share their array. */
export function messageHeaders({ qos, isRetained, properties }: MessageMarks, nowMs: number): readonly RecordHeader[] {
  const flags = FLAG_HEADERS[qos]?.[isRetained ? 1 : 0] ?? []
  return properties === null ? flags : [...flags, ...propertyHeaders(properties, nowMs)]
}

function propertyHeaders({ forwarded, expirySeconds }: MessageProperties, nowMs: number): RecordHeader[] {
  const { contentType, responseTopic, correlationData, isText, userProperties } = readForwarded(forwarded)
  const headers: RecordHeader[] = []
  if (contentType !== null) headers.push({ key: CONTENT_TYPE, value: encoder.encode(contentType) })
  if (responseTopic !== null) headers.push({ key: RESPONSE_TOPIC, value: encoder.encode(responseTopic) })
  if (correlationData !== null) headers.push({ key: CORRELATION_DATA, value: correlationData })
  if (isText) headers.push({ key: FORMAT, value: TEXT })
  if (expirySeconds !== null) headers.push({ key: EXPIRES, value: encoder.encode(`${nowMs + expirySeconds * 1_000}`) })
  for (const [name, value] of userProperties) headers.push({ key: key(headerName(name)), value: encoder.encode(value) })
  return headers
}

function headerName(userProperty: string): string {
  return OUR_PREFIXES.some((prefix) => userProperty.startsWith(prefix)) ? USER_PREFIX + userProperty : userProperty
}

/**
 * The message that messageHeaders() made these of. `routeNames`: headers of the route, which stand in front and are no properties; when the route has
 * been changed meanwhile, one that it does not give any more passes for a user property.
 */
export function readMessageHeaders(headers: readonly RecordHeader[], routeNames: readonly string[]): StoredMarks {
  const ours = new Map<string, Uint8Array>()
  const userProperties: (readonly [string, string])[] = []
  let routeCount = 0
  for (const { key: keyBytes, value } of headers) {
    const name = textOf(keyBytes)
    const bytes = value ?? new Uint8Array(0)
    if (name.startsWith(USER_PREFIX)) userProperties.push([name.slice(USER_PREFIX.length), textOf(bytes)])
    else if (OUR_PREFIXES.some((prefix) => name.startsWith(prefix))) ours.set(name, bytes)
    else if (userProperties.length === 0 && name === routeNames[routeCount]) routeCount++
    else userProperties.push([name, textOf(bytes)])
  }
  const text = (name: string): string | null => {
    const bytes = ours.get(name)
    return bytes === undefined ? null : textOf(bytes)
  }
  const expires = Number(text(Name.expires) ?? Number.NaN)
  const forwarded = writeForwarded({
    contentType: text(Name.contentType),
    responseTopic: text(Name.responseTopic),
    correlationData: ours.get(Name.correlationData) ?? null,
    isText: ours.has(Name.format),
    userProperties
  })
  return {
    qos: qosOf(text(Name.qos)),
    isRetained: ours.has(Name.retain),
    properties: forwarded.byteLength > 0 ? { forwarded, expirySeconds: null } : null,
    expiresMs: Number.isSafeInteger(expires) ? expires : null
  }
}

/** As readMessageHeaders() reads it. */
export function readQos(headers: readonly RecordHeader[]): Qos {
  return qosOf(headerText(headers, Name.qos))
}

function qosOf(text: string | null): Qos {
  return text === '0' ? 0 : text === '2' ? 2 : 1
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
}

// Properties of an MQTT 5 message as headers of its record: user properties under their own names, in their order, the others under names of ours.
// Not for: what subscribers get (they get the properties themselves).

import type { RecordHeader } from '../../runtime/core/record.ts'
import { readForwarded } from './mqtt-properties.ts'
import type { MessageProperties } from './packets.ts'

const encoder = new TextEncoder()
const key = (name: string): Uint8Array => encoder.encode(name)

const CONTENT_TYPE = key('mqtt.content-type')
const RESPONSE_TOPIC = key('mqtt.response-topic')
const CORRELATION_DATA = key('mqtt.correlation-data')
const FORMAT = key('mqtt.format')
const EXPIRES = key('mqtt.expires')
const TEXT = encoder.encode('text')
/** Headers with these beginnings are ours: a user property of such a name gets USER_PREFIX in front, or it could pass for one of them. */
const OUR_PREFIXES = ['mqtt.', 'wadi.']
const USER_PREFIX = 'mqtt.user.'

/** `mqtt.format` is `text` for UTF-8; `mqtt.expires` is wall time in ms, as digits. */
export function headersOfProperties({ forwarded, expirySeconds }: MessageProperties, nowMs: number): RecordHeader[] {
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

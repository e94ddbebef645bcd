// Which client ids, filters and wills the broker takes. They were read as UTF-8 without U+0000 (wire-cursor.ts).
// Not for: rights (authorizer.ts), topics of PUBLISH packets (publish-topics.ts).

import { hasControlCharacter, parseFilter } from '../../runtime/broker/route-filter.ts'
import type { ListenerLimits } from './limits.ts'
import { ReasonCode, type WillPacket } from './packets.ts'
import { GateFault } from './reasons.ts'

const FILTER_CHARACTERS_MAX = 1_024

/** `clientId` as CONNECT has it: the empty one asks the broker to choose, which only a clean session may (MQTT-3.1.3-8). */
export function isClientIdAllowed(clientId: string, clean: boolean, clientIdBytesMax: number): boolean {
  if (clientId === '') return clean
  return Buffer.byteLength(clientId) <= clientIdBytesMax && !hasControlCharacter(clientId)
}

/** Topics under $ belong to the broker: nobody publishes to them, and $SYS may be read. */
export function isReserved(topic: string): boolean {
  return topic.startsWith('$')
}

/** What a bridge of Mosquitto says of itself, in its will and by a PUBLISH, unless it is told not to: taken, acknowledged, and nobody's. */
export function isBridgeNotification(topic: string): boolean {
  return /^\$SYS\/broker\/connection\/.+\/state$/.test(topic)
}

/** @returns null when everybody may have it; otherwise the reason code of SUBACK */
export function filterRefusal(filter: string): number | null {
  if (filter.startsWith('$share/')) return ReasonCode.sharedSubscriptionsNotSupported
  if (filter.length > FILTER_CHARACTERS_MAX || hasControlCharacter(filter)) return ReasonCode.topicFilterInvalid
  return isReserved(filter) && !filter.startsWith('$SYS/') ? ReasonCode.notAuthorized : null
}

/** Its wildcards stand where MQTT lets them. What filterRefusal refuses (too long, a control character) is not looked at. */
export function isWellFormedFilter(filter: string): boolean {
  if (filter.length > FILTER_CHARACTERS_MAX || hasControlCharacter(filter)) return true
  const parsed = parseFilter(filter)
  return typeof parsed !== 'string' && parsed.names.length === 0 // +name is of routes only
}

/** What is wrong with a will, or null. */
export function willFault(
  { topic, payload }: WillPacket,
  { mqttTopicBytesMax, topicLevelsMax, willBytesMax }: Pick<ListenerLimits, 'mqttTopicBytesMax' | 'topicLevelsMax' | 'willBytesMax'>
): GateFault | null {
  if (!isTopicName(topic) || Buffer.byteLength(topic) > mqttTopicBytesMax || levelsOf(topic) > topicLevelsMax) {
    return new GateFault('will', 'its topic', { reasonCode: ReasonCode.topicNameInvalid })
  }
  return payload.byteLength > willBytesMax ? new GateFault('will', 'its size', { reasonCode: ReasonCode.packetTooLarge }) : null
}

/** Of a topic or a filter. */
export function levelsOf(name: string): number {
  let levels = 1
  for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1)) levels++
  return levels
}

function isTopicName(topic: string): boolean {
  return topic !== '' && !isReserved(topic) && !/[+#]/.test(topic) && !hasControlCharacter(topic)
}

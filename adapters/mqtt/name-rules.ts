// Which client ids, filters and wills the broker takes. The gate has checked the topics of PUBLISH packets byte by byte before; these are
// strings as the parser gives them.
// Not for: rights (authorizer.ts), topics of PUBLISH packets (gate.ts).

import { hasControlCharacter, parseFilter } from '../../runtime/broker/route-filter.ts'
import type { ListenerLimits } from './limits.ts'

const FILTER_CHARACTERS_MAX = 1_024

interface Will {
  readonly topic: string
  readonly payload?: Uint8Array | string | undefined
  readonly qos?: number | undefined
}

/** `clientId` as CONNECT has it: the empty one asks the broker to choose, which only a clean session may (MQTT-3.1.3-8). */
export function isClientIdAllowed(clientId: string, clean: boolean, clientIdBytesMax: number): boolean {
  if (clientId === '') return clean
  return Buffer.byteLength(clientId) <= clientIdBytesMax && !isUnprintable(clientId)
}

/** Topics under $ belong to the broker: $SYS and $share are not offered. */
export function isReserved(topic: string): boolean {
  return topic.startsWith('$')
}

/** Not reserved, not too long, nothing unprintable in it. */
export function isFilterAllowed(filter: string): boolean {
  return filter.length <= FILTER_CHARACTERS_MAX && !isReserved(filter) && !isUnprintable(filter)
}

/** Its wildcards stand where MQTT lets them. What isFilterAllowed refuses (too long, a control character) is not looked at. */
export function isWellFormedFilter(filter: string): boolean {
  if (filter.length > FILTER_CHARACTERS_MAX || hasControlCharacter(filter)) return true
  const parsed = parseFilter(filter)
  return typeof parsed !== 'string' && parsed.names.length === 0 // +name is of routes only
}

/** What is wrong with a will, in words, or null. QoS 3 is checked here because the parser lets it pass. */
export function willFault({ topic, payload, qos = 0 }: Will, { mqttTopicBytesMax, willBytesMax }: ListenerLimits): string | null {
  if (qos > 2) return 'QoS 3 (MQTT-3.1.2-14)'
  if (!isTopicName(topic) || Buffer.byteLength(topic) > mqttTopicBytesMax) return 'its topic'
  return (payload?.length ?? 0) > willBytesMax ? 'its size' : null
}

function isTopicName(topic: string): boolean {
  return topic !== '' && !isReserved(topic) && !/[+#]/.test(topic) && !isUnprintable(topic)
}

/** U+FFFD stands for bytes that were not UTF-8: two different such names would be taken for one. */
function isUnprintable(text: string): boolean {
  return hasControlCharacter(text) || text.includes('\ufffd')
}

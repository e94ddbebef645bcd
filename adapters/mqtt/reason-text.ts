// What a client of MQTT 5 is told in words (reason string) beside a reason code: short, for the person who looks at the client's log.
// Not for: whether it may be sent, and fits (client-connection.ts), what is decided by (reasons.ts), our own log.

import { WadiError } from '../../runtime/base/errors.ts'
import { ReasonCode, type SubscriptionRequest } from './packets.ts'
import { closeReasonOf, GateFault } from './reasons.ts'

const CHARACTERS_MAX = 120
/** What there is to say of them is of this machine: nothing for clients. */
const OURS: ReadonlySet<string> = new Set(['storage', 'authorizer-unavailable', 'busy', 'bad-credentials'])

const BY_CODE: Readonly<Record<string, string>> = {
  WADI_DISK_FULL: 'no room, not stored',
  WADI_QUOTA_EXCEEDED: 'no room, not stored',
  WADI_RECORD_INVALID: 'no route takes this topic, not stored',
  WADI_RECORD_TOO_LARGE: 'larger than an event may be, not stored'
}

/** Of SUBACK; the filter follows. */
const OF_FILTER = new Map<number, string>([
  [ReasonCode.notAuthorized, 'not-authorized: may not subscribe to'],
  [ReasonCode.topicFilterInvalid, 'filter: longer than it may be, or a control character:'],
  [ReasonCode.quotaExceeded, 'no room for one more subscription (mqtt_limits):'],
  [ReasonCode.sharedSubscriptionsNotSupported, 'shared subscriptions are not offered:']
])

/** Why a packet is refused, or a connection ends. */
export function reasonTextOf(error: Error): string {
  if (error instanceof WadiError) return BY_CODE[error.code] ?? closeReasonOf(error) ?? ''
  if (!(error instanceof GateFault)) return ''
  const { reason, detail } = error
  return shown(detail === '' || OURS.has(reason) ? reason : `${reason}: ${detail}`)
}

/** Of a connection that ends by no fault of its client. */
export function reasonTextOfCode(reasonCode: number): string {
  if (reasonCode === ReasonCode.sessionTakenOver) return 'another connection came with this client id'
  if (reasonCode === ReasonCode.administrativeAction) return 'an operator ended the session'
  return reasonCode === ReasonCode.shuttingDown ? 'the gateway stops' : ''
}

/** Of the first filter that is refused: SUBACK has one reason string for all. Empty where all are granted. */
export function subscribeTextOf(subscriptions: readonly Pick<SubscriptionRequest, 'filter'>[], codes: readonly number[]): string {
  const at = codes.findIndex((code) => code >= 0x80)
  const words = OF_FILTER.get(codes[at] ?? ReasonCode.success)
  if (words === undefined) return ''
  return shown(`${words} ${JSON.stringify(subscriptions[at]?.filter.slice(0, CHARACTERS_MAX))}`)
}

/** Of a detail some is what the client sent itself. */
function shown(text: string): string {
  return [...text.replace(/[\p{Cc}\p{Cs}]/gu, '?')].slice(0, CHARACTERS_MAX).join('')
}

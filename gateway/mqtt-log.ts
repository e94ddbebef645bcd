// What the log says of MQTT connections that are closed, and of messages and subscriptions that are refused while their connection stays.
// Not for: takeovers (takeover-log.ts), messages that are not retained (not-retained-log.ts) or dropped (dropped-log.ts).

import type { MqttEvent } from '../adapters/mqtt/mqtt-broker.ts'
import type { Log } from './log.ts'
import { oncePerMinute } from './once-per-minute.ts'

/** A client that sends on is told of once a minute for each reason. */
export function mqttLog(log: Log, nowMs?: () => number): (event: MqttEvent) => void {
  const isDue = oncePerMinute(nowMs)
  return ({ kind, reason, detail, clientId, remoteAddress }) => {
    if (reason === 'connection-lost') return // devices come and go
    const who = `${clientId ?? 'a client'} (${remoteAddress})`
    const words = `${reason}${detail ? `, ${detail}` : ''}`
    if (kind === 'closed') return log('warn', `closed the connection of ${who}: ${words}`, { reason, clientId, remoteAddress })
    const untold = isDue(`${clientId ?? remoteAddress} ${reason}`)
    if (untold === null) return
    const more = untold > 0 ? `, and ${untold} more before` : ''
    const what = kind === 'not-subscribed' ? 'subscription' : 'message'
    log('warn', `refused a ${what} of ${who}: ${words}${more}`, { reason, clientId, remoteAddress })
  }
}

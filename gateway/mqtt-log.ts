// What the log says of MQTT connections that are closed, of messages and subscriptions that are refused while their connection stays, and of messages that were to be
// retained and found no room. Not for: takeovers (takeover-log.ts).

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
    if (kind === 'not-retained') {
      const fate = 'is stored and was handed on; it is not retained, and what its topic had is gone (mqtt_limits.retained)'
      return log('warn', `a message of ${who} ${fate}: ${detail}${more}`, { reason, clientId, remoteAddress })
    }
    const what = kind === 'not-subscribed' ? 'subscription' : 'message'
    log('warn', `refused a ${what} of ${who}: ${words}${more}`, { reason, clientId, remoteAddress })
  }
}

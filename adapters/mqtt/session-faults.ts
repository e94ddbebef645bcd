// Why a session cannot be kept, and what is no reason. Not for: packets that are refused (publish-refusal.ts, reasons.ts).

import { WadiError } from '../../runtime/base/errors.ts'
import type { ClientSession } from './client-session.ts'

export function noPlace({ clientId }: ClientSession, sessionsMax: number): WadiError {
  return new WadiError('WADI_QUOTA_EXCEEDED', {
    happened: `The session of the MQTT client ${JSON.stringify(clientId)} finds no place: more than ${sessionsMax} that subscribe.`,
    kept: 'All events.',
    next: 'Raise mqtt_limits.sessions; the client subscribes again.',
    facts: { clientId }
  })
}

/** A full disk is no reason to refuse a reader: what it has is in memory until there is room. */
export function isForWantOfRoom({ code }: WadiError): boolean {
  return code === 'WADI_DISK_FULL' || code === 'WADI_QUOTA_EXCEEDED'
}

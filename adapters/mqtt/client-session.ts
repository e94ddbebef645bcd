// A session: what the broker keeps of a client between its packets and, unless it ends with its connection, between its connections.
// Not for: what becomes of it (mqtt-sessions.ts), QoS 2 packet ids of what the client publishes (qos2-memory.ts), one connection (connected-client.ts).

import type { Outbox } from './outbox.ts'
import type { ProtocolVersion, Qos } from './packets.ts'
import { SmallMap } from './small-map.ts'

export interface Subscription {
  readonly qos: Qos
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** Of MQTT 5; null = none. */
  readonly id: number | null
}

const plainSubscriptions = new Map<number, Subscription>()

/** One object for all that are the same, but those with an id. */
export function newSubscription(wanted: Subscription): Subscription {
  const { qos, noLocal, retainAsPublished, id } = wanted
  if (id !== null) return { qos, noLocal, retainAsPublished, id }
  const which = qos * 4 + Number(noLocal) * 2 + Number(retainAsPublished)
  const known = plainSubscriptions.get(which) ?? { qos, noLocal, retainAsPublished, id }
  plainSubscriptions.set(which, known)
  return known
}

/** What was written of a session, or is being written. */
export interface KeptSession {
  /** Nothing of it is durable yet. */
  isNew: boolean
  /** Its record is not what was written. */
  isRecordChanged: boolean
  /** Its record says when its connection ended. */
  hasEnd: boolean
  isQueueChanged: boolean
  /** Filters that were added or taken away since. */
  changedFilters: ReadonlySet<string>
  /** Pieces that may be there: from this one up to the one that holds `end` - 1. */
  firstPiece: number
  end: number
}

/** For all sessions. */
export const NO_FILTERS: ReadonlySet<string> = new Set()

export class ClientSession {
  readonly clientId: string
  readonly outbox: Outbox
  /** By filter. */
  readonly subscriptions = new SmallMap<string, Subscription>()
  /** Memory that they take. */
  subscriptionBytes = 0
  /** From the end of the connection on; 0 = it ends with it. */
  expirySeconds: number
  /** Of its last connection; 0 = not known. */
  version: ProtocolVersion | 0 = 0
  /** It has taken one of the places of sessions that subscribe and outlive their connection. */
  hasPlace = false
  /** What is durable of it; null = it ends with its connection. */
  kept: KeptSession | null = null
  /** Wall time, ms, when its last connection ended; null while it has one. */
  endedMs: number | null = null
  constructor(clientId: string, outbox: Outbox, expirySeconds: number) {
    this.clientId = clientId
    this.outbox = outbox
    outbox.clientId = clientId
    this.expirySeconds = expirySeconds
  }
}

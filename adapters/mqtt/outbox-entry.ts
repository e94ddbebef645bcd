// One message on its way to one session: what of its exchange has happened. Not for: what follows from it (outbox.ts).

import { type Delivery, MESSAGE_OVERHEAD_BYTES, type Message } from './message.ts'
import { codeOf } from './message-log.ts'
import type { StoredPlace } from './stored-session.ts'

export interface Entry extends Delivery {
  /** null when there is none to send: the client has it (isReceived), or it has to be read again from its place. */
  message: Message | null
  readonly place: StoredPlace | null
  readonly bytes: number
  packetId: number
  isSent: boolean
  /** Of QoS 2: its id is durable, as far as it has to be. */
  isNoted: boolean
  isInFlight: boolean
  /** PUBREC came: only PUBREL is left to send. */
  isReceived: boolean
  /** That is durable, as far as it has to be. */
  isReleased: boolean
  isDone: boolean
  /** Its bytes are in the sums. */
  isCounted: boolean
}

export function placeOf({ place }: Message): StoredPlace | null {
  return place && { code: codeOf(place.partition), offset: place.offset }
}

export function newEntry(
  message: Message | null,
  { qos, isRetained, subscriptionIds, isKeptElsewhere = false }: Delivery,
  place: StoredPlace | null = null
): Entry {
  return {
    message,
    place,
    qos,
    isRetained,
    subscriptionIds,
    isKeptElsewhere,
    bytes: isKeptElsewhere ? MESSAGE_OVERHEAD_BYTES : (message?.bytes ?? 0),
    packetId: 0,
    isSent: false,
    isNoted: false,
    isInFlight: false,
    isReceived: false,
    isReleased: false,
    isDone: false,
    isCounted: false
  }
}

/** Of a session that has nothing to send, one list for all: not to be changed. */
export const NO_ENTRIES = Object.freeze([]) as unknown as Entry[]

export function listOf(entries: Iterable<Entry>): Entry[] {
  const list = [...entries]
  return list.length > 0 ? list : NO_ENTRIES
}

/** @returns what takes the place of `list` */
export function withEntry(list: Entry[], entry: Entry): Entry[] {
  if (list === NO_ENTRIES) return [entry]
  list.push(entry)
  return list
}

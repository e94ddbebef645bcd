// The subscriptions of all sessions, by their filters and bounded in memory, and who gets a message by them.
//
// Invariant: a session that outlives its connection has a place while it subscribes; there is a bounded number of places.
// Not for: rights, packets (mqtt-sessions.ts), what is durable of them (session-store.ts hears of each change).

import type { ClientSession, Subscription } from './client-session.ts'
import { deliveryBy, deliveryOf } from './delivery.ts'
import type { BrokerLimits } from './limits.ts'
import type { Message } from './message.ts'
import { levelsOf } from './name-rules.ts'
import { FilterTree } from './topic-tree.ts'

export class Subscriptions {
  readonly #limits: Pick<
    BrokerLimits,
    'subscriptionsPerClientMax' | 'subscriptionBytesPerClientMax' | 'subscriptionBytesMax' | 'sessionsMax'
  >
  readonly #onChange: (session: ClientSession, filter: string) => void
  readonly #filters = new FilterTree<ClientSession, Subscription>()
  /** Sessions that subscribe and outlive their connection. */
  #placeCount = 0
  /** Memory of all subscriptions. */
  #bytes = 0

  constructor(limits: BrokerLimits, onChange: (session: ClientSession, filter: string) => void) {
    this.#limits = limits
    this.#onChange = onChange
  }

  get size(): number {
    return this.#filters.size
  }

  /** Whether there is room for one with this filter, or for it in the place of one. */
  hasRoom(session: ClientSession, filter: string): boolean {
    const { subscriptionsPerClientMax, subscriptionBytesPerClientMax, subscriptionBytesMax } = this.#limits
    const isNew = !session.subscriptions.has(filter)
    if (isNew && session.subscriptions.size >= subscriptionsPerClientMax) return false
    const bytes = isNew ? bytesOfFilter(filter) : 0
    if (session.subscriptionBytes + bytes > subscriptionBytesPerClientMax) return false
    return this.#bytes + bytes <= subscriptionBytesMax && this.takePlace(session)
  }

  /** In the place of one that it has with this filter. */
  add(session: ClientSession, filter: string, subscription: Subscription): void {
    this.restore(session, filter, subscription)
    this.#onChange(session, filter)
  }

  /** As add(), of one that is durable. */
  restore(session: ClientSession, filter: string, subscription: Subscription): void {
    if (!session.subscriptions.has(filter)) {
      session.subscriptionBytes += bytesOfFilter(filter)
      this.#bytes += bytesOfFilter(filter)
    }
    session.subscriptions.set(filter, subscription)
    this.#filters.set(filter, session, subscription)
  }

  /** @returns false when the session does not have it */
  remove(session: ClientSession, filter: string): boolean {
    if (!session.subscriptions.delete(filter)) return false
    this.#filters.delete(filter, session)
    session.subscriptionBytes -= bytesOfFilter(filter)
    this.#bytes -= bytesOfFilter(filter)
    this.#onChange(session, filter)
    return true
  }

  /** The session has ended. */
  removeAll(session: ClientSession): void {
    for (const filter of session.subscriptions.keys()) this.remove(session, filter)
    if (session.hasPlace) this.#placeCount--
    session.hasPlace = false
  }

  /** @returns false when it needs one and there is none */
  takePlace(session: ClientSession): boolean {
    if (session.expirySeconds === 0 || session.hasPlace) return true
    if (this.#placeCount >= this.#limits.sessionsMax) return false
    session.hasPlace = true
    this.#placeCount++
    return true
  }

  /** Whether any of them is for this topic. */
  hasMatch(topic: string): boolean {
    let isFound = false
    this.#filters.match(topic, () => {
      isFound = true
    })
    return isFound
  }

  /** Client ids of all that subscribe to this topic. */
  subscribersOf(topic: string): ReadonlySet<string> {
    const found = new Set<string>()
    this.#filters.match(topic, ({ clientId }) => found.add(clientId))
    return found
  }

  /** Sessions for which a message would wait: of QoS 1 or 2 by one of their subscriptions. */
  waitersOf({ topic, qos }: Pick<Message, 'topic' | 'qos'>, publisherId: string): ReadonlySet<ClientSession> {
    const found = new Set<ClientSession>()
    if (qos === 0) return found
    this.#filters.match(topic, (session, subscription) => {
      if (subscription.qos > 0 && !(subscription.noLocal && session.clientId === publisherId)) found.add(session)
    })
    return found
  }

  /** To each session once. `publisherId`: not to its own no-local subscriptions. */
  deliver(message: Message, publisherId: string | null): void {
    let isKept = false
    /** By session, of those that may have more than one. */
    let several: Map<ClientSession, Subscription[]> | null = null
    this.#filters.match(message.topic, (session, subscription) => {
      if (subscription.noLocal && session.clientId === publisherId) return
      if (session.subscriptions.size === 1) {
        if (session.outbox.deliver(message, deliveryBy(message, subscription))) isKept = true
        return
      }
      several ??= new Map()
      const found = several.get(session)
      if (found) found.push(subscription)
      else several.set(session, [subscription])
    })
    if (several !== null && deliverToEach(message, several)) isKept = true
    if (isKept) message.own()
  }
}

/** @returns whether somebody keeps it */
function deliverToEach(message: Message, several: ReadonlyMap<ClientSession, readonly Subscription[]>): boolean {
  let isKept = false
  for (const [{ outbox }, subscriptions] of several) if (outbox.deliver(message, deliveryOf(message, subscriptions))) isKept = true
  return isKept
}

/** Memory of a subscription: an object, and at the worst a node of its own for each level. Measured: 240 bytes a level. */
function bytesOfFilter(filter: string): number {
  return 200 + levelsOf(filter) * 240 + filter.length
}

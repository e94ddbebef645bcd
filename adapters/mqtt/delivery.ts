// How a message is sent to a session, by those of its subscriptions that match. Not for: which do (topic-tree.ts), sending (outbox.ts).

import type { ClientSession, Subscription } from './client-session.ts'
import type { Delivery, Message } from './message.ts'
import type { LoggedMessage } from './message-log.ts'
import type { Qos } from './packets.ts'
import { matchesFilter } from './topic-tree.ts'

const NO_IDS: readonly number[] = []
export const lower = (one: Qos, other: Qos): Qos => (one < other ? one : other)

export function deliveryBy(message: Message, { qos, id, retainAsPublished }: Subscription): Delivery {
  return {
    qos: lower(message.qos, qos),
    isRetained: retainAsPublished && message.isRetained,
    subscriptionIds: idsOf(id)
  }
}

export const idsOf = (id: number | null): readonly number[] => (id === null ? NO_IDS : [id])

/** The highest QoS, every subscription id. */
export function deliveryOf(message: Message, subscriptions: readonly Subscription[]): Delivery {
  let qos: Qos = 0
  let isRetained = false
  const subscriptionIds: number[] = []
  for (const subscription of subscriptions) {
    if (subscription.qos > qos) qos = subscription.qos
    if (subscription.retainAsPublished && message.isRetained) isRetained = true
    if (subscription.id !== null) subscriptionIds.push(subscription.id)
  }
  return { qos: lower(message.qos, qos), isRetained, subscriptionIds }
}

/** By the subscriptions that the session has now; null = none of them. */
export function deliveryNow({ clientId, subscriptions }: ClientSession, { message, publisherId }: LoggedMessage): Delivery | null {
  const matching: Subscription[] = []
  for (const [filter, subscription] of subscriptions) {
    if (subscription.noLocal && publisherId === clientId) continue
    if (matchesFilter(filter, message.topic)) matching.push(subscription)
  }
  return matching.length === 0 ? null : deliveryOf(message, matching)
}

// The section mqtt_limits of wadi.yaml in the words of the broker. Not for: limits of one listener (mqtt[].limits, gateway.ts), those without a key
// (adapters/mqtt/limits.ts).

import { type BrokerLimits, defaultMqttLimits } from '../adapters/mqtt/limits.ts'
import type { MqttLimitsSection } from './config/schema.ts'

/** What has no key there is not in it. Memory of one client grows with the subscriptions that it may have. */
export function brokerLimits({ retained, queue, sessions, subscriptions }: MqttLimitsSection): Partial<BrokerLimits> {
  const { subscriptionsPerClientMax, subscriptionBytesPerClientMax } = defaultMqttLimits
  return {
    retainedCountMax: retained.messages,
    retainedBytesMax: retained.bytes,
    retainedMessageBytesMax: retained.message,
    queuedPlacesPerClientMax: queue.messages,
    queuedPlacesMax: queue.total,
    sessionsMax: sessions,
    subscriptionsPerClientMax: subscriptions.client,
    subscriptionBytesPerClientMax: Math.ceil((subscriptionBytesPerClientMax / subscriptionsPerClientMax) * subscriptions.client),
    subscriptionBytesMax: subscriptions.memory
  }
}

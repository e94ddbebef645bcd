// What the broker says of itself under $SYS/broker, in the words that dashboards know from Mosquitto. Not for: metrics of the gateway (`wadi metrics`).

import { Message, type MessageFields } from './message.ts'
import type { SessionLayerMetrics } from './session-layer.ts'
import { matchesFilter } from './topic-tree.ts'

export interface SystemFacts {
  readonly version: string
  readonly uptimeSeconds: number
  readonly receivedMessages: number
  readonly sessions: SessionLayerMetrics
}

/** Value by topic. */
function systemTopics({ version, uptimeSeconds, receivedMessages, sessions }: SystemFacts): ReadonlyMap<string, string> {
  const values: Readonly<Record<string, number | string>> = {
    'clients/connected': sessions.clients,
    'clients/disconnected': sessions.sessions - sessions.clients,
    'clients/total': sessions.sessions,
    'publish/messages/dropped': sessions.deliveriesDropped + sessions.offlineDropped,
    'publish/messages/received': receivedMessages,
    'publish/messages/sent': sessions.deliveries,
    'retained messages/count': sessions.retained,
    'subscriptions/count': sessions.subscriptions,
    uptime: `${Math.floor(uptimeSeconds)} seconds`,
    version: `wadi ${version}`
  }
  return new Map(Object.entries(values).map(([name, value]) => [`$SYS/broker/${name}`, String(value)]))
}

/** As messages, which are not stored. */
export function systemFields(facts: SystemFacts): MessageFields[] {
  return [...systemTopics(facts)].map(([topic, value]) => ({
    topic,
    payload: Buffer.from(value),
    qos: 0,
    isRetained: true,
    properties: null
  }))
}

/** Those that `filter` matches, for whoever has just subscribed. */
export function systemMessages(filter: string, facts: SystemFacts): Message[] {
  return systemFields(facts)
    .filter(({ topic }) => matchesFilter(filter, topic))
    .map((fields) => new Message(fields, 0))
}

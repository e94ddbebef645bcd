// What came from Kafka clients, for the registry. Not for: counting (appends.ts, refused-topics.ts), connections (adapters/kafka-server).

import type { Metrics } from '../base/metrics.ts'
import type { Appends } from './appends.ts'
import type { RefusedTopics } from './refused-topics.ts'

export function registerAppends(metrics: Metrics, appends: Pick<Appends, 'counters'>, refused: Pick<RefusedTopics, 'list'>): void {
  const { counters } = appends
  metrics.counter(
    { name: 'wadi_kafka_stored_events_total', help: 'Events of Kafka clients that became durable' },
    () => counters.storedEvents
  )
  metrics.counter(
    { name: 'wadi_kafka_refused_batches_total', help: 'Batches of Kafka clients that were refused' },
    () => counters.refusedBatches
  )
  metrics.counters(
    {
      name: 'wadi_kafka_topic_refused_batches_total',
      help: 'Of the refused batches, by topic: the first 100 pairs of topic and reason',
      labels: ['topic', 'reason']
    },
    () => refused.list.map(({ topic, reason, count }) => [[topic, reason], count] as const)
  )
}

// What the Kafka listener counts, for the registry. Not for: counting, what clients store (runtime/broker/append-metrics.ts).

import { type Metrics, oncePerTurn, seriesOf } from '../../runtime/base/metrics.ts'
import type { KafkaListener, KafkaListenerMetrics } from './listener.ts'

export function registerKafka(metrics: Metrics, kafka: Pick<KafkaListener, 'metrics'>): void {
  const now = oncePerTurn(() => kafka.metrics)
  metrics.gauge({ name: 'wadi_kafka_connections', help: 'Open connections of Kafka clients' }, () => now().connectionCount)
  metrics.counter(
    { name: 'wadi_kafka_accepted_connections_total', help: 'Connections of Kafka clients that were accepted' },
    () => now().acceptedConnections
  )
  metrics.counters(
    {
      name: 'wadi_kafka_closed_connections_total',
      help: 'Connections of Kafka clients that ended; full: refused, as the most were open',
      labels: ['reason']
    },
    () => seriesOf(Object.entries(now().closesByReason))
  )
  metrics.counters({ name: 'wadi_kafka_requests_total', help: 'Requests of Kafka clients', labels: ['api'] }, () =>
    seriesOf(Object.entries(now().requestsByApi))
  )
  metrics.counter(
    { name: 'wadi_kafka_received_bytes_total', unit: 'bytes', help: 'What came from Kafka clients' },
    () => now().receivedBytes
  )
  metrics.counter({ name: 'wadi_kafka_sent_bytes_total', unit: 'bytes', help: 'What was sent to Kafka clients' }, () => now().sentBytes)
  registerBudgets(metrics, now)
}

function registerBudgets(metrics: Metrics, now: () => KafkaListenerMetrics): void {
  metrics.gauge(
    { name: 'wadi_kafka_request_bytes', unit: 'bytes', help: 'Memory that requests in work hold of their common budget' },
    () => now().requestBytes
  )
  metrics.gauge(
    { name: 'wadi_kafka_answer_bytes', unit: 'bytes', help: 'Memory that answers hold of their common budget' },
    () => now().answerBytes
  )
  metrics.gauge({ name: 'wadi_kafka_waiting_requests', help: 'Requests that wait for memory' }, () => now().waitingRequests)
  metrics.gauge({ name: 'wadi_kafka_waiting_answers', help: 'Answers that wait for memory' }, () => now().waitingAnswers)
  metrics.counter({ name: 'wadi_kafka_request_waits_total', help: 'Requests that had to wait for memory' }, () => now().requestWaits)
}

// What ingest counts, for the registry. Not for: counting (ingest.ts).

import { type Metrics, seriesOf } from '../base/metrics.ts'
import type { IngestMetrics } from './ingest.ts'

export function registerIngest(metrics: Metrics, { metrics: ingest }: { readonly metrics: IngestMetrics }): void {
  metrics.counter({ name: 'wadi_ingest_received_events_total', help: 'Events that came in over MQTT' }, () => ingest.received)
  metrics.counter(
    { name: 'wadi_ingest_received_bytes_total', unit: 'bytes', help: 'Payload of the events that came in over MQTT' },
    () => ingest.receivedBytes
  )
  metrics.counter(
    { name: 'wadi_ingest_fast_lane_events_total', help: 'Of the events that came in, those that took the fast lane' },
    () => ingest.receivedByLane
  )
  metrics.counter({ name: 'wadi_ingest_stored_events_total', help: 'Events that became durable, dead letters too' }, () => ingest.stored)
  metrics.counter(
    { name: 'wadi_ingest_dropped_events_total', help: 'Events that no route takes, where routes.unmatched is drop' },
    () => ingest.dropped
  )
  metrics.counters(
    {
      name: 'wadi_ingest_refused_events_total',
      help: 'Events that were refused, by code; unmatched: no route takes them',
      labels: ['reason']
    },
    () => seriesOf(ingest.rejected)
  )
  metrics.counters({ name: 'wadi_ingest_dead_letters_total', help: 'Events that were stored as dead letters', labels: ['reason'] }, () =>
    seriesOf(ingest.deadLettered)
  )
  metrics.counters(
    {
      name: 'wadi_ingest_topic_refused_events_total',
      help: 'Of the refused events that a route takes, by topic: the first 100 pairs of topic and reason',
      labels: ['topic', 'reason']
    },
    () => ingest.refused.list.map(({ topic, reason, count }) => [[topic, reason], count] as const)
  )
  metrics.counters(
    {
      name: 'wadi_ingest_unmatched_events_total',
      help: 'Events that no route takes, by MQTT topic: the first 20, the rest under an empty name',
      labels: ['mqtt_topic']
    },
    () => [
      ...ingest.unrouted.list.map(({ mqttTopic, events }) => [[mqttTopic], events] as const),
      [[''], ingest.unrouted.otherEvents] as const
    ]
  )
  metrics.gauge(
    { name: 'wadi_ingest_in_flight_events', help: 'Events on their way to the disk' },
    () => ingest.inFlightCount + ingest.inLaneCount
  )
  metrics.gauge(
    { name: 'wadi_ingest_in_flight_bytes', unit: 'bytes', help: 'Memory of the events on their way to the disk' },
    () => ingest.inFlightBytes
  )
  metrics.histogram({ name: 'wadi_ingest_ack_seconds', unit: 'seconds', help: 'From the arrival of an event until it was durable' }, () =>
    ingest.ackLatency.histogram()
  )
}

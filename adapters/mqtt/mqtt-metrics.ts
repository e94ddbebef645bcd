// What the MQTT broker counts, for the registry. Not for: counting, events on their way to the log (runtime/broker/ingest-metrics.ts).

import { type Metrics, oncePerTurn, seriesOf } from '../../runtime/base/metrics.ts'
import type { MqttBroker, MqttMetrics } from './mqtt-broker.ts'

type Gauge =
  | 'connections'
  | 'clients'
  | 'sessions'
  | 'subscriptions'
  | 'retained'
  | 'retainedBytes'
  | 'wills'
  | 'queuedBytes'
  | 'queuedPlaces'
  | 'qos2Remembered'
type Counter = Exclude<keyof MqttMetrics, 'closed' | Gauge>

const GAUGES: readonly (readonly [name: string, field: Gauge, help: string])[] = [
  ['connections', 'connections', 'Open MQTT connections'],
  ['clients', 'clients', 'MQTT clients that are connected'],
  ['sessions', 'sessions', 'MQTT sessions, those of absent clients and those without subscriptions included'],
  ['subscriptions', 'subscriptions', 'Subscriptions of all sessions'],
  ['retained_messages', 'retained', 'Retained messages'],
  ['retained_bytes', 'retainedBytes', 'Memory of the retained messages'],
  ['wills', 'wills', 'Wills of connected clients, and delayed ones'],
  ['queued_bytes', 'queuedBytes', 'Memory of what waits for subscribers: messages, and 8 bytes for each that waits in the log'],
  ['queued_messages', 'queuedPlaces', 'Messages that wait in the log for sessions that outlive their connections'],
  ['qos2_remembered_messages', 'qos2Remembered', 'QoS 2 packet ids that wait for their PUBREL']
]

const COUNTERS: readonly (readonly [name: string, field: Counter, help: string])[] = [
  ['accepted_connections', 'acceptedConnections', 'MQTT connections that were accepted'],
  ['qos0_lost_messages', 'qos0Lost', 'QoS 0 messages that storage refused'],
  ['refused_subscriptions', 'subscriptionsRefused', 'Filters that a limit, a right or storage refused to a client, or that are none'],
  ['refused_wills', 'willsDropped', 'Wills that were due and were not sent: refused by a rule, or no room until their client came back'],
  ['qos2_repeats', 'qos2Repeats', 'QoS 2 messages that came again and were stored once'],
  ['qos2_given_up', 'qos2GivenUp', 'QoS 2 packet ids that were forgotten before their PUBREL, for want of room'],
  ['deliveries', 'deliveries', 'Messages that were sent to local subscribers'],
  ['damaged_messages', 'damaged', 'Retained messages and wills that could not be read at the start'],
  ['dropped_deliveries', 'deliveriesDropped', 'Messages that local subscribers did not get: their queue was full'],
  ['dropped_offline_messages', 'offlineDropped', 'Messages for sessions without connection that had no room'],
  ['refused_retained_messages', 'retainedRefused', 'Retained messages that had no room']
]

export function registerMqtt(metrics: Metrics, mqtt: Pick<MqttBroker, 'metrics'>): void {
  const now = oncePerTurn(() => mqtt.metrics)
  for (const [name, field, help] of GAUGES) metrics.gauge({ name: `wadi_mqtt_${name}`, help }, () => now()[field])
  for (const [name, field, help] of COUNTERS) metrics.counter({ name: `wadi_mqtt_${name}_total`, help }, () => now()[field])
  metrics.counters(
    { name: 'wadi_mqtt_closed_connections_total', help: 'MQTT connections that the gateway closed, or that failed', labels: ['reason'] },
    () => seriesOf(now().closed)
  )
}

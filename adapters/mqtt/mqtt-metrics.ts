// What the MQTT broker counts, for the registry. Not for: counting, events on their way to the log (runtime/broker/ingest-metrics.ts).

import { type Metrics, oncePerTurn, seriesOf } from '../../runtime/base/metrics.ts'
import type { MqttBroker, MqttMetrics } from './mqtt-broker.ts'

type Counter = Exclude<keyof MqttMetrics, 'connections' | 'closed' | 'qos2Remembered'>

const COUNTERS: readonly (readonly [name: string, field: Counter, help: string])[] = [
  ['accepted_connections', 'acceptedConnections', 'MQTT connections that were accepted'],
  ['qos0_lost_messages', 'qos0Lost', 'QoS 0 messages that storage refused'],
  ['refused_wills', 'willsRefused', 'Wills that nobody may send any more when they were due'],
  ['qos2_repeats', 'qos2Repeats', 'QoS 2 messages that came again and were stored once'],
  ['qos2_given_up', 'qos2GivenUp', 'QoS 2 packet ids that were forgotten before their PUBREL, for want of room'],
  ['dropped_deliveries', 'deliveriesDropped', 'Messages that local subscribers did not get: their queue was full'],
  ['dropped_offline_messages', 'offlineDropped', 'Messages for sessions without connection that had no room'],
  ['refused_retained_messages', 'retainedRefused', 'Retained messages that had no room']
]

export function registerMqtt(metrics: Metrics, mqtt: Pick<MqttBroker, 'metrics'>): void {
  const now = oncePerTurn(() => mqtt.metrics)
  metrics.gauge({ name: 'wadi_mqtt_connections', help: 'Open MQTT connections' }, () => now().connections)
  for (const [name, field, help] of COUNTERS) metrics.counter({ name: `wadi_mqtt_${name}_total`, help }, () => now()[field])
  metrics.counters(
    { name: 'wadi_mqtt_closed_connections_total', help: 'MQTT connections that the gateway closed, or that failed', labels: ['reason'] },
    () => seriesOf(now().closed)
  )
  metrics.gauge(
    { name: 'wadi_mqtt_qos2_remembered_messages', help: 'QoS 2 packet ids that wait for their PUBREL' },
    () => now().qos2Remembered
  )
}

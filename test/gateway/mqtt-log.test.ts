// Proves for the log of MQTT: what a client does again and again is one line a minute, with how often it was.

import t from 'tap'
import type { MqttEvent } from '../../adapters/mqtt/mqtt-broker.ts'
import { mqttLog } from '../../gateway/mqtt-log.ts'

const notRetained: MqttEvent = {
  kind: 'not-retained',
  reason: 'retained-full',
  detail: '"z/devices": 500000 bytes, at most 393216 of one',
  clientId: 'z2m',
  remoteAddress: '10.0.0.1'
}

t.test('messages that are not retained: a line a minute for each client, with the topic, why, and which key bounds it', (t) => {
  let nowMs = 0
  const lines: string[] = []
  const tell = mqttLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  for (let at = 0; at < 61; at++, nowMs += 1_000) tell(notRetained)
  tell({ ...notRetained, clientId: 'other' })
  const fate = 'is stored and was handed on; it is not retained, and what its topic had is gone (mqtt_limits.retained)'
  const why = '"z/devices": 500000 bytes, at most 393216 of one'
  t.same(lines, [
    `warn a message of z2m (10.0.0.1) ${fate}: ${why}`,
    `warn a message of z2m (10.0.0.1) ${fate}: ${why}, and 59 more before`,
    `warn a message of other (10.0.0.1) ${fate}: ${why}`
  ])
  t.end()
})

t.test('filters that are refused: a line a minute for each client and reason', (t) => {
  let nowMs = 0
  const lines: string[] = []
  const tell = mqttLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  const refused: MqttEvent = { ...notRetained, kind: 'not-subscribed', reason: 'not-authorized', detail: '"d/secret"', clientId: 'reader' }
  for (let at = 0; at < 61; at++, nowMs += 1_000) tell(refused)
  tell({ ...refused, reason: 'subscriptions-full' })
  t.same(lines, [
    'warn refused a subscription of reader (10.0.0.1): not-authorized, "d/secret"',
    'warn refused a subscription of reader (10.0.0.1): not-authorized, "d/secret", and 59 more before',
    'warn refused a subscription of reader (10.0.0.1): subscriptions-full, "d/secret"'
  ])
  t.end()
})

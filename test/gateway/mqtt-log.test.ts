// Proves for the log of MQTT: what a client does again and again is one line a minute, with how often it was.

import t from 'tap'
import type { MqttEvent } from '../../adapters/mqtt/mqtt-broker.ts'
import { mqttLog } from '../../gateway/mqtt-log.ts'

t.test('filters that are refused: a line a minute for each client and reason', (t) => {
  let nowMs = 0
  const lines: string[] = []
  const tell = mqttLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  const refused: MqttEvent = {
    ...{ kind: 'not-subscribed', reason: 'not-authorized', detail: '"d/secret"', clientId: 'reader' },
    remoteAddress: '10.0.0.1'
  }
  for (let at = 0; at < 61; at++, nowMs += 1_000) tell(refused)
  tell({ ...refused, reason: 'subscriptions-full' })
  t.same(lines, [
    'warn refused a subscription of reader (10.0.0.1): not-authorized, "d/secret"',
    'warn refused a subscription of reader (10.0.0.1): not-authorized, "d/secret", and 59 more before',
    'warn refused a subscription of reader (10.0.0.1): subscriptions-full, "d/secret"'
  ])
  t.end()
})

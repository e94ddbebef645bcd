// Proves for the log of messages that are not retained: one line a minute for each client, with every topic up to five by name, and why; nothing is left untold at the
// end.

import t from 'tap'
import { NotRetainedLog } from '../../gateway/not-retained-log.ts'

const why = '500000 bytes, at most 393216 of one'
const FATE = 'is stored and was handed on; it is not retained, and what its topic had is gone (mqtt_limits.retained)'
const FATES = 'are stored and were handed on; they are not retained, and what their topics had is gone (mqtt_limits.retained)'

t.test('all topics that were refused, not the first one alone', (t) => {
  let nowMs = 5
  const lines: string[] = []
  const log = new NotRetainedLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  const note = (topic: string, clientId = 'z2m'): void => log.note({ clientId, remoteAddress: '10.0.0.1', topic, why })
  note('z/devices')
  log.look()
  for (let second = 0; second < 60; second++, nowMs += 1_000) {
    note('z/devices')
    if (second === 30) note('z/groups')
    log.look()
  }
  log.look()
  for (let count = 0; count < 8; count++) note(`a/${count}`, 'many')
  log.note({ clientId: 'gone', remoteAddress: null, topic: 'a', why })
  log.look()
  note('z/last')
  log.close()
  log.close()
  t.same(lines, [
    `warn a message of z2m (10.0.0.1) ${FATE}: "z/devices": ${why}`,
    `warn 61 messages of z2m (10.0.0.1) ${FATES}: "z/devices": ${why}; "z/groups": ${why}`,
    `warn 8 messages of many (10.0.0.1) ${FATES}: ${[0, 1, 2, 3, 4].map((count) => `"a/${count}": ${why}`).join('; ')}; and 3 other topics`,
    `warn a message of gone (its will) ${FATE}: "a": ${why}`,
    `warn a message of z2m (10.0.0.1) ${FATE}: "z/last": ${why}`
  ])
  t.end()
})

t.test('a client with a topic for each message takes bounded memory', (t) => {
  const lines: string[] = []
  const log = new NotRetainedLog((_, words) => void lines.push(words))
  for (let count = 0; count < 5_000; count++) log.note({ clientId: 'c', remoteAddress: '10.0.0.1', topic: `t/${count}`, why: 'full' })
  log.close()
  t.match(lines[0], /^5,000 messages of c .*; and at least 995 other topics$/)
  t.end()
})

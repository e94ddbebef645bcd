// Proves for the log of dropped messages: one line a minute for each client, with the count and why; nothing is left untold at the end.

import t from 'tap'
import { DroppedLog } from '../../gateway/dropped-log.ts'

t.test('a line a minute for each client, with how many and why; the first at once, the rest at the end', (t) => {
  let nowMs = 5
  const lines: string[] = []
  const dropped = new DroppedLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  dropped.note('a', 'slow')
  dropped.look()
  for (let second = 0; second < 60; second++) {
    for (let count = 0; count < 50; count++) dropped.note('a', second === 7 ? 'too-large' : 'slow')
    nowMs += 1_000
    dropped.look()
  }
  for (let count = 0; count < 3; count++) dropped.note('b', 'away')
  dropped.look()
  dropped.note('b', 'gone')
  dropped.close()
  dropped.close()
  t.same(lines, [
    'warn dropped a message for the subscriber a: it reads or acknowledges too slowly',
    'warn dropped 3,000 messages for the subscriber a: 2,950: it reads or acknowledges too slowly; 50: larger than it takes',
    'warn dropped 3 messages for the subscriber b: it is away and no more may wait (mqtt_limits.queue)',
    'warn dropped a message for the subscriber b: gone from the log before it came'
  ])
  t.end()
})

t.test('above a hundred clients the others share a line; who drops no more makes room', (t) => {
  let nowMs = 0
  const lines: string[] = []
  const dropped = new DroppedLog(
    (_, words) => void lines.push(words),
    () => nowMs
  )
  for (let at = 0; at < 150; at++) dropped.note(`c${at}`, 'slow')
  dropped.look()
  t.equal(lines.length, 101)
  t.equal(lines.at(-1), 'dropped 50 messages for the subscriber other clients: it reads or acknowledges too slowly')
  nowMs += 60_000
  dropped.look()
  dropped.note('c120', 'slow')
  dropped.look()
  t.equal(lines.at(-1), 'dropped a message for the subscriber c120: it reads or acknowledges too slowly')
  dropped.close()
  t.end()
})

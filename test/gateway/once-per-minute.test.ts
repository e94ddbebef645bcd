import t from 'tap'
import { closesLog, fullLog } from '../../gateway/kafka.ts'
import { oncePerMinute } from '../../gateway/once-per-minute.ts'
import { takeoverLog } from '../../gateway/takeover-log.ts'

const MINUTE_MS = 60_000

t.test('a happening is due once a minute and says how often it was left out; others do not wait for it', (t) => {
  let nowMs = 5
  const isDue = oncePerMinute(() => nowMs)
  t.same([isDue('a'), isDue('b'), isDue('a'), isDue('a')], [0, 0, null, null])
  nowMs += MINUTE_MS - 1
  t.equal(isDue('a'), null)
  nowMs += 1
  t.same([isDue('a'), isDue('a'), isDue('b')], [3, null, 0])
  t.end()
})

t.test('names are kept for a hundred happenings, the oldest goes', (t) => {
  const isDue = oncePerMinute(() => 0)
  for (let at = 0; at < 100; at++) isDue(`${at}`)
  t.same([isDue('0'), isDue('new'), isDue('1'), isDue('0')], [null, 0, null, 0])
  t.end()
})

t.test('two clients that take one id from each other all the time fill no log', (t) => {
  let nowMs = 0
  const lines: string[] = []
  const tell = takeoverLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  const addresses = ['10.0.0.1', '10.0.0.2'] as const
  for (let at = 0; at < 1_000; at++, nowMs += 100)
    tell({ clientId: 'twin', remoteAddress: addresses[at % 2] as string, previousAddress: addresses[(at + 1) % 2] as string })
  tell({ clientId: 'other', remoteAddress: '10.0.0.3', previousAddress: '10.0.0.3' })
  t.same(lines, [
    'warn client twin took over: 10.0.0.1 is connected with this id now, 10.0.0.2 was closed',
    'warn client twin took over: 10.0.0.1 is connected with this id now, 10.0.0.2 was closed; 599 more times since that was told last',
    'info client other took over: 10.0.0.3 is connected with this id now, its connection before was closed'
  ])
  t.end()
})

t.test('clients that are refused because a shared bound is used up: each bound once a minute, with who has the room', (t) => {
  let nowMs = 0
  let asked = 0
  const lines: string[] = []
  const onFull = fullLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  const holders = (): string => `${++asked} of them`
  for (let at = 0; at < 601; at++, nowMs += 100) onFull('committed offsets', holders)
  onFull('transactions', holders)
  t.same(lines, [
    'warn refused a Kafka client: no room for more committed offsets; there are 1 of them',
    'warn refused a Kafka client, as 599 others since that was told last: no room for more committed offsets; there are 2 of them',
    'warn refused a Kafka client: no room for more transactions; there are 3 of them'
  ])
  t.equal(asked, 3, 'who has the room is looked for only when it is told')
  t.end()
})

t.test('closed connections of Kafka clients: usual ends are not told, others once a minute for each reason and host', (t) => {
  let nowMs = 0
  const lines: string[] = []
  const onClose = closesLog(
    (level, words) => void lines.push(`${level} ${words}`),
    () => nowMs
  )
  for (const reason of ['peer', 'idle', 'shutdown'] as const) onClose(reason, 'as every day', '10.0.0.1:1')
  for (let port = 1; port <= 601; port++, nowMs += 100) onClose('malformed', 'no length', `10.0.0.1:${port}`)
  onClose('slow-reader', 'it reads nothing', '10.0.0.1:700')
  onClose('malformed', 'no length', '[fd00::1]:2')
  t.same(lines, [
    'warn closed the connection of the Kafka client 10.0.0.1:1: malformed, no length',
    'warn closed the connection of the Kafka client 10.0.0.1:601: malformed, no length; 599 more from there since that was told last',
    'warn closed the connection of the Kafka client 10.0.0.1:700: slow-reader, it reads nothing',
    'warn closed the connection of the Kafka client [fd00::1]:2: malformed, no length'
  ])
  t.end()
})

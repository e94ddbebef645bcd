// Proves for bin/event-format.ts and bin/visible-text.ts: what devices send stays on its line and out of the terminal's controls, and can be told apart.

import t from 'tap'
import { jsonFormat, missingJson, missingText, percentFormat, textFormat } from '../../bin/event-format.ts'
import { parsePointInTime } from '../../bin/point-in-time.ts'
import type { TailEvent } from '../../gateway/tail-feed.ts'

const encode = (content: string | Uint8Array): string => Buffer.from(content).toString('base64')

const event: TailEvent = {
  topic: 'telemetry',
  partition: 3,
  offset: 17,
  timestampMs: Date.UTC(2026, 10, 20, 23, 58, 9, 1),
  key: encode('a/press-7'),
  value: encode('{"v":1}'),
  headers: [
    ['mqtt.topic', encode('plant/a')],
    ['none', null]
  ]
}

const toText = textFormat({ widthMax: null })
const raw = (format: string, of: TailEvent = event): string => Buffer.from(percentFormat(format, { isTerminal: false })(of)).toString()

t.test('an event as a line and as JSON', async (t) => {
  t.equal(toText(event), '2026-11-20T23:58:09.001Z telemetry:3@17 plant/a a/press-7 {"v":1}\n')
  t.equal(toText({ ...event, key: null, value: null, headers: [] }), '2026-11-20T23:58:09.001Z telemetry:3@17 - - -\n')
  t.same(JSON.parse(jsonFormat(event)), {
    topic: 'telemetry',
    partition: 3,
    offset: 17,
    timestampMs: event.timestampMs,
    key: 'a/press-7',
    value: '{"v":1}',
    headers: { 'mqtt.topic': 'plant/a', none: null }
  })
})

/** What a terminal obeys, or does not show. */
const TRICKS = ['a\nb', '\x1b[2J', '\u009b2J', '\x7f', '\u202eabc', '\u2066x', '\u200b', '\u2028', '\ufeff', '\u{e0041}', 'a\tb', '\0']

t.test('a device cannot forge a line, move the cursor or hide text', async (t) => {
  for (const [index, trick] of TRICKS.entries()) {
    const bad: TailEvent = { ...event, key: encode(trick), value: encode(trick), headers: [['mqtt.topic', encode(trick)]] }
    const onTerminal = Buffer.from(percentFormat('%k %s %h', { isTerminal: true })(bad)).toString()
    for (const line of [toText(bad).slice(0, -1), jsonFormat(bad).slice(0, -1), onTerminal])
      t.notMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, `trick ${index}`)
    t.same(JSON.parse(toText(bad).slice(0, -1).split(' ').at(-1) ?? ''), trick, 'and it can be read back')
    t.match(JSON.parse(jsonFormat(bad)), { key: trick, value: trick, headers: { 'mqtt.topic': trick } })
  }
  t.match(toText({ ...event, key: encode('k 17 forged') }), / "k 17 forged" \{/, 'a column with a space in it')
})

t.test('binary, nothing, and text that looks like them are told apart', async (t) => {
  const shown = (value: string | Uint8Array | null): string =>
    toText({ ...event, value: value === null ? null : encode(value) }).split(' a/press-7 ')[1] ?? ''
  t.equal(shown(Buffer.from([0xff, 0])), 'base64:/wA=\n')
  t.equal(shown('base64:/wA='), '"base64:/wA="\n')
  t.equal(shown(null), '-\n')
  t.equal(shown('-'), '"-"\n')
  t.equal(shown(''), '""\n')
  t.equal(shown('"x"'), '"\\"x\\""\n')
  t.equal(shown('21.5 °C'), '21.5 °C\n')
  const header = (value: string | Uint8Array): unknown => JSON.parse(jsonFormat({ ...event, headers: [['h', encode(value)]] })).headers.h
  t.same(header(Buffer.from([0xff, 0])), { base64: '/wA=' })
  t.same(header('base64:/wA='), 'base64:/wA=')
  t.match(JSON.parse(jsonFormat({ ...event, key: null, value: encode(Buffer.from([0xff, 0])) })), { key: null, valueBase64: '/wA=' })
})

t.test('a line is cut at the width, with the size of the value', async (t) => {
  const line = textFormat({ widthMax: 100 })({ ...event, value: encode('x'.repeat(3000)) })
  t.match(line, /^2026\S+ telemetry:3@17 plant\/a a\/press-7 x+ … 2\.9 KiB\n$/)
  t.equal(line.length, 101)
  t.equal(textFormat({ widthMax: 100 })(event), toText(event))
  t.match(textFormat({ widthMax: 10 })({ ...event, value: encode('x'.repeat(3000)) }), / x{16} … 2\.9 KiB\n$/, 'a narrow one')
})

t.test("kcat's letters, and rpk's where kcat has none", async (t) => {
  t.equal(
    raw('%t:%p@%o %k=%s %v %d{iso} %h %%\\n\\t\\x41|'),
    'telemetry:3@17 a/press-7={"v":1} {"v":1} 2026-11-20T23:58:09.001Z mqtt.topic=plant/a,none=NULL %\n\tA|'
  )
  t.equal(raw('%T %d'), `${event.timestampMs} ${event.timestampMs}`)
  t.equal(raw('%K %S'), '9 7')
  t.equal(raw('%K %S[%k][%s]', { ...event, key: null, value: null }), '-1 -1[][]')
  const bytes = Buffer.from([0xff, 0x00, 0x0a, 0x1b])
  t.same(Buffer.from(percentFormat('%v', { isTerminal: false })({ ...event, value: encode(bytes) })), bytes, 'as they are')
  t.throws(() => percentFormat('%q', { isTerminal: false }), { code: 'WADI_USAGE', message: /"%q", which is not known/ })
})

t.test('what is missing has a form of its own', async (t) => {
  const range = { topicName: 'plant', partitionIndex: 0, startOffset: 20, endOffset: 40, reason: 'damage' } as const
  t.same(JSON.parse(missingJson(range)), {
    kind: 'missing',
    topic: 'plant',
    partition: 0,
    firstOffset: 20,
    lastOffset: 39,
    reason: 'damage'
  })
  t.equal(missingText(range), 'plant-0: offsets 20 to 39 are missing (damage of the storage device)')
  t.equal(missingText({ ...range, endOffset: 21 }), 'plant-0: offset 20 is missing (damage of the storage device)')
})

t.test('a moment as people write it', async (t) => {
  const nowMs = new Date(2026, 10, 25, 12, 0, 0).getTime()
  const at = (text: string): number => parsePointInTime('since', text, nowMs)
  t.equal(at('1h'), nowMs - 3_600_000)
  t.equal(at('2.5d'), nowMs - 2.5 * 86_400_000)
  t.equal(at('10:30'), new Date(2026, 10, 25, 10, 30).getTime())
  t.equal(at('2026-11-24'), new Date(2026, 10, 24).getTime())
  t.equal(at('2026-11-24 08:15'), new Date(2026, 10, 24, 8, 15).getTime())
  t.equal(at('2026-11-24T08:15:30Z'), Date.UTC(2026, 10, 24, 8, 15, 30))
  t.equal(at('@1700000000000'), 1_700_000_000_000)
  t.throws(() => at('@1700000000'), { code: 'WADI_USAGE', message: /looks like seconds/ })
  for (const wrong of ['', 'yesterday', '5', '25:00', '1x', '2026-13-40T10:00', '-1h'])
    t.throws(() => at(wrong), { code: 'WADI_USAGE', message: /--since is "/ }, wrong)
})

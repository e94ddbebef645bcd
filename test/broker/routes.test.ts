// Proves for runtime/broker/routes.ts: which route takes an event and what record it becomes; every problem of a table is reported
// with its place; the matcher agrees with an independent one (qlobber) on random filters and topics.

import { createRequire } from 'node:module'
import t from 'tap'
import { payloadDecoders } from '../../adapters/mqtt/payload.ts'
import { fieldTimeMs } from '../../runtime/broker/payload-field.ts'
import { coversFilter, matchFilter, parseFilter, type RouteFilter } from '../../runtime/broker/route-filter.ts'
import { compileRoutes, type Mapping, type RouteConfig, type RoutesConfig } from '../../runtime/broker/routes.ts'
import { headersOf, textOf } from '../mqtt/controlled-store.ts'
import { Prng, seeds } from '../sim/prng.ts'

const { Qlobber } = createRequire(import.meta.url)('qlobber') as {
  Qlobber: new (options: object) => { add(filter: string, value: number): void; match(topic: string): number[] }
}
const ARRIVAL_MS = 1_700_000_000_000

function compile(routes: RouteConfig[], rest: Partial<RoutesConfig> = {}) {
  return compileRoutes({ routes, unmatched: { action: 'reject' }, deadLetter: '_wadi.dlq', ...rest }, payloadDecoders)
}

function problemsOf(route: Partial<RouteConfig>): string[] {
  return compile([{ name: null, filter: 'a/+b', topic: 'x', key: null, ...route }]).problems.map(
    ({ path, message }) => `${path} ${message}`
  )
}

function recordOf(mapping: Mapping) {
  if (mapping.kind === 'unmatched') throw new Error(`unmatched, ${mapping.action}`)
  const { topicName, record } = mapping
  return {
    topicName,
    key: record.key && textOf(record.key),
    value: textOf(record.value),
    timestampMs: record.timestampMs,
    headers: headersOf(record)
  }
}

const event = (mqttTopic: string, payload = 'v', clientId = 'c1') => ({ mqttTopic, clientId, payload: Buffer.from(payload) })
const telemetry: RouteConfig = {
  name: 'telemetry',
  filter: 'plant/+site/+device/#metric',
  topic: 'telemetry',
  key: '{site}/{device}',
  headers: { metric: '{metric}' }
}

t.test('named wildcards make key and headers, topic and client travel along, the payload is untouched', async (t) => {
  const { table, problems } = compile([telemetry])
  t.same(problems, [])
  t.same(recordOf(table.map(event('plant/a/press-7/temp/left', 'x', 'dev-1'), ARRIVAL_MS)), {
    topicName: 'telemetry',
    key: 'a/press-7',
    value: 'x',
    timestampMs: ARRIVAL_MS,
    headers: { 'mqtt.topic': 'plant/a/press-7/temp/left', 'mqtt.client': 'dev-1', metric: 'temp/left' }
  })
  t.equal(
    recordOf(table.map(event('plant/a/press-7/temp/left', 'x', 'dev-2'), 1)).headers['mqtt.client'],
    'dev-2',
    'the same topic from another client'
  )
  t.equal(
    recordOf(table.map(event('plant/a/press-7/temp/left', 'x', 'dev-1'), 1)).headers['mqtt.client'],
    'dev-1',
    'and from the first again'
  )
  t.equal(recordOf(table.map(event('plant/a/b'), 1)).headers.metric, '', '# matches its parent')
  t.same(table.hits, [{ name: 'telemetry', count: 4 }])
})

t.test('the first route that matches takes the event', async (t) => {
  const { table } = compile([{ name: 'alarms', filter: 'plant/+/+/alarm', topic: 'alarms', key: null }, telemetry])
  t.equal(recordOf(table.map(event('plant/a/b/alarm'), 1)).topicName, 'alarms')
  t.equal(recordOf(table.map(event('plant/a/b/alarm'), 1)).key, null)
  t.equal(recordOf(table.map(event('plant/a/b/alarms'), 1)).topicName, 'telemetry')
})

t.test('an event without a route meets the policy', async (t) => {
  t.same(compile([telemetry]).table.map(event('other'), 1), { kind: 'unmatched', action: 'reject' })
  t.same(compile([telemetry], { unmatched: { action: 'drop' } }).table.map(event('other'), 1), { kind: 'unmatched', action: 'drop' })
  const { table } = compile([telemetry], { unmatched: { topic: 'misc' } })
  t.same(recordOf(table.map(event('other'), 7)), {
    topicName: 'misc',
    key: null,
    value: 'v',
    timestampMs: 7,
    headers: { 'mqtt.topic': 'other', 'mqtt.client': 'c1' }
  })
  t.same(table.topicNames, ['telemetry', 'misc', '_wadi.dlq'])
})

t.test('names from Object.prototype are plain topics and fields', async (t) => {
  const { table } = compile([{ name: null, filter: '+a/#', topic: 'x', key: '{a}:{payload.constructor}', value: { decode: 'json' } }])
  for (const word of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    t.equal(recordOf(table.map(event(word, '{"constructor":"own"}'), 1)).key, `${word}:own`)
    t.equal(table.map(event(word, '{}'), 1).kind, 'dead-letter', 'an inherited property is not a field')
  }
})

t.test('fields of JSON and CBOR make key, headers and time', async (t) => {
  const route: RouteConfig = {
    name: 'f',
    filter: 'd/+dev',
    topic: 'x',
    key: '{dev}/{payload.unit.0}',
    headers: { sev: '{payload.a.b}', who: '{mqtt.client}' },
    time: { from: '$.ts', unit: 'auto', else: 'reject' },
    value: { decode: 'json', require: ['$.a.b', 'unit'] }
  }
  const { table, problems } = compile([route])
  t.same(problems, [])
  const good = recordOf(table.map(event('d/1', '{"a":{"b":3},"unit":["C"],"ts":1700000001}'), ARRIVAL_MS))
  t.match(good, { key: '1/C', timestampMs: 1_700_000_001_000, headers: { sev: '3', who: 'c1' } })
  const faults: Record<string, string> = {
    '{"a":{"b":3},"unit":["C"],"ts"': 'payload-undecodable',
    '\xff': 'payload-undecodable',
    '{"a":{"b":null},"unit":["C"],"ts":1}': 'field-missing',
    '{"a":{"b":3},"unit":[],"ts":1}': 'field-missing',
    '{"a":{"b":3},"unit":["C"]}': 'time-unusable',
    '{"a":{"b":3},"unit":["C"],"ts":"soon"}': 'time-unusable'
  }
  for (const [payload, fault] of Object.entries(faults)) {
    const mapping = table.map({ mqttTopic: 'd/1', clientId: 'c1', payload: Buffer.from(payload, 'latin1') }, ARRIVAL_MS)
    t.match(mapping, { kind: 'dead-letter', fault }, payload)
    const dead = recordOf(mapping)
    t.match(dead, {
      topicName: '_wadi.dlq',
      timestampMs: ARRIVAL_MS,
      headers: { 'mqtt.topic': 'd/1', 'mqtt.client': 'c1', 'wadi.route': 'f' }
    })
    t.ok(dead.headers['wadi.error']?.startsWith(`${fault}: `), `the header names ${fault}`)
    t.notMatch(dead.headers['wadi.error'] ?? '', /[\u0000-\u001f]/)
  }
  const cbor = compile([{ ...route, value: { decode: 'cbor' } }]).table
  // {"a":{"b":3},"unit":["C"],"ts":1700000001} by hand
  const bytes = Buffer.from('a36161a161620364756e6974816143627473' + '1a6553f101', 'hex')
  t.match(recordOf(cbor.map({ mqttTopic: 'd/1', clientId: 'c1', payload: bytes }, 1)), { key: '1/C', timestampMs: 1_700_000_001_000 })
  t.match(cbor.map({ mqttTopic: 'd/1', clientId: 'c1', payload: bytes.subarray(0, 9) }, 1), { fault: 'payload-undecodable' })
  t.match(
    cbor.map({ mqttTopic: 'd/1', clientId: 'c1', payload: Buffer.alloc(200_000, 0x81) }, 1),
    { fault: 'payload-undecodable' },
    'nested 200,000 deep'
  )
})

t.test('a time that cannot be believed is replaced by the arrival, or refused, as the route says', async (t) => {
  const route = (otherwise: 'arrival' | 'reject'): RouteConfig => ({
    ...telemetry,
    headers: {},
    time: { from: '$.ts', unit: 'ms', maxSkewMs: 1000, else: otherwise }
  })
  const { table } = compile([route('arrival')])
  const at = (payload: string): number => recordOf(table.map(event('plant/a/b/c', payload), ARRIVAL_MS)).timestampMs
  t.equal(at(`{"ts":${ARRIVAL_MS + 1000}}`), ARRIVAL_MS + 1000)
  t.equal(at(`{"ts":${ARRIVAL_MS + 1001}}`), ARRIVAL_MS)
  t.equal(at('{"ts":5}'), 5, 'old events keep their time')
  t.equal(at('not json'), ARRIVAL_MS, 'the payload need not be JSON when there is another time')
  const strict = compile([route('reject')]).table
  t.match(strict.map(event('plant/a/b/c', 'not json'), ARRIVAL_MS), { fault: 'payload-undecodable' })
  t.match(strict.map(event('plant/a/b/c', `{"ts":${ARRIVAL_MS + 1001}}`), ARRIVAL_MS), { fault: 'time-unusable' })
})

t.test('times are read by unit', async (t) => {
  const cases: [unknown, 'ms' | 's' | 'auto' | 'iso', number | null][] = [
    [1.5, 's', 1500],
    [1_700_000_000, 'auto', 1_700_000_000_000],
    [1_700_000_000_123, 'auto', 1_700_000_000_123],
    [1_700_000_000_123_456, 'auto', 1_700_000_000_123],
    [1_700_000_000_123_456_789n, 'auto', 1_700_000_000_123],
    ['1700000000', 's', 1_700_000_000_000],
    ['2026-11-20T23:58:09.5Z', 'auto', Date.UTC(2026, 10, 20, 23, 58, 9, 500)],
    ['2024-02-29T00:00:00+02:00', 'iso', Date.UTC(2024, 1, 28, 22)],
    ['2023-02-29T00:00:00Z', 'iso', null],
    [new Date(77), 'auto', 77],
    [-1, 'ms', null],
    [Number.NaN, 'ms', null],
    [2 ** 60, 'ms', null],
    ['', 'auto', null],
    [true, 'auto', null],
    [null, 'auto', null],
    [{}, 'auto', null]
  ]
  for (const [value, unit, expected] of cases) t.equal(fieldTimeMs(value, unit), expected, `${String(value)} in ${unit}`)
  const prng = new Prng(7)
  const times = Array.from({ length: 2000 }, () => prng.below(4_000_000_000) * 1000 + prng.below(1000))
  t.same(
    times.filter((ms) => fieldTimeMs(new Date(ms).toISOString(), 'iso') !== ms),
    []
  )
})

t.test('every problem of a route is told with its place', async (t) => {
  t.match(problemsOf({ filter: '' }), [/^routes\[0\]\.filter is empty\. In YAML a bare # starts a comment/])
  t.match(problemsOf({ filter: 'a/b+' }), [/^routes\[0\]\.filter has "b\+"/])
  t.match(problemsOf({ filter: 'a/#x/b' }), [/before the end/])
  t.match(problemsOf({ filter: '+x/+x' }), [/uses the name "x" twice/])
  t.match(problemsOf({ filter: '+1' }), [/names a wildcard "1"/])
  t.match(problemsOf({ key: undefined }), [/^routes\[0\]\.key is missing/])
  t.match(problemsOf({ key: '' }), [/^routes\[0\]\.key is empty/])
  t.match(problemsOf({ key: '{devcie}' }), [/^routes\[0\]\.key uses \{devcie\}, which the filter does not define \(it has: b;/])
  t.match(problemsOf({ key: '{b' }), [/"\{" without "\}"/])
  t.match(problemsOf({ key: 'b}' }), [/"\}" without "\{"/])
  t.match(problemsOf({ topic: 'with space' }), [/^routes\[0\]\.topic is "with space"/])
  t.match(problemsOf({ topic: '{payload.x}' }), [/^routes\[0\]\.topic uses the payload/])
  t.match(problemsOf({ headers: { 'wadi.id': 'x' } }), [/^routes\[0\]\.headers\.wadi\.id is ours/])
  t.match(problemsOf({ headers: { h: '{nope}' } }), [/^routes\[0\]\.headers\.h uses \{nope\}/])
  t.match(problemsOf({ time: { from: 'ts', unit: 'ms', else: 'arrival' } }), [/^routes\[0\]\.time\.from is "ts"/])
  t.match(problemsOf({ value: { decode: 'raw', require: ['x'] } }), [/^routes\[0\]\.value\.require needs/])
  t.match(problemsOf({ value: { decode: 'json', require: ['a..b'] } }), [/^routes\[0\]\.value\.require\[0\]/])
  t.equal(problemsOf({ key: '{nope}', topic: '', headers: { h: '}' } }).length, 3, 'all at once')
  t.match(compile([], { deadLetter: '..', unmatched: { topic: 'a b' } }).problems, [
    { path: 'dead_letter.topic' },
    { path: 'unmatched.topic' }
  ])
})

t.test('a route that can never match is a warning, a name used twice is an error', async (t) => {
  const { problems } = compile([
    telemetry,
    { name: 'late', filter: 'plant/+a/+b/x', topic: 'y', key: null },
    { ...telemetry, filter: 'q', key: null, headers: {} }
  ])
  t.match(problems, [
    { path: 'routes[2].name', severity: 'error' },
    { path: 'routes[1].filter', severity: 'warning', message: 'can never match: routes[0] "telemetry" covers plant/+a/+b/x before it' }
  ])
})

t.test('a topic may be a template; what makes no topic name goes to the dead letters', async (t) => {
  const { table } = compile([{ name: null, filter: 's/+site', topic: 'site.{site}', key: null }])
  t.equal(recordOf(table.map(event('s/a'), 1)).topicName, 'site.a')
  t.match(table.map(event('s/a b'), 1), { kind: 'dead-letter', fault: 'topic-invalid' })
  t.match(table.map(event('s/a b'), 1), { kind: 'dead-letter', fault: 'topic-invalid' }, 'from the cache too')
})

t.test('a million MQTT topics do not make the table grow without bound', async (t) => {
  const { table } = compile([telemetry])
  for (let index = 0; index < 100_000; index++) table.map(event(`plant/a/d${index}/t`, 'v', `c${index}`), 1)
  t.equal(recordOf(table.map(event('plant/a/d0/t', 'v', 'c0'), 1)).key, 'a/d0')
  t.equal(recordOf(table.map(event('plant/a/d99999/t', 'v', 'c0'), 1)).key, 'a/d99999')
})

const words = ['a', 'b', '', '$x', 'constructor']
const randomTopic = (prng: Prng): string => Array.from({ length: prng.between(1, 4) }, () => prng.pick(words)).join('/')
function randomFilter(prng: Prng): string {
  const levels = Array.from({ length: prng.between(1, 4) }, () => (prng.chance(35) ? '+' : prng.pick(words)))
  if (prng.chance(30)) levels.push('#')
  return levels.join('/')
}

for (const seed of seeds({ count: 20 })) {
  t.test(`the matcher agrees with qlobber, and covering is what it says (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    for (let round = 0; round < 300; round++) {
      const source = randomFilter(prng)
      if (source === '') continue
      const filter = parseFilter(source) as RouteFilter
      const other = parseFilter(randomFilter(prng) || 'a') as RouteFilter
      const oracle = new Qlobber({ separator: '/', wildcard_one: '+', wildcard_some: '#', match_empty_levels: true })
      oracle.add(source, 1)
      for (let attempt = 0; attempt < 10; attempt++) {
        const topic = randomTopic(prng)
        if (topic === '') continue
        const levels = topic.split('/')
        const isHidden = topic.startsWith('$') && /^[+#]/.test(source)
        const expected = !isHidden && oracle.match(topic).length > 0
        if ((matchFilter(filter, levels) !== null) !== expected) t.fail(`${source} and ${topic}: expected ${expected}`)
        if (coversFilter(filter, other) && matchFilter(other, levels) !== null && matchFilter(filter, levels) === null) {
          t.fail(`${source} is said to cover ${other.source} but not ${topic}`)
        }
      }
    }
    t.pass('agreed')
  })
}

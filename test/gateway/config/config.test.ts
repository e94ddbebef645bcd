// wadi.yaml: what a person gets told. Each message stands here as a promise.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { formatProblem, loadConfig, readConfig } from '../../../gateway/config/load.ts'
import { mergedTopic } from '../../../gateway/config/rules.ts'
import { editDistance, nearestWord } from '../../../gateway/config/suggest.ts'
import { topicConfigOf } from '../../../gateway/topics-setup.ts'
import { verdictFor } from '../../../runtime/log/retention.ts'

const minimal = `
mqtt: [{ listen: "127.0.0.1:1883" }]
routes: [{ filter: "#rest", topic: events, key: none }]
`

const problemsOf = (source: string, environment: Record<string, string> = {}): string[] =>
  readConfig(source, { fileName: 'wadi.yaml', environment }).problems.map((problem) => formatProblem(problem, 'wadi.yaml'))

t.test('a small file is complete: the rest are defaults', async (t) => {
  const config = loadConfig(minimal, { fileName: 'wadi.yaml', environment: {} })
  t.match(config, {
    gateway: { id: 'wadi', data: './wadi-data' },
    storage: { quota: null, linger: 2, journal: { files: 2, file_size: 32 * 2 ** 20 }, seal: { bytes: 256 * 1024, age: 10_000 } },
    mqtt: [
      {
        listen: { host: '127.0.0.1', port: 1883 },
        insecure: false,
        limits: { packet: 512 * 1024, connections: 1000, connections_per_address: 500 }
      }
    ],
    routes: [{ name: null, filter: '#rest', topic: 'events', key: 'none', time: null, value: { decode: 'raw', require: [] } }],
    unmatched: { action: 'reject', topic: null },
    dead_letter: { topic: '_wadi.dlq' },
    kafka: null,
    upstream: null
  })
})

t.test('kafka: what is left out has defaults, and every key arrives', async (t) => {
  const kafkaOf = (text: string) => loadConfig(`${minimal}kafka: ${text}`, { fileName: 'wadi.yaml', environment: {} }).kafka
  t.same(kafkaOf('{ listen: "127.0.0.1:9092" }'), {
    listen: { host: '127.0.0.1', port: 9092 },
    advertised: null,
    insecure: false,
    tls: null,
    create_topics: true,
    default_partitions: 1,
    delete_topics: true,
    limits: { connections: 250, memory: 16 * 2 ** 20, partitions: 1000 }
  })
  const full =
    '{ listen: "0.0.0.0:9092", advertised: "edge:19092", insecure: true, create_topics: false, default_partitions: 4, delete_topics: false, limits: { connections: 9, memory: 4MiB, partitions: 8 } }'
  t.same(kafkaOf(full), {
    listen: { host: '0.0.0.0', port: 9092 },
    advertised: { host: 'edge', port: 19_092 },
    insecure: true,
    tls: null,
    create_topics: false,
    default_partitions: 4,
    delete_topics: false,
    limits: { connections: 9, memory: 4 * 2 ** 20, partitions: 8 }
  })
})

t.test('kafka: slips are named; an address for everybody needs "insecure: true", one that nobody can connect to is refused', async (t) => {
  const kafka = (text: string): string[] => problemsOf(`${minimal}kafka: ${text}`)
  t.match(kafka('{ advertised: "a:1" }'), [/kafka\.listen is missing: host:port for Kafka clients/])
  t.match(kafka('{ listen: "127.0.0.1:9092", advertized: "a:1" }'), [
    /kafka\.advertized is not a known key \(did you mean "advertised"\?\)/
  ])
  t.match(kafka('{ listen: "9092" }'), [/kafka\.listen is "9092", expected host:port/])
  t.match(kafka('{ listen: "127.0.0.1:1883" }'), [/kafka\.listen is 127\.0\.0\.1:1883, which mqtt\[0\] already has/])
  t.match(kafka('{ listen: "192.168.1.2:9092" }'), [/everybody on the network could read and write.*insecure: true/])
  t.same(kafka('{ listen: "192.168.1.2:9092", insecure: true }'), [])
  for (const address of ['0.0.0.0:9092', '[::]:9092', '[0:0:0:0:0:0:0:0]:9092']) {
    t.match(kafka(`{ listen: "${address}", insecure: true }`), [/kafka\.listen .*which no client can connect to/], address)
    t.same(kafka(`{ listen: "${address}", insecure: true, advertised: "edge:9092" }`), [], address)
  }
  t.match(kafka('{ listen: "127.0.0.1:9092", advertised: "0.0.0.0:9092" }'), [/kafka\.advertised .*which no client can connect to/])
  t.match(kafka('{ listen: "127.0.0.1:9092", limits: { memory: 1MiB } }'), [/kafka\.limits\.memory is 1MiB, at least 4MiB is needed/])
})

t.test('a delivered topic that only a Kafka client can make is warned of; without a Kafka listener it is a mistake', async (t) => {
  const text = `${minimal}gateway: { id: a }\nupstream: { brokers: ["a:1"], topics: { orders: {} } }\n`
  const read = (more: string) => readConfig(text + more, { fileName: 'f', environment: {} })
  t.match(read('').problems, [{ path: 'upstream.topics.orders' }])
  t.match(read('kafka: { listen: "127.0.0.1:9092", create_topics: false }').problems, [{ path: 'upstream.topics.orders' }])
  const { problems, warnings } = read('kafka: { listen: "127.0.0.1:9092" }')
  t.same(problems, [])
  t.match(warnings, [{ path: 'upstream.topics.orders', message: /a Kafka client has to make it/ }])
  const alone = readConfig('kafka: { listen: "127.0.0.1:9092" }', { fileName: 'f', environment: {} })
  t.same([alone.problems, alone.warnings], [[], []], 'a gateway for Kafka clients only')
})

t.test("an upstream that is the gateway's own Kafka listener is refused: it would deliver each event to itself for ever", async (t) => {
  const findings = (kafka: string, brokers: string): string[] =>
    problemsOf(`${minimal}gateway: { id: a }\nkafka: ${kafka}\nupstream: { brokers: ${brokers} }`)
  const own: [kafka: string, brokers: string, key: string][] = [
    ['{ listen: "127.0.0.1:9092" }', '["k1:9092", "127.0.0.1:9092"]', 'listen'],
    ['{ listen: "127.0.0.1:9092" }', '["k1:9092", "localhost:9092"]', 'listen'],
    ['{ listen: "localhost:9092" }', '["k1:9092", "[::1]:9092"]', 'listen'],
    ['{ listen: "0.0.0.0:9092", advertised: "gw:9093", insecure: true }', '["k1:9092", "127.0.0.1:9092"]', 'listen'],
    ['{ listen: "0.0.0.0:9092", advertised: "gw.example:9093", insecure: true }', '["k1:9092", "GW.example:9093"]', 'advertised']
  ]
  for (const [kafka, brokers, key] of own) {
    t.match(
      findings(kafka, brokers),
      [new RegExp(`upstream\\.brokers\\[1\\] is \\S+, this gateway's own kafka\\.${key}: each event`)],
      brokers
    )
  }
  t.same(findings('{ listen: "127.0.0.1:9092" }', '["127.0.0.1:9093", "127.0.0.2:9092", "k1:9092"]'), [])
  t.same(findings('{ listen: "0.0.0.0:9092", advertised: "gw:9093", insecure: true }', '["k1:9092", "k1:9093", "gw:9092"]'), [])
})

t.test('control.group: a name of this machine or a number; another name is a mistake', async (t) => {
  const groups = ['root', 'wadi-ops', 'users']
  const read = (value: string) => readConfig(`${minimal}control: { group: ${value} }`, { fileName: 'wadi.yaml', environment: {}, groups })
  t.equal(loadConfig(minimal, { fileName: 'wadi.yaml', environment: {} }).control.group, null)
  t.match(read('wadi-ops'), { problems: [], config: { control: { group: 'wadi-ops' } } })
  t.match(read('4242421'), { problems: [], config: { control: { group: '4242421' } } })
  const said = (value: string) => read(value).problems.map((problem) => formatProblem(problem, 'wadi.yaml'))
  t.match(said('wadi_opps'), [
    /^wadi\.yaml:\d+:19 control\.group is "wadi_opps", and \/etc\/group of this machine has no such group \(did you mean "wadi-ops"\?\)$/
  ])
  t.match(said('plant'), [/ has no such group: write the number of one that comes from elsewhere$/])
})

t.test('every key of a full file arrives', async (t) => {
  const config = loadConfig(
    `
gateway: { id: "\${WADI_ID:-wadi-0042}", data: /var/lib/wadi }
storage: { quota: 8GiB, linger: 10ms, journal: { files: 3, file_size: 8MiB }, seal: { bytes: 1MiB, age: 1m }, segment_bytes: 16MiB }
mqtt:
  - listen: 0.0.0.0:1883
    insecure: true
    limits: { packet: 64KiB, connections: 20 }
topics:
  telemetry: { partitions: 6, retention: 7d, quota: 512MiB, when_full: drop_oldest, codec: gzip, drop_undelivered: true }
  alarms: { retention: forever, config: { retention.bytes: -1, compression.type: uncompressed } }
routes:
  - name: telemetry
    filter: plant/+site/+device/#metric
    topic: telemetry
    key: "{site}/{device}"
    time: { from: "$.ts", unit: s, max_skew: 10m, else: reject }
    headers: { metric: "{metric}" }
    value: { decode: json, require: [v] }
unmatched: { action: topic, topic: misc }
dead_letter: { topic: dead, retention: 30d }
upstream:
  brokers: [k1.example:9093, "[::1]:9092"]
  topics: { telemetry: { to: plant.telemetry } }
  compression: zstd
  transaction_bytes: 4MiB
  linger: 2s
  create_topics: false
`,
    { fileName: 'wadi.yaml', environment: {}, codecs: ['zstd', 'gzip'] }
  )
  t.equal(config.gateway.id, 'wadi-0042')
  t.equal(config.upstream?.compression, 'zstd')
  t.equal(config.storage.linger, 10)
  t.match(config.topics.get('telemetry'), { partitions: 6, retention: 604_800_000, quota: 2 ** 29, when_full: 'drop_oldest' })
  const alarms = config.topics.get('alarms')
  t.match(alarms && mergedTopic(alarms), { retention: null, retention_bytes: null, codec: 'none' })
  t.equal(config.routes[0]?.headers.get('metric'), '{metric}')
  t.match(config.routes[0], { time: { from: '$.ts', unit: 's', max_skew: 600_000, else: 'reject' } })
  t.same(config.upstream?.brokers, [
    { host: 'k1.example', port: 9093 },
    { host: '::1', port: 9092 }
  ])
  t.match(config.upstream, { transaction_bytes: 4 * 2 ** 20, linger: 2000, create_topics: false })
  t.match(config.upstream?.topics.get('telemetry'), { to: 'plant.telemetry' })
})

t.test('all problems come at once, in the order of the file, each with line and column', async (t) => {
  t.same(
    problemsOf(`gateway:
  id: wadi 42
  data: \${WADI_DATA}
storage:
  qouta: 8GiB
  linger: 10
  journal: { files: 1 }
mqtt:
  - listen: 0.0.0.0:1883
  - listen: nowhere
    limits: { packet: 8GiB }
topics:
  telemetry: { retension: 7d, when_full: drop }
routes:
  - { topic: telemetry, key: none }
unmatched: { action: topic }
upstream:
  brokers: []
`),
    [
      'wadi.yaml:2:7 gateway.id is "wadi 42", expected letters, digits, ".", "_" and "-", at most 100',
      'wadi.yaml:3:9 gateway.data needs the environment variable WADI_DATA, which is not set',
      'wadi.yaml:5:3 storage.qouta is not a known key (did you mean "quota"?)',
      'wadi.yaml:6:11 storage.linger is 10 without a unit, write for example 10ms or 7d',
      'wadi.yaml:7:21 storage.journal.files is 1, at least 2 is needed',
      'wadi.yaml:9:13 mqtt[0].listen is 0.0.0.0:1883, where everybody on the network could publish without a password: listen on 127.0.0.1, let in only who has a certificate (tls, docs/tls.md), or write "insecure: true" beside it',
      'wadi.yaml:10:13 mqtt[1].listen is "nowhere", expected host:port, for example 127.0.0.1:1883',
      'wadi.yaml:11:23 mqtt[1].limits.packet is 8GiB, at most 1MiB is possible',
      'wadi.yaml:13:16 topics.telemetry.retension is not a known key (did you mean "retention"?)',
      'wadi.yaml:13:42 topics.telemetry.when_full is "drop", expected reject or drop_oldest',
      'wadi.yaml:15:5 routes[0].filter is missing: MQTT filter, wildcards may have names: plant/+site/+device/#metric',
      'wadi.yaml:16:12 unmatched.topic is missing, and action is "topic": name one',
      'wadi.yaml:18:12 upstream.brokers is empty: name at least one broker, host:port'
    ]
  )
})

t.test('what is not YAML is said with its place; a key given twice is refused', async (t) => {
  t.match(problemsOf('gateway: { id: a\nmqtt: ]'), [/^wadi\.yaml:\d+:\d+ is not YAML: /])
  t.match(problemsOf(`${minimal}gateway: { id: a }\ngateway: { id: b }\n`), [
    'wadi.yaml:5:1 gateway is given twice, here and in line 4: keep one of them'
  ])
  t.match(problemsOf('- a\n- b\n'), [/is not a section/])
})

t.test("YAML's traps are not ours: NO, 007 and 1e3 stay what was written", async (t) => {
  const { config, problems } = readConfig(`${minimal}gateway: { id: 007, data: NO }\n`, { fileName: 'f', environment: {} })
  t.same(problems, [])
  t.match(config.gateway, { id: '007', data: 'NO' })
  t.match(problemsOf(`${minimal}topics: { a: { partitions: 1e1 } }`), [/topics\.a\.partitions is "1e1", expected a whole number/])
})

t.test('variables: defaults, demands, none in comments, a broken one is named', async (t) => {
  const environment = { HOME_DIR: '/srv', EMPTY: '' }
  const data = (text: string): string =>
    loadConfig(`${minimal}# \${NOT_LOOKED_AT}\ngateway: { data: "${text}" }\n`, { fileName: 'f', environment }).gateway.data
  t.equal(data(`\${HOME_DIR}/wadi`), '/srv/wadi')
  t.equal(data(`\${EMPTY:-/x}`), '/x')
  t.equal(data(`\${NOPE:-/y}/\${HOME_DIR}`), '/y//srv')
  t.match(problemsOf(`${minimal}gateway: { data: "\${NOPE:?set it to a disk}" }`), [
    /needs the environment variable NOPE, which is not set: set it to a disk/
  ])
  t.match(problemsOf(`${minimal}gateway: { data: "\${no-such}" }`), [/has \$\{no-such\}: variables are written/])
  t.match(problemsOf(`${minimal}gateway: { id: "\${A}", data: "\${B}" }`), [/variable A/, /variable B/])
})

t.test('an empty value, a section instead of a value and a value instead of a section are named', async (t) => {
  t.match(problemsOf(`${minimal}gateway:\n  data:\n`), [/gateway\.data is empty/])
  t.match(problemsOf(`${minimal}gateway: { data: { a: b } }`), [/gateway\.data is a section, expected one value/])
  t.match(problemsOf(`${minimal}storage: big`), [/storage is not a section/])
  t.match(problemsOf('mqtt: { listen: a }\nroutes: x'), [/mqtt is not a list/, /routes is not a list/])
})

t.test('a network listener without a password needs "insecure: true"; loopback does not', async (t) => {
  const listen = (address: string, more = ''): string[] =>
    problemsOf(`mqtt: [{ listen: "${address}"${more} }]\nroutes: [{ filter: "#", topic: a, key: none }]`)
  for (const address of ['127.0.0.1:1883', '127.9.9.9:1', '[::1]:1883', 'localhost:0']) t.same(listen(address), [], address)
  for (const address of ['0.0.0.0:1883', '[::]:1883', '192.168.1.2:1883', 'gateway.local:1883', '127.0.0.1.example:1883']) {
    t.match(listen(address), [/insecure: true/], address)
    t.same(listen(address, ', insecure: true'), [], address)
  }
})

t.test('rules between keys', async (t) => {
  t.match(problemsOf('mqtt: [{ listen: "127.0.0.1:1883" }]'), [/routes is empty, so every event would be refused/])
  t.match(problemsOf(`${minimal}unmatched: { action: drop, topic: a }`), [/has no effect while action is "drop"/])
  t.match(problemsOf('mqtt: [{ listen: "127.0.0.1:1" }, { listen: "127.0.0.1:1" }]\nroutes: [{ filter: "#", topic: a, key: none }]'), [
    /mqtt\[0\] already has/
  ])
  t.match(problemsOf(`${minimal}upstream: { brokers: ["a:1"] }`), [
    /gateway\.id is missing: with an upstream each gateway needs an id of its own/
  ])
  t.match(problemsOf(`${minimal}gateway: { id: a }\nupstream: { brokers: ["a:1"], topics: { evnts: {} } }`), [
    /upstream\.topics\.evnts is delivered but never stored/
  ])
  t.match(problemsOf(`${minimal}topics: { a: { retention: 1d, config: { retention.ms: 5 } } }`), [/says the same as "retention"/])
  t.match(problemsOf('routes: [{ filter: "#", topic: a, key: none, value: { require: [v] } }]'), [/needs "decode: json"/])
  t.match(problemsOf('routes: [{ filter: "#", topic: a }]'), [/routes\[0\]\.key is missing: write a template/])
  t.match(problemsOf('routes: [{ filter: a/+x, topic: t, key: "{y}" }]'), [/^wadi\.yaml:1:41 routes\[0\]\.key /])
  t.match(problemsOf('routes: [{ filter: "#", topic: a, key: none, time: { from: ts } }]'), [/expected arrival or a field such as \$\.ts/])
})

t.test('a codec that this Node does not have is refused by name; without one the centre gets what every Kafka client reads', async (t) => {
  const source = `gateway: { id: g1 }
topics:
  a: { codec: zstd }
  b: { config: { compression.type: zstd } }
  c: { codec: lz4 }
unmatched: { action: topic, topic: c }
upstream: { brokers: [k1:9092], compression: zstd }
`
  const options = { fileName: 'wadi.yaml', environment: {} }
  const words = `is zstd, which this Node (${process.version}) cannot write: take gzip, or Node 22.15 or newer`
  t.same(
    readConfig(source, { ...options, codecs: ['gzip'] }).problems.map(({ path, message }) => `${path} ${message}`),
    ['topics.a.codec', 'topics.b.config.compression.type', 'upstream.compression'].map((path) => `${path} ${words}`)
  )
  t.same(readConfig(source, { ...options, codecs: ['zstd', 'gzip'] }).problems, [])
  const { config } = readConfig(source.replace(', compression: zstd', ''), { ...options, codecs: ['zstd', 'gzip'] })
  t.equal(config.upstream?.compression, 'gzip')
})

t.test('the error of a refused file names every problem and that nothing was started', async (t) => {
  t.throws(() => loadConfig('gatewy: {}\nstorag: {}', { fileName: 'w.yaml', environment: {} }), {
    code: 'WADI_CONFIG_INVALID',
    message:
      /2 problems:\n {2}w\.yaml:1:1 gatewy is not a known key \(did you mean "gateway"\?\)\n {2}w\.yaml:2:1 storag .*\n Nothing was started/
  })
})

t.test('an anchor is as good as the value; a bomb of anchors ends', async (t) => {
  t.same(problemsOf('mqtt: [{ listen: &l "127.0.0.1:0" }, { listen: *l }]\nroutes: [{ filter: "#", topic: a, key: none }]'), [])
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nmqtt: [*c,*c,*c,*c,*c,*c,*c,*c]\n`
  t.ok(problemsOf(bomb).length > 0)
})

t.test('"did you mean" offers a slip of the fingers, not a guess', async (t) => {
  t.equal(editDistance('retension', 'retention'), 1)
  t.equal(editDistance('qouta', 'quota'), 1, 'a swap is one slip')
  t.equal(editDistance('', 'abc'), 3)
  t.equal(nearestWord('data-dir', ['data', 'id']), null)
  t.equal(nearestWord('segmentbytes', ['segment_bytes', 'seal']), 'segment_bytes')
  t.equal(nearestWord('Listen', ['listen', 'limits']), 'listen')
  t.equal(nearestWord('x', ['id']), null)
})

t.test('the sample configuration in docs/ is right', async (t) => {
  let directory = import.meta.dirname
  while (!existsSync(join(directory, 'docs', 'wadi.yaml')) && directory !== dirname(directory)) directory = dirname(directory)
  t.same(problemsOf(readFileSync(join(directory, 'docs', 'wadi.yaml'), 'utf8')), [])
})

t.test('limits that do not do what they seem to say are warnings: the file is right and the gateway starts', async (t) => {
  const { problems, warnings, notes } = readConfig(
    `${minimal}gateway: { id: a }
topics:
  sent: { quota: 1GiB, when_full: drop_oldest }
  dropped: { quota: 1GiB, when_full: drop_oldest, drop_undelivered: true }
  kept: { quota: 1GiB, drop_undelivered: true }
  small: { quota: 256KiB, partitions: 4 }
upstream: { brokers: [k:9092], topics: { sent: {}, dropped: {} } }
`,
    { fileName: 'wadi.yaml', environment: {} }
  )
  t.same(problems, [])
  const ofLimits = warnings.filter(({ message }) => !message.startsWith('holds nothing'))
  t.same(
    ofLimits.map((warning) => formatProblem(warning, 'wadi.yaml')),
    [
      'wadi.yaml:6:35 topics.sent.when_full is drop_oldest without drop_undelivered: true, so nothing undelivered is ever dropped; at its quota the topic refuses, like reject',
      'wadi.yaml:8:42 topics.kept.drop_undelivered has no effect: the topic is not forwarded, so nothing of it waits to be delivered',
      'wadi.yaml:9:19 topics.small.quota is 256KiB; below 512KiB (128 KiB per partition) large parts of it go at a time'
    ]
  )
  t.same(
    notes.map((note) => formatProblem(note, 'wadi.yaml')),
    [
      'wadi.yaml:7:69 topics.dropped.drop_undelivered is true: events that are not delivered are lost when they are older than 7d or above the quota of 1GiB (docs/retention.md)'
    ]
  )
})

t.test('routes that never match, keys that spread nothing, topics that nothing is stored in: warnings', async (t) => {
  const source = (routes: string, rest = ''): string => `mqtt: [{ listen: "127.0.0.1:1883" }]
routes:
${routes}
topics: { telemetry: { partitions: 4 }, telemetri: { partitions: 3 }, sys: {} }
${rest}`
  const routes = `  - { filter: "#", topic: telemetri, key: plain }
  - { filter: "plant/+/x", topic: sys, key: none }
  - { filter: "$SYS/#", topic: sys, key: none }
  - { filter: "$share/g/a", topic: sys, key: constant }`
  const { problems, warnings } = readConfig(source(routes), { fileName: 'wadi.yaml', environment: {} })
  t.same(problems, [])
  t.same(
    warnings.map((warning) => formatProblem(warning, 'wadi.yaml')),
    [
      'wadi.yaml:3:43 routes[0].key is "plain" for every event: all go to one of the 3 partitions of telemetri; meant "{plain}", or none?',
      'wadi.yaml:4:15 routes[1].filter can never match: routes[0] "#" covers plant/+/x before it',
      'wadi.yaml:5:15 routes[2].filter can never match: a device cannot publish to $SYS/…, which is for subscribers',
      'wadi.yaml:6:15 routes[3].filter can never match: a device cannot publish to $share/…, which is for subscribers',
      'wadi.yaml:6:46 routes[3].key is "constant" for every event: all go to one partition, however many there will be; meant "{constant}", or none?',
      'wadi.yaml:7:22 topics.telemetry holds nothing: no route stores in it; one stores in "telemetri": did you mean that?'
    ]
  )
  const warningsOf = (text: string): string[] =>
    readConfig(text, { fileName: 'wadi.yaml', environment: {} }).warnings.map(({ path }) => path)
  t.same(warningsOf(source('  - { filter: "+site/#", topic: "{site}", key: none }')), [], 'names come from the events')
  t.same(
    warningsOf(source('  - { filter: "a/#", topic: sys, key: none }', 'kafka: { listen: "127.0.0.1:9092" }')),
    [],
    'Kafka clients may write'
  )
  t.same(
    warningsOf(
      source(
        '  - { filter: "b", topic: sys, key: none }\n  - { filter: "a/+x/#", topic: telemetry, key: "{x}" }',
        'unmatched: { action: topic, topic: telemetri }'
      )
    ),
    []
  )
})

t.test('a route does not store where the dead letters go, nor under a name that is not for events', async (t) => {
  const withTopic = (topic: string, more = ''): string[] =>
    problemsOf(`mqtt: [{ listen: "127.0.0.1:1883" }]\nroutes: [{ filter: "a/#", topic: ${topic}, key: none }]\n${more}`)
  t.match(withTopic('_wadi.dlq'), [
    /^wadi\.yaml:2:34 routes\[0\]\.topic is _wadi\.dlq, where the dead letters go: the oldest of them are dropped/
  ])
  t.match(withTopic('mine', 'dead_letter: { topic: mine }\n'), [/routes\[0\]\.topic is mine, where the dead letters go/])
  t.match(withTopic('_wadi.x'), [/names that begin with __ or _wadi are not for events, and are not delivered/])
  t.match(withTopic('__consumer_offsets'), [/names that begin with __ or _wadi/])
  t.same(withTopic('wadi'), [])
})

t.test('the dead letters are bounded and never refused, forwarded or not', async (t) => {
  for (const upstream of ['', 'gateway: { id: a }\nupstream: { brokers: [k:9092], topics: { _wadi.dlq: {} } }\n']) {
    const config = loadConfig(minimal + upstream, { fileName: 'wadi.yaml', environment: {} })
    const topic = topicConfigOf(config, '_wadi.dlq')
    t.equal(topic.isForwarded, upstream !== '')
    t.equal(topic.quotaBytes, 64 * 2 ** 20)
    t.equal(verdictFor(topic, topic.isForwarded ? 'undelivered' : 'local', 'topic quota'), 'delete')
  }
})

t.test('a quota of the directory that the journal alone fills is refused', async (t) => {
  t.same(problemsOf(`${minimal}storage: { quota: 64MiB }\n`), [
    'wadi.yaml:4:19 storage.quota is 64MiB, and the journal alone takes 64MiB (storage.journal.files x file_size): at least 1 MiB more is needed'
  ])
  t.same(problemsOf(`${minimal}storage: { quota: 10MiB, journal: { file_size: 4MiB } }\n`), [])
})

t.test('the example and the page agree: the example has no warning', async (t) => {
  const source = readFileSync('docs/wadi.yaml', 'utf8')
  t.same(readConfig(source, { fileName: 'wadi.yaml', environment: { WADI_ID: 'a' } }).warnings, [])
})

t.test('so does the README: its wadi.yaml is right as it stands', async (t) => {
  const [, source = ''] = /```yaml\n(# wadi\.yaml[\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? []
  t.match(source, 'routes:')
  const { problems, warnings } = readConfig(source, { fileName: 'wadi.yaml', environment: {} })
  t.same([problems, warnings], [[], []])
})

t.test('an empty file is refused; one that takes nothing in is warned of', async (t) => {
  for (const source of ['', '# nothing yet\n'])
    t.match(problemsOf(source), [/^wadi.yaml is empty: a gateway needs at least mqtt and routes/])
  const warningsOf = (source: string): string[] =>
    readConfig(source, { fileName: 'wadi.yaml', environment: {} }).warnings.map(({ path }) => path)
  t.same(warningsOf('gateway: { data: ./d }\n'), ['mqtt'])
  t.same(warningsOf('mqtt: [{ listen: "127.0.0.1:1883" }]\n'), [], 'it is refused, and told once')
  t.match(problemsOf('mqtt: [{ listen: "127.0.0.1:1883" }]\n'), [/routes is empty/])
  t.same(warningsOf(minimal), [])
})

t.test('mqtt_limits: what is left out has defaults, every key arrives, bounds that others make useless are named', async (t) => {
  const limitsOf = (text: string) => loadConfig(`${minimal}mqtt_limits: ${text}`, { fileName: 'wadi.yaml', environment: {} }).mqtt_limits
  const problems = (text: string): string[] => problemsOf(`${minimal}mqtt_limits: ${text}`)
  t.same(limitsOf('{}'), {
    retained: { messages: 10_000, bytes: 4 * 2 ** 20, message: 384 * 1024 },
    queue: { messages: 10_000, total: 1_000_000 },
    sessions: 10_000,
    subscriptions: { client: 1_000, memory: 48 * 2 ** 20 }
  })
  const full =
    '{ retained: { messages: 5, bytes: 1MiB, message: 2KiB }, queue: { messages: 7, total: 8 }, sessions: 9, subscriptions: { client: 3, memory: 2MiB } }'
  t.same(limitsOf(full), {
    retained: { messages: 5, bytes: 2 ** 20, message: 2048 },
    queue: { messages: 7, total: 8 },
    sessions: 9,
    subscriptions: { client: 3, memory: 2 * 2 ** 20 }
  })
  t.match(problems('{ retained: { message: 512KiB } }'), [/mqtt_limits\.retained\.message is 512KiB, at most 448KiB is possible/])
  t.match(problems('{ retained: { message: 400KiB, bytes: 64KiB } }'), [
    /mqtt_limits\.retained\.message is 400KiB, more than all together may have \(64KiB\)/
  ])
  t.same(problems('{ retained: { bytes: 64KiB } }'), [], 'a default is no mistake')
  t.match(problems('{ queue: { messages: 10, total: 9 } }'), [
    /mqtt_limits\.queue\.messages is 10, more than may wait for all together \(9\)/
  ])
  t.match(problems('{ retain: {} }'), [/mqtt_limits\.retain is not a known key \(did you mean "retained"\?\)/])
})

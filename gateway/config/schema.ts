// wadi.yaml as one typed table: every key with kind, default and documentation. The loader, `wadi config reference` and the types
// of the rest of bin/ all come from here.
// Not for: rules between keys (rules.ts).

import { TOPIC_NAME } from '../../runtime/base/topic-names.ts'
import {
  address,
  bytes,
  bytesOrUnlimited,
  choice,
  count,
  duration,
  durationOrForever,
  filterText,
  flag,
  kafkaNumber,
  listOf,
  mapOf,
  optionalAddress,
  optionalChoice,
  optionalSection,
  optionalText,
  section,
  text,
  type ValueOf
} from './field.ts'
import type { JsonSchema } from './json-schema.ts'

const topicName = {
  pattern: TOPIC_NAME,
  patternWords: 'letters, digits, ".", "_" and "-", at most 249 (as in Kafka)'
}
const GATEWAY_ID = { pattern: /^[A-Za-z0-9._-]{1,100}$/, patternWords: 'letters, digits, ".", "_" and "-", at most 100' }
const DATA_PATH = {
  pattern: /^(?!~)/,
  patternWords: `a path: only a shell knows ~, write \${HOME}/… or the whole path`
}
const ANY_NAME = { pattern: /^[\s\S]{1,255}$/, patternWords: '1 to 255 characters' }

const codecs = ['best', 'none', 'gzip', 'lz4', 'zstd'] as const

const gateway = section(
  {
    id: text({
      ...GATEWAY_ID,
      default: 'wadi',
      doc: 'name of this gateway: in headers, in the transactional id. Two gateways on one cluster need two ids'
    }),
    data: text({
      ...DATA_PATH,
      default: './wadi-data',
      doc: 'directory with everything that is stored; made when absent, used by one process at a time'
    })
  },
  { doc: 'who this gateway is', later: ['clock'] }
)

const storage = section(
  {
    quota: bytesOrUnlimited({
      default: 'unlimited',
      min: 2 ** 20,
      doc: 'most bytes the whole data directory may hold, its journal included (docs/retention.md)'
    }),
    linger: duration({
      default: '2ms',
      max: 1000,
      doc: 'longest time the first event of a commit waits for company; 100ms and more spares a worn SD card'
    }),
    journal: section(
      {
        files: count({ default: '2', min: 2, max: 16, doc: 'journal files, used in turn' }),
        file_size: bytes({ default: '32MiB', min: 4 * 2 ** 20, max: 2 ** 30, doc: 'size of each, allocated at once' })
      },
      { doc: 'where every event is made durable first' }
    ),
    seal: section(
      {
        bytes: bytes({
          default: '256KiB',
          min: 4096,
          max: 4 * 2 ** 20,
          doc: "a partition's tail this large is compressed into its segment"
        }),
        age: duration({ default: '10s', min: 100, doc: 'and so is one this old' })
      },
      { doc: 'when the newest events move from memory and journal to segments' }
    ),
    segment_bytes: bytes({
      default: '64MiB',
      min: 2 ** 20,
      max: 2 ** 30,
      doc: 'a segment file this large is followed by a new one; at most 1/8 of a quota'
    }),
    on_failure: choice(['exit', 'serve_reads'], {
      default: 'exit',
      doc: 'when the device refuses a write for good: exit with 74, to be started again; or stay, take no events, and let what is stored be read'
    })
  },
  { doc: 'how events are kept' }
)

const FILE_PATH = DATA_PATH
const tlsFiles = {
  cert: text({ ...FILE_PATH, doc: 'file with the certificate (PEM), then those that lead to its CA; a relative path begins at this file' }),
  key: text({ ...FILE_PATH, doc: 'file with its private key (PEM), which only the user of the gateway should be able to read' }),
  key_passphrase: optionalText({ ...FILE_PATH, doc: 'file whose first line opens the key, when that is encrypted' })
}

/** Words that YAML reads as numbers. */
const asNumberToo = (json: JsonSchema, numbers: readonly number[]): JsonSchema => ({
  ...json,
  anyOf: [...(json.anyOf as readonly JsonSchema[]), { enum: numbers }]
})

const minVersion = choice(['1.2', '1.3'], { default: '1.2', doc: 'oldest version of TLS that is taken' })

const tls = optionalSection(
  {
    ...tlsFiles,
    ca: optionalText({ ...FILE_PATH, doc: 'file with the CAs (PEM) that sign the certificates of clients' }),
    client_certificates: choice(['none', 'optional', 'required'], {
      default: 'none',
      doc: 'whether clients show a certificate of ca: none = not asked for; optional = who shows one must show a good one; required = nobody gets in without'
    }),
    min_version: { ...minVersion, json: asNumberToo(minVersion.json, [1.2, 1.3]) },
    sni: listOf(
      section(
        { host: text({ doc: 'name that the client asks for; *.example for all names of one level below' }), ...tlsFiles },
        { doc: 'one of them' }
      ),
      { doc: 'other certificates, for clients that ask for another name (SNI)' }
    )
  },
  { doc: 'TLS on this address (docs/tls.md); without it everything is sent in the clear' }
)

const mqttListener = section(
  {
    listen: address({ doc: 'host:port of the MQTT listener; port 0 takes a free one', example: '127.0.0.1:1883' }),
    insecure: flag({
      default: 'false',
      doc: 'true = anybody who reaches this address may publish; needed for any address that is not loopback, unless tls.client_certificates is required'
    }),
    tls,
    limits: section(
      {
        packet: bytes({ default: '512KiB', min: 128, max: 2 ** 20, doc: 'largest MQTT packet; a larger one closes its connection' }),
        connections: count({ default: '1000', min: 1, max: 100_000, doc: 'most clients at a time' }),
        connections_per_address: count({
          default: '500',
          min: 1,
          max: 100_000,
          doc: 'of them from one IPv4 address, or from one /64 of IPv6; all clients behind a NAT, a proxy or a container network may have one address, and a LAN is one /64'
        })
      },
      { doc: 'what one listener takes' }
    )
  },
  { doc: 'one MQTT listener', later: ['auth', 'users', 'password_file', 'websocket'] }
)

const mqttLimits = section(
  {
    retained: section(
      {
        messages: count({ default: '10000', min: 1, max: 1_000_000, doc: 'most retained messages' }),
        bytes: bytes({
          default: '4MiB',
          min: 64 * 1024,
          max: 64 * 2 ** 20,
          doc: 'memory of all; they are written with each checkpoint'
        }),
        message: bytes({
          default: '384KiB',
          min: 1024,
          max: 448 * 1024,
          doc: 'payload of one; what finds no room is stored and handed on, and not retained'
        })
      },
      { doc: 'what is kept for those who subscribe later' }
    ),
    queue: section(
      {
        messages: count({ default: '10000', min: 1, max: 100_000, doc: 'messages of QoS 1 and 2 that wait for one session' }),
        total: count({ default: '1000000', min: 1, max: 10_000_000, doc: 'and for all sessions; each takes 16 bytes of memory at most' })
      },
      { doc: 'what waits for subscribers that are away' }
    ),
    sessions: count({ default: '10000', min: 1, max: 100_000, doc: 'sessions that subscribe and outlive their connection; wills' }),
    subscriptions: section(
      {
        client: count({ default: '1000', min: 1, max: 10_000, doc: 'subscriptions of one client' }),
        memory: bytes({
          default: '48MiB',
          min: 2 ** 20,
          max: 2 ** 30,
          doc: 'memory of all subscriptions, 240 bytes for each level of a filter'
        })
      },
      { doc: 'what clients may subscribe to' }
    )
  },
  { doc: 'what all MQTT listeners together keep for clients (docs/mqtt.md)' }
)

const kafka = optionalSection(
  {
    listen: address({ doc: 'host:port for Kafka clients; port 0 takes a free one', example: '127.0.0.1:9092' }),
    advertised: optionalAddress({
      doc: 'host:port that clients are told to connect to, when it is not that of listen (0.0.0.0, containers); port 0 = the port of listen',
      example: 'gateway.local:9092'
    }),
    insecure: flag({
      default: 'false',
      doc: 'true = anybody who reaches this address may read and write everything; needed for any address that is not loopback, unless tls.client_certificates is required'
    }),
    tls,
    create_topics: flag({
      default: 'true',
      doc: 'clients may make topics, also by asking for one that is not there, delivered like those that routes make; and alter those that this file does not name'
    }),
    default_partitions: count({
      default: '1',
      min: 1,
      max: 1000,
      doc: 'partitions of a topic that a client makes without saying how many (num.partitions of Kafka)'
    }),
    delete_topics: flag({
      default: 'true',
      doc: 'clients may delete topics that this file does not name, and records of all, when the centre has them'
    }),
    limits: section(
      {
        connections: count({ default: '250', min: 1, max: 10_000, doc: 'most connections at a time; a client has two or three' }),
        memory: bytes({
          default: '16MiB',
          min: 4 * 2 ** 20,
          max: 2 ** 30,
          doc: 'most bytes that requests (half of it, which is also the largest one, at most 16MiB) and answers of all connections hold together'
        }),
        partitions: count({
          default: '1000',
          min: 1,
          max: 100_000,
          doc: 'clients make no topic that would bring the partitions of the gateway above this'
        })
      },
      { doc: 'what Kafka clients may take' }
    )
  },
  { doc: 'Kafka clients on this gateway (docs/kafka.md); without it there is no Kafka listener', later: ['sasl', 'auth', 'users'] }
)

const control = section(
  {
    group: optionalText({
      doc: 'group whose members may ask too: a name of /etc/group, or a number; the socket is 0660 then, and the group may pass through gateway.data. None = the user of the gateway alone'
    })
  },
  { doc: 'the socket in gateway.data that "wadi status" and "wadi tail" ask' }
)

const topic = section(
  {
    partitions: count({ default: '1', min: 1, max: 1000, doc: 'partitions; can grow, never shrink' }),
    retention: durationOrForever({
      default: '7d',
      min: 1000,
      doc: 'how long events are kept; of a forwarded topic those that are delivered (docs/retention.md)'
    }),
    retention_bytes: bytesOrUnlimited({ default: 'unlimited', min: 1024, doc: 'most bytes per partition, otherwise like retention' }),
    quota: bytesOrUnlimited({
      default: 'unlimited',
      min: 1024,
      doc: 'most bytes of the whole topic: segments and what is on its way to them, not the journal'
    }),
    when_full: choice(['reject', 'drop_oldest'], {
      default: 'reject',
      doc: 'at a quota: refuse new events (devices keep them), or drop the oldest; what is delivered goes in any case'
    }),
    codec: choice(codecs, { default: 'best', doc: 'compression of what is stored' }),
    drop_undelivered: flag({
      default: 'false',
      doc: 'true = retention and drop_oldest may take what the centre does not have yet: a loss, counted'
    }),
    config: section(
      {
        'retention.ms': kafkaNumber({ doc: 'retention, in ms; -1 = forever' }),
        'retention.bytes': kafkaNumber({ doc: 'retention_bytes; -1 = unlimited' }),
        'compression.type': optionalChoice(['gzip', 'lz4', 'zstd', 'uncompressed'], { doc: 'codec' }),
        'cleanup.policy': optionalChoice(['delete', 'compact', 'compact,delete'], {
          doc: 'compact = of each key the newest event stays (docs/retention.md); default delete'
        }),
        'delete.retention.ms': kafkaNumber({ doc: 'how long an event without a payload, which deletes its key, stays; default a day' }),
        'min.compaction.lag.ms': kafkaNumber({ doc: 'younger events are not compacted; default 0' }),
        'max.compaction.lag.ms': kafkaNumber({ doc: 'older events are compacted however few are new' })
      },
      { doc: "the same under Kafka's names, with Kafka's units" }
    )
  },
  { doc: 'one topic', later: ['priority'] }
)

const route = section(
  {
    name: optionalText({ doc: 'for messages and counters; the default is the filter' }),
    filter: filterText({ doc: 'MQTT filter, wildcards may have names: plant/+site/+device/#metric' }),
    topic: text({ doc: 'topic that takes the events; may use {names} of the filter' }),
    key: {
      ...optionalText({
        doc: 'key template, for example "{site}/{device}": one key, one partition, in order; none = no key, partitions in turn'
      }),
      isRequired: true // what is missing is told with the faults of the other templates (route-compile.ts)
    },
    headers: mapOf(text({ doc: 'value, may use {names} of the filter' }), { ...ANY_NAME, doc: 'headers of each event' }),
    time: optionalSection(
      {
        from: text({ default: 'arrival', doc: 'arrival, or the place of a field in the payload: $.ts' }),
        unit: choice(['auto', 'ms', 's', 'iso'], { default: 'auto', doc: 'unit of that field' }),
        max_skew: duration({ default: '1h', doc: 'a time further ahead of our clock than this is not believed' }),
        else: choice(['arrival', 'reject'], { default: 'arrival', doc: 'when the field is absent or not believed' })
      },
      { doc: 'timestamp of each event' }
    ),
    value: section(
      {
        decode: choice(['raw', 'json', 'cbor'], {
          default: 'raw',
          doc: 'raw does not look into the payload, but where key, headers or time name a field of it: then as JSON. The bytes are stored as they came in any case'
        }),
        require: listOf(text({ doc: 'field' }), { doc: 'fields that must be there; without them the event goes to the dead letters' })
      },
      { doc: 'what the payload is', later: ['encode', 'subject'] }
    )
  },
  { doc: 'one route', later: ['reduce'] }
)

const upstream = optionalSection(
  {
    brokers: listOf(address({ doc: 'a broker', example: 'k1.example:9092' }), {
      isRequired: true,
      takesCommas: true,
      doc: 'brokers of the central cluster, host:port each; also as one text with commas'
    }),
    topics: mapOf(
      section(
        {
          to: optionalText({ ...topicName, doc: 'topic at the centre; the default is the same name' })
        },
        { doc: 'one topic', later: ['order', 'backfill_to'] }
      ),
      { ...topicName, doc: 'topics to deliver; without this section every topic except the dead letters, under its own name' }
    ),
    create_topics: flag({ default: 'true', doc: 'create topics that are absent at the centre' }),
    compression: choice(codecs, { default: 'gzip', doc: 'compression on the wire; every Kafka client reads gzip, zstd saves a sixth' }),
    transaction_bytes: bytes({
      default: '4MiB',
      min: 64 * 1024,
      max: 16 * 2 ** 20,
      doc: 'most bytes in one transaction, before compression'
    }),
    linger: duration({
      default: '20ms',
      max: 600_000,
      doc: 'after a pause the first event waits this long for company; more spares a metered link'
    })
  },
  { doc: 'the central Kafka cluster; without it nothing is delivered', later: ['tls', 'sasl', 'security', 'bandwidth', 'budget'] }
)

export const configSchema = section(
  {
    gateway,
    storage,
    mqtt: listOf(mqttListener, { doc: 'MQTT listeners' }),
    mqtt_limits: mqttLimits,
    kafka,
    control,
    topics: mapOf(topic, { ...topicName, doc: 'topics; one that a route names and that is not here is made with the defaults' }),
    routes: listOf(route, { doc: 'from MQTT to topics; the first that matches takes the event' }),
    unmatched: section(
      {
        action: choice(['reject', 'drop', 'topic'], {
          default: 'reject',
          doc: 'an event no route takes: refuse it, drop and count it, or store it'
        }),
        topic: optionalText({ ...topicName, doc: 'where action: topic stores it' })
      },
      { doc: 'events without a route' }
    ),
    dead_letter: section(
      {
        topic: text({ ...topicName, default: '_wadi.dlq', doc: 'where events go that their route cannot map' }),
        retention: durationOrForever({ default: '30d', min: 1000, doc: 'how long they are kept' }),
        quota: bytes({ default: '64MiB', min: 128 * 1024, doc: 'most bytes of them; then the oldest are dropped and counted' })
      },
      { doc: 'events that cannot be mapped' }
    ),
    upstream
  },
  { doc: 'wadi.yaml', later: ['http', 'metrics', 'downlink', 'schemas', 'security', 'users', 'tls'] }
)

export type Config = ValueOf<typeof configSchema>
export type TopicSection = ValueOf<typeof topic>
export type RouteSection = ValueOf<typeof route>
export type TlsSection = NonNullable<ValueOf<typeof tls>>
export type MqttSection = ValueOf<typeof mqttListener>
export type MqttLimitsSection = ValueOf<typeof mqttLimits>
export type KafkaSection = NonNullable<ValueOf<typeof kafka>>
export type UpstreamSection = NonNullable<ValueOf<typeof upstream>>

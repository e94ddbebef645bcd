// Kafka's settings of topics: one row each, from which everything else follows: what CreateTopics and AlterConfigs take and refuse, what DescribeConfigs says.
//
// A row says what it does here:
//   set      the topic has it
//   always   it cannot be otherwise here; a client may name the value that it has
//   ignored  it says how other software goes about something that is done otherwise here: any value that Kafka takes is taken and shown, and changes nothing;
//            without one, what is shown is Kafka's default, or what the way here amounts to
//   read     what was given is read where it is used (runtime/log/compaction-rules.ts), as Kafka would; without one, Kafka's default
// What a client gave is kept as it was written (TopicConfig.given), so that it reads what it wrote, and what it takes back goes back to the default.
// Names, types, defaults and bounds are those of Apache Kafka (TopicConfig, LogConfig). Not for: settings of the yaml (gateway/config), what a client may
// alter (gateway/kafka.ts), one change after the other (setting-changes.ts).

import { compactionDefaults } from '../log/compaction-rules.ts'
import type { TopicConfig } from '../log/contract.ts'
import { defaultTopicConfig } from '../log/contract.ts'
import { BrokerFault } from './fault.ts'
import { checkedSetting, LONG_MAX, limitOrNull, type SettingBounds } from './setting-values.ts'

/** What a broker says of itself, as far as topics show it. */
export interface BrokerValues {
  readonly batchBytesMax: number
  readonly timestampAheadMsMax: number | null
}

interface Row extends SettingBounds {
  readonly name: string
  /** The same setting for all topics; null = Kafka has none. */
  readonly brokerName: string | null
  readonly text: string
}

interface SetRow extends Row {
  readonly does: 'set'
  /** What a topic has that does not have its own is the broker's. */
  readonly isOfBroker?: true
  readonly valueOf: (config: TopicConfig, broker: BrokerValues) => string
  /** Of a value that `checkedSetting` let pass. @throws BrokerFault INVALID_CONFIG */
  readonly parse: (value: string, broker: BrokerValues) => Partial<TopicConfig>
}

interface OtherRow extends Row {
  readonly does: 'always' | 'ignored' | 'read'
  readonly value: string
}

export type TopicSetting = SetRow | OtherRow

/** What every Kafka client can read, unless the topic says otherwise. */
export const SEAL_CODEC = 'gzip'
/** What the gateway compresses itself; it does not write snappy. */
const CODECS: Readonly<Record<string, TopicConfig['codec']>> = {
  producer: SEAL_CODEC,
  uncompressed: 'none',
  gzip: 'gzip',
  lz4: 'lz4',
  zstd: 'zstd',
  snappy: SEAL_CODEC
}
const POLICIES: Readonly<Record<string, TopicConfig['cleanup']>> = {
  delete: 'delete',
  compact: 'compact',
  'compact,delete': 'compact,delete'
}
const GIVEN_BYTES_MAX = 2048
const MIB = 1024 * 1024
const INT_MAX = 2 ** 31 - 1
const anyLong = { type: 'long', min: Number.NEGATIVE_INFINITY } as const

export const topicSettings: readonly TopicSetting[] = [
  {
    name: 'cleanup.policy',
    type: 'list',
    brokerName: 'log.cleanup.policy',
    text: 'compact: of each key the newest record stays, and a key is needed; with compact alone nothing goes by age or bytes.',
    does: 'set',
    valueOf: ({ cleanup }) => cleanup,
    parse(value) {
      const cleanup = POLICIES[[...new Set(itemsOf(value))].sort().join(',')]
      if (!cleanup) throw wrong('cleanup.policy', value, 'it must be delete, compact or both')
      return { cleanup }
    }
  },
  {
    name: 'compression.type',
    type: 'string',
    brokerName: 'compression.type',
    text: 'What the gateway compresses itself has this codec (gzip for snappy); batches of producers keep theirs.',
    does: 'set',
    valueOf: ({ codec }) => (codec === 'none' ? 'uncompressed' : codec === 'best' ? 'producer' : codec),
    parse(value) {
      const codec = CODECS[value]
      if (!codec) throw wrong('compression.type', value, `it must be one of ${Object.keys(CODECS).join(', ')}`)
      return { codec }
    }
  },
  {
    name: 'max.message.bytes',
    type: 'int',
    min: 0,
    brokerName: 'message.max.bytes',
    text: 'The largest batch that a producer may send.',
    does: 'set',
    isOfBroker: true,
    valueOf: ({ batchBytesMax }, broker) => String(batchBytesMax ?? broker.batchBytesMax),
    parse(value, broker) {
      if (Number(value) <= broker.batchBytesMax) return { batchBytesMax: Number(value) }
      throw wrong('max.message.bytes', value, `no batch here has more than ${broker.batchBytesMax} bytes`)
    }
  },
  {
    name: 'message.timestamp.after.max.ms',
    type: 'long',
    min: 0,
    brokerName: 'log.message.timestamp.after.max.ms',
    text: 'How far ahead of the clock of the gateway a timestamp of a producer may lie.',
    does: 'set',
    isOfBroker: true,
    valueOf: ({ timestampAheadMsMax }, broker) => String(timestampAheadMsMax ?? broker.timestampAheadMsMax ?? LONG_MAX),
    parse: (value) => ({ timestampAheadMsMax: limitOrNull(value) ?? Number.MAX_SAFE_INTEGER })
  },
  {
    name: 'message.timestamp.before.max.ms',
    type: 'long',
    min: 0,
    brokerName: 'log.message.timestamp.before.max.ms',
    text: 'How far behind it one may lie.',
    does: 'set',
    valueOf: ({ timestampBehindMsMax }) => String(timestampBehindMsMax ?? LONG_MAX),
    parse: (value) => ({ timestampBehindMsMax: limitOrNull(value) })
  },
  {
    name: 'message.timestamp.type',
    type: 'string',
    brokerName: 'log.message.timestamp.type',
    text: 'LogAppendTime: what a Kafka producer sends has the time of the gateway. What comes over MQTT has that of its route.',
    does: 'set',
    valueOf: ({ timestampType }) => timestampType,
    parse(value) {
      if (value === 'CreateTime' || value === 'LogAppendTime') return { timestampType: value }
      throw wrong('message.timestamp.type', value, 'it must be CreateTime or LogAppendTime')
    }
  },
  {
    name: 'retention.bytes',
    type: 'long',
    min: Number.NEGATIVE_INFINITY,
    brokerName: 'log.retention.bytes',
    text: 'Of one partition; -1 = no limit. Of a topic that is delivered only what is delivered goes.',
    does: 'set',
    valueOf: ({ retentionBytes }) => String(retentionBytes ?? -1),
    parse: (value) => ({ retentionBytes: limitOrNull(value) })
  },
  {
    name: 'retention.ms',
    type: 'long',
    min: -1,
    brokerName: 'log.retention.ms',
    text: '-1 = for ever. Of a topic that is delivered only what is delivered goes.',
    does: 'set',
    valueOf: ({ retentionMs }) => String(retentionMs ?? -1),
    parse: (value) => ({ retentionMs: limitOrNull(value) })
  },
  {
    name: 'segment.bytes',
    type: 'int',
    min: MIB,
    brokerName: 'log.segment.bytes',
    text: 'At the most; less where a quota or retention.bytes asks for it, and never more than 64 MiB (storage.segment_bytes).',
    does: 'set',
    valueOf: ({ segmentBytes }) => String(segmentBytes ?? 64 * MIB),
    parse: (value) => ({ segmentBytes: Number(value) })
  },
  {
    name: 'segment.ms',
    type: 'long',
    min: 1,
    brokerName: 'log.roll.ms',
    text: 'By the times of the records, and at least a minute.',
    does: 'set',
    valueOf: ({ segmentAgeMs }) => String(segmentAgeMs ?? 86_400_000),
    parse: (value) => ({ segmentAgeMs: limitOrNull(value) ?? Number.MAX_SAFE_INTEGER })
  },
  always('min.insync.replicas', { type: 'int', min: 1 }, '1', 'min.insync.replicas', 'There is one node.'),
  always('remote.log.copy.disable', { type: 'boolean' }, 'false', null, 'There is no other storage.'),
  always('remote.log.delete.on.disable', { type: 'boolean' }, 'false', null, 'There is no other storage.'),
  always('remote.storage.enable', { type: 'boolean' }, 'false', null, 'There is no other storage.'),
  ignored('compression.gzip.level', { type: 'int', min: -1, max: 9 }, '-1', 'compression.gzip.level', 'The level is chosen here.'),
  ignored('compression.lz4.level', { type: 'int', min: 1, max: 17 }, '9', 'compression.lz4.level', 'The level is chosen here.'),
  ignored('compression.zstd.level', { type: 'int', min: -131_072, max: 22 }, '3', 'compression.zstd.level', 'The level is chosen here.'),
  read(
    'delete.retention.ms',
    { type: 'long', min: 0 },
    'log.cleaner.delete.retention.ms',
    'How long a record that deletes its key stays, from the compaction that saw it first.'
  ),
  ignored('file.delete.delay.ms', { type: 'long', min: 0 }, '0', 'log.segment.delete.delay.ms', 'Files go when nobody reads them.'),
  ignored('flush.messages', { type: 'long', min: 1 }, '1', 'log.flush.interval.messages', 'Every answer follows a sync.'),
  ignored('flush.ms', { type: 'long', min: 0 }, '0', 'log.flush.interval.ms', 'Every answer follows a sync.'),
  ignored('follower.replication.throttled.replicas', { type: 'list' }, '', null, 'There is one node.'),
  ignored('index.interval.bytes', { type: 'int', min: 0 }, '4096', 'log.index.interval.bytes', 'The same for all topics.'),
  ignored('leader.replication.throttled.replicas', { type: 'list' }, '', null, 'There is one node.'),
  ignored('local.retention.bytes', anyLong, '-2', null, 'There is no other storage.'),
  ignored('local.retention.ms', anyLong, '-2', null, 'There is no other storage.'),
  read(
    'max.compaction.lag.ms',
    { type: 'long', min: 1 },
    'log.cleaner.max.compaction.lag.ms',
    'What is older is compacted whatever the ratio.'
  ),
  read(
    'min.cleanable.dirty.ratio',
    { type: 'double', min: 0, max: 1 },
    'log.cleaner.min.cleanable.ratio',
    'So much of what can be compacted must be new.'
  ),
  read(
    'min.compaction.lag.ms',
    { type: 'long', min: 0 },
    'log.cleaner.min.compaction.lag.ms',
    'Segments with younger records are not compacted.'
  ),
  ignored('preallocate', { type: 'boolean' }, 'false', 'log.preallocate', 'Segments grow.'),
  ignored('segment.index.bytes', { type: 'int', min: 4, max: INT_MAX }, '10485760', 'log.index.size.max.bytes', 'Indexes grow.'),
  ignored('segment.jitter.ms', { type: 'long', min: 0 }, '0', 'log.roll.jitter.ms', 'Segments are rolled by the times of their records.'),
  ignored('unclean.leader.election.enable', { type: 'boolean' }, 'false', 'unclean.leader.election.enable', 'There is one node.')
]

const byName: ReadonlyMap<string, TopicSetting> = new Map(topicSettings.map((setting) => [setting.name, setting]))

/** undefined when Kafka has none of this name for topics. */
export function settingNamed(name: string): TopicSetting | undefined {
  return byName.get(name)
}

/** What a topic has of `setting` now: what was given, as it was written. */
export function valueIn(setting: TopicSetting, config: TopicConfig, broker: BrokerValues): string {
  const { given } = config
  if (Object.hasOwn(given, setting.name)) return given[setting.name] as string
  return setting.does === 'set' ? setting.valueOf(config, broker) : setting.value
}

/** What a topic has of `setting` that nobody gave settings. */
export function defaultOf(setting: TopicSetting, broker: BrokerValues): string {
  return valueIn(setting, defaultTopicConfig, broker)
}

/** What a topic is by what a client gives it. @throws BrokerFault INVALID_CONFIG */
export function configOf(given: ReadonlyMap<string, string | null>, broker: BrokerValues): Partial<TopicConfig> {
  const config: Partial<TopicConfig> = {}
  let bytes = 0
  for (const [name, value] of given) {
    const setting = byName.get(name)
    if (!setting) throw new BrokerFault('INVALID_CONFIG', `Unknown topic config name: ${name}`)
    if (value === null) throw new BrokerFault('INVALID_CONFIG', `${name} has no value`)
    checkedSetting(setting, value)
    if (setting.does === 'set') Object.assign(config, setting.parse(value.trim(), broker))
    else if (setting.does === 'always' && value.trim().toLowerCase() !== setting.value) {
      throw wrong(name, value, `only "${setting.value}" is supported. ${setting.text}`)
    }
    bytes += name.length + Buffer.byteLength(value)
  }
  if (bytes > GIVEN_BYTES_MAX) throw new BrokerFault('INVALID_CONFIG', `all settings of a topic have at most ${GIVEN_BYTES_MAX} bytes`)
  return { ...config, given: Object.fromEntries(given) as Record<string, string> }
}

/** The same for a topic that there is: what is not given any more is what `base` has. @throws BrokerFault INVALID_CONFIG */
export function alteredConfig(
  given: ReadonlyMap<string, string | null>,
  { base, broker }: { base: TopicConfig; broker: BrokerValues }
): Partial<TopicConfig> {
  const { cleanup, codec, batchBytesMax, timestampAheadMsMax, timestampBehindMsMax, timestampType } = base
  const { retentionBytes, retentionMs, segmentBytes, segmentAgeMs } = base
  const settings = { cleanup, codec, batchBytesMax, timestampAheadMsMax, timestampBehindMsMax, timestampType }
  return { ...settings, retentionBytes, retentionMs, segmentBytes, segmentAgeMs, ...configOf(given, broker) }
}

/** What a client gave a topic; of one that an older version made, which did not write it down: what is not as in `base`. */
export function givenTo(config: TopicConfig, { base, broker }: { base: TopicConfig; broker: BrokerValues }): Map<string, string> {
  const given = new Map(Object.entries(config.given))
  for (const setting of topicSettings) {
    if (setting.does !== 'set' || given.has(setting.name)) continue
    const value = setting.valueOf(config, broker)
    if (value !== setting.valueOf(base, broker)) given.set(setting.name, value)
  }
  return given
}

/** Of a list. */
export function itemsOf(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function wrong(name: string, value: string, why: string): BrokerFault {
  return new BrokerFault('INVALID_CONFIG', `Invalid value ${value} for configuration ${name}: ${why}`)
}

function always(name: string, bounds: SettingBounds, value: string, brokerName: string | null, text: string): OtherRow {
  return { name, ...bounds, value, brokerName, text, does: 'always' }
}

function read(name: keyof typeof compactionDefaults, bounds: SettingBounds, brokerName: string | null, text: string): OtherRow {
  return { name, ...bounds, value: compactionDefaults[name], brokerName, text, does: 'read' }
}

function ignored(name: string, bounds: SettingBounds, value: string, brokerName: string | null, text: string): OtherRow {
  return { name, ...bounds, value, brokerName, text, does: 'ignored' }
}

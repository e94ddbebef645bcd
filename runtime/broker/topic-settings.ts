// Kafka's settings of topics and of the broker: one row each, from which everything else follows: what CreateTopics takes and refuses, what DescribeConfigs says.
//
// A row says what it does here:
//   set      the topic has it; a client may give it when it makes a topic
//   broker   the same for all topics; a client may name the value that it has
//   always   it cannot be otherwise here; a client may name the value that it has
//   ignored  it says how other software goes about something that is done otherwise here: any value is taken, and the one that is shown is Kafka's default, or
//            what the way here amounts to
// Names, types and defaults are those of Apache Kafka (TopicConfig, LogConfig). Not for: settings of the yaml (gateway/config).

import type { TopicConfig } from '../log/contract.ts'
import { defaultTopicConfig } from '../log/contract.ts'
import { BrokerFault } from './fault.ts'

export type SettingType = 'boolean' | 'string' | 'int' | 'long' | 'double' | 'list'

/** What a broker says of itself, as far as topics show it. */
export interface BrokerValues {
  readonly batchBytesMax: number
  readonly timestampAheadMsMax: number | null
}

interface Row {
  readonly name: string
  readonly type: SettingType
  /** The same setting for all topics; null = Kafka has none. */
  readonly brokerName: string | null
  readonly text: string
}

interface SetRow extends Row {
  readonly does: 'set'
  readonly valueOf: (config: TopicConfig) => string
  /** @throws BrokerFault INVALID_CONFIG */
  readonly parse: (value: string) => Partial<TopicConfig>
}

interface BrokerRow extends Row {
  readonly does: 'broker'
  readonly valueOf: (values: BrokerValues) => string
}

interface OtherRow extends Row {
  readonly does: 'always' | 'ignored'
  readonly value: string
}

export type TopicSetting = SetRow | BrokerRow | OtherRow

/** What every Kafka client can read, unless the topic says otherwise. */
export const SEAL_CODEC = 'gzip'
const CODECS: Readonly<Record<string, TopicConfig['codec']>> = {
  producer: SEAL_CODEC,
  uncompressed: 'none',
  gzip: 'gzip',
  lz4: 'lz4',
  zstd: 'zstd'
}
const LONG_MAX = '9223372036854775807'

export const topicSettings: readonly TopicSetting[] = [
  {
    name: 'compression.type',
    type: 'string',
    brokerName: 'compression.type',
    text: 'What the gateway compresses itself has this codec; batches of producers keep theirs.',
    does: 'set',
    valueOf: ({ codec }) => (codec === 'none' ? 'uncompressed' : codec === 'best' ? 'producer' : codec),
    parse(value) {
      const codec = CODECS[value]
      if (!codec) throw new BrokerFault('INVALID_CONFIG', `compression.type "${value}" is not supported`)
      return { codec }
    }
  },
  {
    name: 'retention.bytes',
    type: 'long',
    brokerName: 'log.retention.bytes',
    text: 'Of one partition; -1 = no limit. Of a topic that is delivered only what is delivered goes.',
    does: 'set',
    valueOf: ({ retentionBytes }) => String(retentionBytes ?? -1),
    parse: (value) => ({ retentionBytes: limitOf('retention.bytes', value) })
  },
  {
    name: 'retention.ms',
    type: 'long',
    brokerName: 'log.retention.ms',
    text: '-1 = for ever. Of a topic that is delivered only what is delivered goes.',
    does: 'set',
    valueOf: ({ retentionMs }) => String(retentionMs ?? -1),
    parse: (value) => ({ retentionMs: limitOf('retention.ms', value) })
  },
  {
    name: 'max.message.bytes',
    type: 'int',
    brokerName: 'message.max.bytes',
    text: 'The largest batch that a producer may send.',
    does: 'broker',
    valueOf: ({ batchBytesMax }) => String(batchBytesMax)
  },
  {
    name: 'message.timestamp.after.max.ms',
    type: 'long',
    brokerName: 'log.message.timestamp.after.max.ms',
    text: 'How far ahead of the clock of the gateway a timestamp may lie.',
    does: 'broker',
    valueOf: ({ timestampAheadMsMax }) => String(timestampAheadMsMax ?? LONG_MAX)
  },
  always('cleanup.policy', 'list', 'delete', 'log.cleanup.policy', 'Topics are not compacted.'),
  always('message.timestamp.type', 'string', 'CreateTime', 'log.message.timestamp.type', 'A timestamp is that of the event.'),
  always('min.insync.replicas', 'int', '1', 'min.insync.replicas', 'There is one node.'),
  always('remote.storage.enable', 'boolean', 'false', null, 'There is no other storage.'),
  ignored('delete.retention.ms', 'long', '86400000', 'log.cleaner.delete.retention.ms', 'Topics are not compacted.'),
  ignored('file.delete.delay.ms', 'long', '0', 'log.segment.delete.delay.ms', 'Files go when nobody reads them.'),
  ignored('flush.messages', 'long', '1', 'log.flush.interval.messages', 'Every answer follows a sync.'),
  ignored('flush.ms', 'long', '0', 'log.flush.interval.ms', 'Every answer follows a sync.'),
  ignored('index.interval.bytes', 'int', '4096', 'log.index.interval.bytes', 'The same for all topics.'),
  ignored('max.compaction.lag.ms', 'long', LONG_MAX, 'log.cleaner.max.compaction.lag.ms', 'Topics are not compacted.'),
  ignored(
    'message.timestamp.before.max.ms',
    'long',
    LONG_MAX,
    'log.message.timestamp.before.max.ms',
    'A timestamp may be as old as it is.'
  ),
  ignored('min.cleanable.dirty.ratio', 'double', '0.5', 'log.cleaner.min.cleanable.ratio', 'Topics are not compacted.'),
  ignored('min.compaction.lag.ms', 'long', '0', 'log.cleaner.min.compaction.lag.ms', 'Topics are not compacted.'),
  ignored('preallocate', 'boolean', 'false', 'log.preallocate', 'Segments grow.'),
  ignored('segment.bytes', 'int', '67108864', 'log.segment.bytes', 'At the most; less where a quota asks for it.'),
  ignored('segment.index.bytes', 'int', '10485760', 'log.index.size.max.bytes', 'Indexes grow.'),
  ignored('segment.jitter.ms', 'long', '0', 'log.roll.jitter.ms', 'Segments are rolled by the times of their records.'),
  ignored('segment.ms', 'long', '86400000', 'log.roll.ms', 'A day, by the times of the records.'),
  ignored('unclean.leader.election.enable', 'boolean', 'false', 'unclean.leader.election.enable', 'There is one node.')
]

const byName: ReadonlyMap<string, TopicSetting> = new Map(topicSettings.map((setting) => [setting.name, setting]))

/** What a topic has of `setting` now. */
export function valueIn(setting: TopicSetting, config: TopicConfig, broker: BrokerValues): string {
  if (setting.does === 'set') return setting.valueOf(config)
  return setting.does === 'broker' ? setting.valueOf(broker) : setting.value
}

/** What a topic has of `setting` that nobody gave settings. */
export function defaultOf(setting: TopicSetting, broker: BrokerValues): string {
  return valueIn(setting, defaultTopicConfig, broker)
}

/** What a client gives when it makes a topic. @throws BrokerFault INVALID_CONFIG */
export function configOf(given: ReadonlyMap<string, string | null>, broker: BrokerValues): Partial<TopicConfig> {
  const config: Partial<TopicConfig> = {}
  for (const [name, value] of given) {
    const setting = byName.get(name)
    if (!setting) throw new BrokerFault('INVALID_CONFIG', `the setting ${name} is not supported`)
    if (value === null) throw new BrokerFault('INVALID_CONFIG', `${name} has no value`)
    checkType(setting, value)
    if (setting.does === 'set') Object.assign(config, setting.parse(value))
    else if (setting.does !== 'ignored') {
      const here = setting.does === 'broker' ? setting.valueOf(broker) : setting.value
      if (value !== here) throw new BrokerFault('INVALID_CONFIG', `${name} "${value}" is not supported, only "${here}": ${setting.text}`)
    }
  }
  return config
}

const NUMBERS: Readonly<Partial<Record<SettingType, RegExp>>> = { int: /^-?\d{1,10}$/, long: /^-?\d{1,19}$/, double: /^\d*\.?\d+$/ }

function checkType({ name, type }: TopicSetting, value: string): void {
  const isRight = type === 'boolean' ? value === 'true' || value === 'false' : (NUMBERS[type]?.test(value) ?? true)
  if (!isRight) throw new BrokerFault('INVALID_CONFIG', `${name} "${value}" is not a ${type}`)
}

function limitOf(name: string, value: string): number | null {
  const number = Number(value)
  if (!Number.isSafeInteger(number) || number < -1) throw new BrokerFault('INVALID_CONFIG', `${name} "${value}" is not a number ≥ -1`)
  return number === -1 ? null : number
}

function always(name: string, type: SettingType, value: string, brokerName: string | null, text: string): OtherRow {
  return { name, type, value, brokerName, text, does: 'always' }
}

function ignored(name: string, type: SettingType, value: string, brokerName: string | null, text: string): OtherRow {
  return { name, type, value, brokerName, text, does: 'ignored' }
}

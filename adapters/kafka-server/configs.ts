// Our settings under Kafka's names, for tools that read them. Types and sources: DescribeConfigsResponse.java.

import type { BrokerSettings } from '../../runtime/broker/broker.ts'
import type { Topic, TopicConfig } from '../../runtime/log/contract.ts'

export interface ConfigEntry {
  readonly name: string
  readonly value: string
  readonly configSource: number
  readonly configType: number
}

const SOURCE = { topic: 1, broker: 4, default: 5 } as const
const TYPE = { boolean: 1, string: 2, int: 3, long: 5, list: 7 } as const
const LONG_MAX = '9223372036854775807'

/** What a topic here always is, in Kafka's words. */
const FIXED: readonly [name: string, value: string, type: number][] = [
  ['cleanup.policy', 'delete', TYPE.list],
  ['delete.retention.ms', '86400000', TYPE.long],
  ['file.delete.delay.ms', '0', TYPE.long],
  ['flush.messages', '1', TYPE.long],
  ['flush.ms', '0', TYPE.long],
  ['index.interval.bytes', '4096', TYPE.int],
  ['max.compaction.lag.ms', LONG_MAX, TYPE.long],
  ['message.timestamp.type', 'CreateTime', TYPE.string],
  ['min.cleanable.dirty.ratio', '0.5', TYPE.string],
  ['min.compaction.lag.ms', '0', TYPE.long],
  ['min.insync.replicas', '1', TYPE.int],
  ['preallocate', 'false', TYPE.boolean],
  ['unclean.leader.election.enable', 'false', TYPE.boolean]
]

export function topicConfigs(topic: Topic, settings: BrokerSettings): readonly ConfigEntry[] {
  const { config } = topic
  return [
    ...FIXED.map(([name, value, configType]) => ({ name, value, configType, configSource: SOURCE.default })),
    { name: 'compression.type', value: compressionOf(config), configType: TYPE.string, configSource: SOURCE.topic },
    { name: 'max.message.bytes', value: String(settings.batchBytesMax), configType: TYPE.int, configSource: SOURCE.broker },
    {
      name: 'message.timestamp.after.max.ms',
      value: String(settings.timestampAheadMsMax ?? LONG_MAX),
      configType: TYPE.long,
      configSource: SOURCE.broker
    },
    { name: 'retention.bytes', value: String(config.retentionBytes ?? -1), configType: TYPE.long, configSource: SOURCE.topic },
    { name: 'retention.ms', value: String(config.retentionMs ?? -1), configType: TYPE.long, configSource: SOURCE.topic }
  ]
}

export function brokerConfigs(settings: BrokerSettings): readonly ConfigEntry[] {
  const entry = (name: string, value: number | boolean, configType: number): ConfigEntry => {
    return { name, value: String(value), configType, configSource: SOURCE.broker }
  }
  return [
    entry('num.partitions', settings.partitionCountDefault, TYPE.int),
    entry('default.replication.factor', 1, TYPE.int),
    entry('message.max.bytes', settings.batchBytesMax, TYPE.int),
    entry('group.initial.rebalance.delay.ms', settings.initialRebalanceDelayMs, TYPE.int),
    entry('group.min.session.timeout.ms', settings.sessionTimeoutMsMin, TYPE.int),
    entry('group.max.session.timeout.ms', settings.sessionTimeoutMsMax, TYPE.int),
    entry('producer.id.expiration.ms', settings.producerExpiryMs, TYPE.int),
    entry('delete.topic.enable', false, TYPE.boolean)
  ]
}

/** Batches of producers keep their codec; the setting says what our own sealing writes. */
function compressionOf(config: TopicConfig): string {
  return config.codec === 'none' ? 'uncompressed' : config.codec === 'best' ? 'producer' : config.codec
}

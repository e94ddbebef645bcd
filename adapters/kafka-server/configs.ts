// Our settings as DescribeConfigs and CreateTopics name them. The settings are in runtime/broker/topic-settings.ts; types and sources have
// Kafka's numbers: DescribeConfigsResponse.java.

import type { BrokerSettings } from '../../runtime/broker/broker.ts'
import { defaultOf, type SettingType, topicSettings, valueIn } from '../../runtime/broker/topic-settings.ts'
import type { Topic } from '../../runtime/log/contract.ts'

interface ConfigSynonym {
  readonly name: string
  readonly value: string
  readonly source: number
}

export interface ConfigEntry {
  readonly name: string
  readonly value: string
  readonly configSource: number
  readonly configType: number
  readonly documentation: string
  /** What it comes from, the nearest first. */
  readonly synonyms: readonly ConfigSynonym[]
}

const SOURCE = { topic: 1, broker: 4, default: 5 } as const
const TYPES: Readonly<Record<SettingType, number>> = { boolean: 1, string: 2, int: 3, long: 5, double: 6, list: 7 }

export function topicConfigs({ config }: Pick<Topic, 'config'>, broker: BrokerSettings): readonly ConfigEntry[] {
  return topicSettings.map((setting) => {
    const { name, type, text, brokerName } = setting
    const value = valueIn(setting, config, broker)
    const otherwise = defaultOf(setting, broker)
    const common = setting.does === 'broker' ? SOURCE.broker : SOURCE.default
    const configSource = value === otherwise ? common : SOURCE.topic
    return {
      name,
      value,
      configSource,
      configType: TYPES[type],
      documentation: text,
      synonyms: [
        ...(configSource === SOURCE.topic ? [{ name, value, source: SOURCE.topic }] : []),
        ...(brokerName === null ? [] : [{ name: brokerName, value: otherwise, source: common }])
      ]
    }
  })
}

export function brokerConfigs(settings: BrokerSettings, { autoCreateTopics }: { autoCreateTopics: boolean }): readonly ConfigEntry[] {
  const entry = (name: string, value: number | boolean, documentation: string): ConfigEntry => ({
    name,
    value: String(value),
    configSource: SOURCE.broker,
    configType: TYPES[typeof value === 'boolean' ? 'boolean' : 'int'],
    documentation,
    synonyms: [{ name, value: String(value), source: SOURCE.broker }]
  })
  return [
    entry('auto.create.topics.enable', autoCreateTopics, 'Asking for a topic makes it.'),
    entry('default.replication.factor', 1, 'There is one node.'),
    entry('group.initial.rebalance.delay.ms', settings.initialRebalanceDelayMs, 'How long a new group waits for more members.'),
    entry('group.max.session.timeout.ms', settings.sessionTimeoutMsMax, 'The longest that a member may ask for.'),
    entry('group.min.session.timeout.ms', settings.sessionTimeoutMsMin, 'The shortest that a member may ask for.'),
    entry('message.max.bytes', settings.batchBytesMax, 'The largest batch that a producer may send.'),
    entry('num.partitions', settings.partitionCountDefault, 'Of a topic that does not say.'),
    entry('producer.id.expiration.ms', settings.producerExpiryMs, 'A producer that is silent for so long is forgotten.')
  ]
}

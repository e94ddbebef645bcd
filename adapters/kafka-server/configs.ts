// Settings of topics as DescribeConfigs and CreateTopics name them. The settings are in runtime/broker/topic-settings.ts; types and sources have
// Kafka's numbers: DescribeConfigsResponse.java. Those of the broker: broker-configs.ts.

import type { BrokerSettings } from '../../runtime/broker/broker.ts'
import type { SettingType } from '../../runtime/broker/setting-values.ts'
import { defaultOf, type TopicSetting, topicSettings, valueIn } from '../../runtime/broker/topic-settings.ts'
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
  readonly readOnly: boolean
  /** What it comes from, the nearest first. */
  readonly synonyms: readonly ConfigSynonym[]
}

export const SOURCE = { topic: 1, broker: 4, default: 5 } as const
export const TYPES: Readonly<Record<SettingType, number>> = { boolean: 1, string: 2, int: 3, short: 4, long: 5, double: 6, list: 7 }

export function topicConfigs({ config }: Pick<Topic, 'config'>, broker: BrokerSettings): readonly ConfigEntry[] {
  return topicSettings.map((setting) => {
    const { name, type, text, brokerName } = setting
    const value = valueIn(setting, config, broker)
    const otherwise = defaultOf(setting, broker)
    const common = sourceOf(setting)
    const isOwn = Object.hasOwn(config.given, name) || value !== otherwise
    const configSource = isOwn ? SOURCE.topic : common
    return {
      name,
      value,
      configSource,
      configType: TYPES[type],
      documentation: text,
      readOnly: false,
      synonyms: [
        ...(configSource === SOURCE.topic ? [{ name, value, source: SOURCE.topic }] : []),
        ...(brokerName === null ? [] : [{ name: brokerName, value: otherwise, source: common }])
      ]
    }
  })
}

/** Of what a topic has that does not have its own. */
export function sourceOf(setting: TopicSetting): number {
  return setting.does === 'set' && setting.isOfBroker ? SOURCE.broker : SOURCE.default
}

// Each row of the table of topic settings: what it shows can be given, what it cannot be is refused by name, and what it sets is shown again.

import t from 'tap'
import { topicConfigs } from '../../adapters/kafka-server/configs.ts'
import { defaultBrokerSettings } from '../../runtime/broker/broker.ts'
import { configOf, defaultOf, topicSettings } from '../../runtime/broker/topic-settings.ts'
import { defaultTopicConfig, type TopicConfig } from '../../runtime/log/contract.ts'

const broker = defaultBrokerSettings
const given = (name: string, value: string | null): Partial<TopicConfig> => configOf(new Map([[name, value]]), broker)
const shown = (config: Partial<TopicConfig>, name: string) =>
  topicConfigs({ config: { ...defaultTopicConfig, ...config } }, broker).find((entry) => entry.name === name)
const OTHER: Readonly<Record<string, string>> = { boolean: 'true', string: 'other', int: '77', long: '77', double: '0.25', list: 'compact' }
const WRONG: Readonly<Record<string, string>> = { boolean: 'yes', int: '1.5', long: 'x', double: 'half' }
const REFUSED = { message: /INVALID_CONFIG/ }

for (const setting of topicSettings) {
  const { name, type, does } = setting
  t.test(`${name}: ${does}`, async (t) => {
    const value = defaultOf(setting, broker)
    t.doesNotThrow(() => given(name, value), `${value} can be given`)
    t.match(shown({}, name), { value, configSource: does === 'broker' ? 4 : 5 })
    t.ok(setting.text.endsWith('.'))
    const wrong = WRONG[type]
    if (wrong !== undefined) t.throws(() => given(name, wrong), REFUSED, `${wrong} is no ${type}`)
    t.throws(() => given(name, null), REFUSED)
    const other = name === 'compression.type' ? 'zstd' : (OTHER[type] as string)
    if (does === 'always' || does === 'broker') t.throws(() => given(name, other), REFUSED, `not ${other}`)
    else if (does === 'ignored') t.same(given(name, other), {}, 'any is taken, and changes nothing')
    else {
      const entry = shown(given(name, other), name)
      t.match(entry, { value: other, configSource: 1 })
      t.same(entry?.synonyms, [
        { name, value: other, source: 1 },
        { name: setting.brokerName, value, source: 5 }
      ])
    }
  })
}

t.test('no name twice, and what nobody knows is refused', async (t) => {
  t.equal(new Set(topicSettings.map(({ name }) => name)).size, topicSettings.length)
  t.throws(() => given('no.such', '1'), REFUSED)
  t.same(given('compression.type', 'uncompressed'), { codec: 'none' })
  t.same(given('retention.ms', '-1'), { retentionMs: null })
  t.throws(() => given('retention.ms', '-2'), REFUSED)
  t.equal(shown({}, 'min.cleanable.dirty.ratio')?.configType, 6, 'a DOUBLE')
})

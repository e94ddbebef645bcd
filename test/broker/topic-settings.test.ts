// Each row of the table of topic settings: what it shows can be given, what it cannot be is refused by name, and what was given is shown again.

import t from 'tap'
import { topicConfigs } from '../../adapters/kafka-server/configs.ts'
import { defaultBrokerSettings } from '../../runtime/broker/broker.ts'
import { type SettingChange, settingsAfter } from '../../runtime/broker/setting-changes.ts'
import { alteredConfig, configOf, defaultOf, givenTo, topicSettings } from '../../runtime/broker/topic-settings.ts'
import { defaultTopicConfig, type TopicConfig } from '../../runtime/log/contract.ts'

const broker = defaultBrokerSettings
const given = (name: string, value: string | null): Partial<TopicConfig> => configOf(new Map([[name, value]]), broker)
const shown = (config: Partial<TopicConfig>, name: string) =>
  topicConfigs({ config: { ...defaultTopicConfig, ...config } }, broker).find((entry) => entry.name === name)
const OTHER: Readonly<Record<string, string>> = { boolean: 'true', string: 'other', int: '77', long: '77', double: '0.25', list: 'x' }
const OTHER_SET: Readonly<Record<string, string>> = {
  'cleanup.policy': 'compact',
  'compression.type': 'zstd',
  'message.timestamp.type': 'LogAppendTime',
  'segment.bytes': '2097152'
}
const WRONG: Readonly<Record<string, string>> = { boolean: 'yes', int: '1.5', long: 'x', double: 'half' }
const REFUSED = { message: /INVALID_CONFIG/ }

for (const setting of topicSettings) {
  const { name, type, does, min, max } = setting
  t.test(`${name}: ${does}`, async (t) => {
    const value = defaultOf(setting, broker)
    t.doesNotThrow(() => given(name, value), `${value} can be given`)
    t.match(shown({}, name), { value, configSource: does === 'set' && setting.isOfBroker ? 4 : 5, readOnly: false })
    t.match(shown(given(name, value), name), { value, configSource: 1 }, 'also the default is its own when it was given')
    t.ok(setting.text.endsWith('.'))
    const wrong = WRONG[type]
    if (wrong !== undefined) t.throws(() => given(name, wrong), REFUSED, `${wrong} is no ${type}`)
    if (min !== undefined && Number.isFinite(min)) t.throws(() => given(name, String(min - 1)), REFUSED, `${min - 1} is too small`)
    if (max !== undefined) t.throws(() => given(name, String(max + 1)), REFUSED, `${max + 1} is too large`)
    t.throws(() => given(name, null), REFUSED)
    t.throws(() => given(name, 'x'.repeat(256)), REFUSED)
    const other = OTHER_SET[name] ?? (name.startsWith('compression.') ? '8' : (OTHER[type] as string))
    if (does === 'always') t.throws(() => given(name, other), REFUSED, `not ${other}`)
    else {
      const config = given(name, other)
      if (does === 'ignored' || does === 'read') t.same(config, { given: { [name]: other } }, 'any is taken, and changes nothing')
      else t.ok(Object.keys(config).length === 2, 'a setting of the topic')
      const entry = shown(config, name)
      t.match(entry, { value: other, configSource: 1 })
      t.same(entry?.synonyms, [
        { name, value: other, source: 1 },
        ...(setting.brokerName === null ? [] : [{ name: setting.brokerName, value, source: does === 'set' && setting.isOfBroker ? 4 : 5 }])
      ])
    }
  })
}

t.test('no name twice, and what nobody knows is refused', async (t) => {
  t.equal(new Set(topicSettings.map(({ name }) => name)).size, topicSettings.length)
  t.throws(() => given('no.such', '1'), REFUSED)
  const values: readonly [string, string, Partial<TopicConfig>][] = [
    ['compression.type', 'uncompressed', { codec: 'none' }],
    ['compression.type', 'snappy', { codec: 'gzip' }],
    ['retention.ms', '-1', { retentionMs: null }],
    ['retention.ms', '9223372036854775807', { retentionMs: null }],
    ['retention.bytes', '-7', { retentionBytes: null }],
    ['message.timestamp.after.max.ms', '9223372036854775807', { timestampAheadMsMax: Number.MAX_SAFE_INTEGER }],
    ['retention.ms', '-01', { retentionMs: null }],
    ['retention.ms', ' -0001 ', { retentionMs: null }],
    ['cleanup.policy', 'delete, compact', { cleanup: 'compact,delete' }],
    ['max.message.bytes', '1000', { batchBytesMax: 1000 }],
    ['message.timestamp.before.max.ms', '9223372036854775807', { timestampBehindMsMax: null }],
    ['segment.ms', '60000', { segmentAgeMs: 60_000 }]
  ]
  for (const [name, value, config] of values) t.match(given(name, value), config, `${name}=${value}`)
  for (const [name, value] of [
    ['retention.ms', '-2'],
    ['retention.ms', '9223372036854775808'],
    ['segment.bytes', '2147483648'],
    ['max.message.bytes', String(broker.batchBytesMax + 1)],
    ['cleanup.policy', ''],
    ['cleanup.policy', 'compact,keep'],
    ['compression.type', 'brotli'],
    ['message.timestamp.type', 'createtime']
  ] as const)
    t.throws(() => given(name, value), REFUSED, `${name}=${value}`)
  t.equal(shown({}, 'min.cleanable.dirty.ratio')?.configType, 6, 'a DOUBLE')
  const many = new Map(topicSettings.filter(({ type }) => type === 'list').map(({ name }) => [name, 'y'.repeat(255)]))
  many.delete('cleanup.policy')
  t.doesNotThrow(() => configOf(many, broker))
})

t.test('settings are changed one by one, and what is taken back is at its default again', async (t) => {
  const before = new Map([
    ['retention.ms', '1000'],
    ['flush.ms', '5']
  ])
  const valueNow = (name: string): string => (name === 'cleanup.policy' ? 'delete' : '')
  const after = (...changes: SettingChange[]) => Object.fromEntries(settingsAfter(before, changes, valueNow))
  t.same(after({ name: 'retention.ms', operation: 'set', value: '2000' }), { 'retention.ms': '2000', 'flush.ms': '5' })
  t.same(after({ name: 'retention.ms', operation: 'delete', value: null }), { 'flush.ms': '5' })
  const list = (operation: 'append' | 'subtract', value: string) => after({ name: 'cleanup.policy', operation, value })['cleanup.policy']
  t.equal(list('append', 'compact,delete'), 'delete,compact', 'to the default')
  t.equal(list('subtract', 'delete'), '', 'which the table refuses')
  t.throws(() => after({ name: 'flush.ms', operation: 'append', value: '1' }), { message: /INVALID_CONFIG/ })
  t.throws(() => after({ name: 'flush.ms', operation: 'set', value: null }), { message: /INVALID_REQUEST/ })
  const twice: SettingChange = { name: 'flush.ms', operation: 'delete', value: null }
  t.throws(() => after(twice, twice), { message: /INVALID_REQUEST/ })

  const base = { ...defaultTopicConfig, retentionMs: 5_000, codec: 'gzip' } as const
  t.match(alteredConfig(new Map([['segment.ms', '70000']]), { base, broker }), { retentionMs: 5_000, codec: 'gzip', segmentAgeMs: 70_000 })
  t.equal(alteredConfig(new Map(), { base, broker }).segmentAgeMs, null)
  const older = { ...base, retentionMs: 1_000, cleanup: 'compact', given: { 'flush.ms': '5' } } as const
  t.same(Object.fromEntries(givenTo(older, { base, broker })), { 'flush.ms': '5', 'retention.ms': '1000', 'cleanup.policy': 'compact' })
})

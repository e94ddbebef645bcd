// Settings of the broker as DescribeConfigs names them: Kafka's names for what this one does, as far as tools ask for them. None can be altered while it runs:
// they are in wadi.yaml, or cannot be otherwise.

import type { SettingType } from '../../runtime/broker/setting-values.ts'
import { defaultOf, topicSettings } from '../../runtime/broker/topic-settings.ts'
import { TRANSACTION_TIMEOUT_MS_MAX } from '../../runtime/broker/transactions.ts'
import { type ConfigEntry, SOURCE, sourceOf, TYPES } from './configs.ts'
import type { ServerContext } from './context.ts'

const MINUTE_MS = 60_000
const IDLE_MS_MAX = 600_000

type Row = readonly [name: string, type: SettingType, value: string | number | boolean, text: string]

export function brokerConfigs(context: ServerContext): readonly ConfigEntry[] {
  const own = ownRows(context).map(([name, type, value, text]) =>
    entryOf({ name, type, value: String(value), text, source: SOURCE.broker })
  )
  const { settings } = context.broker
  const ofTopics = topicSettings.flatMap((setting) => {
    const { brokerName: name, type, text } = setting
    return name === null ? [] : [entryOf({ name, type, value: defaultOf(setting, settings), text, source: sourceOf(setting) })]
  })
  const known = new Set(own.map(({ name }) => name))
  return [...own, ...ofTopics.filter(({ name }) => !known.has(name))].sort((left, right) => (left.name < right.name ? -1 : 1))
}

function ownRows({ broker, node, autoCreateTopics, deleteTopics, fetchBytesMax }: ServerContext): readonly Row[] {
  const { settings } = broker
  const listener = `PLAINTEXT://${node.host.includes(':') ? `[${node.host}]` : node.host}:${node.port}`
  return [
    ['advertised.listeners', 'string', listener, 'What clients are told to connect to.'],
    ['auto.create.topics.enable', 'boolean', autoCreateTopics, 'Asking for a topic makes it.'],
    ['auto.leader.rebalance.enable', 'boolean', false, 'There is one node.'],
    ['broker.id', 'int', node.nodeId, 'There is one node.'],
    ['connections.max.idle.ms', 'long', IDLE_MS_MAX, 'A connection that asks nothing for so long is closed.'],
    ['default.replication.factor', 'int', 1, 'There is one node.'],
    ['delete.topic.enable', 'boolean', deleteTopics, 'Clients may delete topics.'],
    ['fetch.max.bytes', 'int', fetchBytesMax, 'The most of one answer, and one batch.'],
    ['group.initial.rebalance.delay.ms', 'int', settings.initialRebalanceDelayMs, 'How long a new group waits for more members.'],
    ['group.max.session.timeout.ms', 'int', settings.sessionTimeoutMsMax, 'The longest that a member may ask for.'],
    ['group.max.size', 'int', settings.groupMemberCountMax, 'Members of one group.'],
    ['group.min.session.timeout.ms', 'int', settings.sessionTimeoutMsMin, 'The shortest that a member may ask for.'],
    ['listeners', 'string', listener, 'As clients reach it.'],
    ['log.dir', 'string', broker.directory, 'The data directory.'],
    ['log.dirs', 'string', broker.directory, 'The data directory.'],
    ['max.incremental.fetch.session.cache.slots', 'int', 0, 'Every fetch is a full one.'],
    ['message.max.bytes', 'int', settings.batchBytesMax, 'The largest batch that a producer may send.'],
    ['node.id', 'int', node.nodeId, 'There is one node.'],
    ['num.partitions', 'int', settings.partitionCountDefault, 'Of a topic that does not say.'],
    ['offsets.retention.minutes', 'int', Math.round(settings.offsetRetentionMs / MINUTE_MS), 'After the group became empty.'],
    ['offsets.topic.replication.factor', 'short', 1, 'There is one node.'],
    ['process.roles', 'list', 'broker,controller', 'There is one node.'],
    ['producer.id.expiration.ms', 'int', settings.producerExpiryMs, 'A producer that is silent for so long is forgotten.'],
    ['transaction.max.timeout.ms', 'int', TRANSACTION_TIMEOUT_MS_MAX, 'The longest that a producer may ask for.'],
    ['transaction.state.log.min.isr', 'int', 1, 'There is one node.'],
    ['transaction.state.log.replication.factor', 'short', 1, 'There is one node.'],
    ['transactional.id.expiration.ms', 'int', settings.transactionalIdExpiryMs, 'After the last transaction of the id.']
  ]
}

function entryOf(row: { name: string; type: SettingType; value: string; text: string; source: number }): ConfigEntry {
  const { name, value, source } = row
  return {
    name,
    value,
    configSource: source,
    configType: TYPES[row.type],
    documentation: row.text,
    readOnly: true,
    synonyms: [{ name, value, source }]
  }
}

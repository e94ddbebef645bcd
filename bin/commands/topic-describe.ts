// wadi topic describe: settings and partitions of topics.

import { visibleLine } from '../../runtime/base/visible-line.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { kafkaOptions } from '../kafka-options.ts'
import type { KnownTopic } from '../kafka-topics.ts'
import { columns, print } from '../terminal.ts'
import { jsonLine } from '../visible-text.ts'

const TOPICS_MAX = 100

export const topicDescribe: Command = {
  name: 'topic describe',
  operands: 'TOPIC…',
  operandsMin: 1,
  operandsMax: TOPICS_MAX,
  summary: 'Settings and partitions of topics',
  details:
    "Of the settings those that are the topic's own: docs/kafka.md says what each does here. Exits with 1 when a topic is not there.",
  options: [
    { name: 'all', doc: 'settings at their default, too' },
    { name: 'json', doc: 'one JSON object for each topic' },
    ...kafkaOptions
  ],
  examples: ['wadi topic describe telemetry'],

  async run(input) {
    const { sayRefusals, withKafka } = await import('../kafka-admin.ts')
    const { settingsOfTopics, topicsOf } = await import('../kafka-topics.ts')
    const { topics, settings } = await withKafka(input, async (admin) => {
      const topics = await topicsOf(admin, input.operands)
      const names = topics.filter(({ errorCode }) => errorCode === 0).map(({ name }) => name)
      return { topics, settings: await settingsOfTopics(admin, names, { isAll: input.flag('all') }) }
    })
    for (const topic of topics.filter(({ errorCode }) => errorCode === 0)) {
      const own = settings.get(topic.name) ?? {}
      const { name, topicId, partitions } = topic
      await print(input.flag('json') ? jsonLine({ name, topicId, settings: own, partitions }) : textOf(topic, own))
    }
    return (await sayRefusals(topics)) ? EXIT.no : EXIT.ok
  }
}

function textOf({ name, topicId, partitions }: KnownTopic, settings: Readonly<Record<string, string | null>>): string {
  const head = [
    ['topic', visibleLine(name)],
    ['id', topicId],
    ...Object.entries(settings).map(([setting, value]) => [setting, visibleLine(value ?? '')])
  ]
  const rows = partitions.map(({ partitionIndex, leaderId, startOffset, endOffset }) =>
    [partitionIndex, leaderId, startOffset, endOffset].map(String)
  )
  const table = columns([['PARTITION', 'LEADER', 'START', 'END'], ...rows], { rightAligned: [0, 1, 2, 3] })
  return `${columns(head)}\n${table}\n`
}

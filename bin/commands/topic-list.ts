// wadi topic list: the topics of a gateway, as Kafka clients see them.

import { visibleLine } from '../../runtime/base/visible-line.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { kafkaOptions } from '../kafka-options.ts'
import { columns, print } from '../terminal.ts'
import { jsonLine } from '../visible-text.ts'

export const topicList: Command = {
  name: 'topic list',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'Topics, with their partitions and events',
  details: 'EVENTS are offsets between start and end: each end of a transaction has one too, and so has what was aborted.',
  options: [{ name: 'json', doc: 'one JSON object for each topic' }, ...kafkaOptions],
  examples: ['wadi topic list'],

  async run(input) {
    const { withKafka } = await import('../kafka-admin.ts')
    const { topicsOf } = await import('../kafka-topics.ts')
    const topics = await withKafka(input, (admin) => topicsOf(admin, null))
    if (input.flag('json')) {
      const lines = topics.map(({ name, topicId, partitions }) => jsonLine({ name, topicId, partitions: partitions.length }))
      await print(lines.join(''))
      return EXIT.ok
    }
    const rows = topics.map(({ name, partitions }) => {
      const events = partitions.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
      return [visibleLine(name), String(partitions.length), String(events)]
    })
    await print(`${columns([['TOPIC', 'PARTITIONS', 'EVENTS'], ...rows], { rightAligned: [1, 2] })}\n`)
    return EXIT.ok
  }
}

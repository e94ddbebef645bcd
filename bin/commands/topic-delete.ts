// wadi topic delete: deletes topics with all their events.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { kafkaOptions } from '../kafka-options.ts'

const TOPICS_MAX = 100
const NO_ID = '0'.repeat(32)

export const topicDelete: Command = {
  name: 'topic delete',
  operands: 'TOPIC…',
  operandsMin: 1,
  operandsMax: TOPICS_MAX,
  summary: 'Deletes topics with all their events',
  details: `Topics that wadi.yaml names stay, and those with events that the centre does not have yet.
What is refused is said on stderr, and the exit code is 1: the other topics are deleted.`,
  options: kafkaOptions,
  examples: ['wadi topic delete scratch'],

  async run(input) {
    const { api } = await import('../../adapters/kafka-protocol/apis.ts')
    const { sayRefusals, withKafka } = await import('../kafka-admin.ts')
    const request = { topics: input.operands.map((name) => ({ name, topicId: NO_ID })), topicNames: [...input.operands] }
    const { responses } = await withKafka(input, (admin) => admin.request(api.DeleteTopics, () => request))
    return (await sayRefusals(
      responses.map((response) => ({ ...response, name: response.name ?? '' })),
      (name) => `deleted topic ${name}`
    ))
      ? EXIT.no
      : EXIT.ok
  }
}

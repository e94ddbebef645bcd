// wadi topic create: makes topics, as kafka-topics does.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { kafkaOptions } from '../kafka-options.ts'
import { settingsOf } from '../setting-words.ts'

const TOPICS_MAX = 100
const DEFAULT = -1

export const topicCreate: Command = {
  name: 'topic create',
  operands: 'TOPIC…',
  operandsMin: 1,
  operandsMax: TOPICS_MAX,
  summary: 'Makes topics',
  details: 'What is refused is said on stderr, and the exit code is 1: the other topics are made.',
  options: [
    { name: 'partitions', short: 'p', value: 'COUNT', doc: 'default: kafka.default_partitions of the gateway' },
    {
      name: 'add-config',
      value: 'NAME=VALUE,…',
      doc: 'settings, as kafka-configs takes them: retention.ms=60000,cleanup.policy=[compact,delete]'
    },
    { name: 'validate-only', doc: 'only says whether it would be done' },
    ...kafkaOptions
  ],
  examples: ['wadi topic create events --partitions 4', 'wadi topic create short --add-config retention.ms=60000'],

  async run(input) {
    const { api } = await import('../../adapters/kafka-protocol/apis.ts')
    const { sayRefusals, withKafka } = await import('../kafka-admin.ts')
    const configs = [...settingsOf('add-config', input.text('add-config'))].map(([name, value]) => ({ name, value }))
    const numPartitions = input.text('partitions') === undefined ? DEFAULT : input.count('partitions', 1)
    const asked = input.operands.map((name) => ({ name, numPartitions, replicationFactor: DEFAULT, assignments: [], configs }))
    const validateOnly = input.flag('validate-only')
    const { topics } = await withKafka(input, (admin) => admin.request(api.CreateTopics, () => ({ topics: asked, validateOnly })))
    return (await sayRefusals(topics, (name) => (validateOnly ? `topic ${name} would be made` : `made topic ${name}`))) ? EXIT.no : EXIT.ok
  }
}

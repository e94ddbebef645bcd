// wadi topic alter: settings and more partitions of a topic, in the words of kafka-configs and kafka-topics.

import { nearestWord } from '../../gateway/config/suggest.ts'
import { settingNamed, topicSettings } from '../../runtime/broker/topic-settings.ts'
import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import type { KafkaAdmin, TopicAnswer } from '../kafka-admin.ts'
import { kafkaOptions } from '../kafka-options.ts'
import { settingsOf } from '../setting-words.ts'

const RESOURCE_TOPIC = 2
const [SET, DELETE] = [0, 1] as const

interface Changes {
  readonly set: ReadonlyMap<string, string>
  readonly remove: readonly string[]
  /** null = as many as there are. */
  readonly partitions: number | null
  readonly validateOnly: boolean
}

export const topicAlter: Command = {
  name: 'topic alter',
  operands: 'TOPIC',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'Alters settings of a topic, or adds partitions',
  details: `Topics that wadi.yaml names are as it says, and cannot be altered here.
What is refused is said on stderr, and the exit code is 1. Settings come first, and stay altered when partitions are refused.`,
  options: [
    { name: 'add-config', value: 'NAME=VALUE,…', doc: 'settings to give: retention.ms=60000,cleanup.policy=[compact,delete]' },
    { name: 'delete-config', value: 'NAME,…', doc: 'settings to take back: they are at their default again' },
    { name: 'partitions', short: 'p', value: 'COUNT', doc: 'more than it has: partitions are never taken away' },
    { name: 'validate-only', doc: 'only says whether it would be done' },
    ...kafkaOptions
  ],
  examples: ['wadi topic alter events --add-config retention.ms=60000', 'wadi topic alter events --partitions 8'],

  async run(input) {
    const { sayRefusals, withKafka } = await import('../kafka-admin.ts')
    const [topic = ''] = input.operands
    const changes: Changes = {
      set: settingsOf('add-config', input.text('add-config')),
      remove: (input.text('delete-config') ?? '').split(',').flatMap((name) => name.trim() || []),
      partitions: input.text('partitions') === undefined ? null : input.count('partitions', 1),
      validateOnly: input.flag('validate-only')
    }
    for (const name of changes.remove) demandKnown(name)
    if (changes.set.size + changes.remove.length === 0 && changes.partitions === null)
      throw usageError('Nothing to alter was named.', 'Give --add-config, --delete-config or --partitions.')
    const answers = await withKafka(input, (admin) => alter(admin, topic, changes))
    return (await sayRefusals(answers, (name) => (changes.validateOnly ? `topic ${name} would be altered` : `altered topic ${name}`)))
      ? EXIT.no
      : EXIT.ok
  }
}

/** A broker takes back what it never had without a word. @throws WadiError WADI_USAGE */
function demandKnown(name: string): void {
  if (settingNamed(name)) return
  const near = nearestWord(
    name,
    topicSettings.map((setting) => setting.name)
  )
  throw usageError(`"${name}" is no setting of topics${near ? ` (did you mean ${near}?)` : ''}.`, '"wadi topic describe --all" lists them.')
}

/** Settings, and then, when they are taken, partitions. */
async function alter(admin: KafkaAdmin, name: string, { set, remove, partitions, validateOnly }: Changes): Promise<TopicAnswer[]> {
  const { api } = await import('../../adapters/kafka-protocol/apis.ts')
  const configs = [
    ...[...set].map(([setting, value]) => ({ name: setting, configOperation: SET, value })),
    ...remove.map((setting) => ({ name: setting, configOperation: DELETE, value: null }))
  ]
  if (configs.length > 0) {
    const resources = [{ resourceType: RESOURCE_TOPIC, resourceName: name, configs }]
    const { responses } = await admin.request(api.IncrementalAlterConfigs, () => ({ resources, validateOnly }))
    if (responses.some(({ errorCode }) => errorCode !== 0) || partitions === null)
      return responses.map((response) => ({ ...response, name }))
  }
  const topics = [{ name, count: partitions ?? 0, assignments: null }]
  const { results } = await admin.request(api.CreatePartitions, () => ({ topics, validateOnly }))
  return results
}

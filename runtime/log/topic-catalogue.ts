// Which topics there are: durable state under `topic/<name>`, one JSON value each. Numbers are given once and never again.

import { WadiError } from '../base/errors.ts'
import { topicNameFault } from '../base/topic-names.ts'
import { defaultTopicConfig, type TopicConfig } from './contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea } from './state-area.ts'

export const TOPIC_PARTITIONS_MAX = 1024

export interface TopicEntry {
  readonly number: number
  /** 32 hex digits. */
  readonly id: string
  readonly config: TopicConfig
  /** It was never to be delivered, so nobody outside of this disk goes by its name and offsets. Not there: nobody knows. */
  readonly isLocal?: boolean
}

export const topicEntries = new StateArea<TopicEntry>(
  'topic',
  {
    encode: (entry) => new TextEncoder().encode(JSON.stringify(entry)),
    decode(bytes) {
      const entry = JSON.parse(new TextDecoder().decode(bytes)) as TopicEntry
      return { ...entry, config: { ...defaultTopicConfig, ...entry.config } }
    }
  },
  { keys: '<name>', valueBytesMax: STATE_VALUE_BYTES_MAX, goes: 'when the topic is deleted' }
)

/** @throws WadiError WADI_TOPIC_INVALID */
export function checkTopic(name: string, config: TopicConfig): void {
  const count = config.partitionCount
  const problem =
    topicNameFault(name) ??
    (Number.isInteger(count) && count >= 1 && count <= TOPIC_PARTITIONS_MAX
      ? null
      : `partitions is ${count}, not 1 to ${TOPIC_PARTITIONS_MAX}`)
  if (problem === null) return
  throw new WadiError('WADI_TOPIC_INVALID', {
    happened: `Topic ${JSON.stringify(name.slice(0, 80))}: ${problem}.`,
    kept: 'Nothing was made.',
    next: 'Choose another name or number.'
  })
}

/** '.' and '_' are one in Kafka's metric names: two topics may not differ only by them, nor only by case (file systems). */
export function collisionKey(name: string): string {
  return name.toLowerCase().replaceAll('.', '_')
}

// Which topics there are: durable state under `topic/<name>`, one JSON value each. Numbers are given once and never again.

import { WadiError } from '../base/errors.ts'
import { topicNameFault } from '../base/topic-names.ts'
import { defaultTopicConfig, type TopicConfig } from './contract.ts'
import { StateArea } from './state-area.ts'
import { json } from './state-codec.ts'
import { amount, fields, flag, matching, oneOf, optional, orNull, recordOf, type Shape, whole, within, words } from './state-shape.ts'

export const TOPIC_PARTITIONS_MAX = 1024

export interface TopicEntry {
  readonly number: number
  /** 32 hex digits. */
  readonly id: string
  readonly config: TopicConfig
  /** It was never to be delivered, so nobody outside of this disk goes by its name and offsets. Not there: nobody knows. */
  readonly isLocal?: boolean
}

/** Settings that a version before did not have are not there: they are the default. A codec that this version does not have is another one's. */
const configShape = fields<Partial<TopicConfig>>({
  partitionCount: optional(within(1, TOPIC_PARTITIONS_MAX)),
  codec: optional(words as Shape<TopicConfig['codec']>),
  retentionMs: optional(orNull(amount)),
  retentionBytes: optional(orNull(amount)),
  quotaBytes: optional(orNull(amount)),
  whenFull: optional(oneOf('reject', 'drop_oldest')),
  dropUndelivered: optional(flag),
  isForwarded: optional(flag),
  cleanup: optional(oneOf('delete', 'compact', 'compact,delete')),
  segmentBytes: optional(orNull(amount)),
  segmentAgeMs: optional(orNull(amount)),
  batchBytesMax: optional(orNull(amount)),
  timestampType: optional(oneOf('CreateTime', 'LogAppendTime')),
  timestampBehindMsMax: optional(orNull(amount)),
  timestampAheadMsMax: optional(orNull(amount)),
  given: optional(recordOf(words))
})

interface StoredTopicEntry extends Omit<TopicEntry, 'config'> {
  readonly config: Partial<TopicConfig>
}

const stored = json(
  fields<StoredTopicEntry>({ number: whole, id: matching(/^[0-9a-f]{32}$/), config: configShape, isLocal: optional(flag) })
)

export const topicEntries = new StateArea<TopicEntry>(
  'topic',
  {
    encode: stored.encode,
    decode(value, key) {
      const entry = stored.decode(value, key)
      return { ...entry, config: { ...defaultTopicConfig, ...entry.config } }
    }
  },
  {
    keys: '<name>',
    valueBytesMax: 4096,
    entries:
      'the topics that there are: of the configuration, of events that a route names one for, and of Kafka clients up to `kafka.limits.partitions`',
    goes: 'when the topic is deleted'
  }
)

/** @throws WadiError WADI_TOPIC_INVALID */
export function checkTopic(name: string, config: TopicConfig): void {
  const count = config.partitionCount
  const problem =
    topicNameFault(name) ??
    (Number.isInteger(count) && count >= 1 && count <= TOPIC_PARTITIONS_MAX
      ? null
      : `partitions is ${count}, not 1 to ${TOPIC_PARTITIONS_MAX}`) ??
    (configShape(config) ? null : 'a limit is negative or no number') // the next start would not read it
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

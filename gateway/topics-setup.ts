// From the topics section of wadi.yaml to topics of the store: made when absent, altered when different, never shrunk.

import { defaultTopicConfig, type Store, type TopicConfig } from '../runtime/log/contract.ts'
import { isInternal } from './config/internal-topics.ts'
import { mergedTopic } from './config/rules.ts'
import type { Config, TopicSection } from './config/schema.ts'
import type { Log } from './log.ts'

/** Edge topic → topic at the centre, of those in `names` that the configuration delivers. */
export function deliveredTopics(config: Config, names: Iterable<string>): Map<string, string> {
  const delivered = new Map<string, string>()
  if (!config.upstream) return delivered
  const { topics } = config.upstream
  if (topics.size > 0) {
    for (const [name, { to }] of topics) delivered.set(name, to ?? name)
    return delivered
  }
  for (const name of names) if (name !== config.dead_letter.topic && !isInternal(name)) delivered.set(name, name)
  return delivered
}

/** What the store should know of a topic. A topic that only a route names has the defaults. */
export function topicConfigOf(config: Config, topicName: string): TopicConfig {
  const section = config.topics.get(topicName)
  const isForwarded = config.upstream !== null && deliveredTopics(config, [topicName]).has(topicName)
  if (section) return { ...fromSection(section), isForwarded }
  if (topicName === config.dead_letter.topic) return { ...defaultTopicConfig, ...deadLetterLimits(config), isForwarded }
  return { ...defaultTopicConfig, isForwarded }
}

/** Bounded, and never refused: an event that no route can map must not come again for ever. */
function deadLetterLimits({ dead_letter }: Config): Partial<TopicConfig> {
  return { retentionMs: dead_letter.retention, quotaBytes: dead_letter.quota, whenFull: 'drop_oldest', dropUndelivered: true }
}

function fromSection(section: TopicSection): Omit<TopicConfig, 'isForwarded'> {
  const topic = mergedTopic(section)
  return {
    partitionCount: topic.partitions,
    codec: topic.codec,
    retentionMs: topic.retention,
    retentionBytes: topic.retention_bytes,
    quotaBytes: topic.quota,
    whenFull: topic.when_full,
    dropUndelivered: topic.drop_undelivered
  }
}

/**
 * Brings the store's topics to what the configuration says: those in `names`, and of all others (made by a template, or named no more) whether they
 * are delivered, because that decides what retention may take. @throws WadiError when the store refuses
 */
export async function setUpTopics(store: Store, config: Config, names: Iterable<string>, log: Log): Promise<void> {
  for (const name of new Set(names)) {
    const wanted = topicConfigOf(config, name)
    const topic = store.topics.get(name)
    if (!topic) {
      const { partitions } = await store.createTopic(name, wanted)
      log(
        'info',
        `made topic ${name} with ${partitionWords(wanted.partitionCount)}, which ${placeOfTopic(config, name) ?? 'topics'} names`,
        { topic: name }
      )
      const found = partitions.reduce((sum, { highWatermark, logStartOffset }) => sum + highWatermark - logStartOffset, 0)
      if (found > 0)
        log(
          'warn',
          `topic ${name} was not known, and its segments were there: ${found === 1 ? '1 event is' : `${found} events are`} taken in`,
          { topic: name }
        )
      continue
    }
    if (wanted.partitionCount < topic.config.partitionCount) {
      log('warn', `topic ${name} keeps its ${topic.config.partitionCount} partitions: partitions are never taken away`)
    }
    const target = { ...wanted, partitionCount: Math.max(wanted.partitionCount, topic.config.partitionCount) }
    if (JSON.stringify(sorted(target)) === JSON.stringify(sorted(topic.config))) continue
    const before = topic.config.partitionCount
    await store.alterTopic(name, target)
    if (target.partitionCount > before) {
      const words = `topic ${name} has ${partitionWords(target.partitionCount)} now, ${before} before: a key may be in another one than its older events`
      log('warn', words, { topic: name })
    }
  }
  for (const { name, config: known } of store.topics.values()) {
    const { isForwarded } = topicConfigOf(config, name)
    if (known.isForwarded === isForwarded) continue
    await store.alterTopic(name, { isForwarded })
    log('info', isForwarded ? `topic ${name} is delivered from now on` : `topic ${name} is not delivered any more`)
  }
}

export function partitionWords(count: number): string {
  return count === 1 ? '1 partition' : `${count} partitions`
}

/** The part of wadi.yaml that a topic is made for; null when none names it. */
export function placeOfTopic(config: Config, name: string): string | null {
  const index = config.routes.findIndex(({ topic }) => topic === name)
  if (index >= 0) return `routes[${index}]`
  if (name === config.dead_letter.topic) return 'dead_letter.topic'
  if (name === config.unmatched.topic) return 'unmatched.topic'
  return config.topics.has(name) ? 'topics' : null
}

function sorted(config: TopicConfig): [string, unknown][] {
  return Object.entries(config).sort(([left], [right]) => (left < right ? -1 : 1))
}

// From the topics section of wadi.yaml to topics of the store: made when absent, altered when different, never shrunk. A full disk ends no start:
// what there is no room for is made or altered later.

import { WadiError } from '../runtime/base/errors.ts'
import type { Clock, Timer } from '../runtime/io/clock.ts'
import { DiskError } from '../runtime/io/disk.ts'
import { defaultTopicConfig, type Store, type Topic, type TopicConfig } from '../runtime/log/contract.ts'
import { isInternal } from './config/internal-topics.ts'
import { COMPACTION_TIMES, mergedTopic } from './config/rules.ts'
import type { Config, TopicSection } from './config/schema.ts'
import type { Log } from './log.ts'

/** Doubled from the first to the last. */
const RETRY_MS = { first: 1_000, max: 30_000 }

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
    ...defaultTopicConfig,
    partitionCount: topic.partitions,
    codec: topic.codec,
    retentionMs: topic.retention,
    retentionBytes: topic.retention_bytes,
    quotaBytes: topic.quota,
    whenFull: topic.when_full,
    dropUndelivered: topic.drop_undelivered,
    ...compactionOf(section)
  }
}

/** As a Kafka client would give it. */
function compactionOf({ config }: TopicSection): Pick<TopicConfig, 'cleanup' | 'given'> {
  const given: Record<string, string> = {}
  for (const key of ['cleanup.policy', ...COMPACTION_TIMES] as const) if (config[key] !== undefined) given[key] = `${config[key]}`
  return { cleanup: config['cleanup.policy'] ?? 'delete', given }
}

export interface TopicsSetupOptions {
  readonly store: Store
  readonly clock: Clock
  readonly config: Config
  /** Topics that the configuration names. */
  readonly names: Iterable<string>
  readonly log: Log
  makeTopic(name: string, config: TopicConfig): Promise<Topic>
}

/** A topic that is not as the configuration says, for want of room. */
export interface WaitingTopic {
  readonly name: string
  readonly change: 'made' | 'altered'
  readonly because: string
}

/**
 * Brings the store's topics to what the configuration says: those that it names, and of all others (made by a template, or named no more) whether they
 * are delivered, because that decides what retention may take. What there is no room for waits, and is tried again until stop().
 */
export class TopicsSetup {
  readonly #options: TopicsSetupOptions
  readonly #names: ReadonlySet<string>
  readonly #waiting = new Map<string, WaitingTopic>()
  #timer: Timer | null = null
  #isStopped = false

  constructor(options: TopicsSetupOptions) {
    this.#options = options
    this.#names = new Set(options.names)
  }

  get waiting(): readonly WaitingTopic[] {
    return [...this.#waiting.values()]
  }

  /** Every topic had its turn when it resolves. @throws WadiError when the store refuses one for another reason than room */
  async run(): Promise<void> {
    for (const name of this.#names) await this.#setUp(name)
    for (const name of [...this.#options.store.topics.keys()]) if (!this.#names.has(name)) await this.#setUp(name)
    this.#tryLater(RETRY_MS.first)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #tryLater(delayMs: number): void {
    if (this.#waiting.size === 0 || this.#isStopped) return
    this.#timer = this.#options.clock.after(delayMs, async () => {
      for (const waiting of [...this.#waiting.values()]) {
        await this.#setUp(waiting.name).catch((error: unknown) => this.#giveUp(waiting, error))
        if (this.#isStopped) return
      }
      this.#tryLater(Math.min(2 * delayMs, RETRY_MS.max))
    })
  }

  /** Until the next start. What keeps one topic does not keep the others. */
  #giveUp({ name, change }: WaitingTopic, error: unknown): void {
    const { store, log } = this.#options
    if (this.#isStopped) return
    this.#waiting.delete(name)
    const because = error instanceof Error ? error.message : String(error)
    if (!store.failure) return log('warn', `topic ${name} is not ${change} until the next start: ${because}`, { topic: name })
    // It takes nothing any more, and says so itself.
    this.stop()
    log('warn', `topics are not set up until the next start: ${because}`)
  }

  async #setUp(name: string): Promise<void> {
    const { store, log } = this.#options
    const topic = store.topics.get(name)
    try {
      if (topic) await this.#alter(topic)
      else if (this.#names.has(name)) await this.#make(name)
      this.#waiting.delete(name)
    } catch (error) {
      const because = reasonToWait(error)
      if (because === null) throw error
      const change = topic ? 'altered' : 'made'
      if (!this.#waiting.has(name)) {
        log('warn', `topic ${name} is not ${change} yet: ${because} It is tried again by itself`, { topic: name })
      }
      this.#waiting.set(name, { name, change, because })
    }
  }

  async #make(name: string): Promise<void> {
    const { config, log, makeTopic } = this.#options
    const wanted = topicConfigOf(config, name)
    const { partitions } = await makeTopic(name, wanted)
    const place = placeOfTopic(config, name) ?? 'topics'
    log('info', `made topic ${name} with ${partitionWords(wanted.partitionCount)}, which ${place} names`, { topic: name })
    const found = partitions.reduce((sum, { highWatermark, logStartOffset }) => sum + highWatermark - logStartOffset, 0)
    if (found === 0) return
    const events = found === 1 ? '1 event is' : `${found} events are`
    log('warn', `topic ${name} was not known, and its segments were there: ${events} taken in`, { topic: name })
  }

  async #alter(topic: Topic): Promise<void> {
    const { config, store, log } = this.#options
    const { name, config: known } = topic
    const wanted = topicConfigOf(config, name)
    const isFirst = !this.#waiting.has(name)
    if (this.#names.has(name) && wanted.partitionCount < known.partitionCount && isFirst) {
      log('warn', `topic ${name} keeps its ${known.partitionCount} partitions: partitions are never taken away`)
    }
    const target = this.#names.has(name)
      ? { ...wanted, partitionCount: Math.max(wanted.partitionCount, known.partitionCount) }
      : { ...known, isForwarded: wanted.isForwarded }
    // One that waits is altered in memory.
    if (isFirst && JSON.stringify(sorted(target)) === JSON.stringify(sorted(known))) return
    await store.alterTopic(name, target, { holds: 'at once' })
    if (!this.#names.has(name)) {
      log('info', wanted.isForwarded ? `topic ${name} is delivered from now on` : `topic ${name} is not delivered any more`)
    } else if (target.partitionCount > known.partitionCount) {
      const words = `topic ${name} has ${partitionWords(target.partitionCount)} now, ${known.partitionCount} before: a key may be in another one than its older events`
      log('warn', words, { topic: name })
    }
  }
}

/** In words; null when waiting does not help. */
function reasonToWait(error: unknown): string | null {
  if (error instanceof WadiError && error.retriable) return error.story.happened
  return error instanceof DiskError && error.isFull ? `${error.message}.` : null
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

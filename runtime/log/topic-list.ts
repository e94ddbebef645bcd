// The topics of a data directory: made, altered and deleted here, each durable before it is visible, or gone.
//
// Invariants:
//   - A number is given once, also when its topic was refused or deleted: what was written of it may be found by a start.
//   - Limits of the configuration hold from the moment they are asked for, until the next start also when there is no room to write them down; what a client
//     alters holds when it is durable.
//   - From the moment a deletion is asked for the topic takes nothing more; when the deletion is refused it does again.
//   - A deleted topic is out of every list at once; who holds its partitions sees isDeleted.
// Not for: files (partition-log.ts, deleted-topics.ts), what clients may make or delete (runtime/broker/topics.ts, gateway).

import type { WadiError } from '../base/errors.ts'
import { Listeners } from '../base/listeners.ts'
import type { Offset } from '../base/offset.ts'
import { DiskError } from '../io/disk.ts'
import type { Random } from '../io/random.ts'
import type { DirectoryAccount } from './accounts.ts'
import {
  type AlterOptions,
  type DeleteOptions,
  type DroppedRange,
  defaultTopicConfig,
  type Removal,
  type StateChange,
  type TopicConfig
} from './contract.ts'
import { type DeletedTopics, lastTopicNumbers } from './deleted-topics.ts'
import { incarnationStarts } from './incarnation-offsets.ts'
import type { KnownDamage, Place } from './known-damage.ts'
import { partitionDirectory } from './layout.ts'
import { takeInLeftSegments } from './left-segments.ts'
import type { PartitionEnvironment } from './partition-environment.ts'
import { PartitionLog } from './partition-log.ts'
import type { RecoveryReport } from './recovery-report.ts'
import type { Removals } from './removals.ts'
import { segmentShareOf } from './segment-share.ts'
import type { StorageSettings } from './settings.ts'
import type { StateReader } from './state-area.ts'
import { diskFull, onlyDisk, tooManyDeleted, topicBusy, topicExists, topicUndelivered, topicUnknown } from './store-errors.ts'
import { StoredTopic } from './stored-topic.ts'
import { checkTopic, collisionKey, type TopicEntry, topicEntries } from './topic-catalogue.ts'
import { skipKnownDamage } from './topic-recovery.ts'

/** What else has to be in the commit that makes a topic or a partition, and what is then. */
export interface Making {
  readonly changes: readonly StateChange[]
  onDurable(): void
}

export interface TopicListHost {
  readonly directory: string
  readonly settings: StorageSettings
  readonly random: Random
  readonly state: StateReader
  readonly env: PartitionEnvironment
  readonly account: DirectoryAccount
  readonly report: RecoveryReport
  readonly damage: KnownDamage
  readonly removals: Removals
  readonly deleted: DeletedTopics
  /** What else has to be in the commit that makes partitions, with their topic or not. */
  making(partitions: readonly PartitionLog[]): Promise<Making>
  /** Through the group commit. @throws WadiError */
  commit(state: readonly StateChange[]): Promise<readonly Offset[]>
  onDropped(range: DroppedRange): void
  /** It has more partitions, other settings, is being deleted, or gone. */
  changed(topic: StoredTopic): void
  /** A caller's callback threw. */
  onProgramError(error: unknown): void
  /** What the device refused may be a sync, and is final: the store fails. @returns how that is told */
  failedToTakeIn(error: DiskError): WadiError
}

export class TopicList {
  readonly #host: TopicListHost
  readonly #byName = new Map<string, StoredTopic>()
  readonly #byNumber = new Map<number, StoredTopic>()
  /** Names of topics that are being made, with their numbers: not visible yet, and neither name nor number is given to another. */
  readonly #creating = new Set<string>()
  readonly #deletions: Listeners<StoredTopic>
  #lastNumber = 0
  /** Alterations and deletions one behind the other: each starts from what the one before left. */
  #altering: Promise<unknown> = Promise.resolve()

  constructor(host: TopicListHost) {
    this.#host = host
    this.#deletions = new Listeners(host.onProgramError)
  }

  get byName(): ReadonlyMap<string, StoredTopic> {
    return this.#byName
  }

  all(): Iterable<StoredTopic> {
    return this.#byName.values()
  }

  /** undefined when there is none (any more). */
  withNumber(number: number): StoredTopic | undefined {
    return this.#byNumber.get(number)
  }

  /** undefined when there is none (any more), or nothing names it. */
  partitionAt({ topicNumber, partitionIndex }: Place): PartitionLog | undefined {
    return this.#byNumber.get(topicNumber)?.partitions[partitionIndex]
  }

  onDeleted(listener: (topic: StoredTopic) => void): () => void {
    return this.#deletions.add(listener)
  }

  /** At a start: what the state has under `key`, with its partitions, which are to be recovered. */
  restore(key: string): StoredTopic {
    const entry = topicEntries.get(this.#host.state, key) as TopicEntry
    const topic = new StoredTopic(topicEntries.restOf(key), entry, this.#host.account)
    return this.#add(topic, this.#newPartitions(topic))
  }

  /** At a start: numbers up to this one were given, whether or not anything names their topics. */
  onNumberSeen(number: number): void {
    this.#lastNumber = Math.max(this.#lastNumber, number, lastTopicNumbers.get(this.#host.state, lastTopicNumbers.key()) ?? 0)
  }

  async create(name: string, config: Partial<TopicConfig>): Promise<StoredTopic> {
    const { random, deleted, account } = this.#host
    const whole = { ...defaultTopicConfig, ...config }
    checkTopic(name, whole)
    for (const other of [...this.#byName.keys(), ...this.#creating]) {
      if (collisionKey(other) !== collisionKey(name)) continue
      throw topicExists(name, other)
    }
    // A number is used once, also when its topic was refused: what was written of it may be found by a start.
    const number = ++this.#lastNumber
    const entry: TopicEntry = { number, id: Buffer.from(random.bytes(16)).toString('hex'), config: whole, isLocal: !whole.isForwarded }
    this.#creating.add(name)
    try {
      if (!(await deleted.isNameFree(name).catch(falseWhenDisk))) throw topicBusy(name)
      const topic = new StoredTopic(name, entry, account)
      return await this.#grow(topic, entry)
    } finally {
      this.#creating.delete(name)
    }
  }

  /** What needs no new partition may hold at once: it may be what makes the room that is needed to write it down. */
  alter(name: string, config: Partial<TopicConfig>, { holds }: AlterOptions): Promise<StoredTopic> {
    return this.#behindOthers(async () => {
      const topic = this.#byName.get(name)
      if (!topic) throw topicUnknown(name)
      const { partitionCount } = topic.config
      const whole = { ...topic.config, ...config, partitionCount: Math.max(partitionCount, config.partitionCount ?? 0) }
      checkTopic(name, whole)
      if (holds === 'at once') topic.config = { ...whole, partitionCount }
      const isLocal = topic.isLocal && !whole.isForwarded
      return this.#grow(topic, { number: topic.number, id: Buffer.from(topic.id).toString('hex'), config: whole, isLocal })
    })
  }

  /** Durable when it resolves; the files go later. @throws WadiError WADI_TOPIC_UNKNOWN, WADI_TOPIC_UNDELIVERED, and as commit() */
  delete(name: string, { undelivered }: DeleteOptions): Promise<void> {
    return this.#behindOthers(async () => {
      const topic = this.#byName.get(name)
      if (!topic) throw topicUnknown(name)
      const check = (): void => {
        const count = this.#undeliveredIn(topic)
        if (undelivered === 'refuse' && count > 0) throw topicUndelivered(name, count)
      }
      check()
      if (!topic.isLocal && !this.#host.deleted.canRemember(name)) throw tooManyDeleted(name)
      topic.isEnding = true
      this.#host.changed(topic)
      try {
        await this.#host.commit([]) // everything that was taken before is in the log now, and counts
        check()
        await this.#host.commit(this.#deletionOf(topic))
      } catch (error) {
        topic.isEnding = false
        throw error
      }
      await this.#onDeleted(topic)
    })
  }

  #deletionOf(topic: StoredTopic): StateChange[] {
    const { removals, deleted } = this.#host
    const { name, number, partitions } = topic
    const ends = topic.isLocal ? [] : partitions.map(({ highWatermark }) => highWatermark)
    const beginnings = partitions.flatMap((partition) =>
      partition.beginningsSince(0).map((beginning) => ({ ...beginning, partitionIndex: partition.partitionIndex }))
    )
    const lost: Removal = { topicName: name, reason: 'deletion', records: this.#undeliveredIn(topic), isLoss: true }
    const counted = removals.list([topic])
    return [
      topicEntries.remove(topicEntries.key(name)),
      lastTopicNumbers.put(lastTopicNumbers.key(), this.#lastNumber),
      ...deleted.changesFor(
        { number, name, partitions: partitions.length },
        { ends, removals: lost.records > 0 ? [...counted, lost] : counted, beginnings }
      )
    ]
  }

  async #onDeleted(topic: StoredTopic): Promise<void> {
    const { removals, damage, deleted, onDropped } = this.#host
    const closed = Promise.all(topic.partitions.map((partition) => partition.delete().catch(onlyDisk)))
    deleted.onDeleted(topic.number, closed)
    this.#byName.delete(topic.name)
    this.#byNumber.delete(topic.number)
    removals.forget(topic)
    damage.forget(topic.number)
    topic.end()
    this.#host.changed(topic)
    this.#deletions.tell(topic)
    for (const { topicName, partitionIndex, deliveredOffset, logStartOffset, highWatermark } of topic.config.isForwarded
      ? topic.partitions
      : []) {
      const startOffset = Math.max(deliveredOffset, logStartOffset) as Offset
      if (startOffset < highWatermark)
        onDropped({ topicName, partitionIndex, startOffset, endOffset: highWatermark, reason: 'deletion', isDelivered: false })
    }
    await closed
    void deleted.clear().catch(onlyDisk) // thousands of files may take a while; what is left goes with the rounds of housekeeping
  }

  /** Makes a topic, or its new partitions, durable, then visible: with what lies in their directories. */
  async #grow(topic: StoredTopic, entry: TopicEntry): Promise<StoredTopic> {
    const { state, report, damage, removals, deleted } = this.#host
    const { name } = topic
    const { config } = entry
    const partitions = this.#newPartitions(topic, config)
    const ends = deleted.endsOf(name)
    const beginnings = partitions.map((partition) => ({ partition, start: ends[partition.partitionIndex] ?? 0 }))
    const making = partitions.length > 0 ? await this.#host.making(partitions) : null
    await this.#host.commit([
      topicEntries.put(topicEntries.key(name), entry),
      ...(making?.changes ?? []),
      ...beginnings.flatMap(({ partition, start }) => (start > 0 ? removals.changeForBeginning(partition, start) : [])),
      ...this.#formerStarts(topic.number, name, partitions)
    ])
    const startKeys = incarnationStarts.keysIn(state, topic.number)
    for (const partition of partitions) partition.restoreIncarnations(state, startKeys)
    making?.onDurable()
    const holes = await takeInLeftSegments(beginnings, report).catch((error: unknown) => {
      if (!(error instanceof DiskError)) throw error
      if (error.isFull || error.code === 'EMFILE') throw diskFull(error) // nothing is wrong with the device: it is tried again
      throw this.#host.failedToTakeIn(error)
    })
    const behind = beginnings.flatMap(({ partition }) => {
      partition.setDelivered(removals.load(partition).deliveredOffset)
      return skipKnownDamage(partition, damage)
    })
    topic.config = config
    topic.isLocal = entry.isLocal === true
    this.#add(topic, partitions)
    for (const hole of [...holes, ...behind]) void damage.report(hole)
    return topic
  }

  /** New partitions that go on in offsets of a deleted topic know where starts began to write those. */
  #formerStarts(topicNumber: number, name: string, partitions: readonly PartitionLog[]): StateChange[] {
    const indexes = new Set(partitions.map(({ partitionIndex }) => partitionIndex))
    return this.#host.deleted
      .beginningsOf(name)
      .filter(({ partitionIndex }) => indexes.has(partitionIndex))
      .map(({ partitionIndex, incarnation, startOffset }) =>
        incarnationStarts.put(incarnationStarts.key(topicNumber, partitionIndex, incarnation), startOffset)
      )
  }

  #add(topic: StoredTopic, partitions: readonly PartitionLog[]): StoredTopic {
    this.#byName.set(topic.name, topic)
    this.#byNumber.set(topic.number, topic)
    this.#lastNumber = Math.max(this.#lastNumber, topic.number)
    for (const partition of partitions) topic.add(partition)
    for (const partition of topic.partitions) partition.setShare(segmentShareOf(topic.config, this.#host.settings))
    topic.account.touch()
    this.#host.changed(topic)
    return topic
  }

  #newPartitions(topic: StoredTopic, { partitionCount } = topic.config): PartitionLog[] {
    const { name: topicName, number: topicNumber, account, partitions } = topic
    return Array.from({ length: Math.max(0, partitionCount - partitions.length) }, (_, at) => {
      const partitionIndex = partitions.length + at
      const directory = partitionDirectory(this.#host.directory, topicName, partitionIndex)
      return new PartitionLog({ topicName, topicNumber, partitionIndex, directory, account }, this.#host.env)
    })
  }

  /** Events that the centre should get and does not have, but for those that damage took. */
  #undeliveredIn(topic: StoredTopic): number {
    const { removals } = this.#host
    return topic.partitions.reduce((sum, partition) => sum + removals.undeliveredBelow(topic, partition, partition.highWatermark), 0)
  }

  #behindOthers<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#altering.then(work)
    this.#altering = run.catch(() => undefined)
    return run
  }
}

function falseWhenDisk(error: unknown): false {
  onlyDisk(error)
  return false
}

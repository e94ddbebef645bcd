// A Store in memory with the promises of runtime/log/contract.ts: commits are whole, ordered, and visible only when "durable".
// hold() keeps commits from becoming durable, failNext() refuses one, reopen() is a restart that keeps only what was durable.

import { WadiError } from '../../runtime/base/errors.ts'
import { type Offset, toOffset } from '../../runtime/base/offset.ts'
import { LEADER_EPOCH_AT, readBatchHeader, viewOf, writeBaseOffset } from '../../runtime/core/batch-header.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { BatchHeader, RecordInput } from '../../runtime/core/record.ts'
import {
  type AbortedTransaction,
  type Append,
  type AppendDone,
  type CommitDone,
  type CommitState,
  type DroppedRange,
  defaultTopicConfig,
  type Partition,
  type ReadResult,
  type StableRead,
  type StateChange,
  type Store,
  type StoredBatch,
  type StoreMetrics,
  type Topic,
  type TopicConfig
} from '../../runtime/log/contract.ts'

import { topicUnknown } from '../../runtime/log/store-errors.ts'
import { isCommitted, readTransactions, TransactionIndex } from '../../runtime/log/transaction-index.ts'

class MemoryPartition implements Partition {
  readonly topicName: string
  readonly topicNumber: number
  readonly partitionIndex: number
  readonly core: Core
  readonly batches: Uint8Array[] = []
  readonly listeners = new Set<() => void>()
  readonly deliveredOffset = 0
  readonly isLogStartDurable = true
  isDeleted = false
  readonly transactions = new TransactionIndex()
  logStartOffset = toOffset(0)
  highWatermark = toOffset(0)
  nextOffset = 0
  appendedBytes = 0

  constructor(place: { topicName: string; topicNumber: number; partitionIndex: number }, core: Core) {
    this.topicName = place.topicName
    this.topicNumber = place.topicNumber
    this.partitionIndex = place.partitionIndex
    this.core = core
  }

  read(offset: Offset, { bytesMax }: { bytesMax: number }): Promise<ReadResult> {
    if (this.isDeleted) return Promise.reject(topicUnknown(this.topicName))
    if (offset < this.logStartOffset || offset > this.highWatermark) return Promise.reject(outOfRange(offset))
    const batches: StoredBatch[] = []
    let bytes = 0
    let nextOffset = offset
    for (const batch of this.batches) {
      const header = readBatchHeader(batch) as BatchHeader
      const { lastOffset } = header
      if (lastOffset < offset) continue
      if (batches.length > 0 && bytes + batch.byteLength > bytesMax) break
      batches.push({ header, bytes: batch })
      bytes += batch.byteLength
      nextOffset = toOffset(lastOffset + 1)
    }
    return Promise.resolve({ batches, nextOffset })
  }

  get lastStableOffset(): Offset {
    return this.transactions.lastStableOffset(this.highWatermark)
  }

  abortedBetween(startOffset: number, endOffset: number): readonly AbortedTransaction[] {
    return this.transactions.abortedBetween(startOffset, endOffset)
  }

  async readCommitted(offset: Offset, options: { bytesMax: number }): Promise<StableRead> {
    const limit = this.lastStableOffset
    const { batches, nextOffset } = await this.read(offset, options)
    const aborted = this.abortedBetween(offset, nextOffset)
    const committed = batches.filter(({ header }) => isCommitted(header, limit, aborted))
    return { batches: committed, nextOffset: toOffset(Math.max(offset, Math.min(nextOffset, limit))), missing: [] }
  }

  offsetForTime(timestampMs: number): Promise<{ offset: Offset; timestampMs: number } | null> {
    for (const batch of this.batches) {
      const found = this.core.readRecords(batch).find((record) => record.timestampMs >= timestampMs && record.offset >= this.logStartOffset)
      if (found) return Promise.resolve({ offset: found.offset, timestampMs: found.timestampMs })
    }
    return Promise.resolve(null)
  }

  firstOffsetAfter(): Offset | null {
    return null
  }

  beginningsSince(): readonly [] {
    return []
  }

  bytesFrom(offset: Offset): number {
    return this.batches.reduce((sum, batch) => sum + ((readBatchHeader(batch)?.lastOffset ?? -1) >= offset ? batch.byteLength : 0), 0)
  }

  onAdvance(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  push(batch: Uint8Array): void {
    this.batches.push(batch)
    this.appendedBytes += batch.byteLength
    this.transactions.onBatch(readBatchHeader(batch) as BatchHeader, () => this.core.readRecords(batch)[0]?.key ?? null)
    this.highWatermark = toOffset((readBatchHeader(batch)?.lastOffset ?? -1) + 1)
  }

  notify(): void {
    for (const listener of this.listeners) listener()
  }
}

interface MemoryTopic extends Topic {
  config: TopicConfig
  readonly partitions: MemoryPartition[]
}

interface Held {
  publish(): void
  refuse(error: WadiError): void
  /** Where its partitions ended before it. */
  readonly ends: readonly { readonly partition: MemoryPartition; readonly nextOffset: number }[]
}

function refusal(code: 'WADI_DISK_FULL' | 'WADI_BUSY' | 'WADI_LOG_FAILED'): WadiError {
  return new WadiError(code, { happened: 'The test said so.', kept: 'Nothing was written.', next: 'Nothing to do.' })
}

export class MemoryStore implements Store {
  readonly directory = '/memory'
  readonly logId = 'memory'
  readonly incarnation: number
  readonly starts = []
  readonly lastDamagedStart = 0
  readonly commitBytesMax = Number.POSITIVE_INFINITY
  writeMs = 0
  readonly topics = new Map<string, MemoryTopic>()
  readonly failure: WadiError | null = null
  readonly #core: Core
  readonly #state = new Map<string, Uint8Array>()
  #held: Held[] | null = null
  #failNext: WadiError | null = null
  readonly #deletionListeners = new Set<(topic: Topic) => void>()
  #lastNumber = 0
  commitCount = 0

  constructor(core: Core, incarnation = 1) {
    this.#core = core
    this.incarnation = incarnation
  }

  get metrics(): StoreMetrics {
    throw new Error('not kept')
  }

  space(): Promise<{ usedBytes: number; freeBytes: number | null }> {
    return Promise.resolve({ usedBytes: 1_000, freeBytes: 9_000 })
  }

  /** Commits made from now on wait for release(). */
  hold(): void {
    this.#held ??= []
  }

  /** Everything held becomes durable, in order. */
  release(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const { publish } of held) publish()
  }

  /** The oldest commit that is held becomes durable. */
  releaseOne(): void {
    this.#held?.shift()?.publish()
  }

  /** Everything held is refused, in order: as a full disk refuses what it cannot write, and what was taken behind it. */
  refuseHeld(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const { partition, nextOffset } of held.flatMap(({ ends }) => ends).reverse()) partition.nextOffset = nextOffset
    for (const { refuse } of held) refuse(refusal('WADI_DISK_FULL'))
  }

  /** The next commit is refused; nothing of it is written. */
  failNext(code: 'WADI_DISK_FULL' | 'WADI_BUSY' | 'WADI_LOG_FAILED' = 'WADI_DISK_FULL'): void {
    this.#failNext = refusal(code)
  }

  /** What a restart finds: only what was durable. */
  reopen(): MemoryStore {
    const next = new MemoryStore(this.#core, this.incarnation + 1)
    for (const [key, value] of this.#state) next.#state.set(key, value)
    for (const topic of this.topics.values()) {
      const copy = next.#addTopic(topic)
      topic.partitions.forEach((partition, index) => {
        const target = copy.partitions[index] as MemoryPartition
        for (const batch of partition.batches) target.push(batch.slice())
        target.nextOffset = target.highWatermark
        target.logStartOffset = partition.logStartOffset
      })
    }
    const transactionsOf = readTransactions(next)
    for (const { partitions } of next.topics.values())
      for (const partition of partitions) partition.transactions.restore(transactionsOf(partition))
    return next
  }

  createTopic(name: string, config: Partial<TopicConfig> = {}): Promise<Topic> {
    if (this.topics.has(name)) {
      return Promise.reject(
        new WadiError('WADI_TOPIC_EXISTS', { happened: `Topic ${name} exists.`, kept: 'It is unchanged.', next: 'Nothing to do.' })
      )
    }
    const number = ++this.#lastNumber
    const id = new Uint8Array(16).fill(number)
    return Promise.resolve(this.#addTopic({ name, number, id, config: { ...defaultTopicConfig, ...config } }))
  }

  #addTopic(like: Pick<Topic, 'name' | 'number' | 'id' | 'config'>): MemoryTopic {
    const { name, number, id, config } = like
    this.#lastNumber = Math.max(this.#lastNumber, number)
    const partitions = Array.from(
      { length: config.partitionCount },
      (_, partitionIndex) => new MemoryPartition({ topicName: name, topicNumber: number, partitionIndex }, this.#core)
    )
    const topic = { name, number, id, config, partitions }
    this.topics.set(name, topic)
    return topic
  }

  async alterTopic(name: string, config: Partial<TopicConfig>): Promise<Topic> {
    const topic = this.topics.get(name)
    if (!topic) throw topicUnknown(name)
    await this.commit([], [])
    const partitionCount = Math.max(topic.partitions.length, config.partitionCount ?? 0)
    topic.config = { ...topic.config, ...config, partitionCount }
    for (let partitionIndex = topic.partitions.length; partitionIndex < partitionCount; partitionIndex++)
      topic.partitions.push(new MemoryPartition({ topicName: name, topicNumber: topic.number, partitionIndex }, this.#core))
    return topic
  }

  async deleteRecords(handle: Partition, offset: Offset): Promise<Offset> {
    const partition = handle as MemoryPartition
    if (partition.isDeleted) throw topicUnknown(partition.topicName)
    if (offset > partition.highWatermark) throw outOfRange(offset)
    await this.commit([], [])
    partition.logStartOffset = toOffset(Math.max(partition.logStartOffset, offset))
    partition.transactions.forgetBelow(partition.logStartOffset)
    partition.notify()
    return partition.logStartOffset
  }

  deleteTopic(name: string): Promise<void> {
    const topic = this.topics.get(name)
    if (!topic) return Promise.reject(topicUnknown(name))
    this.topics.delete(name)
    for (const partition of topic.partitions) {
      partition.isDeleted = true
      partition.notify()
    }
    for (const listener of this.#deletionListeners) listener(topic)
    return Promise.resolve()
  }

  onTopicDeleted(listener: (topic: Topic) => void): () => void {
    this.#deletionListeners.add(listener)
    return () => this.#deletionListeners.delete(listener)
  }

  append(partition: Partition, record: RecordInput, done: AppendDone, state: readonly StateChange[] = []): void {
    this.commit([{ partition, content: { record } }], state).then(
      ([offset]) => done(null, offset as Offset),
      (error: WadiError) => done(error, toOffset(0))
    )
  }

  commit(appends: readonly Append[], state: CommitState): Promise<readonly Offset[]> {
    return new Promise((resolve, reject) => {
      this.submit(appends, state, (error, offsets) => (error ? reject(error) : resolve(offsets)))
    })
  }

  submit(appends: readonly Append[], state: CommitState, done: CommitDone): void {
    if (typeof state === 'function') state(appends.map(() => toOffset(Number.MAX_SAFE_INTEGER))) // as the real one: to measure
    const failure = this.#failNext
    this.#failNext = null
    if (failure) return done(failure, [])
    this.commitCount++
    const ends = appends.map(({ partition }) => ({
      partition: partition as MemoryPartition,
      nextOffset: (partition as MemoryPartition).nextOffset
    }))
    const batches = appends.map(({ partition, content }) => this.#place(partition as MemoryPartition, content))
    const baseOffsets = batches.map(({ baseOffset }) => toOffset(baseOffset))
    const changes = typeof state === 'function' ? state(baseOffsets) : state
    const publish = (): void => {
      for (const { key, value } of changes) {
        if (value) this.#state.set(key, value)
        else this.#state.delete(key)
      }
      for (const { partition, batch } of batches) partition.push(batch)
      done(null, baseOffsets)
      for (const partition of new Set(batches.map((entry) => entry.partition))) partition.notify()
    }
    if (this.#held) this.#held.push({ publish, refuse: (error) => done(error, []), ends })
    else queueMicrotask(publish)
  }

  #place(partition: MemoryPartition, content: Append['content']): { partition: MemoryPartition; batch: Uint8Array; baseOffset: number } {
    const baseOffset = partition.nextOffset
    const batch = 'batch' in content ? content.batch.slice() : this.#core.buildBatch([content.record], { baseOffset })
    writeBaseOffset(batch, baseOffset)
    viewOf(batch).setInt32(LEADER_EPOCH_AT, 0)
    partition.nextOffset += 'batch' in content ? content.recordCount : 1
    return { partition, batch, baseOffset }
  }

  getState(key: string): Uint8Array | undefined {
    return this.#state.get(key)
  }

  listState(prefix: string): string[] {
    return [...this.#state.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  setDelivered(): void {}

  note(changes: readonly StateChange[]): void {
    void this.commit([], changes)
  }

  onDropped(_listener: (range: DroppedRange) => void): () => void {
    return () => undefined
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function outOfRange(offset: number): WadiError {
  return new WadiError('WADI_OFFSET_OUT_OF_RANGE', {
    happened: `Offset ${offset} is not there.`,
    kept: 'Nothing changed.',
    next: 'Ask for another.'
  })
}

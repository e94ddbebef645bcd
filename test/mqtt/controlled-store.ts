// A Store for tests of ingest and MQTT: keeps plain records, commits one after the other, and does to a commit what the test says:
// hold it (a stalled disk), refuse it (a full one), forget what was held (a kill). Reading gives batches of ten; all else is other tests' business.

import { WadiError } from '../../runtime/base/errors.ts'
import { type Offset, toOffset } from '../../runtime/base/offset.ts'
import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import type { BatchHeader, RecordInput } from '../../runtime/core/record.ts'
import type { Append, AppendDone, CommitDone, Partition, StateChange, Store, Topic, TopicConfig } from '../../runtime/log/contract.ts'
import { loadTestCore } from '../helpers/core.ts'

type PartitionWords = 'topicName' | 'topicNumber' | 'partitionIndex' | 'isDeleted' | 'logStartOffset' | 'highWatermark' | 'read'

const core = loadTestCore()
const BATCH_COUNT = 10

type Commit = {
  readonly records: readonly (readonly [Partition, RecordInput])[]
  readonly state: readonly StateChange[]
  readonly done: AppendDone
}

export class ControlledStore {
  readonly topicMap = new Map<string, Topic>()
  /** Durable records by "topic-partition". */
  readonly records = new Map<string, RecordInput[]>()
  readonly state: Map<string, Uint8Array>
  failure: WadiError | null = null
  /** While set, commits wait. */
  isHeld = false
  writeMs = 0
  /** While set, commits are refused with it. */
  refusal: WadiError | null = null
  commitCount = 0
  #queue: Commit[] = []
  #isScheduled = false

  readonly #deletionListeners = new Set<(topic: Topic) => void>()

  constructor(state: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.state = new Map(state)
  }

  /** What is durable, as a start after a kill finds it. */
  async afterKill(): Promise<ControlledStore> {
    const after = new ControlledStore(this.state)
    for (const { name, partitions } of this.topicMap.values()) await after.createTopic(name, { partitionCount: partitions.length })
    for (const [place, records] of this.records) after.records.set(place, [...records])
    return after
  }

  get topics(): ReadonlyMap<string, Topic> {
    return this.topicMap
  }

  onTopicDeleted(listener: (topic: Topic) => void): () => void {
    this.#deletionListeners.add(listener)
    return () => this.#deletionListeners.delete(listener)
  }

  deleteTopic(name: string): void {
    const topic = this.topicMap.get(name)
    this.topicMap.delete(name)
    if (topic) for (const listener of this.#deletionListeners) listener(topic)
  }

  asStore(): Store {
    return this as unknown as Store
  }

  createTopic(name: string, config: Partial<TopicConfig> = {}): Promise<Topic> {
    const number = this.topicMap.size + 1
    const partitions = Array.from({ length: config.partitionCount ?? 1 }, (_, partitionIndex) =>
      this.#partition(name, number, partitionIndex)
    )
    const topic = { name, number, partitions } as unknown as Topic
    this.topicMap.set(name, topic)
    return Promise.resolve(topic)
  }

  #partition(topicName: string, topicNumber: number, partitionIndex: number): Pick<Partition, PartitionWords> {
    const records = (): readonly RecordInput[] => this.records.get(`${topicName}-${partitionIndex}`) ?? []
    return {
      topicName,
      topicNumber,
      partitionIndex,
      isDeleted: false,
      logStartOffset: toOffset(0),
      get highWatermark() {
        return toOffset(records().length)
      },
      read(offset) {
        const some = records().slice(offset, offset + BATCH_COUNT)
        if (some.length === 0) return Promise.resolve({ batches: [], nextOffset: offset })
        const bytes = core.buildBatch(some, { baseOffset: offset })
        return Promise.resolve({
          batches: [{ header: readBatchHeader(bytes) as BatchHeader, bytes }],
          nextOffset: toOffset(offset + some.length)
        })
      }
    }
  }

  append(partition: Partition, record: RecordInput, done: AppendDone, state: readonly StateChange[] = []): void {
    this.#enqueue({ records: [[partition, record]], state, done })
  }

  commit(appends: readonly Append[], state: readonly StateChange[]): Promise<readonly Offset[]> {
    if (appends.length > 0) throw new Error('not needed here')
    return new Promise((resolve, reject) => this.#enqueue({ records: [], state, done: (error) => (error ? reject(error) : resolve([])) }))
  }

  submit(appends: readonly Append[], state: readonly StateChange[], done: CommitDone): void {
    this.commit(appends, state).then(
      (offsets) => done(null, offsets),
      (error: WadiError) => done(error, [])
    )
  }

  getState(key: string): Uint8Array | undefined {
    return this.state.get(key)
  }

  listState(prefix: string): string[] {
    return [...this.state.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  get waitingCount(): number {
    return this.#queue.length
  }

  release(): void {
    this.isHeld = false
    this.#schedule()
  }

  /** What was held never happened; nobody hears of it. */
  forgetHeld(): void {
    this.#queue = []
  }

  recordsOf(topicName: string): RecordInput[] {
    return [...this.records].filter(([place]) => place.startsWith(`${topicName}-`)).flatMap(([, records]) => records)
  }

  #enqueue(commit: Commit): void {
    this.#queue.push(commit)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      while (!this.isHeld && this.#queue.length > 0) this.#carryOut(this.#queue.shift() as Commit)
    })
  }

  #carryOut({ records, state, done }: Commit): void {
    this.commitCount++
    if (this.refusal) return done(this.refusal, toOffset(0))
    let baseOffset = 0
    for (const [{ topicName, partitionIndex }, record] of records) {
      const place = `${topicName}-${partitionIndex}`
      const stored = this.records.get(place) ?? []
      this.records.set(place, stored)
      baseOffset = stored.push({ ...record, value: record.value && new Uint8Array(record.value) }) - 1
    }
    for (const { key, value } of state) {
      if (value === null) this.state.delete(key)
      else this.state.set(key, value)
    }
    done(null, toOffset(baseOffset))
  }
}

export function diskFull(): WadiError {
  return new WadiError('WADI_DISK_FULL', { happened: 'No space.', kept: 'All that was acknowledged.', next: 'Make room.' })
}

export const textOf = (bytes: Uint8Array | null | undefined): string => (bytes ? new TextDecoder().decode(bytes) : '')
export const headersOf = (record: RecordInput): Record<string, string> =>
  Object.fromEntries(record.headers.map(({ key, value }) => [textOf(key), textOf(value)]))

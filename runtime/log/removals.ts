// The durable counts of what the log does not have any more: where each partition starts, and how many events were deleted before they were delivered.
//
//   removed/<topic number>/<partition>   log start, delivered offset, counts by reason: committed before the files of a segment go
//
// The commit is the deletion: with it the log start moves and the count rises, in memory and after every crash; files below the log start
// are left-overs. Only when the disk is too full for a commit the files go first, or nothing could ever free it; then the next snapshot or
// commit carries log start and counts, and a start that finds the log to begin behind them counts the difference, as undelivered where that was
// allowed. Until then PartitionLog.isLogStartDurable is false.
//
// Not here: what damage took (known-damage.ts), what may go (retention.ts), files (retention-round.ts), numbers since the start (store-meter.ts).

import { assert } from '../base/assert.ts'
import type { WadiError } from '../base/errors.ts'
import { toOffset } from '../base/offset.ts'
import type { DroppedRange, Removal, StateChange, TopicConfig } from './contract.ts'
import type { KnownDamage } from './known-damage.ts'
import type { PartitionLog } from './partition-log.ts'
import { type Cause, verdictFor } from './retention.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { numberedKeyBytes, versioned } from './state-codec.ts'
import { fields, optional, whole } from './state-shape.ts'
import type { StoredTopic } from './stored-topic.ts'

/** deletion: of records, by a client. */
type Reason = 'retention' | 'quota' | 'deletion'

interface RemovalRecord {
  /** The log starts here. */
  readonly start: number
  /** First offset of the batch that the log starts in, when it does not start with one. */
  readonly batch?: number | undefined
  /** Everything below was at the centre then. */
  readonly delivered: number
  /** Forwarded topics: events the centre never got. */
  readonly lost: Readonly<Record<'retention' | 'quota', number>> & { readonly deletion?: number | undefined }
  /** Topics that stay here: events a quota took. What expires there by age or bytes is not counted. */
  readonly dropped: number
}

const removalShape = fields<RemovalRecord>({
  start: whole,
  batch: optional(whole),
  delivered: whole,
  lost: fields({ retention: whole, quota: whole, deletion: optional(whole) }),
  dropped: whole
})

export const removalRecords = new StateArea<RemovalRecord>('removed', versioned(removalShape), {
  keys: '<topic number>/<partition>',
  keyBytesMax: numberedKeyBytes('removed', 2),
  valueBytesMax: 1024,
  entries: 'one for each partition',
  goes: 'with its topic'
})

const NOTHING: RemovalRecord = { start: 0, delivered: 0, lost: { retention: 0, quota: 0 }, dropped: 0 }

export interface RemovalsHost {
  readonly state: StateReader
  readonly damage: KnownDamage
  /** Through the group commit. */
  commit(changes: readonly StateChange[], done: (error: WadiError | null) => void): void
  onDropped(range: DroppedRange): void
}

export class Removals {
  readonly #host: RemovalsHost
  readonly #records = new Map<PartitionLog, RemovalRecord>()
  /** Counted up to here by a commit on its way. */
  readonly #promised = new Map<PartitionLog, number>()

  constructor(host: RemovalsHost) {
    this.#host = host
  }

  /**
   * As the last commit has it, before the partition is recovered: batchOffset is where its first batch begins, which the journal may have to bring again. The log
   * starts at countedUpTo(), behind the replay. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER
   */
  load(partition: PartitionLog): { batchOffset: number; deliveredOffset: number } {
    const record = removalRecords.get(this.#host.state, removedKey(partition)) ?? NOTHING
    this.#records.set(partition, record)
    return { batchOffset: record.batch ?? record.start, deliveredOffset: record.delivered }
  }

  /** What lies below is counted here, or will be when the commit on its way is durable. */
  countedUpTo(partition: PartitionLog): number {
    return Math.max(this.#recordOf(partition).start, this.#promised.get(partition) ?? 0)
  }

  /** The start found the log to begin behind `fromOffset`, where the last commit had it, and up to `untilOffset` no damage: a deletion that was not counted. */
  foundDeleted(
    config: TopicConfig,
    partition: PartitionLog,
    { fromOffset, untilOffset }: { fromOffset: number; untilOffset: number }
  ): void {
    if (untilOffset <= fromOffset) return
    const causes: readonly [Cause, Reason][] = [
      ['topic quota', 'quota'],
      ['age', 'retention']
    ]
    const standing = config.isForwarded ? 'undelivered' : 'local'
    const [, reason] = causes.find(([cause]) => verdictFor(config, standing, cause) === 'delete') ?? [null, null]
    if (reason === null) return // only what was delivered could go
    this.#records.set(partition, this.#with(config, partition, { from: fromOffset, until: untilOffset, reason }))
    partition.setLogStartDurable(false)
  }

  /**
   * Moves the log start to `until`, which lies in a batch that begins at `batchOffset`, and counts what was not delivered. Resolves when that is durable, or the
   * topic is deleted, or it is known to be impossible for want of room: then retention and quotas go on without, and what a client deletes is refused.
   * @returns why nothing has changed: the store takes no commits any more, or has no room for what a client deletes; null when the log start has moved
   */
  remove(
    topic: StoredTopic,
    partition: PartitionLog,
    { batchOffset, ...range }: { until: number; batchOffset?: number; reason: Reason }
  ): Promise<WadiError | null> {
    const from = partition.logStartOffset
    assert(range.until > from, `${topic.name}: the log start would go back from ${from} to ${range.until}`)
    const counted = this.#with(topic.config, partition, { from, ...range })
    const record = batchOffset === undefined || batchOffset === range.until ? counted : { ...counted, batch: batchOffset }
    this.#promised.set(partition, range.until)
    return new Promise((resolve) => {
      this.#host.commit([removalRecords.put(removedKey(partition), record)], (error) => {
        this.#promised.delete(partition)
        if (partition.isDeleted) return resolve(null) // its topic went meanwhile, and its counts with it
        if (error && (error.code !== 'WADI_DISK_FULL' || range.reason === 'deletion')) return resolve(error)
        partition.setLogStartDurable(error === null)
        this.#records.set(partition, record)
        partition.advanceLogStart(range.until)
        this.#report(topic.config, partition, { from, ...range })
        resolve(null)
      })
    })
  }

  /** For the commit that makes a topic whose partition begins behind one of before: everything below `start` was there, or was counted. */
  changeForBeginning(partition: Pick<PartitionLog, 'topicNumber' | 'partitionIndex'>, start: number): StateChange {
    return removalRecords.put(removedKey(partition), { ...NOTHING, start, delivered: start })
  }

  /** Events below `until` that the centre should get and does not have, but for those that damage took. */
  undeliveredBelow({ config }: StoredTopic, partition: PartitionLog, until: number): number {
    if (!config.isForwarded) return 0
    const startOffset = Math.max(partition.logStartOffset, partition.deliveredOffset)
    if (startOffset >= until) return 0
    return until - startOffset - this.#host.damage.countWithin(partition, { startOffset, endOffset: until })
  }

  /** The topic was deleted. */
  forget({ partitions }: StoredTopic): void {
    for (const partition of partitions) this.#records.delete(partition)
  }

  /** What no commit is known to have: for the snapshot, and for the next commit. */
  unsaved(): StateChange[] {
    return this.#unsavedPartitions().map((partition) => removalRecords.put(removedKey(partition), this.#recordOf(partition)))
  }

  /** What could not be committed, again. */
  save(): Promise<void> {
    const partitions = this.#unsavedPartitions()
    if (partitions.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#host.commit(this.unsaved(), (error) => {
        if (!error) for (const partition of partitions) partition.setLogStartDurable(true)
        resolve()
      })
    })
  }

  #unsavedPartitions(): PartitionLog[] {
    return [...this.#records.keys()].filter((partition) => !partition.isLogStartDurable)
  }

  list(topics: Iterable<StoredTopic>): Removal[] {
    const removals: Removal[] = []
    for (const { name: topicName, partitions } of topics) {
      const sum = { retention: 0, quota: 0, damage: 0, deletion: 0, dropped: 0 }
      for (const partition of partitions) {
        const record = this.#recordOf(partition)
        sum.retention += record.lost.retention
        sum.quota += record.lost.quota
        sum.deletion += record.lost.deletion ?? 0
        sum.dropped += record.dropped
        sum.damage += this.#host.damage.recordsOf(partition)
      }
      for (const reason of ['quota', 'retention', 'damage', 'deletion'] as const)
        if (sum[reason] > 0) removals.push({ topicName, reason, records: sum[reason], isLoss: true })
      if (sum.dropped > 0) removals.push({ topicName, reason: 'quota', records: sum.dropped, isLoss: false })
    }
    return removals
  }

  #recordOf(partition: PartitionLog): RemovalRecord {
    return this.#records.get(partition) ?? NOTHING
  }

  #with(config: TopicConfig, partition: PartitionLog, range: { from: number; until: number; reason: Reason }): RemovalRecord {
    const before = this.#recordOf(partition)
    const { deliveredOffset } = partition
    const next = { start: range.until, delivered: deliveredOffset, lost: before.lost, dropped: before.dropped }
    const startOffset = config.isForwarded ? Math.max(range.from, deliveredOffset) : range.from
    // What damage took was counted when it was found.
    const damaged = this.#host.damage.countWithin(partition, { startOffset, endOffset: range.until })
    const records = Math.max(0, range.until - startOffset) - damaged
    if (!config.isForwarded) return range.reason === 'quota' ? { ...next, dropped: before.dropped + records } : next
    return { ...next, lost: { ...before.lost, [range.reason]: (before.lost[range.reason] ?? 0) + records } }
  }

  /** In two parts when the centre has only the first. */
  #report(config: TopicConfig, partition: PartitionLog, { from, until, reason }: { from: number; until: number; reason: Reason }): void {
    const middle = config.isForwarded ? Math.min(until, Math.max(from, partition.deliveredOffset)) : until
    for (const [start, end, isDelivered] of [
      [from, middle, true],
      [middle, until, false]
    ] as const) {
      if (start >= end) continue
      const place = { topicName: partition.topicName, partitionIndex: partition.partitionIndex }
      this.#host.onDropped({ ...place, startOffset: toOffset(start), endOffset: toOffset(end), reason, isDelivered })
    }
  }
}

function removedKey({ topicNumber, partitionIndex }: Pick<PartitionLog, 'topicNumber' | 'partitionIndex'>): string {
  return removalRecords.key(topicNumber, partitionIndex)
}

/** One entry for each topic, reason and kind. */
export function summedRemovals(removals: readonly Removal[]): Removal[] {
  const sums = new Map<string, Removal>()
  for (const removal of removals) {
    const key = `${removal.topicName} ${removal.reason} ${removal.isLoss}`
    sums.set(key, { ...removal, records: removal.records + (sums.get(key)?.records ?? 0) })
  }
  return [...sums.values()]
}

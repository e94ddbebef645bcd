// Carries out what retention.ts decides: whole segments, oldest first. The commit of removals.ts moves the log start and counts; then the
// files go.
//
// Invariant: a deleted segment leaves its name behind (Segment.retire) until the new log start is in a durable snapshot, so that a missing file
// is never taken for a deletion. Deleting needs no space and no journal: it must work when both are full.
// Not here: the rules (retention.ts), who is refused meanwhile (quota.ts), when a round runs (upkeep.ts).

import type { PartitionLog } from './partition-log.ts'
import type { Quota } from './quota.ts'
import type { Removals } from './removals.ts'
import { type Candidate, type Cause, chooseCandidate, expiredSegment, leftOver } from './retention.ts'
import { onlyFull } from './store-errors.ts'
import type { StoredTopic } from './stored-topic.ts'

export interface RetentionHost {
  readonly quota: Quota
  readonly removals: Removals
  /** What could not be committed for want of room, again; resolves also when it is refused again. */
  saveUnsaved(): Promise<void>
  topics(): Iterable<StoredTopic>
  topicOf(partition: PartitionLog): StoredTopic
  wallMs(): number
  freeBytes(): Promise<number>
  /** All tails together. */
  tailBytes(): number
  /** What is in the tail becomes part of a segment, where it is smaller and can be deleted. */
  seal(partition: PartitionLog): Promise<void>
}

/** again: it has changed since it was chosen. stopped: the store takes no commits any more. */
type Outcome = 'removed' | 'again' | 'stopped'

export class RetentionRound {
  readonly #host: RetentionHost

  constructor(host: RetentionHost) {
    this.#host = host
  }

  /** One round: left-overs, age and bytes, quotas. @throws DiskError, of one partition only when all others had their turn */
  async run(): Promise<void> {
    await this.#host.saveUnsaved()
    const nowWallMs = this.#host.wallMs()
    let failure: unknown = null
    for (const topic of this.#host.topics()) {
      for (const partition of topic.partitions) {
        try {
          if ((await this.#runPartition(topic, partition, nowWallMs)) === 'stopped') return
        } catch (error) {
          failure ??= error
        }
      }
    }
    await this.makeRoom()
    if (failure !== null) throw failure
  }

  async #runPartition(topic: StoredTopic, partition: PartitionLog, nowWallMs: number): Promise<Outcome> {
    for (let candidate = leftOver(partition); candidate; candidate = leftOver(partition)) {
      if (!(await partition.closeOldest(candidate))) break
      await partition.evict(candidate)
    }
    const expired = (): Promise<Candidate | null> => expiredSegment(topic.config, partition, nowWallMs)
    for (let candidate = await expired(); candidate; candidate = await expired()) {
      if ((await this.#remove(candidate, 'age')) === 'stopped') return 'stopped'
    }
    return 'removed'
  }

  /** Quotas of topics, quota of the directory, reserve of the disk. @throws DiskError */
  async makeRoom(): Promise<void> {
    const { quota } = this.#host
    for (const topic of this.#host.topics()) {
      if (!quota.isTopicOver(topic)) continue
      await this.#seal([topic])
      if ((await this.#removeWhile(() => quota.isTopicOver(topic), [topic], 'topic quota')) === 'stopped') return
    }
    await this.#measure()
    if (!quota.isDirectoryOver) return
    await this.#seal(this.#host.topics())
    await this.#measure()
    while (quota.isDirectoryOver) {
      const outcome = await this.#removeWhile(() => quota.isDirectoryOver, this.#host.topics(), quota.limitCause, 1)
      if (outcome !== 'removed') return
      await this.#measure()
    }
  }

  async #measure(): Promise<void> {
    this.#host.quota.measured(await this.#host.freeBytes(), this.#host.tailBytes())
  }

  async #seal(topics: Iterable<StoredTopic>): Promise<void> {
    for (const { partitions } of topics) {
      for (const partition of partitions) if (!partition.tail.isEmpty) await this.#host.seal(partition).catch(onlyFull)
    }
  }

  /** Removes up to `count` segments. 'again' = no segment may be deleted now. */
  async #removeWhile(
    isOver: () => boolean,
    topics: Iterable<StoredTopic>,
    cause: Cause,
    count: number = Number.POSITIVE_INFINITY
  ): Promise<Outcome> {
    for (let removed = 0; isOver() && removed < count; ) {
      const candidate = chooseCandidate(topics, cause)
      if (!candidate) return 'again'
      const outcome = await this.#remove(candidate, cause)
      if (outcome === 'stopped') return 'stopped'
      if (outcome === 'removed') removed++
    }
    return 'removed'
  }

  async #remove(candidate: Candidate, cause: Cause): Promise<Outcome> {
    const { partition, nextOffset } = candidate
    if (partition.isDeleted) return 'again'
    const topic = this.#host.topicOf(partition)
    // What came behind it was not asked about, and may be neither delivered nor old: the caller chooses again.
    if (!(await partition.closeOldest(candidate))) return 'again'
    const reason = cause === 'age' || cause === 'bytes' ? 'retention' : 'quota'
    // A left-over was counted when the log start passed it.
    if (nextOffset > partition.logStartOffset) {
      if ((await this.#host.removals.remove(topic, partition, { until: nextOffset, reason })) !== null) return 'stopped'
      partition.notify()
    }
    await partition.evict(candidate)
    return 'removed'
  }
}

// Carries out what retention.ts decides: deletes whole segments, oldest first, and says which topics have to refuse.
//
// Invariant: a deleted segment leaves its name behind (Segment.retire) until the new log start is in a durable snapshot, so that a missing file
// is never taken for a deletion. Deleting needs no space and no journal: it must work when both are full.
// Not here: the rules (retention.ts), when a round runs (log-store.ts).

import { toOffset } from '../base/offset.ts'
import type { DroppedRange } from './contract.ts'
import { type PartitionLog, withPartition } from './partition-log.ts'
import { chooseVictim, expiredSegment, isDelivered, topicBytes, type Victim } from './retention.ts'
import { rollSegment } from './seal.ts'
import { quotaExceeded } from './store-errors.ts'
import type { StoredTopic } from './stored-topic.ts'

export interface RetentionHost {
  readonly quotaBytes: number | null
  readonly freeBytesMin: number
  topics(): Iterable<StoredTopic>
  topicOf(partition: PartitionLog): StoredTopic
  wallMs(): number
  freeBytes(): Promise<number>
  /** Everything in the data directory, tails included. */
  usedBytes(): number
  onDropped(range: DroppedRange): void
}

export class RetentionRound {
  readonly #host: RetentionHost

  constructor(host: RetentionHost) {
    this.#host = host
  }

  /** One round: age and bytes, quotas of topics, quota of the directory. */
  async run(): Promise<void> {
    const nowWallMs = this.#host.wallMs()
    for (const topic of this.#host.topics()) {
      for (const partition of topic.partitions) {
        for (
          let victim = await expiredSegment(topic.config, partition, nowWallMs);
          victim;
          victim = await expiredSegment(topic.config, partition, nowWallMs)
        ) {
          await this.#remove(topic, victim, 'retention')
        }
      }
      await this.#enforceTopicQuota(topic)
    }
    await this.#enforceDirectoryQuota()
  }

  async #enforceTopicQuota(topic: StoredTopic): Promise<void> {
    const quota = topic.config.quotaBytes
    topic.refusal = null
    if (quota === null) return
    while (topicBytes(topic) > quota) {
      const victim = chooseVictim([topic])
      if (victim) {
        await this.#remove(topic, victim, 'quota')
        continue
      }
      topic.refusal = quotaExceeded(topic.name, topicBytes(topic), quota)
      return
    }
  }

  async #enforceDirectoryQuota(): Promise<void> {
    const quota = this.#host.quotaBytes
    for (;;) {
      const freeBytes = await this.#host.freeBytes()
      const isOver = (quota !== null && this.#host.usedBytes() > quota) || freeBytes < this.#host.freeBytesMin
      if (!isOver) return
      const victim = chooseVictim(this.#host.topics())
      if (victim) {
        await this.#remove(this.#host.topicOf(victim.partition), victim, 'quota')
        continue
      }
      for (const topic of this.#host.topics()) {
        // A topic that drops its oldest has nothing left to drop: it may fill what its next segment frees.
        if (topic.config.whenFull === 'reject') topic.refusal ??= quotaExceeded(topic.name, this.#host.usedBytes(), quota ?? 0)
      }
      return
    }
  }

  /**
   * Deletes the oldest segment, rolling first when it is the only one. Leaves it alone when it has grown since it was chosen: what came
   * behind was not asked about, and may be neither delivered nor old. The caller chooses again.
   */
  async #remove(topic: StoredTopic, { partition, segment, nextOffset }: Victim, reason: 'retention' | 'quota'): Promise<void> {
    const startOffset = Math.max(partition.logStartOffset, segment.baseOffset)
    const isRemoved = await withPartition(partition, async () => {
      if (partition.segments[0] !== segment || segment.nextOffset !== nextOffset) return false
      if (partition.segments.length === 1) await rollSegment(partition, nextOffset)
      const retired = await segment.retire()
      partition.advanceLogStart(nextOffset)
      partition.segments.shift()
      partition.retired.push(retired)
      partition.isDirectoryDirty = true
      await segment.discard(retired)
      return true
    })
    if (!isRemoved) return
    const place = { topicName: topic.name, partitionIndex: partition.partitionIndex }
    const range = { startOffset: toOffset(startOffset), endOffset: toOffset(nextOffset) }
    this.#host.onDropped({ ...place, ...range, reason, isDelivered: isDelivered(topic.config, partition, segment) })
    partition.notify()
  }
}

// Carries out what retention.ts decides: deletes whole segments, oldest first, and says which topics have to refuse.
//
// Invariant: the new log start is durable before files go, so that a missing file is never taken for a deletion. When that commit is refused
// because the disk is full, the files go all the same: room comes first.
// Not here: the rules (retention.ts), when a round runs (log-store.ts).

import { toOffset } from '../base/offset.ts'
import type { DroppedRange, StateChange } from './contract.ts'
import { type PartitionLog, withPartition } from './partition-log.ts'
import { chooseVictim, expiredSegment, isDelivered, topicBytes } from './retention.ts'
import { rollSegment } from './seal.ts'
import { encodeNumber } from './state-map.ts'
import { quotaExceeded } from './store-errors.ts'
import type { StoredTopic } from './stored-topic.ts'

/** `start/<topic number>/<partition>` → log start moved by a deletion. */
export const START_PREFIX = 'start/'

export interface RetentionHost {
  readonly quotaBytes: number | null
  readonly freeBytesMin: number
  topics(): Iterable<StoredTopic>
  topicOf(partition: PartitionLog): StoredTopic
  wallMs(): number
  freeBytes(): Promise<number>
  /** Everything in the data directory, tails included. */
  usedBytes(): number
  /** Resolves when it is durable or was refused. */
  commitState(change: StateChange): Promise<void>
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
          let segment = await expiredSegment(topic.config, partition, nowWallMs);
          segment;
          segment = await expiredSegment(topic.config, partition, nowWallMs)
        ) {
          if (!(await this.#removeOldest(topic, partition, 'retention'))) break
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
      if (victim && (await this.#removeOldest(this.#host.topicOf(victim), victim, 'quota'))) continue
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
      if (victim && (await this.#removeOldest(this.#host.topicOf(victim), victim, 'quota'))) continue
      for (const topic of this.#host.topics()) {
        // A topic that drops its oldest has nothing left to drop: it may fill what its next segment frees.
        if (topic.config.whenFull === 'reject') topic.refusal ??= quotaExceeded(topic.name, this.#host.usedBytes(), quota ?? 0)
      }
      return
    }
  }

  /**
   * Deletes the oldest segment, rolling first when it is the only one. False when there was nothing to delete.
   * The new log start is durable before the files go, so that a missing file is never taken for a deletion.
   */
  async #removeOldest(topic: StoredTopic, partition: PartitionLog, reason: 'retention' | 'quota'): Promise<boolean> {
    const oldest = partition.segments[0]
    if (!oldest || oldest.sizeBytes === 0) return false
    if (partition.segments.length === 1) await withPartition(partition, () => rollSegment(partition, oldest.nextOffset))
    const startOffset = Math.max(partition.logStartOffset, oldest.baseOffset)
    const endOffset = oldest.nextOffset
    const start = { key: `${START_PREFIX}${topic.number}/${partition.partitionIndex}`, value: encodeNumber(endOffset) }
    await this.#host.commitState(start)
    await withPartition(partition, async () => {
      partition.advanceLogStart(endOffset)
      partition.segments.shift()
      await oldest.remove()
      partition.isDirectoryDirty = true
    })
    const delivered = isDelivered(topic.config, partition, oldest)
    const place = { topicName: topic.name, partitionIndex: partition.partitionIndex }
    this.#host.onDropped({ ...place, startOffset: toOffset(startOffset), endOffset: toOffset(endOffset), reason, isDelivered: delivered })
    partition.notify()
    return true
  }
}

// The partitions of the topics that the state names, at a start: from segments, journal and state to where each log starts and ends.
// Invariant: a log starts where the last commit said, also in the middle of a batch; that batch is recovered whole first.
// Not for: one partition's files (partition-recovery.ts), the journal (recovery.ts), topics that nothing names (unnamed-topics.ts).

import type { DroppedRange } from './contract.ts'
import { incarnationStarts } from './incarnation-offsets.ts'
import type { KnownDamage } from './known-damage.ts'
import type { PartitionLog } from './partition-log.ts'
import { type Coverage, hole, knownPoint } from './partition-recovery.ts'
import type { RecoveryReport } from './recovery-report.ts'
import type { Removals } from './removals.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import type { StateMap } from './state-map.ts'
import type { StoredTopic } from './stored-topic.ts'

export interface TopicRecoveryHost {
  readonly state: StateMap
  readonly removals: Removals
  readonly damage: KnownDamage
  readonly report: RecoveryReport
}

/** The partition goes on behind all damage that is known of it. @returns from its end up to there: what of it is not known yet is to be counted */
export function skipKnownDamage(partition: PartitionLog, damage: KnownDamage): DroppedRange[] {
  const { highWatermark } = partition
  const endOffset = damage.endOf(partition)
  if (endOffset <= highWatermark) return []
  partition.skipTo(endOffset)
  return [hole(partition, highWatermark, endOffset)]
}

export interface FoundAtStart {
  readonly recoveryPoints: readonly RecoveryPoint[]
  /** What the journal has of each partition. */
  readonly coverage: ReadonlyMap<string, Coverage>
  readonly isJournalWhole: boolean
}

export class TopicRecovery {
  readonly #host: TopicRecoveryHost
  readonly #found: FoundAtStart
  readonly #points: ReadonlyMap<string, RecoveryPoint>

  constructor(host: TopicRecoveryHost, found: FoundAtStart) {
    this.#host = host
    this.#found = found
    this.#points = new Map(found.recoveryPoints.map((point) => [`${point[0]}/${point[1]}`, point]))
  }

  /** What lies in its segments, before the journal is replayed. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER; DiskError */
  async recover(topic: StoredTopic): Promise<void> {
    const { state, removals, report } = this.#host
    const { coverage, isJournalWhole } = this.#found
    const startKeys = incarnationStarts.keysIn(state, topic.number)
    for (const partition of topic.partitions) {
      const id = `${topic.number}/${partition.partitionIndex}`
      const point = this.#points.get(id)
      partition.restoreIncarnations(state, startKeys)
      const removed = removals.load(partition)
      partition.setDelivered(Math.max(point?.[6] ?? 0, removed.deliveredOffset))
      const known = knownPoint(point, removed.batchOffset)
      const untilOffset = await partition.recover(known, { coverage: coverage.get(id) ?? [], isJournalWhole }, report)
      const fromOffset = Math.max(known?.logStartOffset ?? 0, removals.countedUpTo(partition))
      removals.foundDeleted(topic.config, partition, { fromOffset, untilOffset })
    }
  }

  /**
   * Behind the replay: the log starts where it was said to, and offsets that were lost behind everything that is there are not given again, else what comes would
   * be taken for what is gone. What lies between was there when that damage was found.
   */
  settleEnds({ partitions }: StoredTopic): void {
    const { damage, removals, report } = this.#host
    for (const partition of partitions) {
      const startOffset = removals.countedUpTo(partition)
      partition.skipTo(startOffset)
      report.holes.push(...skipKnownDamage(partition, damage))
      partition.advanceLogStart(startOffset)
    }
  }
}

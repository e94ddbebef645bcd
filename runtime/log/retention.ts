// What may go: by age, by bytes per partition, by the quota of a topic, the quota of the directory and the disk's reserve.
// The table below is the whole rule; docs/retention.md has it in words, and a test compares every cell.
//
// Whole segments only, oldest first, never the one that grows (it is rolled first). What is delivered goes before anything else.
// Not here: deleting files (retention-round.ts), asking for room before an append (quota.ts), the count of what went (removals.ts).

import type { TopicConfig } from './contract.ts'
import type { OldestSegment, PartitionLog } from './partition-log.ts'
import type { StoredTopic } from './stored-topic.ts'

/** Why something should go. */
export type Cause = 'age' | 'bytes' | 'topic quota' | 'directory quota' | 'disk reserve'

/** keep: it stays, whatever the cause. delete: it goes. refuse: it stays, and new events are refused until there is room. */
export type Verdict = 'keep' | 'delete' | 'refuse'

/** Of an event: its topic is not forwarded; it is delivered; it is not delivered yet. */
export type Standing = 'local' | 'delivered' | 'undelivered'

/** when_full, and whether drop_undelivered is set. */
type Leave = 'reject' | 'reject+undelivered' | 'drop_oldest' | 'drop_oldest+undelivered'

type Rows = Record<Standing, Record<Leave, Verdict>>

const all = (verdict: Verdict): Record<Leave, Verdict> => ({
  reject: verdict,
  'reject+undelivered': verdict,
  drop_oldest: verdict,
  'drop_oldest+undelivered': verdict
})

export const retentionTable: { readonly retention: Rows; readonly quota: Rows } = {
  /** age, bytes */
  retention: {
    local: all('delete'),
    delivered: all('delete'),
    undelivered: { reject: 'keep', 'reject+undelivered': 'delete', drop_oldest: 'keep', 'drop_oldest+undelivered': 'delete' }
  },
  /** topic quota, directory quota, disk reserve */
  quota: {
    local: { reject: 'refuse', 'reject+undelivered': 'refuse', drop_oldest: 'delete', 'drop_oldest+undelivered': 'delete' },
    delivered: all('delete'),
    undelivered: { reject: 'refuse', 'reject+undelivered': 'refuse', drop_oldest: 'refuse', 'drop_oldest+undelivered': 'delete' }
  }
}

type Leaves = Pick<TopicConfig, 'whenFull' | 'dropUndelivered'>

/** The cell of the table. */
export function verdictFor(config: Leaves, standing: Standing, cause: Cause): Verdict {
  const rows = cause === 'age' || cause === 'bytes' ? retentionTable.retention : retentionTable.quota
  return rows[standing][`${config.whenFull}${config.dropUndelivered ? '+undelivered' : ''}`]
}

/** Of everything below `endOffset`. */
export function standingOf(config: TopicConfig, partition: PartitionLog, endOffset: number): Standing {
  if (!config.isForwarded) return 'local'
  return endOffset <= partition.deliveredOffset ? 'delivered' : 'undelivered'
}

/** What was chosen to be deleted: the oldest segment of a partition, as it was then. */
export interface Candidate extends OldestSegment {
  readonly partition: PartitionLog
}

function oldestOf(partition: PartitionLog): Candidate | null {
  const { oldest } = partition
  return oldest && { partition, ...oldest }
}

/** The oldest segment when all of it lies below the log start: a deletion that did not get to its files. */
export function leftOver(partition: PartitionLog): Candidate | null {
  const candidate = oldestOf(partition)
  return candidate && candidate.nextOffset <= partition.logStartOffset ? candidate : null
}

/** A gateway has no clock before it has asked for the time: events that are stamped earlier are as old as the first behind them that is not. */
export const CLOCK_SET_FROM_MS = Date.UTC(2000, 0, 1)

/** Newest timestamp of the oldest segment, or of the first behind it that was written with a clock; null when there is none. */
async function firstKnownAge(partition: PartitionLog): Promise<number | null> {
  for (const segment of partition.segments) {
    const newestMs = await segment.maxTimestampMs()
    if (newestMs >= CLOCK_SET_FROM_MS) return newestMs
  }
  return null
}

/** The oldest segment of the partition when it has expired by age or bytes; of a topic that is only compacted nothing does. */
export async function expiredSegment(config: TopicConfig, partition: PartitionLog, nowWallMs: number): Promise<Candidate | null> {
  const candidate = oldestOf(partition)
  if (!candidate || config.cleanup === 'compact') return null
  const oldest = candidate.segment
  const standing = standingOf(config, partition, candidate.nextOffset)
  const { retentionBytes, retentionMs } = config
  const isSurplus = retentionBytes !== null && partition.segments.length > 1 && partition.segmentBytes - oldest.sizeBytes >= retentionBytes
  if (isSurplus && verdictFor(config, standing, 'bytes') === 'delete') return candidate
  if (retentionMs === null || verdictFor(config, standing, 'age') !== 'delete') return null
  const newestMs = await firstKnownAge(partition)
  return newestMs !== null && nowWallMs - newestMs > retentionMs ? candidate : null
}

/**
 * The segment to delete next to make room; null when none may be. Delivered ones first, then what may be dropped; of the largest topic the
 * partition that holds most.
 */
export function chooseCandidate(topics: Iterable<StoredTopic>, cause: Cause): Candidate | null {
  let best: { candidate: Candidate; isDelivered: boolean; topicBytes: number; bytes: number } | null = null
  for (const topic of topics) {
    for (const partition of topic.partitions) {
      const candidate = oldestOf(partition)
      if (!candidate) continue
      const standing = standingOf(topic.config, partition, candidate.nextOffset)
      if (verdictFor(topic.config, standing, cause) !== 'delete') continue
      const next = {
        candidate,
        isDelivered: standing === 'delivered',
        topicBytes: topic.account.storedBytes,
        bytes: partition.segmentBytes
      }
      const isBetter =
        best === null ||
        (next.isDelivered !== best.isDelivered
          ? next.isDelivered
          : next.topicBytes !== best.topicBytes
            ? next.topicBytes > best.topicBytes
            : next.bytes > best.bytes)
      if (isBetter) best = next
    }
  }
  return best?.candidate ?? null
}

/** Room for new events is being made, or can be by deleting, now or when the tail has become a segment. */
export function canMakeRoom(topics: Iterable<StoredTopic>, cause: Cause): boolean {
  for (const topic of topics) {
    const { config } = topic
    if (verdictFor(config, config.isForwarded ? 'undelivered' : 'local', cause) === 'delete') return true
    for (const partition of topic.partitions) {
      if (leftOver(partition)) return true
      if (!config.isForwarded) continue
      const endOffset = partition.segments[0]?.nextOffset ?? partition.highWatermark
      if (endOffset > partition.logStartOffset && endOffset <= partition.deliveredOffset) return true
    }
  }
  return false
}

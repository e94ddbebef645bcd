// What may go: by age, by bytes per partition, by the quota of a topic and of the whole directory.
//
//   retention (age, bytes)   takes what is delivered; what is not only with drop_undelivered
//   quota reached            first what is delivered, oldest first; then drop_oldest topics lose their oldest; reject topics refuse
//
// Whole segments only, oldest first, never the one that grows (it is rolled first). Every range that was not delivered is reported.
// Not here: deleting files (retention-round.ts).

import type { TopicConfig } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Segment } from './segment.ts'
import type { StoredTopic } from './stored-topic.ts'

/** True when nobody waits for what is in the segment. */
export function isDelivered(config: TopicConfig, partition: PartitionLog, segment: Segment): boolean {
  return !config.isForwarded || segment.nextOffset <= partition.deliveredOffset
}

/** What was decided to go: the segment as it was then. It may be the one that grows; what came behind `nextOffset` is not meant. */
export interface Victim {
  readonly partition: PartitionLog
  readonly segment: Segment
  readonly nextOffset: number
}

function oldestOf(partition: PartitionLog): Victim | null {
  const segment = partition.segments[0]
  return !segment || segment.sizeBytes === 0 ? null : { partition, segment, nextOffset: segment.nextOffset }
}

/** The oldest segment of the partition when it has expired by age or bytes. */
export async function expiredSegment(config: TopicConfig, partition: PartitionLog, nowWallMs: number): Promise<Victim | null> {
  const victim = oldestOf(partition)
  if (!victim) return null
  const oldest = victim.segment
  if (!config.dropUndelivered && !isDelivered(config, partition, oldest)) return null
  if (config.retentionBytes !== null && partition.segments.length > 1 && partition.segmentBytes - oldest.sizeBytes >= config.retentionBytes)
    return victim
  if (config.retentionMs === null) return null
  const newestMs = await oldest.maxTimestampMs()
  return newestMs >= 0 && nowWallMs - newestMs > config.retentionMs ? victim : null
}

export function topicBytes(topic: StoredTopic): number {
  let bytes = 0
  for (const partition of topic.partitions) bytes += partition.segmentBytes + partition.tail.bytes
  return bytes
}

/** Who loses its oldest segment to make room; null when nobody may. Delivered segments first, then drop_oldest topics, the largest first. */
export function chooseVictim(topics: Iterable<StoredTopic>): Victim | null {
  let delivered: Victim | null = null
  let deliveredBytes = -1
  let droppable: Victim | null = null
  let droppableBytes = -1
  for (const topic of topics) {
    const bytes = topicBytes(topic)
    for (const partition of topic.partitions) {
      const victim = oldestOf(partition)
      if (!victim) continue
      if (isDelivered(topic.config, partition, victim.segment) && bytes > deliveredBytes) {
        delivered = victim
        deliveredBytes = bytes
      }
      if (topic.config.whenFull === 'drop_oldest' && bytes > droppableBytes) {
        droppable = victim
        droppableBytes = bytes
      }
    }
  }
  return delivered ?? droppable
}

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

/** The oldest segment of the partition when it has expired by age or bytes. */
export async function expiredSegment(config: TopicConfig, partition: PartitionLog, nowWallMs: number): Promise<Segment | null> {
  const oldest = partition.segments[0]
  if (!oldest || oldest.sizeBytes === 0) return null
  if (!config.dropUndelivered && !isDelivered(config, partition, oldest)) return null
  if (config.retentionBytes !== null && partition.segments.length > 1 && partition.segmentBytes - oldest.sizeBytes >= config.retentionBytes)
    return oldest
  if (config.retentionMs === null) return null
  const newestMs = await oldest.maxTimestampMs()
  return newestMs >= 0 && nowWallMs - newestMs > config.retentionMs ? oldest : null
}

export function topicBytes(topic: StoredTopic): number {
  let bytes = 0
  for (const partition of topic.partitions) bytes += partition.segmentBytes + partition.tail.bytes
  return bytes
}

/** Who loses its oldest segment to make room; null when nobody may. Delivered segments first, then drop_oldest topics, the largest first. */
export function chooseVictim(topics: Iterable<StoredTopic>): PartitionLog | null {
  let delivered: PartitionLog | null = null
  let deliveredBytes = -1
  let droppable: PartitionLog | null = null
  let droppableBytes = -1
  for (const topic of topics) {
    const bytes = topicBytes(topic)
    for (const partition of topic.partitions) {
      const oldest = partition.segments[0]
      if (!oldest || oldest.sizeBytes === 0) continue
      if (isDelivered(topic.config, partition, oldest) && bytes > deliveredBytes) {
        delivered = partition
        deliveredBytes = bytes
      }
      if (topic.config.whenFull === 'drop_oldest' && bytes > droppableBytes) {
        droppable = partition
        droppableBytes = bytes
      }
    }
  }
  return delivered ?? droppable
}

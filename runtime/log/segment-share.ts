// How large the segments and sealed batches of a topic are: retention deletes whole segments, so a segment is a fraction of every limit.
//
//   segment   = the smallest of segment_bytes and the topic's segment.bytes, 1/8 of each partition's share of the topic's quota, 1/8 of retention_bytes,
//               1/8 of what the directory's quota leaves beside the journal; not smaller than segmentBytesMin
//   tail      = half a segment, at most sealBytes: what is not in a segment yet is a small part of the limit too
//
// So deleting the oldest segment of a full topic leaves more than 80 % of its quota filled, if the quota is at least 8 segmentBytesMin per
// partition. As with Kafka's segment.bytes, a single batch that is larger makes a segment of its own.
// Not for: when to seal or delete (upkeep.ts, retention-round.ts).

import type { TopicConfig } from './contract.ts'
import type { StorageSettings } from './settings.ts'

const SEGMENTS_PER_LIMIT = 8
/** Whatever a client asks: a segment for each batch would be a file for each batch. */
const SEGMENT_AGE_MS_MIN = 60_000

export interface SegmentShare {
  readonly segmentBytes: number
  /** A tail this large is sealed. */
  readonly sealBytes: number
  /** A segment takes no batch that is so much younger than its first one. */
  readonly segmentAgeMs: number
}

export function segmentShareOf(config: TopicConfig, settings: StorageSettings): SegmentShare {
  const limits: number[] = []
  if (config.quotaBytes !== null) limits.push(config.quotaBytes / config.partitionCount)
  if (config.retentionBytes !== null) limits.push(config.retentionBytes)
  if (settings.quotaBytes !== null) limits.push(Math.max(0, settings.quotaBytes - settings.journalFileCount * settings.journalFileBytes))
  const { sealBytes, segmentBytesMin } = settings
  const segmentAgeMs = config.segmentAgeMs === null ? settings.segmentAgeMs : Math.max(SEGMENT_AGE_MS_MIN, config.segmentAgeMs)
  const segmentBytes = Math.min(settings.segmentBytes, Math.max(segmentBytesMin, config.segmentBytes ?? settings.segmentBytes))
  if (limits.length === 0 && config.segmentBytes === null) return { segmentBytes, sealBytes, segmentAgeMs }
  const shareBytes = Math.max(segmentBytesMin, Math.floor(Math.min(...limits) / SEGMENTS_PER_LIMIT))
  const segment = Math.min(segmentBytes, shareBytes)
  return { segmentBytes: segment, sealBytes: Math.min(sealBytes, Math.ceil(segment / 2)), segmentAgeMs }
}

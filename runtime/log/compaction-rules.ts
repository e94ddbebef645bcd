// Which segments of a partition may be compacted, and when it is worth it: Kafka's rules, and those of a log that is delivered and lies on flash.
// Source: Apache Kafka, LogCleanerManager.cleanableOffsets and grabFilthiestCompactedLog; the settings are those of TopicConfig.
// Not for: what is left of a segment (segment-compaction.ts), when a pass runs (compaction.ts).

import type { TopicConfig } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Segment } from './segment.ts'

export interface CompactionRules {
  /** So much of what may be compacted must be new (0 to 1). */
  readonly dirtyRatioMin: number
  /** Records that are younger stay as they are. */
  readonly lagMsMin: number
  /** What is older is compacted whatever the ratio; null = no matter how old. */
  readonly lagMsMax: number | null
  /** So long after the first compaction that saw it a record that deletes its key stays: a reader who began before must meet it. */
  readonly tombstonesMs: number
}

/** Kafka's defaults, as Kafka writes them. */
export const compactionDefaults = {
  'delete.retention.ms': '86400000',
  'max.compaction.lag.ms': '9223372036854775807',
  'min.cleanable.dirty.ratio': '0.5',
  'min.compaction.lag.ms': '0'
} as const

/** Settings as Kafka writes them; their text was checked when they were given. */
export function rulesOf({ given }: TopicConfig): CompactionRules {
  const numberOf = (name: keyof typeof compactionDefaults): number => {
    const value = Number(given[name] ?? compactionDefaults[name])
    return Number.isFinite(value) && value >= 0 ? value : Number(compactionDefaults[name])
  }
  const lagMsMax = numberOf('max.compaction.lag.ms')
  return {
    dirtyRatioMin: numberOf('min.cleanable.dirty.ratio'),
    lagMsMin: numberOf('min.compaction.lag.ms'),
    lagMsMax: lagMsMax <= Number.MAX_SAFE_INTEGER ? lagMsMax : null,
    tombstonesMs: numberOf('delete.retention.ms')
  }
}

export interface CompactableRange {
  /** From the oldest on; the last one may hold offsets at or above endOffset. */
  readonly segments: readonly Segment[]
  readonly endOffset: number
  readonly dirtyRatio: number
}

/**
 * What a pass may look at now; null when there is nothing new, or too little.
 * @param safeOffset below lies what every snapshot on the disk has in sealed segments: a start that falls back to the older one still finds sizes that fit
 * @param compactedUntil everything below was compacted before
 */
export async function compactableRange(
  partition: PartitionLog,
  config: TopicConfig,
  { safeOffset, compactedUntil, nowWallMs }: { safeOffset: number; compactedUntil: number; nowWallMs: number }
): Promise<CompactableRange | null> {
  const rules = rulesOf(config)
  const limit = Math.min(safeOffset, partition.lastStableOffset, config.isForwarded ? partition.deliveredOffset : Number.POSITIVE_INFINITY)
  const segments: Segment[] = []
  let endOffset = 0
  let bytes = 0
  let dirtyBytes = 0
  let oldestDirtyMs = Number.POSITIVE_INFINITY
  for (const segment of partition.segments.slice(0, -1)) {
    if (segment.nextOffset > limit) break
    const isDirty = segment.nextOffset > compactedUntil
    if (isDirty && rules.lagMsMin > 0 && nowWallMs - (await segment.maxTimestampMs()) < rules.lagMsMin) break
    if (isDirty && rules.lagMsMax !== null && dirtyBytes === 0) oldestDirtyMs = await segment.firstTimestampMs()
    segments.push(segment)
    bytes += segment.sizeBytes
    if (isDirty) dirtyBytes += segment.sizeBytes
    endOffset = segment.nextOffset
  }
  if (dirtyBytes === 0 || endOffset <= Math.max(compactedUntil, partition.logStartOffset)) return null
  const dirtyRatio = dirtyBytes / bytes
  const isOverdue = rules.lagMsMax !== null && nowWallMs - oldestDirtyMs > rules.lagMsMax
  return dirtyRatio >= rules.dirtyRatioMin || isOverdue ? { segments, endOffset, dirtyRatio } : null
}

// What the store counts, for the registry. Not for: counting (store-meter.ts, removals.ts, known-damage.ts).

import { type Metrics, oncePerTurn, seriesOf } from '../base/metrics.ts'
import type { Store, StoreMetrics, Topic } from './contract.ts'

export function registerStore(metrics: Metrics, store: Pick<Store, 'metrics' | 'topics'>): void {
  const now = oncePerTurn(() => store.metrics)
  metrics.counter({ name: 'wadi_storage_commits_total', help: 'Group commits' }, () => now().commits)
  metrics.counter(
    { name: 'wadi_storage_committed_events_total', help: 'Events that became durable, of all sources' },
    () => now().committedRecords
  )
  metrics.counter(
    { name: 'wadi_storage_committed_payload_bytes_total', unit: 'bytes', help: 'Keys, values and headers of the committed events' },
    () => now().committedPayloadBytes
  )
  metrics.counters(
    { name: 'wadi_storage_written_bytes_total', unit: 'bytes', help: 'What was handed to the device, by kind of file', labels: ['file'] },
    () => seriesOf(Object.entries(now().writtenBytes))
  )
  metrics.counter({ name: 'wadi_storage_syncs_total', help: 'Syncs that the device was asked for' }, () => now().syncs)
  metrics.counter({ name: 'wadi_storage_seals_total', help: 'Tails that were written into their segments' }, () => now().seals)
  metrics.counter({ name: 'wadi_storage_checkpoints_total', help: 'Checkpoints of the state' }, () => now().checkpoints)
  metrics.counter(
    { name: 'wadi_storage_refused_appends_total', help: 'Appends that were refused: no room, or too large' },
    () => now().rejectedAppends
  )
  registerCompaction(metrics, now)
  metrics.gauge(
    { name: 'wadi_storage_used_bytes', unit: 'bytes', help: 'What the data directory takes on the disk' },
    () => now().usedBytes
  )
  metrics.gauge(
    { name: 'wadi_storage_tail_bytes', unit: 'bytes', help: 'Events in memory that are in the journal only' },
    () => now().tailBytes
  )
  registerLosses(metrics, store, now)
  metrics.gauges(
    { name: 'wadi_partition_log_start_offset', help: 'Offset of the oldest event that is kept', labels: ['topic', 'partition'] },
    () => partitionsOf(store, ({ logStartOffset }) => logStartOffset)
  )
  metrics.gauges({ name: 'wadi_partition_high_watermark', help: 'Offset of the next event', labels: ['topic', 'partition'] }, () =>
    partitionsOf(store, ({ highWatermark }) => highWatermark)
  )
}

function registerCompaction(metrics: Metrics, now: () => StoreMetrics): void {
  metrics.counter(
    { name: 'wadi_compaction_passes_total', help: 'Passes over partitions whose topic is compacted' },
    () => now().compaction.passes
  )
  metrics.counter(
    { name: 'wadi_compaction_failures_total', help: 'Passes that could not be ended: no room, or something that cannot be read' },
    () => now().compaction.failures
  )
  metrics.counter(
    {
      name: 'wadi_compaction_written_bytes_total',
      unit: 'bytes',
      help: 'Segments that compaction wrote anew; a part of what was written to segments'
    },
    () => now().compaction.writtenBytes
  )
  metrics.counter(
    { name: 'wadi_compaction_removed_bytes_total', unit: 'bytes', help: 'By how much these segments are smaller' },
    () => now().compaction.removedBytes
  )
  metrics.counter(
    {
      name: 'wadi_compaction_removed_events_total',
      help: 'Events that compaction took away: there is a newer one of their key, or they were aborted'
    },
    () => now().compaction.removedRecords
  )
}

/** These outlive the process: they count since the directory was made. */
function registerLosses(metrics: Metrics, store: Pick<Store, 'topics'>, now: () => StoreMetrics): void {
  metrics.gauges(
    {
      name: 'wadi_storage_removed_events',
      help: 'Since the directory was made: events that were taken away before the centre had them (loss true), or from a topic that is not forwarded; those of deleted topics under an empty name',
      labels: ['topic', 'reason', 'loss']
    },
    () => removalsOf(store, now())
  )
  metrics.counter(
    { name: 'wadi_storage_lost_events_total', help: 'Since the directory was made: events that are gone and that the centre never got' },
    () => now().lostRecords
  )
  metrics.counter(
    {
      name: 'wadi_storage_dropped_events_total',
      help: 'Since the directory was made: events that a quota took from topics that are not forwarded'
    },
    () => now().droppedRecords
  )
  metrics.gauge({ name: 'wadi_storage_damaged_ranges', help: 'Ranges of offsets that cannot be read' }, () => now().damagedRanges)
}

/** What went with topics that were deleted is one sum, from which one takes its part back when it is made again: so this is a gauge. */
function* removalsOf({ topics }: Pick<Store, 'topics'>, metrics: StoreMetrics): Generator<readonly [readonly string[], number]> {
  const gone = new Map<string, { readonly labels: readonly string[]; records: number }>()
  for (const { topicName, reason, isLoss, records } of metrics.removals) {
    const labels = [topics.has(topicName) ? topicName : '', reason, `${isLoss}`]
    if (topics.has(topicName)) yield [labels, records]
    else gone.set(labels.join(), { labels, records: (gone.get(labels.join())?.records ?? 0) + records })
  }
  for (const { labels, records } of gone.values()) yield [labels, records]
}

function* partitionsOf(
  { topics }: Pick<Store, 'topics'>,
  read: (partition: Topic['partitions'][number]) => number
): Generator<readonly [readonly string[], number]> {
  for (const { name, partitions } of topics.values())
    for (const partition of partitions) yield [[name, `${partition.partitionIndex}`], read(partition)]
}

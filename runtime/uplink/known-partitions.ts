// Partitions that this disk gave offsets in: those that are here, and those of topics that were deleted, of which it knows where they ended and where its starts
// began to write. What a position claims of either can be held against what this disk wrote.
// Not for: what is delivered (sources.ts).

import { toOffset } from '../base/offset.ts'
import type { Partition, Store } from '../log/contract.ts'
import { formerBeginnings, formerEnds } from '../log/deleted-topics.ts'

export type KnownPartition = Pick<Partition, 'topicName' | 'partitionIndex' | 'firstOffsetAfter' | 'beginningsSince'> & {
  readonly highWatermark: number
}

/** By partition index; empty when no topic of this name was ever here. */
export function knownPartitions(store: Pick<Store, 'topics' | 'getState'>, edgeTopic: string): readonly KnownPartition[] {
  const here: readonly KnownPartition[] = store.topics.get(edgeTopic)?.partitions ?? []
  const ends = formerEnds(store, edgeTopic)
  if (ends.length <= here.length) return here
  return [
    ...here,
    ...ends.slice(here.length).map((end, at) => formerPartition(store, edgeTopic, { partitionIndex: here.length + at, end }))
  ]
}

function formerPartition(
  store: Pick<Store, 'getState'>,
  topicName: string,
  { partitionIndex, end }: { partitionIndex: number; end: number }
): KnownPartition {
  const beginnings = formerBeginnings(store, topicName)
    .filter((beginning) => beginning.partitionIndex === partitionIndex)
    .map(({ incarnation, startOffset }) => ({ incarnation, startOffset: toOffset(startOffset) }))
  return {
    topicName,
    partitionIndex,
    highWatermark: end,
    firstOffsetAfter: (start) => beginnings.find(({ incarnation }) => incarnation > start)?.startOffset ?? null,
    beginningsSince: (start) => beginnings.filter(({ incarnation }) => incarnation >= start)
  }
}

// Where starts began to write the partitions of a topic that was deleted. A topic of that name goes on in the same offsets, and so does its history: without
// it, what another copy of the disk wrote at those offsets would be taken for what was delivered from here.
//
// Invariant: what is left out of a list that is too long makes a start seem to begin earlier, never later: then something is sent again, and nothing is
// taken for delivered. Not for: where it is kept (deleted-topics.ts), what a partition knows of itself (incarnation-offsets.ts).

import { inParts } from '../base/in-parts.ts'
import type { Beginning } from './lineage.ts'

export interface FormerBeginning extends Beginning {
  readonly partitionIndex: number
}

/** Of one topic, but for one of each partition. */
const ENTRIES_MAX = 256

export function encodeBeginnings(beginnings: readonly FormerBeginning[]): number[] {
  return beginnings.flatMap(({ partitionIndex, incarnation, startOffset }) => [partitionIndex, incarnation, startOffset])
}

export function decodeBeginnings(numbers: readonly number[]): FormerBeginning[] {
  return inParts(numbers, 3).map(([partitionIndex = 0, incarnation = 0, startOffset = 0]) => ({ partitionIndex, incarnation, startOffset }))
}

/** By partition, oldest first, within the bound: the newest of each partition. */
export function withinBound(beginnings: readonly FormerBeginning[]): FormerBeginning[] {
  const byPartition = new Map<number, FormerBeginning[]>()
  for (const beginning of beginnings) {
    const list = byPartition.get(beginning.partitionIndex)
    if (list) list.push(beginning)
    else byPartition.set(beginning.partitionIndex, [beginning])
  }
  const eachMax = Math.max(1, Math.floor(ENTRIES_MAX / Math.max(1, byPartition.size)))
  return [...byPartition.values()].flatMap((list) => newestOf(list, eachMax))
}

/** The oldest that is kept begins where the oldest of all did. */
function newestOf(list: readonly FormerBeginning[], countMax: number): FormerBeginning[] {
  const [oldest, ...rest] = list.slice(-countMax)
  if (oldest === undefined) return []
  return [{ ...oldest, startOffset: list[0]?.startOffset ?? oldest.startOffset }, ...rest]
}

// Offsets that hold nothing any more. Offsets of a partition follow each other without a gap, so where batches do not, damage took something.
// Not for: finding damage in bytes (segment-read.ts), telling of it once (log-store.ts).

import type { OffsetRange, StateChange, Store, StoredBatch, Topic } from './contract.ts'
import { coveredCount } from './offset-ranges.ts'

/** In the state, damage that was found: hole/<topic number>/<partition>/<first offset> → offset behind it, events. */
export const HOLE_PREFIX = 'hole/'

/** Damage that was found, as the state has it. */
export interface Hole extends OffsetRange {
  /** `topicNumber/partitionIndex`. */
  readonly place: string
  /** Of its events, those that the centre did not have; 0 where the sum of the partition has them already. */
  readonly records: number
}

export function encodeHole({ place, startOffset, endOffset, records }: Hole): StateChange {
  return { key: `${HOLE_PREFIX}${place}/${startOffset}`, value: new TextEncoder().encode(`${endOffset} ${records}`) }
}

/** Versions before wrote the end only, and the sum with it. */
export function decodeHole(key: string, value: Uint8Array | undefined): Hole {
  const [endOffset = 0, records = 0] = new TextDecoder().decode(value).split(' ').map(Number)
  const at = key.lastIndexOf('/')
  return { place: key.slice(HOLE_PREFIX.length, at), startOffset: Number(key.slice(at + 1)), endOffset, records }
}

/** What lies in [startOffset, endOffset) and in none of the batches, which are in order. */
export function missingBetween(batches: readonly Pick<StoredBatch, 'header'>[], startOffset: number, endOffset: number): OffsetRange[] {
  const missing: OffsetRange[] = []
  let next = startOffset
  for (const { header } of batches) {
    const { baseOffset, lastOffset } = header
    if (baseOffset > next) missing.push({ startOffset: next, endOffset: Math.min(baseOffset, endOffset) })
    next = Math.max(next, lastOffset + 1)
  }
  if (next < endOffset) missing.push({ startOffset: next, endOffset })
  return missing
}

/** Events of a topic that damage took from what it holds now, as far as readers and starts have found it. */
export function missingEvents(store: Store, { number, partitions }: Topic): number {
  let count = 0
  for (const { partitionIndex, logStartOffset, highWatermark } of partitions) {
    const keys = store.listState(`${HOLE_PREFIX}${number}/${partitionIndex}/`)
    const holes = keys.map((key) => decodeHole(key, store.getState(key)))
    count += coveredCount({ startOffset: logStartOffset, endOffset: highWatermark }, holes)
  }
  return count
}

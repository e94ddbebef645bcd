// Offsets that hold nothing any more. Offsets of a partition follow each other without a gap, so where batches do not, damage took something.
// Not for: finding damage in bytes (segment-read.ts), telling of it once (log-store.ts).

import type { BatchHeader } from '../core/record.ts'
import type { OffsetRange, Store, Topic } from './contract.ts'
import { decodeNumber } from './state-map.ts'

/** In the state, damage that was found: hole/<topic number>/<partition>/<first offset> → offset behind it. */
export const HOLE_PREFIX = 'hole/'

/** What lies in [startOffset, endOffset) and in none of the batches, which are in order. */
export function missingBetween(batches: readonly BatchHeader[], startOffset: number, endOffset: number): OffsetRange[] {
  const missing: OffsetRange[] = []
  let next = startOffset
  for (const { baseOffset, lastOffset } of batches) {
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
    const prefix = `${HOLE_PREFIX}${number}/${partitionIndex}/`
    for (const key of store.listState(prefix)) {
      const start = Math.max(logStartOffset, Number(key.slice(prefix.length)))
      count += Math.max(0, Math.min(highWatermark, decodeNumber(store.getState(key))) - start)
    }
  }
  return count
}

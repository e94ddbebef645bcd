// Offsets that hold nothing any more. Offsets of a partition follow each other without a gap, so where batches do not, damage took something.
// Not for: finding damage in bytes (segment-read.ts), telling of it once (log-store.ts).

import type { OffsetRange, StateChange, Store, StoredBatch, Topic } from './contract.ts'
import { coveredCount } from './offset-ranges.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { decimal, numberedKeyBytes, textual, wholeOf } from './state-codec.ts'

/** Damage that was found, as the state has it. */
export interface Hole extends OffsetRange {
  /** `topicNumber/partitionIndex`. */
  readonly place: string
  /** Of its events, those that the centre did not have; 0 where the sum of the partition has them already. */
  readonly records: number
}

interface StoredHole {
  readonly endOffset: number
  /** Not there: versions before wrote the end only, and the sum with it. */
  readonly records?: number
}

/** Damage that was found. */
export const holes = new StateArea<StoredHole>(
  'hole',
  textual({
    format: ({ endOffset, records }) => (records === undefined ? `${endOffset}` : `${endOffset} ${records}`),
    parse(text) {
      const [endOffset = null, records, ...more] = text.split(' ').map((word) => wholeOf(word))
      if (endOffset === null || records === null || more.length > 0) return null
      return records === undefined ? { endOffset } : { endOffset, records }
    }
  }),
  {
    keys: '<topic number>/<partition>/<offset>',
    keyBytesMax: numberedKeyBytes('hole', 3),
    valueBytesMax: 2 * decimal.bytesMax + 1,
    entries: 'one for each range of damage that is not behind the log start: each is one event of the quota at least',
    goes: 'when the log starts behind it, its count into `damage/`, or with its topic'
  }
)

export function holeKey({ place, startOffset }: Pick<Hole, 'place' | 'startOffset'>): string {
  return holes.keyAt(`${place}/${startOffset}`)
}

export function putHole(hole: Hole): StateChange {
  return holes.put(holeKey(hole), hole)
}

export function holeOf(state: Pick<StateReader, 'getState'>, key: string): Hole {
  const rest = holes.restOf(key)
  const at = rest.lastIndexOf('/')
  return { place: rest.slice(0, at), startOffset: Number(rest.slice(at + 1)), endOffset: 0, records: 0, ...holes.get(state, key) }
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
    const known = holes.keysIn(store, number, partitionIndex).map((key) => holeOf(store, key))
    count += coveredCount({ startOffset: logStartOffset, endOffset: highWatermark }, known)
  }
  return count
}

// Which offsets of a partition nothing has: found by reading all of it, as a reader does. Offsets are given without gaps, so what lies between
// two batches is gone. For `wadi log verify`, behind a start on a disk that keeps every change in memory (dry-start.ts).
// Not for: where the broken bytes lie (inspect.ts), counting (log-store.ts).

import type { DroppedRange, Partition, Store } from './contract.ts'

const READ_BYTES = 1024 * 1024

export interface MissingRange {
  /** `topic-partition`. */
  readonly partitionName: string
  readonly startOffset: number
  readonly endOffset: number
  /** The centre has all of it, as far as the directory knows. */
  readonly isDelivered: boolean
  /** An earlier start, or a reader in it, counted it. */
  readonly isKnown: boolean
}

/** What is missing in the partitions with these names; reading counts it in `store`. @throws DiskError */
export async function findMissing(store: Store, partitionNames: ReadonlySet<string>): Promise<MissingRange[]> {
  const missing: MissingRange[] = []
  const told: DroppedRange[] = []
  const stop = store.onDropped((range) => told.push(range))
  for (const { name, partitions } of store.topics.values()) {
    for (const partition of partitions) {
      const partitionName = `${name}-${partition.partitionIndex}`
      if (!partitionNames.has(partitionName)) continue
      const ranges = await gapsOf(partition)
      const isTold = ([startOffset, endOffset]: Range): boolean =>
        told.some(
          (range) =>
            range.topicName === name &&
            range.partitionIndex === partition.partitionIndex &&
            range.startOffset < endOffset &&
            range.endOffset > startOffset
        )
      for (const range of ranges) {
        const [startOffset, endOffset] = range
        missing.push({
          partitionName,
          startOffset,
          endOffset,
          isDelivered: endOffset <= partition.deliveredOffset,
          isKnown: !isTold(range)
        })
      }
    }
  }
  stop()
  return missing
}

type Range = readonly [startOffset: number, endOffset: number]

async function gapsOf(partition: Partition): Promise<Range[]> {
  const gaps: Range[] = []
  const end = partition.highWatermark
  let expected: number = partition.logStartOffset
  for (let offset = partition.logStartOffset; offset < end; ) {
    const { batches, nextOffset } = await partition.read(offset, { bytesMax: READ_BYTES })
    for (const { header } of batches) {
      if (header.baseOffset > expected) gaps.push([expected, header.baseOffset])
      expected = Math.max(expected, header.lastOffset + 1)
    }
    offset = nextOffset
  }
  if (expected < end) gaps.push([expected, end])
  return gaps
}

// Seal: a tail becomes one large batch, compressed, at the end of the partition's active segment (buffered write, no sync).
// Batches of plain records are repacked into one; batches that carry producer fields or are compressed already go in unchanged.
// Invariants: readers see the tail until the segment has the bytes; nothing leaves the tail before the write came back.
// Errors: DiskError from the write: the tail stays as it was, the caller decides. Not for: when to seal (upkeep.ts).

import { assert } from '../base/assert.ts'
import { readBatchHeader } from '../core/batch-header.ts'
import type { CodecName } from '../io/codec.ts'
import { compressBatch } from './batch-codec.ts'
import { type PartitionLog, withPartition } from './partition-log.ts'
import { Segment } from './segment.ts'
import type { TailBatch } from './tail.ts'

export interface SealOptions {
  readonly codec: CodecName
  readonly segmentBytes: number
  /** A segment does not take a batch that is so much younger than its first one. */
  readonly segmentAgeMs: number
  /** Uncompressed bytes of one sealed batch at most. */
  readonly batchBytesMax: number
}

/** Seals all that is in the tail now. Runs after whatever else works on this partition. */
export function sealPartition(partition: PartitionLog, options: SealOptions): Promise<void> {
  return withPartition(partition, () => sealNow(partition, options))
}

async function sealNow(partition: PartitionLog, options: SealOptions): Promise<void> {
  const untilOffset = partition.highWatermark
  for (;;) {
    const { startOffset } = partition.tail
    if (startOffset === null || startOffset >= untilOffset) return
    const { batch, count } = await nextSealedBatch(partition, options)
    await appendSealed(partition, batch, options)
    partition.tail.drop(count)
    partition.account.touch()
  }
}

/** Takes the longest run of plain, adjoining batches that fits, or one other batch as it is. */
async function nextSealedBatch(partition: PartitionLog, options: SealOptions): Promise<{ batch: Uint8Array; count: number }> {
  const { core, codec } = partition.env
  const run: TailBatch[] = []
  let bytes = 0
  for (const entry of partition.tail.from(0)) {
    const before = run.at(-1)
    if (!before && !entry.isPlain) return { batch: entry.batch, count: 1 }
    bytes += entry.batch.byteLength
    if (before && (!entry.isPlain || entry.baseOffset !== before.lastOffset + 1 || bytes > options.batchBytesMax)) break
    run.push(entry)
  }
  const [first] = run
  assert(first !== undefined, 'nothing to seal')
  const count = run.length
  if (count === 1) return { batch: await compressBatch(core, codec, first.batch, options.codec), count }
  core.repack.beginSeal({ bytesMax: core.batchBytesMax })
  for (const { batch, baseOffset, lastOffset } of run) {
    const added = core.repack.add(batch, { fromOffset: baseOffset, untilOffset: lastOffset + 1 })
    assert(!added.isFull, 'a sealed batch did not fit')
  }
  const repacked = core.repack.finish()
  assert(repacked !== null, 'sealed nothing')
  return { batch: await compressBatch(core, codec, repacked.slice(), options.codec), count }
}

async function appendSealed(partition: PartitionLog, batch: Uint8Array, options: SealOptions): Promise<void> {
  const header = readBatchHeader(batch)
  assert(header !== null, 'sealed batch without a header')
  let segment = partition.activeSegment
  const isFull = segment !== null && segment.sizeBytes > 0 && segment.sizeBytes + batch.byteLength > options.segmentBytes
  const isFar = segment !== null && header.lastOffset - segment.baseOffset > 0x7fffffff
  const isOld = segment !== null && (await isOlder(segment, header.maxTimestampMs - options.segmentAgeMs))
  if (segment === null || isFull || isFar || isOld) segment = await rollSegment(partition, header.baseOffset)
  await segment.append(batch, header)
}

/** As Kafka's segment.ms: by the timestamps of the records, or a slow topic would keep one segment, and all its events, for ever. */
async function isOlder(segment: Segment, thanMs: number): Promise<boolean> {
  if (segment.sizeBytes === 0) return false
  const firstMs = await segment.firstTimestampMs()
  return firstMs >= 0 && firstMs < thanMs
}

/** Opens a new active segment that begins at `baseOffset`. The old one is closed at the next checkpoint. */
export async function rollSegment(partition: PartitionLog, baseOffset: number): Promise<Segment> {
  if (!partition.hasDirectory) {
    await partition.env.disk.makeDirectory(partition.directory)
    partition.hasDirectory = true
  }
  const segment = new Segment(partition.env, { directory: partition.directory, baseOffset, sizeBytes: 0, nextOffset: baseOffset })
  await (await partition.env.disk.open(segment.logPath, 'create')).close()
  partition.isDirectoryDirty = true
  partition.segments.push(segment)
  return segment
}

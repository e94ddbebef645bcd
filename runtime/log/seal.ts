// Seal: what the batches of a tail become in a segment. Adjoining plain batches are repacked into one large batch and compressed; batches that carry
// producer fields or are compressed already stay as they came, because their sequences and their producer's CRC must survive.
// Invariant: offsets, their order and the start that wrote them are those of the tail: what two starts wrote is not one batch. Not for: when to seal (upkeep.ts), writing (partition-segments.ts).

import { assert } from '../base/assert.ts'
import type { LentMemory } from '../base/lent-memory.ts'
import { readBatchHeader, writeLeaderEpoch } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import { compressBatch } from './batch-codec.ts'
import type { SegmentLimits } from './partition-segments.ts'
import type { SealedBatch } from './segment.ts'
import type { Tail, TailBatch } from './tail.ts'

export interface SealOptions extends SegmentLimits {
  readonly codec: CodecName
  /** Uncompressed bytes of one sealed batch at most. */
  readonly batchBytesMax: number
}

export interface SealedRun extends SealedBatch {
  /** Batches of the tail that it holds. */
  readonly count: number
}

export interface SealEnvironment {
  readonly core: Core
  readonly codec: BlockCodec
  /** For batches that are being compressed. */
  readonly sealMemory: LentMemory
}

/** The front of the tail, about `batchBytesMax` of it and less than twice as much: what is written together. Not empty when the tail is not. */
export async function sealFront(tail: Tail, env: SealEnvironment, options: SealOptions): Promise<SealedRun[]> {
  const sealed: SealedRun[] = []
  for (const run of frontRuns(tail, options.batchBytesMax)) {
    const batch = await sealRun(run, env, options.codec)
    const header = readBatchHeader(batch)
    assert(header !== null, 'sealed batch without a header')
    sealed.push({ batch, header, count: run.length })
  }
  return sealed
}

/** Runs of plain, adjoining batches of at most `bytesMax`, and other batches each by itself, until `bytesMax` is reached. */
function frontRuns(tail: Tail, bytesMax: number): TailBatch[][] {
  const runs: TailBatch[][] = []
  let totalBytes = 0
  let runBytes = 0
  for (const entry of tail.from(0)) {
    const bytes = entry.batch.byteLength
    const run = runs.at(-1)
    if (run && joins(run, entry) && runBytes + bytes <= bytesMax) {
      run.push(entry)
      runBytes += bytes
    } else {
      if (totalBytes >= bytesMax) break
      runs.push([entry])
      runBytes = bytes
    }
    totalBytes += bytes
  }
  return runs
}

function joins(run: readonly TailBatch[], entry: TailBatch): boolean {
  const last = run.at(-1)
  if (!last?.isPlain || !entry.isPlain || entry.leaderEpoch !== last.leaderEpoch) return false
  return entry.baseOffset === last.lastOffset + 1
}

async function sealRun(run: readonly TailBatch[], { core, codec, sealMemory }: SealEnvironment, codecName: CodecName): Promise<Uint8Array> {
  const [first] = run
  assert(first !== undefined, 'nothing to seal')
  if (!first.isPlain) return first.batch
  if (run.length === 1) return compressBatch(core, codec, first.batch, codecName)
  const repacked = repackRun(core, run)
  return sealMemory.lend(repacked.byteLength, async (batch) => {
    batch.set(repacked)
    writeLeaderEpoch(batch, first.leaderEpoch)
    const sealed = await compressBatch(core, codec, batch, codecName)
    return sealed === batch ? batch.slice() : sealed
  })
}

/**
 * Plain batches in the clear, which adjoin, as one: offsets stay, gaps between and in them stay covered. The leader epoch is to be written by whoever knows it.
 * @returns a view until the next call of the core
 */
export function repackRun(core: Core, run: readonly { batch: Uint8Array; baseOffset: number; lastOffset: number }[]): Uint8Array {
  core.repack.beginSeal({ bytesMax: core.batchBytesMax })
  for (const { batch, baseOffset, lastOffset } of run) {
    const added = core.repack.add(batch, { fromOffset: baseOffset, untilOffset: lastOffset + 1 })
    assert(!added.isFull, 'a batch of a run did not fit')
  }
  const repacked = core.repack.finish()
  assert(repacked !== null, 'repacked nothing')
  return repacked
}

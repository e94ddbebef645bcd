// Proves for `wadi tail` over many partitions: they are merged by time, nothing is left out or told twice, and what the gateway holds meanwhile is
// bounded whatever the number of partitions.
// How: a store of made-up partitions whose reads hand out fresh batches, as those of a disk do; what is held is what the collector leaves
// while the reader stands still.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { type TailSource, tailItems } from '../../gateway/tail-feed.ts'
import { HELD_BYTES_MAX } from '../../gateway/tail-merge.ts'
import type { TailRequest } from '../../gateway/tail-request.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { type Offset, toOffset } from '../../runtime/base/offset.ts'
import { ATTRIBUTES_AT, readBatchHeader } from '../../runtime/core/batch-header.ts'
import type { BatchHeader, RecordInput } from '../../runtime/core/record.ts'
import type { OffsetRange, Partition, Store, StoredBatch } from '../../runtime/log/contract.ts'
import { loadTestCore } from '../helpers/core.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'

t.setTimeout(120_000)

const core = loadTestCore()
/** In the attributes of a batch: none of Kafka's. */
const NO_CODEC = 7
const MIB = 1024 * 1024
/** One read, its batch in the clear and the objects of all partitions come on top. */
const BOUND_BYTES = HELD_BYTES_MAX + 4 * MIB
const ALL: TailRequest = { patterns: [], begin: { from: 'beginning' }, sinceMs: null, untilMs: null, isFollowing: false }

interface Made {
  readonly times: readonly number[]
  readonly valueBytes: number
  readonly recordsPerBatch: number
  /** One batch: the disk does not have it, or it cannot be opened. */
  readonly missing?: OffsetRange & { readonly reason: 'damage' | 'cannot be opened' }
}

interface MadePartition extends Partition {
  logStartOffset: Offset
}

/** As many batches as a read may take, made anew for each read. */
function partitionOf(partitionIndex: number, { times, valueBytes, recordsPerBatch, missing }: Made): MadePartition {
  const batchAt = (first: number): Uint8Array => {
    const records = times.slice(first, first + recordsPerBatch).map((timestampMs): RecordInput => {
      return { timestampMs, key: null, value: Buffer.alloc(valueBytes, partitionIndex), headers: [] }
    })
    const batch = core.buildBatch(records, { baseOffset: first })
    if (first === missing?.startOffset) batch[ATTRIBUTES_AT + 1] = NO_CODEC
    return batch
  }
  const partition = {
    topicName: 'plant',
    partitionIndex,
    logStartOffset: toOffset(0),
    lastStableOffset: toOffset(times.length),
    onAdvance: () => () => undefined,
    async readCommitted(offset: Offset, { bytesMax }: { bytesMax: number }) {
      if (offset < partition.logStartOffset)
        throw new WadiError('WADI_OFFSET_OUT_OF_RANGE', { happened: 'below the start', kept: '', next: '' })
      const batches: StoredBatch[] = []
      const gone: OffsetRange[] = []
      let next = offset - (offset % recordsPerBatch)
      for (let bytes = 0; next < times.length; next += recordsPerBatch) {
        if (next === missing?.startOffset && missing.reason === 'damage') {
          gone.push({ startOffset: Math.max(next, offset), endOffset: missing.endOffset })
          continue
        }
        const batch = batchAt(next)
        if (batches.length > 0 && bytes + batch.byteLength > bytesMax) break
        batches.push({ header: readBatchHeader(batch) as BatchHeader, bytes: batch })
        bytes += batch.byteLength
      }
      return { batches, missing: gone, nextOffset: toOffset(Math.min(next, times.length)) }
    }
  }
  return partition as unknown as MadePartition
}

function sourceOf(partitions: readonly Partition[]): TailSource {
  const topics = new Map([['plant', { name: 'plant', partitions }]])
  return { store: { topics } as unknown as Store, core, codec: simCodec, clock: { wallMs: () => 0 } }
}

function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  gc()
  gc()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

interface Shape {
  readonly partitionCount: number
  readonly valueBytes: number
  readonly isInterleaved: boolean
  readonly heldBytesMax?: number
}

/** The most that a tail from the beginning holds after 20, 40 and 60 events. */
async function mostHeld({ partitionCount, valueBytes, isInterleaved, heldBytesMax }: Shape): Promise<number> {
  const count = Math.max(2, Math.floor(300_000 / valueBytes))
  const timeOf = (partition: number, n: number): number => (isInterleaved ? n * partitionCount + partition : partition * count + n)
  const partitions = Array.from({ length: partitionCount }, (_, index) => {
    const times = Array.from({ length: count }, (_, n) => timeOf(index, n))
    return partitionOf(index, { times, valueBytes, recordsPerBatch: Math.max(1, Math.floor(250_000 / valueBytes)) })
  })
  const before = heldBytes()
  const source = { ...sourceOf(partitions), ...(heldBytesMax !== undefined && { heldBytesMax }) }
  const items = tailItems(source, ALL, new AbortController().signal)
  let most = 0
  for (let turn = 0; turn < 3; turn++) {
    for (let step = 0; step < 20; step++) await items.next()
    most = Math.max(most, heldBytes() - before)
  }
  await items.return()
  return most
}

for (const [what, shape] of [
  ['200 partitions, interleaved', { partitionCount: 200, valueBytes: 1_000, isInterleaved: true }],
  ['1,000 partitions, interleaved', { partitionCount: 1_000, valueBytes: 1_000, isInterleaved: true }],
  ['1,000 partitions, one after another', { partitionCount: 1_000, valueBytes: 1_000, isInterleaved: false }],
  ['200 partitions of large events', { partitionCount: 200, valueBytes: 200_000, isInterleaved: true }]
] as const) {
  t.test(`what a tail holds is bounded: ${what}`, { timeout: 120_000 }, async (t) => {
    const most = await mostHeld(shape)
    t.ok(most < BOUND_BYTES, `${(most / MIB).toFixed(1)} MiB`)
  })
}

t.test('canary: without the bound it is noticed', async (t) => {
  const most = await mostHeld({ partitionCount: 200, valueBytes: 1_000, isInterleaved: true, heldBytesMax: Number.POSITIVE_INFINITY })
  t.ok(most > 2 * BOUND_BYTES, `${(most / MIB).toFixed(1)} MiB`)
})

t.test('merged by time, each event once, what is missing in its place; whatever fits into memory', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(seed)
    const partitions = Array.from({ length: prng.between(1, 12) }, (_, index) => {
      const recordsPerBatch = prng.between(1, 9)
      let timeMs = 0
      const times = Array.from({ length: prng.between(0, 6) * recordsPerBatch }, () => (timeMs += prng.below(50)))
      const at = recordsPerBatch * prng.below(6)
      const reason = prng.chance(50) ? ('damage' as const) : ('cannot be opened' as const)
      const missing = prng.chance(50) && at < times.length ? { startOffset: at, endOffset: at + recordsPerBatch, reason } : undefined
      return { times, made: { times, valueBytes: prng.below(400), recordsPerBatch, ...(missing && { missing }) }, missing, index }
    })
    const heldBytesMax = [0, 700, 5_000, undefined][prng.below(4)]
    const source = {
      ...sourceOf(partitions.map(({ made, index }) => partitionOf(index, made))),
      ...(heldBytesMax !== undefined && { heldBytesMax })
    }
    const seen = new Map<number, number>()
    let lastMs = 0
    let isSorted = true
    for await (const item of tailItems(source, ALL, new AbortController().signal)) {
      if ('placed' in item) {
        const { partitionIndex, record } = item.placed
        if (record.offset !== (seen.get(partitionIndex) ?? 0)) t.fail(`seed ${seed}: ${partitionIndex}@${record.offset}`)
        if (record.timestampMs !== partitions[partitionIndex]?.times[record.offset]) t.fail(`seed ${seed}: time of ${record.offset}`)
        if (record.value?.some((byte) => byte !== partitionIndex)) t.fail(`seed ${seed}: value of ${record.offset}`)
        isSorted &&= record.timestampMs >= lastMs
        lastMs = record.timestampMs
        seen.set(partitionIndex, record.offset + 1)
      } else {
        const { partitionIndex, startOffset, endOffset, reason } = item.missing
        t.same({ startOffset, endOffset, reason }, partitions[partitionIndex]?.missing, `seed ${seed}`)
        if (startOffset !== (seen.get(partitionIndex) ?? 0)) t.fail(`seed ${seed}: missing from ${startOffset}`)
        seen.set(partitionIndex, endOffset)
      }
    }
    const ends = partitions.map(({ times, index }) => [times.length, seen.get(index) ?? 0])
    t.ok(
      ends.every(([end, at]) => end === at),
      `seed ${seed}: all of it`
    )
    t.ok(isSorted, `seed ${seed}: by time`)
  }
})

t.test('retention that overtakes the reader is named, with what was not read', async (t) => {
  const times = Array.from({ length: 40 }, (_, n) => n)
  const partitions = [0, 1].map((index) => partitionOf(index, { times, valueBytes: 1_000, recordsPerBatch: 10 }))
  const told: string[] = []
  let next = 0
  for await (const item of tailItems({ ...sourceOf(partitions), heldBytesMax: 0 }, ALL, new AbortController().signal)) {
    if ('placed' in item) {
      const { partitionIndex, record } = item.placed
      if (partitionIndex !== 0) continue
      next = record.offset + 1
      if (record.offset === 5) (partitions[0] as MadePartition).logStartOffset = toOffset(20)
    } else {
      const { partitionIndex, startOffset, endOffset, reason } = item.missing
      told.push(`${partitionIndex}: ${startOffset} to ${endOffset} ${reason}`)
      t.equal(startOffset, next, 'from where the reader was')
      next = endOffset
    }
  }
  t.same(told, ['0: 6 to 20 deleted'])
  t.equal(next, 40)
})

t.test('looking for the newest of many partitions keeps what may be among them, not as many of each', { timeout: 120_000 }, async (t) => {
  const [partitionCount, count] = [80, 5_000]
  const partitions = Array.from({ length: partitionCount }, (_, index) => {
    const times = Array.from({ length: count }, (_, n) => n * partitionCount + index)
    return partitionOf(index, { times, valueBytes: 0, recordsPerBatch: 2_500 })
  })
  const last = partitions.at(-1) as MadePartition
  const read = last.readCommitted.bind(last)
  const before = heldBytes()
  let most = 0
  last.readCommitted = (...operands) => {
    if (most === 0) most = heldBytes() - before
    return read(...operands)
  }
  const request = { ...ALL, begin: { last: count } }
  const times: number[] = []
  for await (const item of tailItems(sourceOf(partitions), request, new AbortController().signal))
    if ('placed' in item) times.push(item.placed.record.timestampMs)
  t.same(
    times,
    Array.from({ length: count }, (_, index) => (partitionCount - 1) * count + index)
  )
  t.ok(most < BOUND_BYTES, `${(most / MIB).toFixed(1)} MiB`)
})

t.test('the newest N are those of a sorted list, whatever the times', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed)
    let timeMs = 0
    const all: number[] = []
    const made = Array.from({ length: prng.between(1, 6) }, (): Made => {
      const times = Array.from({ length: prng.below(60) }, () => (timeMs += prng.between(1, 9)))
      return { times, valueBytes: 10, recordsPerBatch: 5 }
    })
    const spread = made.map(({ times, ...rest }, index): Made => ({ ...rest, times: times.map((at, n) => n * 1_000 + at + index) }))
    for (const { times } of spread) all.push(...times)
    const count = prng.below(80)
    const seen: number[] = []
    const source = sourceOf(spread.map((one, index) => partitionOf(index, one)))
    for await (const item of tailItems(source, { ...ALL, begin: { last: count } }, new AbortController().signal))
      if ('placed' in item) seen.push(item.placed.record.timestampMs)
    const wanted = count === 0 ? [] : all.sort((left, right) => left - right).slice(-count)
    t.same(seen, wanted, `seed ${seed}`)
  }
})

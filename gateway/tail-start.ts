// Where a tail begins in each partition. For "the last N" the partitions are read backwards until N events of the selection are found in each, or
// its beginning; only times and offsets are kept, and only of events that may be among the N, whatever the number of partitions.

import { WadiError } from '../runtime/base/errors.ts'
import type { Partition } from '../runtime/log/contract.ts'
import { type TailCodec, TailCursor } from './tail-cursor.ts'
import { LAST_MAX, type TailRequest, type TailSelection } from './tail-request.ts'

const WINDOW_MIN = 64
/** Times what is asked for: then those that cannot be among them are forgotten. */
const FOUND_RATIO_MAX = 4

interface Found {
  readonly offset: number
  readonly timestampMs: number
}

/** The newest of the selection in one partition, in order. */
interface Newest {
  list: readonly Found[]
  /** There may be more in front of the first. */
  readonly isFull: boolean
}

/** The selection lies in [low, high) of a partition. */
interface Span {
  readonly partition: Partition
  readonly low: number
  readonly high: number
}

/** Offsets to begin at, in the order of `partitions`. @throws WadiError WADI_USAGE when more than LAST_MAX of more events are asked for */
export async function tailStarts(
  partitions: readonly Partition[],
  request: TailRequest,
  { selection, codec, signal }: { selection: TailSelection; codec: TailCodec; signal: AbortSignal }
): Promise<number[]> {
  const { begin, sinceMs } = request
  const spans: Span[] = []
  for (const partition of partitions) {
    const high = partition.lastStableOffset
    const low = 'from' in begin ? startAt(partition, begin.from) : partition.logStartOffset
    const sinceOffset = sinceMs === null ? low : ((await partition.offsetForTime(sinceMs))?.offset ?? high)
    spans.push({ partition, low: Math.min(high, Math.max(low, sinceOffset)), high })
  }
  if ('from' in begin || begin.last >= spans.reduce((sum, { low, high }) => sum + high - low, 0)) return spans.map(({ low }) => low)
  if (begin.last > LAST_MAX) throw tooMany(begin.last)
  const found: Newest[] = []
  let heldCount = 0
  for (const span of spans) {
    const list = await newest(span, begin.last, { selection, codec, signal })
    found.push({ list, isFull: list.length === begin.last })
    heldCount += list.length
    if (heldCount <= FOUND_RATIO_MAX * begin.last) continue
    forget(found, begin.last)
    heldCount = found.reduce((sum, { list }) => sum + list.length, 0)
  }
  return startsOf(spans, found, begin.last)
}

function startAt(partition: Partition, from: 'beginning' | 'end' | number): number {
  if (from === 'beginning') return partition.logStartOffset
  return from === 'end' ? partition.lastStableOffset : Math.min(partition.lastStableOffset, Math.max(partition.logStartOffset, from))
}

/** The `count` newest of the selection in one partition, in order. */
async function newest(
  { partition, low, high }: Span,
  count: number,
  { selection, codec, signal }: { selection: TailSelection; codec: TailCodec; signal: AbortSignal }
): Promise<Found[]> {
  let found: Found[] = []
  let windowEnd = high
  for (let window = Math.max(WINDOW_MIN, count); found.length < count && windowEnd > low && !signal.aborted; window *= 2) {
    const windowStart = Math.max(low, windowEnd - window)
    let part: Found[] = []
    for await (const item of new TailCursor(partition, windowStart, codec).readTo(windowEnd)) {
      if (!('placed' in item) || !selection.takes(partition, item.placed.record)) continue
      part.push({ offset: item.placed.record.offset, timestampMs: item.placed.record.timestampMs })
      if (part.length >= 2 * count) part = part.slice(-count)
    }
    found = [...part, ...found].slice(-count)
    windowEnd = windowStart
  }
  return found
}

/** Takes the newest of what the partitions end with, `count` times: how many are left of each. More partitions can only leave more of these. */
function leftOf(found: readonly Newest[], count: number): number[] {
  const left = found.map(({ list }) => list.length)
  for (let taken = 0; taken < count; taken++) {
    let best = -1
    let bestMs = Number.NEGATIVE_INFINITY
    for (const [index, { list }] of found.entries()) {
      const last = list[(left[index] ?? 0) - 1]
      if (last && last.timestampMs >= bestMs) {
        best = index
        bestMs = last.timestampMs
      }
    }
    if (best < 0) break
    left[best] = (left[best] ?? 0) - 1
  }
  return left
}

/** What is left of each, but for the newest of it: its partition begins behind that. */
function forget(found: readonly Newest[], count: number): void {
  const left = leftOf(found, count)
  for (const [index, one] of found.entries()) one.list = one.list.slice(Math.max(0, (left[index] ?? 0) - 1))
}

/** A partition begins behind the newest event that is not taken. */
function startsOf(spans: readonly Span[], found: readonly Newest[], count: number): number[] {
  const left = leftOf(found, count)
  return spans.map(({ low, high }, index) => {
    const { list, isFull } = found[index] ?? { list: [], isFull: false }
    const kept = left[index] ?? 0
    const behind = list[kept - 1]
    if (behind) return behind.offset + 1
    return isFull ? (list[0]?.offset ?? high) : low
  })
}

function tooMany(last: number): WadiError {
  return new WadiError('WADI_USAGE', {
    happened: `The last ${last} events were asked for, and there are more: ${LAST_MAX} is the most that are counted from the end.`,
    kept: 'Nothing was changed.',
    next: 'Begin elsewhere: --from beginning, or --since 1h.'
  })
}

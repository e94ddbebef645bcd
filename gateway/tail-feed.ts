// The live tail: events of the matching topics as they become durable and committed. Each partition in its order, partitions merged by time.
// Invariants: a slow reader slows only its own feed; what is held for it is bounded, whatever the number of partitions (tail-merge.ts); what is
// missing is named, not passed over.

import type { StoredRecord } from '../runtime/core/record.ts'
import type { Clock } from '../runtime/io/clock.ts'
import type { Partition, Store } from '../runtime/log/contract.ts'
import { type MissingRange, type TailCodec, TailCursor, type TailItem } from './tail-cursor.ts'
import { HELD_BYTES_MAX, mergedByTime } from './tail-merge.ts'
import { type TailRequest, TailSelection } from './tail-request.ts'
import { tailStarts } from './tail-start.ts'

/** A topic that appears while we follow is noticed within this time. */
const LOOK_MS = 1000

/** An event on the control socket: bytes travel as base64, null stays null. */
export interface TailEvent {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [name: string, value: string | null])[]
}

/** On the control socket: in the place of events that cannot be shown. */
export interface TailGap {
  readonly missing: MissingRange
}

export interface TailSource extends TailCodec {
  readonly store: Store
  readonly clock: Pick<Clock, 'wallMs'>
  /** Of one tail, for merging. */
  readonly heldBytesMax?: number
}

/**
 * Ends when `signal` aborts, when `untilMs` has come, or with what is stored now when the request does not follow.
 * @throws WadiError WADI_TOPIC_UNKNOWN when a pattern names no topic, WADI_USAGE when it is no filter or too many events are asked for
 */
export async function* tailItems(source: TailSource, request: TailRequest, signal: AbortSignal): AsyncGenerator<TailItem, void, void> {
  const selection = new TailSelection(request, source.store)
  const cursors = new Map<Partition, TailCursor>()
  const wake = new Wake()
  const unsubscribes: (() => void)[] = []
  const unknownPartitions = (): Partition[] =>
    [...source.store.topics.values()].flatMap(({ partitions }) =>
      partitions.filter((partition) => selection.takesPartition(partition) && !cursors.has(partition))
    )
  const add = (partition: Partition, next: number): void => {
    cursors.set(partition, new TailCursor(partition, next, source))
    unsubscribes.push(partition.onAdvance(() => wake.up()))
  }
  const onAbort = (): void => wake.up()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const first = unknownPartitions()
    const ends = new Map(first.map((partition) => [partition, partition.lastStableOffset as number]))
    for (const [index, next] of (await tailStarts(first, request, { selection, codec: source, signal })).entries())
      add(first[index] as Partition, next)
    const endOf = (cursor: TailCursor): number =>
      request.isFollowing ? cursor.partition.lastStableOffset : (ends.get(cursor.partition) ?? 0)
    while (!signal.aborted) {
      const isLast = !request.isFollowing || (request.untilMs !== null && source.clock.wallMs() >= request.untilMs)
      const waiting = [...cursors.values()].filter((cursor) => !cursor.partition.isDeleted && cursor.next < endOf(cursor))
      for await (const item of mergedByTime(waiting, { selection, endOf, heldBytesMax: source.heldBytesMax ?? HELD_BYTES_MAX })) {
        if (signal.aborted) return
        yield item
      }
      const isHeldUp = waiting.some((cursor) => cursor.isHeldUp)
      if (isLast && !isHeldUp) return
      if (waiting.length === 0 || isHeldUp) await wake.wait(LOOK_MS)
      for (const partition of request.isFollowing ? unknownPartitions() : []) add(partition, partition.logStartOffset)
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    for (const unsubscribe of unsubscribes) unsubscribe()
  }
}

/** The same as values of the control socket, until nobody listens any more. @throws WadiError as tailItems() */
export async function feedTail(
  source: TailSource,
  request: TailRequest,
  call: { signal: AbortSignal; send(value: TailEvent | TailGap): Promise<boolean> }
): Promise<void> {
  for await (const item of tailItems(source, request, call.signal)) {
    const value = 'placed' in item ? toTailEvent(item.placed.topicName, item.placed.partitionIndex, item.placed.record) : item
    if (!(await call.send(value))) return
  }
}

export function toTailEvent(topicName: string, partitionIndex: number, record: StoredRecord): TailEvent {
  return {
    topic: topicName,
    partition: partitionIndex,
    offset: record.offset,
    timestampMs: record.timestampMs,
    key: base64(record.key),
    value: base64(record.value),
    headers: record.headers.map(({ key, value }) => [Buffer.from(key).toString('utf8'), base64(value)] as const)
  }
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** Sleeps until woken, or for a while. */
class Wake {
  #resolve: (() => void) | null = null
  #isUp = false

  up(): void {
    this.#isUp = true
    this.#resolve?.()
  }

  async wait(atMostMs: number): Promise<void> {
    if (!this.#isUp) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#resolve = resolve
        timer = setTimeout(resolve, atMostMs)
      })
      clearTimeout(timer)
    }
    this.#resolve = null
    this.#isUp = false
  }
}

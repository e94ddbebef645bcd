// The live tail: events of the matching topics, each partition in its order, as they become durable and committed.
// Invariant: a slow reader slows only its own feed; nothing is buffered beyond one read per partition.

import { WadiError } from '../runtime/base/errors.ts'
import { toOffset } from '../runtime/base/offset.ts'
import { matchFilter, parseFilter, type RouteFilter } from '../runtime/broker/route-filter.ts'
import type { Core } from '../runtime/core/core.ts'
import type { StoredRecord } from '../runtime/core/record.ts'
import type { BlockCodec } from '../runtime/io/codec.ts'
import { readBatchRecords } from '../runtime/log/batch-codec.ts'
import type { Partition, Store } from '../runtime/log/contract.ts'
import { nearestWord } from './config/suggest.ts'

const READ_BYTES = 256 * 1024
/** A topic that appears while we follow is noticed within this time. */
const NEW_TOPIC_MS = 1000

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

export interface TailRequest {
  /** Topic names, or MQTT filters (with "/", "+" or "#") that the event's `mqtt.topic` must match. Empty = everything. */
  readonly patterns: readonly string[]
  /** Begin this many events before the end of each partition. */
  readonly last: number
  /** false = stop at what is stored now. */
  readonly isFollowing: boolean
}

export interface TailSource {
  readonly store: Store
  readonly core: Core
  readonly codec: BlockCodec
}

/** A record and where it lies. */
export interface PlacedRecord {
  readonly topicName: string
  readonly partitionIndex: number
  readonly record: StoredRecord
}

interface Cursor {
  readonly topicName: string
  readonly partition: Partition
  next: number
}

/**
 * Records in the order of their partitions. Ends when `signal` aborts, or with what is stored now when the request does not follow.
 * @throws WadiError WADI_TOPIC_UNKNOWN when a pattern names no topic
 */
export async function* tailRecords(
  source: TailSource,
  request: TailRequest,
  signal: AbortSignal
): AsyncGenerator<PlacedRecord, void, void> {
  const names = request.patterns.filter((pattern) => !isMqttFilter(pattern))
  const filters = request.patterns.filter(isMqttFilter).map(readFilter)
  for (const name of names) if (!source.store.topics.has(name)) throw unknownTopic(name, source.store)
  const wanted = (topicName: string): boolean =>
    (names.length === 0 && !topicName.startsWith('__')) || names.includes(topicName) || filters.length > 0
  const takes = ({ topicName, record }: PlacedRecord): boolean =>
    request.patterns.length === 0 ||
    names.includes(topicName) ||
    filters.some((filter) => matchFilter(filter, (mqttTopicOf(record) ?? '').split('/')) !== null)

  const cursors = new Map<Partition, Cursor>()
  const wake = new Wake()
  const unsubscribes: (() => void)[] = []
  const discover = (isFirst: boolean): void => {
    for (const topic of source.store.topics.values()) {
      if (!wanted(topic.name)) continue
      for (const partition of topic.partitions) {
        if (cursors.has(partition)) continue
        const next = isFirst ? Math.max(partition.logStartOffset, partition.lastStableOffset - request.last) : partition.logStartOffset
        cursors.set(partition, { topicName: topic.name, partition, next })
        unsubscribes.push(partition.onAdvance(() => wake.up()))
      }
    }
  }
  const onAbort = (): void => wake.up()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    discover(true)
    while (!signal.aborted) {
      let moved = false
      for (const cursor of cursors.values()) {
        const before = cursor.next
        for await (const placed of readFrom(source, cursor)) {
          if (signal.aborted) return
          if (takes(placed)) yield placed
        }
        moved ||= cursor.next > before
      }
      if (moved) continue
      if (!request.isFollowing) return
      await wake.wait(NEW_TOPIC_MS)
      discover(false)
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    for (const unsubscribe of unsubscribes) unsubscribe()
  }
}

/** The same as lines of the control socket, until nobody listens any more. @throws WadiError WADI_TOPIC_UNKNOWN */
export async function feedTail(
  source: TailSource,
  request: TailRequest,
  call: { signal: AbortSignal; send(event: TailEvent): Promise<boolean> }
): Promise<void> {
  for await (const { topicName, partitionIndex, record } of tailRecords(source, request, call.signal))
    if (!(await call.send(toTailEvent(topicName, partitionIndex, record)))) return
}

/** One read's worth of records; the cursor stands behind them when all were taken. */
async function* readFrom({ core, codec }: TailSource, cursor: Cursor): AsyncGenerator<PlacedRecord, void, void> {
  const { topicName, partition } = cursor
  const from = Math.max(cursor.next, partition.logStartOffset) // retention may have overtaken us
  if (from >= partition.lastStableOffset) return
  const { batches, nextOffset } = await partition.readCommitted(toOffset(from), { bytesMax: READ_BYTES })
  for (const batch of batches) {
    // What cannot be opened is passed over: "wadi log verify" names it.
    for (const record of (await readBatchRecords(core, codec, batch)) ?? []) {
      if (record.offset >= from) yield { topicName, partitionIndex: partition.partitionIndex, record }
    }
  }
  cursor.next = nextOffset
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

function mqttTopicOf(record: StoredRecord): string | null {
  const header = record.headers.find(({ key }) => Buffer.from(key).toString('latin1') === 'mqtt.topic')
  return header?.value ? Buffer.from(header.value).toString('utf8') : null
}

export function isMqttFilter(pattern: string): boolean {
  return /[/+#]/.test(pattern)
}

/** @throws WadiError WADI_TOPIC_UNKNOWN when it is no filter */
function readFilter(pattern: string): RouteFilter {
  const filter = parseFilter(pattern)
  if (typeof filter !== 'string') return filter
  throw new WadiError('WADI_TOPIC_UNKNOWN', {
    happened: `The MQTT filter "${pattern}" ${filter}.`,
    kept: 'Nothing was changed.',
    next: 'Write a topic name, or a filter such as "plant/+/temperature".'
  })
}

function unknownTopic(name: string, store: Store): WadiError {
  const known = [...store.topics.keys()]
  const near = nearestWord(name, known)
  return new WadiError('WADI_TOPIC_UNKNOWN', {
    happened: `There is no topic "${name}".`,
    kept: 'Nothing was changed.',
    next: near
      ? `Did you mean "${near}"?`
      : known.length > 0
        ? `Topics are ${known.sort().join(', ')}.`
        : 'No topic exists yet: it is made with its first event.'
  })
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

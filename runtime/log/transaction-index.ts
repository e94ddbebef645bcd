// Which transactions are open on one partition, and which were aborted: where readers of committed data stop, and what they leave out.
// Follows the batches of completed commits, so that it never differs from what is visible; a start restores it from the durable state
// that travelled in the same commits.
//
// Invariants
// - A transaction is open from the commit of its first batch to the commit of its marker, both included.
// - lastStableOffset ≤ high watermark, and lies on a batch boundary (transactional batches are stored as they came).
// - Transactions of one producer do not overlap on a partition.
// State: producer/<topic number>/<partition>/<producer id> (where its transaction began), aborted/<topic number>/<partition>/<marker offset>; who writes it is in
// runtime/broker. Not for: who may write, when a transaction ends.

import { type Offset, toOffset } from '../base/offset.ts'
import { CONTROL_BIT, TRANSACTIONAL_BIT } from '../core/batch-header.ts'
import type { BatchHeader } from '../core/record.ts'
import type { AbortedTransaction } from './contract.ts'
import { encodeProducerRecord, type ProducerRecord, readProducerRecord } from './producer-record.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { numberedKeyBytes, versioned } from './state-codec.ts'
import { fields, integerText, whole } from './state-shape.ts'

export const producerRecords = new StateArea<ProducerRecord>(
  'producer',
  { encode: encodeProducerRecord, decode: (value, key) => readProducerRecord(key, value) },
  {
    keys: '<topic number>/<partition>/<producer id>',
    keyBytesMax: numberedKeyBytes('producer', 3),
    valueBytesMax: 1024,
    entries: '10,000, and those that have a transaction open',
    goes: 'a day after the last batch of the producer, or when there are too many; with its topic'
  }
)

interface StoredAborted {
  readonly producerId: string
  readonly firstOffset: number
}

export const abortedTransactions = new StateArea<StoredAborted>(
  'aborted',
  versioned(fields({ producerId: integerText, firstOffset: whole })),
  {
    keys: '<topic number>/<partition>/<marker offset>',
    keyBytesMax: numberedKeyBytes('aborted', 3),
    valueBytesMax: 256,
    entries: '100,000: then no transaction begins to write',
    goes: 'when the log starts behind the marker, or compaction has left nothing of the transaction; with its topic'
  }
)
/** A control record's key: version, type. */
export const ABORT_TYPE = 0
export const COMMIT_TYPE = 1

/** Of the key of a control record. */
export function controlType(key: Uint8Array | null | undefined): number | undefined {
  return key?.[3]
}

export class TransactionIndex {
  /** The oldest first. */
  readonly #openSince = new Map<bigint, number>()
  #aborted: AbortedTransaction[] = []

  lastStableOffset(highWatermark: number): Offset {
    for (const oldest of this.#openSince.values()) return toOffset(Math.min(oldest, highWatermark))
    return toOffset(highWatermark)
  }

  /** Overlapping [startOffset, endOffset), by first offset. */
  abortedBetween(startOffset: number, endOffset: number): AbortedTransaction[] {
    const overlapping = this.#aborted.filter((entry) => entry.lastOffset >= startOffset && entry.firstOffset < endOffset)
    return overlapping.sort((left, right) => left.firstOffset - right.firstOffset)
  }

  /** A batch of a completed commit. `controlKey`: key of its first record when it is a control batch. */
  onBatch(header: BatchHeader, controlKey: () => Uint8Array | null): void {
    const { attributes, producerId, baseOffset } = header
    if ((attributes & TRANSACTIONAL_BIT) === 0) return
    if ((attributes & CONTROL_BIT) === 0) {
      if (!this.#openSince.has(producerId)) this.#openSince.set(producerId, baseOffset)
      return
    }
    const firstOffset = this.#openSince.get(producerId)
    if (firstOffset === undefined) return
    const isAbort = controlType(controlKey()) === ABORT_TYPE
    if (isAbort) this.#aborted.push({ producerId, firstOffset, lastOffset: baseOffset })
    this.#openSince.delete(producerId)
  }

  /** The log no longer has what lies below. A read that is under way must have asked for what was aborted before. */
  forgetBelow(logStartOffset: number): void {
    if (this.#aborted.some((entry) => entry.lastOffset < logStartOffset))
      this.#aborted = this.#aborted.filter((entry) => entry.lastOffset >= logStartOffset)
  }

  /** Nothing of them is left: by the offsets of their markers. */
  forget(markerOffsets: ReadonlySet<number>): void {
    if (markerOffsets.size > 0) this.#aborted = this.#aborted.filter(({ lastOffset }) => !markerOffsets.has(lastOffset))
  }

  /** Forgets everything else. */
  restore({ open, aborted }: TransactionsOfPartition): void {
    this.#openSince.clear()
    for (const [producerId, firstOffset] of [...open].sort(([, left], [, right]) => left - right))
      this.#openSince.set(producerId, firstOffset)
    this.#aborted = [...aborted]
  }
}

/** What the durable state has of one partition. */
export interface TransactionsOfPartition {
  /** Producer id → first offset. */
  readonly open: ReadonlyMap<bigint, number>
  readonly aborted: readonly AbortedTransaction[]
  /** Behind the last offset that the state names: it was given out, also when damage took it from the log. */
  readonly endOffset: number
}

/**
 * At a start, after the last commit was replayed: a function that gives what the state has of a partition.
 * @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER
 */
export function readTransactions(state: StateReader): (place: { topicNumber: number; partitionIndex: number }) => TransactionsOfPartition {
  const byPlace = new Map<string, Found>()
  const each = <V>(area: StateArea<V>, add: (of: Found, name: string, value: V) => void): void => {
    for (const key of area.keysIn(state)) {
      const [topicNumber, partitionIndex, name] = area.namesOf(key)
      const value = area.get(state, key)
      if (!value || name === undefined) continue
      const place = `${topicNumber}/${partitionIndex}`
      const of = byPlace.get(place) ?? { open: new Map(), aborted: [], endOffset: 0 }
      byPlace.set(place, of)
      add(of, name, value)
    }
  }
  each(producerRecords, (of, name, { transactionFirstOffset, batches }) => {
    if (transactionFirstOffset !== null) of.open.set(BigInt(name), transactionFirstOffset)
    of.endOffset = Math.max(of.endOffset, ...batches.map(({ baseOffset, recordCount }) => baseOffset + recordCount))
  })
  each(abortedTransactions, (of, name, { producerId, firstOffset }) => {
    of.aborted.push({ producerId: BigInt(producerId), firstOffset, lastOffset: Number(name) })
    of.endOffset = Math.max(of.endOffset, Number(name) + 1)
  })
  return ({ topicNumber, partitionIndex }) =>
    byPlace.get(`${topicNumber}/${partitionIndex}`) ?? { open: new Map(), aborted: [], endOffset: 0 }
}

interface Found extends TransactionsOfPartition {
  readonly open: Map<bigint, number>
  readonly aborted: AbortedTransaction[]
  endOffset: number
}

/**
 * What readers of committed data get of a read: nothing at or above `limit`, no markers, nothing aborted.
 * `aborted` overlaps what was read.
 */
export function isCommitted(header: BatchHeader, limit: number, aborted: readonly AbortedTransaction[]): boolean {
  if (header.baseOffset >= limit || (header.attributes & CONTROL_BIT) !== 0) return false
  if ((header.attributes & TRANSACTIONAL_BIT) === 0) return true
  return !aborted.some(
    ({ producerId, firstOffset, lastOffset }) =>
      producerId === header.producerId && firstOffset <= header.baseOffset && header.baseOffset <= lastOffset
  )
}

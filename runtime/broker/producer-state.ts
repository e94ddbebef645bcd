// What one partition remembers of one producer, and the rules by which a batch follows, repeats or breaks its sequence.
// Values are immutable: a new one replaces the old only when the batch is durable.
// Persisted under producer/<topicNumber>/<partition>/<producerId> in the same commit as the batch.
// Source: Apache Kafka, ProducerStateEntry and ProducerAppendInfo.

import type { StateChange } from '../log/contract.ts'
import type { ProducerRecord } from '../log/producer-record.ts'
import { producerRecords } from '../log/transaction-index.ts'
import type { FaultName } from './fault.ts'

/** Clients keep at most five batches in flight; so many can be recognised as repeated. */
export const RECENT_BATCHES_MAX = 5
const SEQUENCE_COUNT = 2 ** 31

export interface RecentBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly lastOffset: number
}

export interface ProducerState {
  readonly producerId: bigint
  readonly producerEpoch: number
  /** Oldest first. */
  readonly batches: readonly RecentBatch[]
  /** Where the open transaction began on this partition; null when none is open. */
  readonly transactionFirstOffset: number | null
  /** When its last batch or marker came, by our wall clock: what expiry looks at. What clients say in their batches may be of any year. */
  readonly lastTimestampMs: number
}

export interface SequencedBatch {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
  readonly isTransactional: boolean
}

export type SequenceVerdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'duplicate'; readonly batch: RecentBatch }
  | { readonly kind: 'refuse'; readonly fault: FaultName }

export function lastSequenceOf(baseSequence: number, recordCount: number): number {
  return (baseSequence + recordCount - 1) % SEQUENCE_COUNT
}

/** Is `sequence` one of those that come after `other`? Half of all are: what a client has in flight is far less. */
export function isSequenceBehind(sequence: number, other: number): boolean {
  const distance = (sequence - other + SEQUENCE_COUNT) % SEQUENCE_COUNT
  return distance > 0 && distance < SEQUENCE_COUNT / 2
}

/** Repeats are looked for before the sequence is checked, as in Kafka. Without state any sequence is taken. */
export function checkSequence(state: ProducerState | undefined, batch: SequencedBatch): SequenceVerdict {
  if (!state) return { kind: 'accept' }
  if (batch.producerEpoch < state.producerEpoch) return { kind: 'refuse', fault: 'INVALID_PRODUCER_EPOCH' }
  if (batch.producerEpoch > state.producerEpoch) {
    return batch.baseSequence === 0 ? { kind: 'accept' } : { kind: 'refuse', fault: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }
  }
  const lastSequence = lastSequenceOf(batch.baseSequence, batch.recordCount)
  const repeated = state.batches.find((known) => known.firstSequence === batch.baseSequence && known.lastSequence === lastSequence)
  if (repeated) return { kind: 'duplicate', batch: repeated }
  if (state.transactionFirstOffset !== null && !batch.isTransactional) return { kind: 'refuse', fault: 'INVALID_TXN_STATE' }
  const last = state.batches.at(-1)
  // Without a batch a marker began the epoch: its first batch may be on its way behind this one.
  if (batch.baseSequence !== (last ? (last.lastSequence + 1) % SEQUENCE_COUNT : 0)) {
    return { kind: 'refuse', fault: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }
  }
  return { kind: 'accept' }
}

/** Where its last batch ends: of two on one partition, the lower one was silent longer. −1 when no batch of it can come again. */
export function lastOffsetOf({ batches }: ProducerState): number {
  return batches.at(-1)?.lastOffset ?? -1
}

export function stateAfterBatch(
  state: ProducerState | undefined,
  batch: SequencedBatch,
  { baseOffset, nowMs }: { baseOffset: number; nowMs: number }
): ProducerState {
  const added: RecentBatch = {
    firstSequence: batch.baseSequence,
    lastSequence: lastSequenceOf(batch.baseSequence, batch.recordCount),
    baseOffset,
    lastOffset: baseOffset + batch.recordCount - 1
  }
  const isSameEpoch = state !== undefined && state.producerEpoch === batch.producerEpoch
  const known = isSameEpoch ? state.batches.slice(-(RECENT_BATCHES_MAX - 1)) : []
  const openSince = isSameEpoch ? state.transactionFirstOffset : null
  return {
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    batches: [...known, added],
    transactionFirstOffset: batch.isTransactional ? (openSince ?? baseOffset) : null,
    lastTimestampMs: nowMs
  }
}

/** A marker of a newer epoch fences what the older epoch may still send. */
export function stateAfterMarker(
  state: ProducerState | undefined,
  marker: { producerId: bigint; producerEpoch: number; timestampMs: number }
): ProducerState {
  const isSameEpoch = state !== undefined && state.producerEpoch === marker.producerEpoch
  return {
    producerId: marker.producerId,
    producerEpoch: marker.producerEpoch,
    batches: isSameEpoch ? state.batches : [],
    transactionFirstOffset: null,
    lastTimestampMs: marker.timestampMs
  }
}

export function putProducerState(key: string, state: ProducerState): StateChange {
  const batches = state.batches.map(({ firstSequence, baseOffset, lastOffset }) => ({
    firstSequence,
    recordCount: lastOffset - baseOffset + 1,
    baseOffset
  }))
  return producerRecords.put(key, { ...state, batches })
}

export function producerStateOf(producerId: bigint, { batches, ...record }: ProducerRecord): ProducerState {
  return {
    ...record,
    producerId,
    batches: batches.map(({ firstSequence, recordCount, baseOffset }) => ({
      firstSequence,
      lastSequence: lastSequenceOf(firstSequence, recordCount),
      baseOffset,
      lastOffset: baseOffset + recordCount - 1
    }))
  }
}

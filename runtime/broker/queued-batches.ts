// Batches of producers on one partition that are queued and not durable yet. The next batch of a producer is judged by them, so that it need not wait for
// the sync: what it follows upon lies in front of it in the log, or both are refused (Store.submit).
// Invariants: of one producer they become durable in the order in which they were queued; none is behind one that was refused, also where nothing of the
// producer is known yet: without that any sequence would be taken as its first.
// Not for: what is durable (partition-producers.ts), markers, for which nothing may be queued (keyed-lock.ts).

import { assert } from '../base/assert.ts'
import type { AppendOutcome } from './append-outcome.ts'
import { type ProducerState, type RecentBatch, type SequencedBatch, stateAfterBatch } from './producer-state.ts'

/** Of a batch without an offset yet: larger than any, so that what is measured with it is not too small. */
const NO_OFFSET = Number.MAX_SAFE_INTEGER

export class QueuedBatch {
  readonly outcome: Promise<AppendOutcome>
  /** As it will be when this is durable, with the offsets that are known by now. */
  state: ProducerState
  readonly #batch: SequencedBatch
  readonly #known: ProducerState | undefined
  readonly #nowMs: number
  #before: QueuedBatch | null
  #answer: (outcome: AppendOutcome) => void = () => undefined
  #isRefused = false

  /** `known`: what is durable, or with `before` the state behind that. */
  constructor(
    batch: SequencedBatch,
    { known, before, nowMs }: { known: ProducerState | undefined; before: QueuedBatch | null; nowMs: number }
  ) {
    this.#batch = batch
    this.#known = known
    this.#before = before
    this.#nowMs = nowMs
    this.state = stateAfterBatch(before?.state ?? known, batch, { baseOffset: NO_OFFSET, nowMs })
    this.outcome = new Promise((resolve) => {
      this.#answer = resolve
    })
  }

  /** Is it the batch that is known as this? */
  is({ firstSequence }: RecentBatch): boolean {
    return this.#batch.baseSequence === firstSequence
  }

  /** Its offset, and those of all before it, are known now. */
  place(baseOffset: number): ProducerState {
    this.state = stateAfterBatch(this.#before?.state ?? this.#known, this.#batch, { baseOffset, nowMs: this.#nowMs })
    return this.state
  }

  end(outcome: AppendOutcome): void {
    const isRefused = outcome.fault !== 'NONE'
    assert(isRefused || this.#before === null || !this.#before.#isRefused, 'a batch of a producer was stored behind one that was refused')
    this.#isRefused = isRefused
    this.#before = null // else each would keep all before it
    this.#answer(outcome)
  }
}

/** Producers whose first batch was refused: above that the oldest is forgotten, and may begin with any sequence again. */
const REFUSED_FIRST_MAX = 1_000

export class QueuedBatches {
  readonly #byProducer = new Map<bigint, QueuedBatch[]>()
  /** Of producers of which nothing is durable: where they have to begin again. */
  readonly #refusedFirst = new Map<bigint, { readonly producerEpoch: number; readonly sequence: number }>()

  /** The one that was queued last. */
  last(producerId: bigint): QueuedBatch | null {
    return this.#byProducer.get(producerId)?.at(-1) ?? null
  }

  find(producerId: bigint, known: RecentBatch): QueuedBatch | null {
    return this.#byProducer.get(producerId)?.findLast((queued) => queued.is(known)) ?? null
  }

  add(producerId: bigint, queued: QueuedBatch): void {
    const list = this.#byProducer.get(producerId)
    if (list) list.push(queued)
    else this.#byProducer.set(producerId, [queued])
  }

  /** Nothing of its producer is known, and the store refused it. */
  refuseFirst({ producerId, producerEpoch, baseSequence }: SequencedBatch): void {
    const before = this.#refusedFirst.get(producerId)
    if (before?.producerEpoch === producerEpoch && before.sequence <= baseSequence) return
    this.#refusedFirst.delete(producerId)
    this.#refusedFirst.set(producerId, { producerEpoch, sequence: baseSequence })
    const [oldest] = this.#refusedFirst.keys()
    if (this.#refusedFirst.size > REFUSED_FIRST_MAX && oldest !== undefined) this.#refusedFirst.delete(oldest)
  }

  /** Is one in front of it, of a producer of which nothing is known, refused and not stored since? */
  isBehindRefused({ producerId, producerEpoch, baseSequence }: SequencedBatch): boolean {
    const first = this.#refusedFirst.get(producerId)
    return first?.producerEpoch === producerEpoch && baseSequence > first.sequence
  }

  /** Something of the producer is durable: its sequence is known. */
  stored(producerId: bigint): void {
    this.#refusedFirst.delete(producerId)
  }

  remove(producerId: bigint, queued: QueuedBatch): void {
    const left = this.#byProducer.get(producerId)?.filter((other) => other !== queued) ?? []
    if (left.length > 0) this.#byProducer.set(producerId, left)
    else this.#byProducer.delete(producerId)
  }
}

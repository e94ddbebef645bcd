// Batches of producers on one partition that are queued and not durable yet. The next batch of a producer is judged by them, so that it need not wait for
// the sync: what it follows upon lies in front of it in the log, or both are refused (Store.submit).
// Invariants: of one producer they become durable in the order in which they were queued; none is behind one that was refused.
// Not for: what is durable (partition-producers.ts), what was refused and has to come again (refused-firsts.ts), markers, for which nothing may be
// queued (keyed-lock.ts).

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

export class QueuedBatches {
  readonly #byProducer = new Map<bigint, QueuedBatch[]>()

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

  remove(producerId: bigint, queued: QueuedBatch): void {
    const left = this.#byProducer.get(producerId)?.filter((other) => other !== queued) ?? []
    if (left.length > 0) this.#byProducer.set(producerId, left)
    else this.#byProducer.delete(producerId)
  }
}

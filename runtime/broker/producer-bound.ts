// How many producers all partitions together remember. Every idempotent producer that ever wrote is remembered until it was silent for a day:
// a script that starts one for each event would fill the memory, and the state on disk.
//
// Above the bound the partition that knows the most forgets those that were silent longest, durably, and never one with an open transaction;
// where it has no other, the next one does.
// A producer is forgotten in its turn, when nothing of it is under way: what it stored just now is not lost behind its back.
// Not for: age (expiry.ts). What is forgotten may start anywhere, as after expiry.

import { WadiError } from '../base/errors.ts'
import type { Store } from '../log/contract.ts'
import { deleteState } from '../log/state-codec.ts'
import type { KeyedLock } from './keyed-lock.ts'
import type { PartitionProducers, ProducerStates } from './partition-producers.ts'
import type { ProducerState } from './producer-state.ts'

const FORGOTTEN_AT_ONCE = 100

export interface ProducerBoundContext {
  readonly store: Store
  readonly producers: ProducerStates
  readonly producerLock: KeyedLock
  readonly producerCountMax: number
}

export class ProducerBound {
  readonly #context: ProducerBoundContext
  #isAtWork = false

  constructor(context: ProducerBoundContext) {
    this.#context = context
  }

  /** Returns at once; goes on until there are few enough, or nothing more can be forgotten. A refusal of the store postpones it. */
  enforce(): void {
    if (this.#isAtWork || this.#overCount <= 0) return
    this.#isAtWork = true
    void this.#forgetSome()
      .catch(onlyRefused)
      .finally(() => {
        this.#isAtWork = false
      })
  }

  get #overCount(): number {
    return this.#context.producers.producerCount - this.#context.producerCountMax
  }

  async #forgetSome(): Promise<void> {
    for (let over = this.#overCount; over > 0; over = this.#overCount) {
      const forgotten = await this.#forgetOnOne(Math.min(over, FORGOTTEN_AT_ONCE))
      if (forgotten === 0) return
    }
  }

  /** On the partition that knows the most and has one that can be forgotten. Says how many were. @throws WadiError when the store refuses */
  async #forgetOnOne(countMax: number): Promise<number> {
    for (const producers of this.#context.producers.mostProducersFirst()) {
      const silent = silentLongest(producers, countMax)
      const forgotten = await Promise.all(silent.map((state) => this.#forget(producers, state)))
      const count = forgotten.filter(Boolean).length
      if (count > 0) return count
    }
    return 0
  }

  /** True when it is forgotten. */
  #forget(producers: PartitionProducers, state: ProducerState): Promise<boolean> {
    const { producerId } = state
    return this.#context.producerLock.run(String(producerId), async () => {
      if (producers.producer(producerId) !== state) return false // it came again meanwhile
      await this.#context.store.commit([], [deleteState(producers.producerKey(producerId))])
      producers.forget(producerId)
      return true
    })
  }
}

/** Those without an open transaction. */
function silentLongest(producers: PartitionProducers, countMax: number): ProducerState[] {
  const silent: ProducerState[] = []
  for (const state of producers.producers()) {
    if (silent.length === countMax) break
    if (state.transactionFirstOffset === null) silent.push(state)
  }
  return silent
}

/** It is tried again when the next one comes. */
function onlyRefused(error: unknown): void {
  if (!(error instanceof WadiError)) throw error
}

// How many producers all partitions together remember. Every idempotent producer that ever wrote is remembered until it was silent for a day:
// a script that starts one for each event would fill the memory, and the state on disk.
//
// Above the bound the partition that knows the most forgets those that were silent longest, durably, and never one with an open transaction.
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
    void this.#forgetSome().finally(() => {
      this.#isAtWork = false
    })
  }

  get #overCount(): number {
    return this.#context.producers.producerCount - this.#context.producerCountMax
  }

  async #forgetSome(): Promise<void> {
    for (let over = this.#overCount; over > 0; over = this.#overCount) {
      const most = this.#context.producers.withMostProducers()
      if (!most) return
      const silent: ProducerState[] = []
      for (const state of most.producers()) {
        if (silent.length === Math.min(over, FORGOTTEN_AT_ONCE)) break
        if (state.transactionFirstOffset === null) silent.push(state)
      }
      const forgotten = await Promise.all(silent.map((state) => this.#forget(most, state)))
      if (!forgotten.includes(true)) return
    }
  }

  /** True when it is forgotten. */
  #forget(producers: PartitionProducers, state: ProducerState): Promise<boolean> {
    const { producerId } = state
    return this.#context.producerLock.run(String(producerId), async () => {
      if (producers.producer(producerId) !== state) return false // it came again meanwhile
      try {
        await this.#context.store.commit([], [deleteState(producers.producerKey(producerId))])
      } catch (error) {
        if (!(error instanceof WadiError)) throw error
        return false
      }
      producers.forget(producerId)
      return true
    })
  }
}

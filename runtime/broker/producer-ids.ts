// Producer ids, each given once in the life of a data directory: blocks are reserved durably, the rest of a block is lost at a restart.

import type { Store } from '../log/contract.ts'
import { putState, readState } from '../log/state-codec.ts'
import { KeyedLock } from './keyed-lock.ts'

const KEY = 'producer-id/next'
const BLOCK_COUNT = 1000

export class ProducerIds {
  readonly #store: Store
  readonly #lock = new KeyedLock()
  #next: number
  #reservedEnd: number

  constructor(store: Store) {
    this.#store = store
    const value = store.getState(KEY)
    this.#next = value ? readState<{ next: number }>(KEY, value).next : 0
    this.#reservedEnd = this.#next
  }

  /** @throws WadiError when the store refuses the reservation */
  take(): Promise<bigint> {
    return this.#lock.run(KEY, async () => {
      if (this.#next === this.#reservedEnd) {
        const end = this.#reservedEnd + BLOCK_COUNT
        await this.#store.commit([], [putState(KEY, { next: end })])
        this.#reservedEnd = end
      }
      return BigInt(this.#next++)
    })
  }
}

// Producer ids, each given once in the life of a data directory: blocks are reserved durably, the rest of a block is lost at a restart.

import type { Store } from '../log/contract.ts'
import { StateArea } from '../log/state-area.ts'
import { versioned } from '../log/state-codec.ts'
import { fields, whole } from '../log/state-shape.ts'
import { KeyedLock } from './keyed-lock.ts'

/** First id that is not reserved. */
export const reservedProducerIds = new StateArea<{ readonly next: number }>('producer-id/next', versioned(fields({ next: whole })), {
  keys: '',
  valueBytesMax: 64,
  goes: 'never: an id is not given twice'
})
const BLOCK_COUNT = 1000

export class ProducerIds {
  readonly #store: Store
  readonly #lock = new KeyedLock()
  #next: number
  #reservedEnd: number

  constructor(store: Store) {
    this.#store = store
    this.#next = reservedProducerIds.get(store, reservedProducerIds.key())?.next ?? 0
    this.#reservedEnd = this.#next
  }

  /** @throws WadiError when the store refuses the reservation */
  take(): Promise<bigint> {
    return this.#lock.run('next', async () => {
      if (this.#next === this.#reservedEnd) {
        const end = this.#reservedEnd + BLOCK_COUNT
        await this.#store.commit([], [reservedProducerIds.put(reservedProducerIds.key(), { next: end })])
        this.#reservedEnd = end
      }
      return BigInt(this.#next++)
    })
  }
}

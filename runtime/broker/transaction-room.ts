// How many transactional ids there may be, and how much memory they and what their open transactions name (partitions, groups) may take.
// What is on its way to the disk counts: room is taken before a commit, and given back when the store refuses it.
// Not for: offsets that transactions will commit (offset-room.ts), the size of the commit that ends one (transactions.ts).

import type { OnFull } from './shared-bound.ts'
import type { TransactionState } from './transaction-state.ts'

/** An id: objects, maps, timer, and the value in the state. */
const ID_BYTES = 600
/** A partition or group in a transaction: its place in a set, and in the state. */
const NAMED_BYTES = 64
const CHARACTER_BYTES = 2

type Counted = Pick<TransactionState, 'transactionalId' | 'partitions' | 'groupIds'>

export class TransactionRoom {
  readonly #countMax: number
  readonly #bytesMax: number
  #count = 0
  #bytes = 0

  readonly #onFull: OnFull

  constructor({ countMax, bytesMax, onFull }: { countMax: number; bytesMax: number; onFull: OnFull }) {
    this.#onFull = onFull
    this.#countMax = countMax
    this.#bytesMax = bytesMax
  }

  /** A new id. False when there is no room. */
  add(state: Counted): boolean {
    if (this.#count >= this.#countMax || this.#bytes + bytesOf(state) > this.#bytesMax) return this.#refuse()
    this.addStored(state)
    return true
  }

  /** As add(), of what is there already. */
  addStored(state: Counted): void {
    this.#count++
    this.#bytes += bytesOf(state)
  }

  remove(state: Counted): void {
    this.#count--
    this.#bytes -= bytesOf(state)
  }

  /** False when there is no room for `next` instead of `before`. What becomes smaller always has it. */
  replace(before: Counted, next: Counted): boolean {
    const growth = bytesOf(next) - bytesOf(before)
    if (growth > 0 && this.#bytes + growth > this.#bytesMax) return this.#refuse()
    this.#bytes += growth
    return true
  }

  #refuse(): false {
    this.#onFull('transactions', () => `${this.#count} transactional ids, with what their open transactions name ${this.#bytes} bytes`)
    return false
  }
}

function bytesOf({ transactionalId, partitions, groupIds }: Counted): number {
  let bytes = ID_BYTES + CHARACTER_BYTES * transactionalId.length + NAMED_BYTES * (partitions.size + groupIds.size)
  for (const groupId of groupIds) bytes += CHARACTER_BYTES * groupId.length
  return bytes
}

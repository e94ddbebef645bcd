// How many transactional ids there may be, how much memory they and what their open transactions name (partitions, groups) may take, and how
// many aborted transactions may be remembered.
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

export interface TransactionBounds {
  readonly transactionalIdCountMax: number
  readonly transactionBytesMax: number
  readonly abortedCountMax: number
}

export class TransactionRoom {
  readonly #bounds: TransactionBounds
  readonly #onFull: OnFull
  #count = 0
  #bytes = 0

  constructor(bounds: TransactionBounds, onFull: OnFull) {
    this.#bounds = bounds
    this.#onFull = onFull
  }

  /** A new id. False when there is no room. */
  add(state: Counted): boolean {
    if (this.#count >= this.#bounds.transactionalIdCountMax || this.#bytes + bytesOf(state) > this.#bounds.transactionBytesMax)
      return this.#refuse()
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
    if (growth > 0 && this.#bytes + growth > this.#bounds.transactionBytesMax) return this.#refuse()
    this.#bytes += growth
    return true
  }

  /** May one more transaction write, which may be aborted, when `abortedCount` were? Each is remembered until the log has nothing of it any more. */
  hasRoomForAbort(abortedCount: number): boolean {
    if (abortedCount < this.#bounds.abortedCountMax) return true
    this.#onFull('transactions', () => `${abortedCount} aborted ones that readers have to be told of`)
    return false
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

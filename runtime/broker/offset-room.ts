// How much memory the offsets of consumer groups may take, all groups together.
//
// - kept: what is committed. coming: what commits on their way will add to it. held: what open transactions will commit, all of it.
// - New places find room while all three together are below the bound.
// - Places that are there move on also above it. In a transaction they take memory until it ends: all together may take the bound twice.
// What stands in the way for a moment (coming, held) is told as a fault that clients try again.

import { BrokerFault, type FaultName } from './fault.ts'

/** Objects, maps, numbers, and the value in the state. */
const ENTRY_OVERHEAD_BYTES = 400

/** Of one offset, about, in memory and as state; 0 for none. */
export function offsetBytes(
  entry: { readonly groupId: string; readonly topicName: string; readonly metadata: string } | undefined
): number {
  return entry === undefined ? 0 : ENTRY_OVERHEAD_BYTES + 2 * (entry.groupId.length + entry.topicName.length + entry.metadata.length)
}

export class OffsetRoom {
  readonly #bytesMax: number
  readonly #onFull: () => void
  #keptBytes = 0
  #comingBytes = 0
  #heldBytes = 0

  constructor(bytesMax: number, onFull: () => void) {
    this.#bytesMax = bytesMax
    this.#onFull = onFull
  }

  /** `growth`: by how much what is kept grows. Says what to give back when the commit has ended. @throws BrokerFault */
  reserve(growth: number): number {
    if (growth > 0 && !this.#fits(growth)) throw this.#refusal(growth)
    const bytes = Math.max(0, growth)
    this.#comingBytes += bytes
    return bytes
  }

  giveBack(bytes: number): void {
    this.#comingBytes -= bytes
  }

  /** `bytes` are held until letGo(); `growth` is what the end of the transaction will add to what is kept. @throws BrokerFault */
  hold(bytes: number, growth: number): void {
    if (!this.#fits(bytes, growth <= 0 ? 2 * this.#bytesMax : this.#bytesMax)) throw this.#refusal(growth)
    this.#heldBytes += bytes
  }

  holdStored(bytes: number): void {
    this.#heldBytes += bytes
  }

  letGo(bytes: number): void {
    this.#heldBytes -= bytes
  }

  /** What is kept has changed. */
  change(bytesBefore: number, bytesNow: number): void {
    this.#keptBytes += bytesNow - bytesBefore
  }

  #fits(bytes: number, bytesMax = this.#bytesMax): boolean {
    return this.#keptBytes + this.#comingBytes + this.#heldBytes + bytes <= bytesMax
  }

  #refusal(growth: number): BrokerFault {
    this.#onFull()
    const isFull = growth > 0 && this.#keptBytes + growth > this.#bytesMax
    const fault: FaultName = isFull ? 'INVALID_COMMIT_OFFSET_SIZE' : 'COORDINATOR_NOT_AVAILABLE'
    return new BrokerFault(fault, `committed offsets may take ${this.#bytesMax} bytes of memory`)
  }
}

// One edge partition on its way to the centre: how far it is prepared, how far it is known to be delivered, what holds it up.
//
// Invariant: confirmed ≤ planned; both only go back together, to the position that was found (reset).

import { assert } from '../base/assert.ts'
import type { Partition } from '../log/contract.ts'
import type { Forks } from './forks.ts'

export class Source {
  readonly edgeTopic: string
  readonly upstreamTopic: string
  readonly partition: Partition
  readonly key: string
  /** Everything below is at the centre, or is gone and counted. */
  #confirmed = 0
  /** First offset no prepared transaction looks at. */
  #planned = 0
  /** Its position was found since the start (find-positions.ts). */
  isPlaced = false
  /** A commit of its events was asked for and nobody knows whether it happened: `confirmed` may not be all, until its position is found. */
  isInDoubt = false
  /** Something in [planned, suspectUntil) is refused by the centre: it is sent in halves until it is found. */
  suspectUntil: number | null = null
  /** The partition could not be read: not tried again before this monotonic time. */
  blockedUntilMs = 0
  /** Branches of this log: what one part carries is of one branch. */
  forks: Forks | null = null
  /** Offset of a batch that cannot be opened → errors that the centre answered to it when it was sent whole. Several: more than one transaction is made ahead. */
  readonly #wholeTries = new Map<number, number>()

  constructor(edgeTopic: string, upstreamTopic: string, partition: Partition) {
    this.edgeTopic = edgeTopic
    this.upstreamTopic = upstreamTopic
    this.partition = partition
    this.key = `${edgeTopic}/${partition.partitionIndex}`
  }

  get confirmed(): number {
    return this.#confirmed
  }

  get planned(): number {
    return this.#planned
  }

  /** Events that are durable and committed here and not known to be at the centre: what an open transaction holds back is not due yet. */
  get lagEvents(): number {
    return this.partition.isDeleted ? 0 : Math.max(0, this.partition.lastStableOffset - this.oldestOffset)
  }

  get lagBytes(): number {
    const { partition } = this
    if (this.lagEvents === 0) return 0
    const { highWatermark, lastStableOffset } = partition
    const heldBackBytes = lastStableOffset < highWatermark ? partition.bytesFrom(lastStableOffset) : 0
    return Math.max(1, partition.bytesFrom(this.oldestOffset as typeof highWatermark) - heldBackBytes)
  }

  /** Where the oldest event that is not delivered may be: retention may have taken what was next. */
  get oldestOffset(): number {
    return Math.max(this.#confirmed, this.partition.logStartOffset)
  }

  get hasUnplanned(): boolean {
    return !this.partition.isDeleted && this.partition.lastStableOffset > this.#planned
  }

  /** The branch of the next event to plan; '' when the log was never forked. */
  get branchId(): string {
    return this.forks?.at(this.partition, this.#planned).branchId ?? ''
  }

  /** Where this one transaction must end: at the last stable offset, where another branch begins, or in the middle of what is suspected. */
  get untilMax(): number {
    const { lastStableOffset } = this.partition
    const branchEnd = this.forks?.at(this.partition, this.#planned).until ?? lastStableOffset
    const end = Math.min(lastStableOffset, branchEnd)
    if (this.suspectUntil === null || this.suspectUntil <= this.#planned) return end
    return Math.min(end, this.#planned + Math.max(1, Math.floor((this.suspectUntil - this.#planned) / 2)))
  }

  wholeTriesAt(offset: number): number {
    return this.#wholeTries.get(offset) ?? 0
  }

  /** `times`: infinity when the centre refused it. */
  triedWhole(offset: number, times = 1): void {
    this.#wholeTries.set(offset, this.wholeTriesAt(offset) + times)
  }

  plan(until: number): void {
    assert(until >= this.#planned, `${this.key}: planned goes back from ${this.#planned} to ${until}`)
    this.#planned = until
  }

  confirm(until: number): void {
    assert(until <= this.#planned, `${this.key}: ${until} is confirmed but only ${this.#planned} was planned`)
    this.#confirmed = Math.max(this.#confirmed, until)
    this.isInDoubt = false
    for (const offset of this.#wholeTries.keys()) if (offset < this.#confirmed) this.#wholeTries.delete(offset)
    if (this.suspectUntil !== null && this.#confirmed >= this.suspectUntil) this.suspectUntil = null
  }

  /** To the position that was found, or for the status to the noted one. */
  reset(offset: number): void {
    this.#confirmed = offset
    this.#planned = offset
    this.isInDoubt = false
    if (this.suspectUntil !== null && offset >= this.suspectUntil) this.suspectUntil = null
  }
}

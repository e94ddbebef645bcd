// How far the events of each partition have been handed to the queues of subscribers. A start after a crash looks at the log from there on.
//
// Invariants: whatever lies below end() was delivered or is nothing that MQTT subscribers get; an event that is durable and waits for its turn
// (stored() came, delivered() did not) holds the end back. Not for: what is durable of it (session-store.ts).

import type { Partition, Place } from '../../runtime/log/contract.ts'

interface Progress {
  /** Durable and not delivered, in the order of the log: mostly none. */
  readonly pending: number[]
  /** Behind what was delivered last. */
  next: number
  /** Delivered while others were pending: publishers wait for their turn one by one. */
  ahead: number[]
}

const NONE: readonly number[] = []

export class DeliveredOffsets {
  readonly #progress = new Map<Partition, Progress>()
  /** By partition, what was durable when the last barrier began: everything below has been announced by stored(). */
  #barrier = new Map<Partition, number>()

  stored({ partition, offset }: Place): void {
    const known = this.#progress.get(partition)
    if (known) known.pending.push(offset)
    else this.#progress.set(partition, { pending: [offset], next: 0, ahead: [] })
  }

  delivered({ partition, offset }: Place): void {
    const known = this.#progress.get(partition)
    if (!known) return
    const at = known.pending.indexOf(offset)
    if (at >= 0) known.pending.splice(at, 1)
    known.next = Math.max(known.next, offset + 1)
    if (known.pending.length > 0) known.ahead.push(offset)
    else if (known.ahead.length > 0) known.ahead = []
  }

  /** Nothing below `endOffset` waits but what stored() has said. */
  passed(partition: Partition, endOffset: number): void {
    const known = this.#progress.get(partition)
    if (known) known.next = Math.max(known.next, endOffset)
    else this.#progress.set(partition, { pending: [], next: endOffset, ahead: [] })
  }

  /** Of all partitions that are known. */
  *ends(): Generator<readonly [Partition, number]> {
    for (const partition of new Set([...this.#barrier.keys(), ...this.#progress.keys()])) {
      if (!partition.isDeleted) yield [partition, this.end(partition)]
    }
  }

  /** What was delivered of a partition though end() does not cover it. */
  ahead(partition: Partition): readonly number[] {
    const progress = this.#progress.get(partition)
    if (!progress) return NONE
    const end = this.#endOf(partition, progress)
    progress.ahead = progress.ahead.filter((offset) => offset >= end)
    return progress.ahead
  }

  end(partition: Partition): number {
    const progress = this.#progress.get(partition)
    return progress ? this.#endOf(partition, progress) : (this.#barrier.get(partition) ?? 0)
  }

  /** Whether more than `count` offsets are durable that it does not cover. */
  isBehind(durable: ReadonlyMap<Partition, number>, count: number): boolean {
    let behind = 0
    for (const [partition, offset] of durable) behind += Math.max(0, offset - this.end(partition))
    return behind > count
  }

  #endOf(partition: Partition, { pending, next }: Progress): number {
    return pending[0] ?? Math.max(next, this.#barrier.get(partition) ?? 0)
  }

  /** `offsets` were durable when a commit was submitted whose completion has run now, so all before them have. */
  pass(offsets: Map<Partition, number>): void {
    this.#barrier = offsets
    for (const partition of this.#progress.keys()) if (partition.isDeleted) this.#progress.delete(partition)
  }
}

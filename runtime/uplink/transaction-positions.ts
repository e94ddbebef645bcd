// What each transaction writes at the centre beside its events: the position of every upstream topic that it writes to, that is, how far each
// edge topic is delivered there once the transaction is committed, and what the position held beside that and is written again.
//
// Invariant: a source is confirmed only by a committed transaction, or where a transaction has nothing to send.
// Not for: reading positions back (find-positions.ts), their text (position.ts).

import { toOffset } from '../base/offset.ts'
import type { Store } from '../log/contract.ts'
import { formerBeginnings } from '../log/deleted-topics.ts'
import type { Carried } from './find-positions.ts'
import type { Forks } from './forks.ts'
import { type BeginningAt, beginningsOf, encodePosition, firstNamed } from './position.ts'
import type { Source } from './source.ts'
import type { Part, PreparedTransaction } from './transaction-builder.ts'
import type { CommittedPosition } from './upstream.ts'

export interface TransactionPositionsOptions {
  readonly store: Store
  readonly forks: Forks
  /** What is delivered now. */
  sources(): readonly Source[]
}

export class TransactionPositions {
  readonly #options: TransactionPositionsOptions
  /** Upstream topic → what its position holds beside ours. */
  #carried: ReadonlyMap<string, Carried> = new Map()

  constructor(options: TransactionPositionsOptions) {
    this.#options = options
  }

  /** The positions were read from the centre: this is written again with each of ours. */
  carry(carried: ReadonlyMap<string, Carried>): void {
    this.#carried = carried
  }

  /** Upstream topic → its position when `transaction` is committed; of every topic that the transaction writes to. */
  of(transaction: PreparedTransaction): Map<string, CommittedPosition> {
    const { store, forks, sources } = this.#options
    const { logId, starts } = store
    const ends = new Map(transaction.parts.map((part) => [part.source, part.until]))
    const positions = new Map<string, CommittedPosition>()
    for (const upstreamTopic of new Set(transaction.parts.map(({ source }) => source.upstreamTopic))) {
      const { own, others } = this.#carried.get(upstreamTopic) ?? { own: new Map<string, readonly number[]>(), others: [] }
      const nextOffsets = new Map<string, readonly number[]>(own)
      let committedOffset = 0
      for (const source of sources().filter((candidate) => candidate.upstreamTopic === upstreamTopic)) {
        const offsets = [...(nextOffsets.get(source.edgeTopic) ?? [])]
        offsets[source.partition.partitionIndex] = ends.get(source) ?? source.confirmed
        nextOffsets.set(source.edgeTopic, offsets)
        committedOffset += ends.get(source) ?? source.confirmed
      }
      const edgeTopics = [...nextOffsets.keys()]
      const beginnings = beginningsOf(starts, this.#beginningsOf(edgeTopics), this.#nextBeginningsOf(edgeTopics))
      const pieces = encodePosition([{ logId, branchId: forks.branchId, starts, nextOffsets, beginnings }, ...others])
      positions.set(upstreamTopic, { committedOffset, pieces })
    }
    return positions
  }

  #beginningsOf(edgeTopics: Iterable<string>): BeginningAt[] {
    const { store } = this.#options
    const first = firstNamed(store.starts)
    return [...edgeTopics].flatMap((edgeTopic) => {
      const partitions = store.topics.get(edgeTopic)?.partitions ?? []
      const gone = formerBeginnings(store, edgeTopic).filter(
        ({ incarnation, partitionIndex }) => incarnation >= first && partitionIndex >= partitions.length
      )
      const here = partitions.flatMap((partition) =>
        partition.beginningsSince(first).map((beginning) => ({ ...beginning, partitionIndex: partition.partitionIndex }))
      )
      return [...here, ...gone].map((beginning) => ({ ...beginning, edgeTopic }))
    })
  }

  /**
   * Of partitions to which the newest start has written nothing. What they hold is all that this disk has in common with a copy of it: a copy that wrote
   * more in the start that both have must not give it the names that this disk is going to give.
   */
  #nextBeginningsOf(edgeTopics: readonly string[]): BeginningAt[] {
    const { store } = this.#options
    const incarnation = store.starts.at(-1)?.incarnation ?? 0
    return edgeTopics.flatMap((edgeTopic) =>
      (store.topics.get(edgeTopic)?.partitions ?? [])
        .filter((partition) => partition.beginningsSince(incarnation).length === 0)
        .map(({ partitionIndex, highWatermark }) => ({ edgeTopic, partitionIndex, incarnation, startOffset: highWatermark }))
    )
  }

  /** Everything that `part` covers is at the centre, or nothing of it had to be sent: retention may take it. */
  confirm(part: Part): void {
    part.source.confirm(part.until)
    this.#options.store.setDelivered(part.source.partition, toOffset(part.until))
  }
}

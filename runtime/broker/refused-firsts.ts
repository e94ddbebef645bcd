// Where producers have to begin again, of whom a partition knows nothing: any sequence is taken as the first of those, so what a client sent behind a
// batch that was refused would be stored in its place, and the batch itself be out of order for ever when it comes again.
// Invariants: of one producer on one partition the earliest refused batch counts, in the order of sequences, which go from 2^31-1 on to 0; a newer
// epoch begins anew. What is stored of it takes the note away. At most `countMax` of all partitions together: above it the oldest go, and those
// producers may begin anywhere, as after expiry.
// Not for: producers of whom something is durable (producer-state.ts) or queued (queued-batches.ts): their sequence is known.

import type { Partition } from '../log/contract.ts'
import { isSequenceBehind, type SequencedBatch } from './producer-state.ts'

const COUNT_MAX = 10_000

type PartitionId = Pick<Partition, 'topicNumber' | 'partitionIndex'>

interface RefusedFirst {
  readonly producerEpoch: number
  readonly sequence: number
}

export class RefusedFirsts {
  /** The one that was noted last is last. */
  readonly #notes = new Map<string, RefusedFirst>()
  readonly #countMax: number

  constructor(countMax = COUNT_MAX) {
    this.#countMax = countMax
  }

  get count(): number {
    return this.#notes.size
  }

  /** A batch that followed upon what was there was refused. */
  note(partition: PartitionId, { producerId, producerEpoch, baseSequence }: SequencedBatch): void {
    const key = keyOf(partition, producerId)
    const known = this.#notes.get(key)
    if (known && known.producerEpoch > producerEpoch) return
    if (known?.producerEpoch === producerEpoch && !isSequenceBehind(known.sequence, baseSequence)) return
    this.#notes.delete(key)
    this.#notes.set(key, { producerEpoch, sequence: baseSequence })
    const [oldest] = this.#notes.keys()
    if (this.#notes.size > this.#countMax && oldest !== undefined) this.#notes.delete(oldest)
  }

  /** Is one in front of it refused and not stored since? */
  isBehind(partition: PartitionId, { producerId, producerEpoch, baseSequence }: SequencedBatch): boolean {
    const first = this.#notes.get(keyOf(partition, producerId))
    return first?.producerEpoch === producerEpoch && isSequenceBehind(baseSequence, first.sequence)
  }

  /** Something of the producer is durable there. */
  forget(partition: PartitionId, producerId: bigint): void {
    if (this.#notes.size > 0) this.#notes.delete(keyOf(partition, producerId))
  }
}

function keyOf({ topicNumber, partitionIndex }: PartitionId, producerId: bigint): string {
  return `${topicNumber}/${partitionIndex}/${producerId}`
}

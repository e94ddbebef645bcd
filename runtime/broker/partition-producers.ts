// What the broker knows of the producers of one partition: epochs and last sequences, which make a repeated batch known. Open and aborted transactions belong to the log (runtime/log).
// Persisted: producer/… with each batch, aborted/<topicNumber>/<partition>/<markerOffset> with each abort marker.

import type { AbortedTransaction, Partition, StateChange, Store, Topic } from '../log/contract.ts'
import type { StateArea } from '../log/state-area.ts'
import { abortedTransactions, producerRecords } from '../log/transaction-index.ts'
import { lastOffsetOf, type ProducerState, producerStateOf, putProducerState, type SequencedBatch } from './producer-state.ts'
import { QueuedBatches } from './queued-batches.ts'
import { RefusedFirsts } from './refused-firsts.ts'

export class PartitionProducers {
  readonly partition: Partition
  /** Aborted transactions that the state has a note of. */
  abortedCount = 0
  /** Not durable yet. */
  readonly queued = new QueuedBatches()
  readonly #producers = new Map<bigint, ProducerState>()
  readonly #refusedFirsts: RefusedFirsts

  constructor(partition: Partition, refusedFirsts: RefusedFirsts) {
    this.partition = partition
    this.#refusedFirsts = refusedFirsts
  }

  get producerCount(): number {
    return this.#producers.size
  }

  /** What is durable of it. */
  producer(producerId: bigint): ProducerState | undefined {
    return this.#producers.get(producerId)
  }

  forget(producerId: bigint): void {
    this.#producers.delete(producerId)
  }

  /** The one that was silent longest first. */
  producers(): Iterable<ProducerState> {
    return this.#producers.values()
  }

  /** Where the producer's open transaction began here, null when it wrote nothing. */
  openSince(producerId: bigint): number | null {
    return this.#producers.get(producerId)?.transactionFirstOffset ?? null
  }

  /** What is durable now. */
  setProducer(state: ProducerState): void {
    this.#producers.delete(state.producerId) // the one that came last is behind all others
    this.#producers.set(state.producerId, state)
    this.#refusedFirsts.forget(this.partition, state.producerId)
  }

  /** It was in its place, and is not stored: what comes behind it has to wait until it has come again. */
  onRefused(batch: SequencedBatch): void {
    this.#refusedFirsts.note(this.partition, batch)
  }

  /** Of a producer of whom nothing is known: is one in front of it refused and not stored since? */
  isBehindRefused(batch: SequencedBatch): boolean {
    return this.#refusedFirsts.isBehind(this.partition, batch)
  }

  producerKey(producerId: bigint): string {
    return producerRecords.key(this.partition.topicNumber, this.partition.partitionIndex, producerId)
  }

  putProducer(state: ProducerState): StateChange {
    return putProducerState(this.producerKey(state.producerId), state)
  }

  putAborted(entry: AbortedTransaction): StateChange {
    const { producerId, firstOffset, lastOffset } = entry
    const { topicNumber, partitionIndex } = this.partition
    const key = abortedTransactions.key(topicNumber, partitionIndex, lastOffset)
    return abortedTransactions.put(key, { producerId: String(producerId), firstOffset })
  }

  /** Producers without an open transaction that came last at a time that is too long ago, and of whom nothing is on its way. */
  expired(isOver: (lastMs: number) => boolean, isBusy: (producerId: bigint) => boolean): Expired[] {
    return [...this.#producers.values()]
      .filter((state) => state.transactionFirstOffset === null && isOver(state.lastTimestampMs) && !isBusy(state.producerId))
      .map((state) => ({
        key: this.producerKey(state.producerId),
        forget: () => {
          if (this.#producers.get(state.producerId) === state) this.#producers.delete(state.producerId)
        }
      }))
  }
}

/** What nobody needs any more. */
interface Expired {
  readonly key: string
  /** Once the deletion of `key` is durable. What came again meanwhile stays: it is written behind the deletion. */
  forget(): void
}

/** The producers of every partition of a store. Partitions appear as topics are made. */
export class ProducerStates {
  readonly #store: Store
  readonly #producers = new Map<Partition, PartitionProducers>()
  readonly #refusedFirsts = new RefusedFirsts()

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  constructor(store: Store) {
    this.#store = store
    const stored = [...this.#stored(producerRecords)].flatMap(({ producers, name, key }) => {
      const record = producerRecords.get(store, key)
      const state = record && producerStateOf(BigInt(name), record)
      return state ? { producers, state, lastOffset: lastOffsetOf(state) } : []
    })
    for (const { producers } of this.#stored(abortedTransactions)) producers.abortedCount++
    // keys say nothing of who came last; offsets do, whatever the wall clock was
    for (const { producers, state } of stored.sort((left, right) => left.lastOffset - right.lastOffset)) producers.setProducer(state)
  }

  /** null when there is no such topic or partition. */
  find(topicName: string, partitionIndex: number): PartitionProducers | null {
    const partition = this.#store.topics.get(topicName)?.partitions[partitionIndex]
    return partition ? this.of(partition) : null
  }

  of(partition: Partition): PartitionProducers {
    let producers = this.#producers.get(partition)
    if (!producers) {
      producers = new PartitionProducers(partition, this.#refusedFirsts)
      if (!partition.isDeleted) this.#producers.set(partition, producers)
    }
    return producers
  }

  /** The topic was deleted; the store forgets its state. */
  forgetTopic({ partitions }: Pick<Topic, 'partitions'>): void {
    for (const partition of partitions) this.#producers.delete(partition)
  }

  /** Aborted transactions, by partition, that the state has a note of and readers may have to be told of: not those of deleted topics. */
  get abortedCount(): number {
    let count = 0
    for (const { abortedCount } of this.#producers.values()) count += abortedCount
    return count
  }

  /** Of all partitions. */
  get producerCount(): number {
    let count = 0
    for (const producers of this.#producers.values()) count += producers.producerCount
    return count
  }

  /** The partitions, the one that knows the most producers first. */
  mostProducersFirst(): readonly PartitionProducers[] {
    return [...this.#producers.values()].sort((left, right) => right.producerCount - left.producerCount)
  }

  /** Producers of whom nothing came for too long, and the notes of aborted transactions that the log no longer has. */
  expired(isOver: (lastMs: number) => boolean, isBusy: (producerId: bigint) => boolean): Expired[] {
    const expired = [...this.#producers.values()].flatMap((producers) => producers.expired(isOver, isBusy))
    for (const { producers, name, key } of this.#stored(abortedTransactions))
      if (Number(name) < producers.partition.logStartOffset) expired.push({ key, forget: () => void producers.abortedCount-- })
    return expired
  }

  /** Keys of partitions that there are; reading the values is left to who needs them. */
  *#stored(area: Pick<StateArea<unknown>, 'keysIn' | 'namesOf'>): Generator<{ producers: PartitionProducers; name: string; key: string }> {
    const partitions = new Map<string, Partition>()
    for (const topic of this.#store.topics.values()) {
      for (const partition of topic.partitions) partitions.set(`${topic.number}/${partition.partitionIndex}`, partition)
    }
    for (const key of area.keysIn(this.#store)) {
      const [topicNumber, partitionIndex, name] = area.namesOf(key)
      const partition = partitions.get(`${topicNumber}/${partitionIndex}`)
      if (partition && name !== undefined) yield { producers: this.of(partition), name, key }
    }
  }
}

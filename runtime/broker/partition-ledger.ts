// What the broker knows of one partition beyond its log: producers, open transactions, aborted ones, the last stable offset.
//
// Invariants
// - An open transaction is entered before its first batch can become visible, and left only after its marker is durable and,
//   when it aborted, listed: a read_committed reader never passes it early.
// - lastStableOffset ≤ highWatermark, and lies on a batch boundary.
// Persisted: producer/… with each batch, aborted/<topicNumber>/<partition>/<markerOffset> with each abort marker.

import { type Offset, toOffset } from '../base/offset.ts'
import type { Partition, StateChange, Store } from '../log/contract.ts'
import { PRODUCER_AREA, type ProducerState, producerStateKey, putProducerState, readProducerState } from './producer-state.ts'
import { deleteState, namesOfKey, putState, readState, stateKey } from './state-codec.ts'

const ABORTED_AREA = 'aborted'

export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
  /** Offset of the abort marker. */
  readonly lastOffset: number
}

export class PartitionLedger {
  readonly partition: Partition
  readonly #producers = new Map<bigint, ProducerState>()
  readonly #openSince = new Map<bigint, Offset>()
  #aborted: AbortedTransaction[] = []
  readonly #watchers = new Set<() => void>()

  constructor(partition: Partition) {
    this.partition = partition
    partition.onAdvance(() => this.#wake())
  }

  /** First offset a read_committed reader may not see. */
  get lastStableOffset(): Offset {
    let stable = this.partition.highWatermark
    for (const offset of this.#openSince.values()) if (offset < stable) stable = offset
    return stable
  }

  get producerCount(): number {
    return this.#producers.size
  }

  producer(producerId: bigint): ProducerState | undefined {
    return this.#producers.get(producerId)
  }

  producers(): Iterable<ProducerState> {
    return this.#producers.values()
  }

  /** As soon as the base offset is known, before the batch is durable. May be called again with a better offset until it is. */
  enterTransaction(producerId: bigint, firstOffset: Offset): void {
    this.#openSince.set(producerId, firstOffset)
  }

  /** The append that entered was refused: nothing was written. */
  withdrawTransaction(producerId: bigint): void {
    if (this.#openSince.delete(producerId)) this.#wake()
  }

  /** Where the producer's open transaction began here, null when it wrote nothing. */
  openSince(producerId: bigint): Offset | null {
    return this.#openSince.get(producerId) ?? null
  }

  setProducer(state: ProducerState): void {
    this.#producers.set(state.producerId, state)
  }

  /** After the marker is durable. */
  leaveTransaction(state: ProducerState, aborted: AbortedTransaction | null): void {
    this.#producers.set(state.producerId, state)
    if (aborted) this.#aborted.push(aborted)
    this.#openSince.delete(state.producerId)
    this.#wake()
  }

  /** Aborted transactions that overlap [startOffset, endOffset), by first offset. */
  abortedBetween(startOffset: number, endOffset: number): AbortedTransaction[] {
    const overlapping = this.#aborted.filter((entry) => entry.lastOffset >= startOffset && entry.firstOffset < endOffset)
    return overlapping.sort((left, right) => left.firstOffset - right.firstOffset)
  }

  /** Runs after every move of the high watermark, the log start or the last stable offset. Returns the unsubscribe. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  producerKey(producerId: bigint): string {
    return producerStateKey(this.partition.topicNumber, this.partition.partitionIndex, producerId)
  }

  putProducer(state: ProducerState): StateChange {
    return putProducerState(this.producerKey(state.producerId), state)
  }

  putAborted(entry: AbortedTransaction): StateChange {
    const { producerId, firstOffset } = entry
    return putState(this.#abortedKey(entry), { producerId: String(producerId), firstOffset })
  }

  /** Forgets producers silent since `beforeMs` without an open transaction, and aborted ranges the log no longer has. */
  expire(beforeMs: number): StateChange[] {
    const changes: StateChange[] = []
    for (const state of this.#producers.values()) {
      if (this.#openSince.has(state.producerId) || state.lastTimestampMs >= beforeMs) continue
      this.#producers.delete(state.producerId)
      changes.push(deleteState(this.producerKey(state.producerId)))
    }
    const start = this.partition.logStartOffset
    for (const entry of this.#aborted) if (entry.lastOffset < start) changes.push(deleteState(this.#abortedKey(entry)))
    this.#aborted = this.#aborted.filter((entry) => entry.lastOffset >= start)
    return changes
  }

  restoreProducer(state: ProducerState): void {
    this.#producers.set(state.producerId, state)
    if (state.transactionFirstOffset !== null) this.#openSince.set(state.producerId, toOffset(state.transactionFirstOffset))
  }

  restoreAborted(entry: AbortedTransaction): void {
    this.#aborted.push(entry)
  }

  #abortedKey(entry: AbortedTransaction): string {
    return stateKey(ABORTED_AREA, this.partition.topicNumber, this.partition.partitionIndex, entry.lastOffset)
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}

/** All ledgers of a store. Partitions appear as topics are made. */
export class Ledgers {
  readonly #store: Store
  readonly #ledgers = new Map<Partition, PartitionLedger>()

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  constructor(store: Store) {
    this.#store = store
    const partitions = new Map<string, Partition>()
    for (const topic of store.topics.values()) {
      for (const partition of topic.partitions) partitions.set(`${topic.number}/${partition.partitionIndex}`, partition)
    }
    this.#restore(PRODUCER_AREA, partitions, (ledger, key, name, value) => {
      ledger.restoreProducer(readProducerState(key, BigInt(name), value))
    })
    this.#restore(ABORTED_AREA, partitions, (ledger, key, name, value) => {
      const stored = readState<{ producerId: string; firstOffset: number }>(key, value)
      ledger.restoreAborted({ producerId: BigInt(stored.producerId), firstOffset: stored.firstOffset, lastOffset: Number(name) })
    })
  }

  /** null when there is no such topic or partition. */
  find(topicName: string, partitionIndex: number): PartitionLedger | null {
    const partition = this.#store.topics.get(topicName)?.partitions[partitionIndex]
    return partition ? this.of(partition) : null
  }

  of(partition: Partition): PartitionLedger {
    let ledger = this.#ledgers.get(partition)
    if (!ledger) {
      ledger = new PartitionLedger(partition)
      this.#ledgers.set(partition, ledger)
    }
    return ledger
  }

  expire(beforeMs: number): StateChange[] {
    return [...this.#ledgers.values()].flatMap((ledger) => ledger.expire(beforeMs))
  }

  #restore(
    area: string,
    partitions: ReadonlyMap<string, Partition>,
    apply: (ledger: PartitionLedger, key: string, name: string, value: Uint8Array) => void
  ): void {
    for (const key of this.#store.listState(`${area}/`)) {
      const [topicNumber, partitionIndex, name] = namesOfKey(key)
      const partition = partitions.get(`${topicNumber}/${partitionIndex}`)
      const value = this.#store.getState(key)
      if (partition && value && name !== undefined) apply(this.of(partition), key, name, value)
    }
  }
}

// The transaction coordinator, Kafka's protocol before KIP-890 ("v1"): init, add partitions, add offsets, end, time out.
//
// Invariants
// - A transaction is committed in ONE commit: the markers on every partition, the group offsets, the producers' states and the
//   coordinator's state. There is no moment in which some readers see it ended and others do not after a crash.
// - Everything of one transactional id runs one after another; whatever also touches the partitions takes the producer's lock too.
// - No transaction grows so large that its end does not fit a commit: what would do that is refused when it is added. One that is too large
//   all the same (an older version let it grow, commits became smaller) is aborted over several commits: the decision is durable first, every
//   marker travels with the note of what it aborts, so that readers see nothing of it at any time, and a start completes it.
// - Fencing bumps the epoch in the same commit that aborts, so that a zombie is refused by the coordinator and by every partition.
// Source: Apache Kafka, TransactionCoordinator and TransactionMetadata.

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import { inParts } from '../base/in-parts.ts'
import type { Offset } from '../base/offset.ts'
import type { Core } from '../core/core.ts'
import type { Clock, Timer } from '../io/clock.ts'
import type { AbortedTransaction, Append, Partition, StateChange, Store } from '../log/contract.ts'
import { fitsStateKey, STATE_KEY_BYTES_MAX } from '../log/state-codec.ts'
import type { CommittedOffsets, OffsetToCommit } from './committed-offsets.ts'
import { BrokerFault, type FaultName, faultOfStoreError } from './fault.ts'
import { KeyedLock } from './keyed-lock.ts'
import { buildMarker } from './marker.ts'
import type { PartitionProducers, ProducerStates } from './partition-producers.ts'
import { PendingPlaces } from './pending-places.ts'
import type { ProducerBound } from './producer-bound.ts'
import type { ProducerIds } from './producer-ids.ts'
import { type ProducerState, stateAfterMarker } from './producer-state.ts'
import type { TransactionRoom } from './transaction-room.ts'
import {
  deleteAbort,
  isOpen,
  PendingOffsets,
  putAbort,
  putTransaction,
  readTransactions,
  storedPendingOffsets,
  storedTransactions,
  type TransactionState
} from './transaction-state.ts'

/** Between two tries to end a transaction whose time is over, when the store refuses: readers wait for it. */
export const ABORT_AGAIN_MS = 5_000
export const TRANSACTION_TIMEOUT_MS_MAX = 900_000
const EPOCH_MAX = 32_766
const PENDING_CHUNK_COUNT = 64
/** Of a commit: the end of a transaction, of what was allowed while it was open. */
const END_SHARE_MAX = 0.75
/** Marker, state of the producer and aborted range of one partition, about, and not less. */
const PARTITION_END_BYTES = 768
/** Of one pending request of offsets that goes, about, and not less. */
const DELETION_BYTES = 128 + STATE_KEY_BYTES_MAX

export interface ProducerIdentity {
  readonly producerId: bigint
  readonly producerEpoch: number
}

export interface InitProducerAnswer extends ProducerIdentity {
  readonly fault: FaultName
}

export interface TransactionsContext {
  readonly store: Store
  readonly core: Core
  readonly clock: Clock
  readonly producers: ProducerStates
  readonly producerIds: ProducerIds
  readonly producerLock: KeyedLock
  readonly producerBound: ProducerBound
  readonly committedOffsets: CommittedOffsets
  readonly room: TransactionRoom
}

interface Entry {
  state: TransactionState
  pending: PendingOffsets
  timer: Timer | null
}

export class Transactions {
  readonly #context: TransactionsContext
  readonly #entries = new Map<string, Entry>()
  readonly #byProducer = new Map<bigint, Entry>()
  readonly #pendingPlaces = new PendingPlaces()
  readonly #lock = new KeyedLock()
  #isClosed = false
  /** Transactions ended because nobody ended them in time. */
  timedOutCount = 0

  /** Open transactions of before go on with what is left of their time: many short lives do not keep one open. An abort that was decided is completed. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  constructor(context: TransactionsContext) {
    this.#context = context
    const pendingById = PendingOffsets.restore(context.store)
    for (const state of readTransactions(context.store)) {
      const pending = pendingById.get(state.transactionalId) ?? new PendingOffsets(state.transactionalId)
      const entry: Entry = { state, pending, timer: null }
      context.room.addStored(state)
      context.committedOffsets.holdStored(entry.pending.list())
      this.#pendingPlaces.add(entry.pending.list())
      this.#entries.set(state.transactionalId, entry)
      this.#byProducer.set(state.producerId, entry)
      if (isOpen(state)) this.#startTimer(entry, state.status === 'PrepareAbort' ? 0 : this.#timeLeftMs(state))
    }
  }

  get openCount(): number {
    return [...this.#entries.values()].filter((entry) => isOpen(entry.state)).length
  }

  /** All ids that are remembered, as they are now. */
  list(): readonly TransactionState[] {
    return [...this.#entries.values()].map(({ state }) => state)
  }

  find(transactionalId: string): TransactionState | null {
    return this.#entries.get(transactionalId)?.state ?? null
  }

  close(): void {
    this.#isClosed = true
    for (const entry of this.#entries.values()) this.#stopTimer(entry)
  }

  /** `expected` is what the client believes it is; null when it does not say. Ends an open transaction of the id by abort. */
  async initProducer(request: {
    transactionalId: string | null
    timeoutMs: number
    expected: ProducerIdentity | null
  }): Promise<InitProducerAnswer> {
    const { transactionalId, timeoutMs, expected } = request
    return this.#guarded(async () => {
      if (transactionalId === null) return { fault: 'NONE', producerId: await this.#context.producerIds.take(), producerEpoch: 0 }
      if (transactionalId === '' || !fitsStateKey(storedPendingOffsets.key(transactionalId, 2 ** 31))) return noProducer('INVALID_REQUEST')
      if (timeoutMs <= 0 || timeoutMs > TRANSACTION_TIMEOUT_MS_MAX) return noProducer('INVALID_TRANSACTION_TIMEOUT')
      return this.#lock.run(transactionalId, async () => {
        const entry = this.#entries.get(transactionalId)
        if (entry) return this.#initAgain(entry, timeoutMs, expected)
        return this.#initFirst(transactionalId, timeoutMs)
      })
    }, noProducer)
  }

  addPartitions(transactionalId: string, producer: ProducerIdentity, partitions: readonly Partition[]): Promise<FaultName> {
    return this.#within(transactionalId, producer, (entry) => this.#begin(entry, { partitions, groupIds: [] }))
  }

  addGroup(transactionalId: string, producer: ProducerIdentity, groupId: string): Promise<FaultName> {
    return this.#within(transactionalId, producer, (entry) => this.#begin(entry, { partitions: [], groupIds: [groupId] }))
  }

  /** Durable, and invisible until the transaction commits. The group must have been added. */
  addOffsets(transactionalId: string, producer: ProducerIdentity, groupId: string, offsets: readonly OffsetToCommit[]): Promise<FaultName> {
    return this.#within(transactionalId, producer, async (entry) => {
      if (entry.state.status !== 'Ongoing' || !entry.state.groupIds.has(groupId)) return 'INVALID_TXN_STATE'
      if (!this.#canEnd(entry, { partitions: entry.state.partitions.size, offsets })) return 'INVALID_COMMIT_OFFSET_SIZE'
      const { store, committedOffsets } = this.#context
      committedOffsets.hold(offsets)
      const plans = inParts(offsets, PENDING_CHUNK_COUNT).map((part) =>
        entry.pending.plan(part.map((offset) => ({ ...offset, ...numberOf(store, offset) })))
      )
      try {
        await store.commit(
          [],
          plans.map((plan) => plan.change)
        )
      } catch (error) {
        committedOffsets.letGo(offsets)
        throw error
      }
      for (const plan of plans) plan.enter()
      this.#pendingPlaces.add(offsets)
      return 'NONE'
    })
  }

  end(transactionalId: string, producer: ProducerIdentity, outcome: 'commit' | 'abort'): Promise<FaultName> {
    return this.#within(transactionalId, producer, async (entry) => {
      const { status } = entry.state
      if (status === 'Ongoing') {
        await (outcome === 'commit' ? this.#commit(entry) : this.#abort(entry, entry.state))
        return 'NONE'
      }
      return status === (outcome === 'commit' ? 'CompleteCommit' : 'CompleteAbort') ? 'NONE' : 'INVALID_TXN_STATE'
    })
  }

  /** May this producer write to this partition within its open transaction? */
  verify(producer: ProducerIdentity, partition: Partition): FaultName {
    const state = this.#byProducer.get(producer.producerId)?.state
    if (!state) return 'INVALID_PRODUCER_ID_MAPPING'
    if (state.producerEpoch !== producer.producerEpoch) return 'INVALID_PRODUCER_EPOCH'
    return state.status === 'Ongoing' && state.partitions.has(partition) ? 'NONE' : 'INVALID_TXN_STATE'
  }

  hasPendingOffset(groupId: string, topicName: string, partitionIndex: number): boolean {
    return this.#pendingPlaces.has({ groupId, topicName, partitionIndex })
  }

  hasPendingOffsets(groupId: string): boolean {
    return this.#pendingPlaces.hasGroup(groupId)
  }

  /** Forgets ids without an open transaction that are old, durably. @throws WadiError when the store refuses: those stay */
  async expire(isOld: (updatedMs: number | null) => boolean): Promise<void> {
    for (const [transactionalId, entry] of [...this.#entries]) {
      const isUnused = (): boolean => !isOpen(entry.state) && entry.pending.isEmpty && isOld(entry.state.updatedMs)
      if (!isUnused()) continue
      await this.#lock.run(transactionalId, async () => {
        if (!isUnused()) return
        await this.#context.store.commit([], [storedTransactions.remove(storedTransactions.key(transactionalId))])
        this.#context.room.remove(entry.state)
        this.#entries.delete(transactionalId)
        this.#byProducer.delete(entry.state.producerId)
      })
    }
  }

  async #initFirst(transactionalId: string, timeoutMs: number): Promise<InitProducerAnswer> {
    const { store, clock, producerIds, room } = this.#context
    const nothing = { transactionalId, partitions: new Set<never>(), groupIds: new Set<never>() }
    if (!room.add(nothing)) return noProducer('POLICY_VIOLATION')
    try {
      const first: TransactionState = {
        ...nothing,
        producerId: await producerIds.take(),
        producerEpoch: 0,
        lastProducerEpoch: -1,
        timeoutMs,
        status: 'Empty',
        updatedMs: clock.wallMs(),
        startedMs: null
      }
      await store.commit([], [putTransaction(first)])
      const entry: Entry = { state: first, pending: new PendingOffsets(transactionalId), timer: null }
      this.#entries.set(transactionalId, entry)
      this.#byProducer.set(first.producerId, entry)
      return { fault: 'NONE', producerId: first.producerId, producerEpoch: 0 }
    } catch (error) {
      room.remove(nothing)
      throw error
    }
  }

  async #initAgain(entry: Entry, timeoutMs: number, expected: ProducerIdentity | null): Promise<InitProducerAnswer> {
    await this.#completeAbort(entry)
    const { state } = entry
    if (expected) {
      const isRepeat = expected.producerId === state.producerId && expected.producerEpoch === state.lastProducerEpoch
      const isUsedUp = state.producerEpoch > EPOCH_MAX
      if (isRepeat && !isUsedUp && state.status !== 'Ongoing')
        return { fault: 'NONE', producerId: state.producerId, producerEpoch: state.producerEpoch }
      const isCurrent = expected.producerId === state.producerId && expected.producerEpoch === state.producerEpoch
      if (!isCurrent && !(isRepeat && isUsedUp)) return noProducer('PRODUCER_FENCED')
    }
    if (state.status === 'Ongoing') await this.#abort(entry, bumped(state))
    const current = state.status === 'Ongoing' ? entry.state : bumped(state)
    // a producer that does not say who it was is a new one: the epoch before must not come back as a repeat
    const lastProducerEpoch = expected ? state.producerEpoch : -1
    let next: TransactionState = { ...current, timeoutMs, status: 'Empty', lastProducerEpoch, updatedMs: this.#context.clock.wallMs() }
    if (next.producerEpoch > EPOCH_MAX) {
      next = { ...next, producerId: await this.#context.producerIds.take(), producerEpoch: 0, lastProducerEpoch: -1 }
    }
    await this.#context.store.commit([], [putTransaction(next)])
    this.#byProducer.delete(entry.state.producerId)
    this.#byProducer.set(next.producerId, entry)
    entry.state = next
    return { fault: 'NONE', producerId: next.producerId, producerEpoch: next.producerEpoch }
  }

  async #begin(entry: Entry, added: { partitions: readonly Partition[]; groupIds: readonly string[] }): Promise<FaultName> {
    const { state } = entry
    const isOpen = state.status === 'Ongoing'
    const nowMs = this.#context.clock.wallMs()
    const next: TransactionState = {
      ...state,
      status: 'Ongoing',
      partitions: new Set([...(isOpen ? state.partitions : []), ...added.partitions]),
      groupIds: new Set([...(isOpen ? state.groupIds : []), ...added.groupIds]),
      updatedMs: nowMs,
      startedMs: isOpen ? state.startedMs : nowMs
    }
    const isKnown = isOpen && next.partitions.size === state.partitions.size && next.groupIds.size === state.groupIds.size
    if (isKnown) return 'NONE'
    if (!this.#canEnd(entry, { partitions: next.partitions.size, offsets: [] })) return 'POLICY_VIOLATION'
    const { room, store, producers } = this.#context
    const isLarger = next.partitions.size > (isOpen ? state.partitions.size : 0)
    if (isLarger && !room.hasRoomForAbort(producers.abortedCount)) return 'POLICY_VIOLATION'
    if (!room.replace(state, next)) return 'COORDINATOR_NOT_AVAILABLE' // others end: it may be tried again
    try {
      await store.commit([], [putTransaction(next)])
    } catch (error) {
      room.replace(next, state)
      throw error
    }
    entry.state = next
    if (!isOpen) this.#startTimer(entry)
    return 'NONE'
  }

  /** The end of the transaction, with so many partitions and with `offsets` added, fits one commit. */
  #canEnd({ pending }: Entry, { partitions, offsets }: { partitions: number; offsets: readonly OffsetToCommit[] }): boolean {
    const bytes = partitions * PARTITION_END_BYTES + pending.endBytesWith(offsets)
    return bytes <= this.#context.store.commitBytesMax * END_SHARE_MAX
  }

  /** In one commit, or not at all. @throws BrokerFault when that is too small for it: then it can only be aborted */
  async #commit(entry: Entry): Promise<void> {
    try {
      await this.#whileNobodyWrites(entry, () => this.#finish(entry, 'commit', entry.state))
    } catch (error) {
      if (!(error instanceof WadiError) || error.code !== 'WADI_RECORD_TOO_LARGE') throw error
      throw new BrokerFault('POLICY_VIOLATION', 'the end of the transaction does not fit one commit', error)
    }
  }

  /** Ends the open transaction as `identity` (bumped when it fences), in one commit where that can hold it. */
  #abort(entry: Entry, identity: TransactionState): Promise<void> {
    const fitsOneCommit = this.#canEnd(entry, { partitions: entry.state.partitions.size, offsets: [] })
    return this.#whileNobodyWrites(entry, () =>
      fitsOneCommit ? this.#finish(entry, 'abort', identity) : this.#abortInParts(entry, identity)
    )
  }

  /** What was decided is done before anything else is done with the id. */
  async #completeAbort(entry: Entry): Promise<void> {
    if (entry.state.status === 'PrepareAbort') await this.#whileNobodyWrites(entry, () => this.#abortInParts(entry, entry.state))
  }

  #whileNobodyWrites(entry: Entry, work: () => Promise<void>): Promise<void> {
    return this.#context.producerLock.run(String(entry.state.producerId), work)
  }

  /** All in one commit, or nothing. */
  async #finish(entry: Entry, outcome: 'commit' | 'abort', identity: TransactionState): Promise<void> {
    const { store, clock, committedOffsets } = this.#context
    const timestampMs = clock.wallMs()
    const offsets = outcome === 'commit' ? entry.pending.list() : []
    const next = ended(identity, outcome, timestampMs)
    const markers = this.#markersOn([...entry.state.partitions].filter(isThere), { ...identity, outcome, timestampMs })
    const coming = committedOffsets.coming(offsets, timestampMs)
    try {
      await store.commit(markers.appends, (markerOffsets) => [
        putTransaction(next),
        ...coming.changes,
        ...entry.pending.deletions(),
        ...markers.changes(markerOffsets)
      ])
      markers.apply()
      this.#becomeEnded(entry, next)
      coming.apply()
    } finally {
      coming.end()
    }
  }

  /** A refusal of the store in the middle leaves it decided: it goes on soon, or when somebody comes for the id. */
  async #abortInParts(entry: Entry, identity: TransactionState): Promise<void> {
    try {
      await this.#abortPartByPart(entry, identity)
    } catch (error) {
      if (entry.state.status === 'PrepareAbort') {
        this.#stopTimer(entry)
        this.#startTimer(entry, ABORT_AGAIN_MS)
      }
      throw error
    }
  }

  async #abortPartByPart(entry: Entry, identity: TransactionState): Promise<void> {
    const { store, clock, producers } = this.#context
    const timestampMs = identity.status === 'PrepareAbort' && identity.updatedMs !== null ? identity.updatedMs : clock.wallMs()
    const decided = { ...identity, status: 'PrepareAbort', updatedMs: timestampMs } as const
    if (entry.state.status !== 'PrepareAbort') {
      await store.commit([], [putAbort(decided)])
      entry.state = decided
    }
    const bytesMax = store.commitBytesMax * END_SHARE_MAX
    const isMarked = (partition: Partition): boolean => {
      const state = producers.of(partition).producer(decided.producerId)
      const { producerEpoch, transactionFirstOffset, lastTimestampMs } = state ?? {}
      return producerEpoch === decided.producerEpoch && transactionFirstOffset === null && lastTimestampMs === timestampMs
    }
    const left = [...decided.partitions].filter((partition) => isThere(partition) && !isMarked(partition))
    for (const part of inParts(left, bytesMax / PARTITION_END_BYTES)) {
      const markers = this.#markersOn(part, { ...decided, outcome: 'abort', timestampMs })
      await store.commit(markers.appends, markers.changes)
      markers.apply()
    }
    for (const part of inParts(entry.pending.deletions(), bytesMax / DELETION_BYTES)) await store.commit([], part)
    const next = ended(decided, 'abort', timestampMs)
    await store.commit([], [putTransaction(next), deleteAbort(next.transactionalId)])
    this.#becomeEnded(entry, next)
  }

  /** What a commit has to hold so that the transaction ends on `partitions`: the appends, and the changes that go with them. Call apply() after it. */
  #markersOn(
    partitions: readonly Partition[],
    end: ProducerIdentity & { readonly outcome: 'commit' | 'abort'; readonly timestampMs: number }
  ): { appends: Append[]; changes(markerOffsets: readonly Offset[]): StateChange[]; apply(): void } {
    const { core, producers } = this.#context
    const marker = buildMarker(core, end)
    const touched = partitions.map((partition) => producers.of(partition))
    const states = touched.map((of) => stateAfterMarker(of.producer(end.producerId), end))
    return {
      appends: partitions.map((partition) => ({ partition, content: { batch: marker, recordCount: 1 }, mayExceedQuota: true })),
      changes: (markerOffsets) =>
        touched.flatMap((of, at) => {
          const aborted = end.outcome === 'abort' ? abortedBy(of, end.producerId, markerOffsets[at] as Offset) : null
          const producer = of.putProducer(states[at] as ProducerState)
          return aborted ? [producer, of.putAborted(aborted)] : [producer]
        }),
      apply: () => {
        touched.forEach((of, at) => {
          if (end.outcome === 'abort' && of.openSince(end.producerId) !== null) of.abortedCount++
          of.setProducer(states[at] as ProducerState)
        })
      }
    }
  }

  #becomeEnded(entry: Entry, next: TransactionState): void {
    this.#stopTimer(entry)
    this.#context.room.replace(entry.state, next)
    entry.state = next
    this.#context.committedOffsets.letGo(entry.pending.list())
    this.#pendingPlaces.remove(entry.pending.list())
    entry.pending.clear()
    this.#context.producerBound.enforce() // a marker is remembered of each partition, also where nothing was written
  }

  #within(transactionalId: string, producer: ProducerIdentity, work: (entry: Entry) => Promise<FaultName>): Promise<FaultName> {
    if (transactionalId === '') return Promise.resolve('INVALID_REQUEST')
    return this.#guarded(
      () =>
        this.#lock.run(transactionalId, async () => {
          const entry = this.#entries.get(transactionalId)
          if (!entry || entry.state.producerId !== producer.producerId) return 'INVALID_PRODUCER_ID_MAPPING'
          await this.#completeAbort(entry)
          if (entry.state.producerEpoch !== producer.producerEpoch) return 'PRODUCER_FENCED'
          return work(entry)
        }),
      (fault) => fault
    )
  }

  async #guarded<T>(work: () => Promise<T>, answer: (fault: FaultName) => T): Promise<T> {
    try {
      return await work()
    } catch (error) {
      // A topic of the transaction is being deleted: the next try finds it gone, and ends without it.
      const isOfDeletion = error instanceof WadiError && error.code === 'WADI_TOPIC_UNKNOWN'
      return answer(isOfDeletion ? 'COORDINATOR_NOT_AVAILABLE' : faultOfStoreError(error, 'COORDINATOR_NOT_AVAILABLE'))
    }
  }

  /** By the wall clock, and never more than all of it. Too early only aborts. */
  #timeLeftMs({ timeoutMs, updatedMs }: TransactionState): number {
    const goneMs = updatedMs === null ? 0 : this.#context.clock.wallMs() - updatedMs
    return Math.min(timeoutMs, Math.max(0, timeoutMs - Math.max(0, goneMs)))
  }

  /** None once it is closed: what was on its way then is the next start's. */
  #startTimer(entry: Entry, delayMs = entry.state.timeoutMs): void {
    if (this.#isClosed) return
    assert(entry.timer === null, 'a transaction has one timer')
    entry.timer = this.#context.clock.after(delayMs, () => {
      entry.timer = null
      void this.#timeOut(entry, entry.state.producerEpoch)
    })
  }

  #stopTimer(entry: Entry): void {
    entry.timer?.cancel()
    entry.timer = null
  }

  async #timeOut(entry: Entry, producerEpoch: number): Promise<void> {
    await this.#guarded(
      () =>
        this.#lock.run(entry.state.transactionalId, async () => {
          const { state } = entry
          if (this.#isClosed || !isOpen(state) || state.producerEpoch !== producerEpoch || entry.timer !== null) return
          if (state.status === 'PrepareAbort') return this.#completeAbort(entry)
          await this.#abort(entry, bumped(state))
          this.timedOutCount++
        }),
      () => {
        // the store refused: the transaction stays open, and holds back readers
        if (isOpen(entry.state) && entry.timer === null) this.#startTimer(entry, ABORT_AGAIN_MS)
      }
    )
  }
}

/** A topic of that name that is made before the end is another one. */
function numberOf({ topics }: Store, { topicName }: OffsetToCommit): Pick<OffsetToCommit, 'topicNumber'> {
  const topic = topics.get(topicName)
  return topic ? { topicNumber: topic.number } : {}
}

/** Its topic was not deleted: a marker has a place. */
function isThere({ isDeleted }: Partition): boolean {
  return !isDeleted
}

function abortedBy(producers: PartitionProducers, producerId: bigint, markerOffset: Offset): AbortedTransaction | null {
  const firstOffset = producers.openSince(producerId)
  return firstOffset === null ? null : { producerId, firstOffset, lastOffset: markerOffset }
}

/** As `identity`, with nothing open. */
function ended(identity: TransactionState, outcome: 'commit' | 'abort', timestampMs: number): TransactionState {
  const status = outcome === 'commit' ? 'CompleteCommit' : 'CompleteAbort'
  return { ...identity, status, partitions: new Set(), groupIds: new Set(), updatedMs: timestampMs, startedMs: null }
}

/** The next epoch; the one it replaces is remembered. May be one past EPOCH_MAX: that identity fences and is never handed out. */
function bumped(state: TransactionState): TransactionState {
  return { ...state, producerEpoch: state.producerEpoch + 1, lastProducerEpoch: state.producerEpoch }
}

function noProducer(fault: FaultName): InitProducerAnswer {
  return { fault, producerId: -1n, producerEpoch: -1 }
}

// One transactional id: who may use it now, and what its open transaction has touched.
// Persisted under txn/<id>; offsets waiting for the commit under txn-offsets/<id>/<number>, one key per request that sent them; under txn-abort/<id>
// that an abort was decided which takes several commits: it is small whatever the transaction has touched.

import type { Partition, StateChange, Store } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea } from '../log/state-area.ts'
import { STATE_KEY_BYTES_MAX, versioned } from '../log/state-codec.ts'
import { fields, integer, integerText, listOf, oneOf, optional, tuple, whole, words } from '../log/state-shape.ts'
import type { OffsetToCommit } from './committed-offsets.ts'

/** There is no PrepareCommit: markers, offsets and this state change in one commit. PrepareAbort: decided, and too large for one. */
export type TransactionStatus = (typeof transactionStatuses)[number]

export const transactionStatuses = ['Empty', 'Ongoing', 'PrepareAbort', 'CompleteCommit', 'CompleteAbort'] as const

export interface TransactionState {
  readonly transactionalId: string
  readonly producerId: bigint
  readonly producerEpoch: number
  /** The epoch before the last bump, −1 when there was none: a repeated InitProducerId is recognised by it. */
  readonly lastProducerEpoch: number
  readonly timeoutMs: number
  readonly status: TransactionStatus
  /** Partitions the open transaction may write to. */
  readonly partitions: ReadonlySet<Partition>
  readonly groupIds: ReadonlySet<string>
  /** When it changed last, by the wall clock; null when the version that did it did not note it. */
  readonly updatedMs: number | null
  /** When its open transaction began; null when none is open, or the version that began it did not note it. */
  readonly startedMs: number | null
}

interface StoredAbort {
  readonly epoch: number
  readonly lastEpoch: number
  readonly time: number
}

interface StoredTransaction {
  readonly producerId: string
  readonly epoch: number
  readonly lastEpoch: number
  readonly timeoutMs: number
  readonly status: TransactionStatus
  readonly partitions: readonly (readonly [topicNumber: number, partitionIndex: number])[]
  readonly groups: readonly string[]
  readonly time?: number | undefined
  readonly start?: number | undefined
}

const transactionShape = fields<StoredTransaction>({
  producerId: integerText,
  epoch: integer,
  lastEpoch: integer,
  timeoutMs: integer,
  status: oneOf(...transactionStatuses),
  partitions: listOf(tuple(whole, whole)),
  groups: listOf(words),
  time: optional(integer),
  start: optional(integer)
})

const offsetShape = fields<OffsetToCommit>({
  groupId: words,
  topicName: words,
  partitionIndex: whole,
  offset: integer,
  leaderEpoch: integer,
  metadata: words,
  topicNumber: optional(whole)
})

/** It holds back readers of its partitions. */
export function isOpen({ status }: Pick<TransactionState, 'status'>): boolean {
  return status === 'Ongoing' || status === 'PrepareAbort'
}

export const storedTransactions = new StateArea<StoredTransaction>('txn', versioned(transactionShape), {
  keys: '<transactional id>',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  entries: '10,000; together about 16 MiB',
  goes: 'seven days after the last change when no transaction is open'
})

export const storedAborts = new StateArea<StoredAbort>(
  'txn-abort',
  versioned(fields({ epoch: integer, lastEpoch: integer, time: integer })),
  {
    keys: '<transactional id>',
    valueBytesMax: 256,
    entries: 'one for each value of `txn/`',
    goes: 'with the commit that ends the transaction'
  }
)

interface StoredPendingOffsets {
  readonly offsets: readonly OffsetToCommit[]
}

export const storedPendingOffsets = new StateArea<StoredPendingOffsets>(
  'txn-offsets',
  versioned(fields({ offsets: listOf(offsetShape) })),
  {
    keys: '<transactional id>/<number>',
    valueBytesMax: STATE_VALUE_BYTES_MAX,
    entries: 'one for each request of an open transaction; with `offsets/` about 16 MiB',
    goes: 'with the commit that ends the transaction'
  }
)

export function putTransaction(state: TransactionState): StateChange {
  const stored: StoredTransaction = {
    producerId: String(state.producerId),
    epoch: state.producerEpoch,
    lastEpoch: state.lastProducerEpoch,
    timeoutMs: state.timeoutMs,
    status: state.status,
    partitions: [...state.partitions].map((partition) => [partition.topicNumber, partition.partitionIndex]),
    groups: [...state.groupIds],
    ...(state.updatedMs !== null && { time: state.updatedMs }),
    ...(state.startedMs !== null && { start: state.startedMs })
  }
  return storedTransactions.put(storedTransactions.key(state.transactionalId), stored)
}

/** That `state`, whose last commit says that it is open, will be aborted, as whom and when. */
export function putAbort(state: TransactionState & { readonly updatedMs: number }): StateChange {
  const stored: StoredAbort = { epoch: state.producerEpoch, lastEpoch: state.lastProducerEpoch, time: state.updatedMs }
  return storedAborts.put(storedAborts.key(state.transactionalId), stored)
}

/** With the commit that ends it. */
export function deleteAbort(transactionalId: string): StateChange {
  return storedAborts.remove(storedAborts.key(transactionalId))
}

/** All transactions of the store. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
export function readTransactions(store: Store): TransactionState[] {
  const topics = new Map([...store.topics.values()].map((topic) => [topic.number, topic]))
  return storedTransactions.keysIn(store).flatMap((key) => {
    const stored = storedTransactions.get(store, key)
    const [transactionalId] = storedTransactions.namesOf(key)
    if (!stored || transactionalId === undefined) return []
    const partitions = stored.partitions.flatMap(([topicNumber, index]) => topics.get(topicNumber)?.partitions[index] ?? [])
    const abort = storedAborts.get(store, storedAborts.key(transactionalId))
    return {
      transactionalId,
      producerId: BigInt(stored.producerId),
      producerEpoch: abort?.epoch ?? stored.epoch,
      lastProducerEpoch: abort?.lastEpoch ?? stored.lastEpoch,
      timeoutMs: stored.timeoutMs,
      status: abort ? 'PrepareAbort' : stored.status,
      partitions: new Set(partitions),
      groupIds: new Set(stored.groups),
      updatedMs: abort?.time ?? stored.time ?? null,
      startedMs: stored.start ?? null
    }
  })
}

/** Of a state change besides the names and texts in it, about, and not less. */
const CHANGE_BYTES = 128

/** What the commit that ends a transaction takes for these, about, and not less. */
function endBytesOf(offsets: readonly OffsetToCommit[]): number {
  let bytes = CHANGE_BYTES + STATE_KEY_BYTES_MAX // the chunk is deleted
  for (const { groupId, metadata } of offsets)
    bytes += 2 * CHANGE_BYTES + Buffer.byteLength(encodeURIComponent(groupId)) + Buffer.byteLength(JSON.stringify(metadata))
  return bytes
}

/** Offsets an open transaction will commit, in the order they were sent: later ones win. */
export class PendingOffsets {
  readonly #transactionalId: string
  readonly #chunks = new Map<number, readonly OffsetToCommit[]>()
  #nextNumber = 0
  #endBytes = 0

  constructor(transactionalId: string) {
    this.#transactionalId = transactionalId
  }

  get isEmpty(): boolean {
    return this.#chunks.size === 0
  }

  /** Of all transactional ids that have some. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  static restore(store: Store): Map<string, PendingOffsets> {
    const chunks = storedPendingOffsets.keysIn(store).flatMap((key) => {
      const stored = storedPendingOffsets.get(store, key)
      const [transactionalId, number] = storedPendingOffsets.namesOf(key)
      return stored && transactionalId !== undefined ? [{ transactionalId, number: Number(number), offsets: stored.offsets }] : []
    })
    const byId = new Map<string, PendingOffsets>()
    for (const { transactionalId, number, offsets } of chunks.sort((left, right) => left.number - right.number)) {
      const pending = byId.get(transactionalId) ?? new PendingOffsets(transactionalId)
      byId.set(transactionalId, pending)
      pending.#enter(number, offsets)
    }
    return byId
  }

  list(): OffsetToCommit[] {
    return [...this.#chunks.values()].flat()
  }

  /** What the commit that ends the transaction takes for the offsets, with `added`. */
  endBytesWith(added: readonly OffsetToCommit[]): number {
    return this.#endBytes + (added.length === 0 ? 0 : endBytesOf(added))
  }

  /** The state change for one more chunk; call enter() once it is durable. */
  plan(offsets: readonly OffsetToCommit[]): { change: StateChange; enter: () => void } {
    const number = this.#nextNumber++
    return { change: storedPendingOffsets.put(this.#key(number), { offsets }), enter: () => this.#enter(number, offsets) }
  }

  deletions(): StateChange[] {
    return [...this.#chunks.keys()].map((number) => storedPendingOffsets.remove(this.#key(number)))
  }

  clear(): void {
    this.#chunks.clear()
    this.#nextNumber = 0
    this.#endBytes = 0
  }

  #enter(number: number, offsets: readonly OffsetToCommit[]): void {
    this.#chunks.set(number, offsets)
    this.#endBytes += endBytesOf(offsets)
    this.#nextNumber = Math.max(this.#nextNumber, number + 1)
  }

  #key(number: number): string {
    return storedPendingOffsets.key(this.#transactionalId, number)
  }
}

// One transactional id: who may use it now, and what its open transaction has touched.
// Persisted under txn/<id>; offsets waiting for the commit under txn-offsets/<id>/<number>, one key per request that sent them; under txn-abort/<id>
// that an abort was decided which takes several commits: it is small whatever the transaction has touched.

import type { Partition, StateChange, Store } from '../log/contract.ts'
import { deleteState, namesOfKey, putState, readState, STATE_KEY_BYTES_MAX, stateKey } from '../log/state-codec.ts'
import type { OffsetToCommit } from './committed-offsets.ts'

export const TRANSACTION_AREA = 'txn'
export const PENDING_OFFSETS_AREA = 'txn-offsets'
const ABORT_AREA = 'txn-abort'

/** There is no PrepareCommit: markers, offsets and this state change in one commit. PrepareAbort: decided, and too large for one. */
export type TransactionStatus = 'Empty' | 'Ongoing' | 'PrepareAbort' | 'CompleteCommit' | 'CompleteAbort'

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
}

interface StoredAbort {
  epoch: number
  lastEpoch: number
  time: number
}

interface StoredTransaction {
  producerId: string
  epoch: number
  lastEpoch: number
  timeoutMs: number
  status: TransactionStatus
  partitions: [topicNumber: number, partitionIndex: number][]
  groups: string[]
  time?: number
}

/** It holds back readers of its partitions. */
export function isOpen({ status }: Pick<TransactionState, 'status'>): boolean {
  return status === 'Ongoing' || status === 'PrepareAbort'
}

export function transactionKey(transactionalId: string): string {
  return stateKey(TRANSACTION_AREA, transactionalId)
}

export function putTransaction(state: TransactionState): StateChange {
  const stored: StoredTransaction = {
    producerId: String(state.producerId),
    epoch: state.producerEpoch,
    lastEpoch: state.lastProducerEpoch,
    timeoutMs: state.timeoutMs,
    status: state.status,
    partitions: [...state.partitions].map((partition) => [partition.topicNumber, partition.partitionIndex]),
    groups: [...state.groupIds],
    ...(state.updatedMs !== null && { time: state.updatedMs })
  }
  return putState(transactionKey(state.transactionalId), { ...stored })
}

/** That `state`, whose last commit says that it is open, will be aborted, as whom and when. */
export function putAbort(state: TransactionState & { readonly updatedMs: number }): StateChange {
  const stored: StoredAbort = { epoch: state.producerEpoch, lastEpoch: state.lastProducerEpoch, time: state.updatedMs }
  return putState(stateKey(ABORT_AREA, state.transactionalId), { ...stored })
}

/** With the commit that ends it. */
export function deleteAbort(transactionalId: string): StateChange {
  return deleteState(stateKey(ABORT_AREA, transactionalId))
}

/** All transactions of the store. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
export function readTransactions(store: Store): TransactionState[] {
  const topics = new Map([...store.topics.values()].map((topic) => [topic.number, topic]))
  return store.listState(`${TRANSACTION_AREA}/`).flatMap((key) => {
    const value = store.getState(key)
    const [transactionalId] = namesOfKey(key)
    if (!value || transactionalId === undefined) return []
    const stored = readState<StoredTransaction>(key, value)
    const partitions = stored.partitions.flatMap(([topicNumber, index]) => topics.get(topicNumber)?.partitions[index] ?? [])
    const abortKey = stateKey(ABORT_AREA, transactionalId)
    const abortValue = store.getState(abortKey)
    const abort = abortValue ? readState<StoredAbort>(abortKey, abortValue) : null
    return {
      transactionalId,
      producerId: BigInt(stored.producerId),
      producerEpoch: abort?.epoch ?? stored.epoch,
      lastProducerEpoch: abort?.lastEpoch ?? stored.lastEpoch,
      timeoutMs: stored.timeoutMs,
      status: abort ? 'PrepareAbort' : stored.status,
      partitions: new Set(partitions),
      groupIds: new Set(stored.groups),
      updatedMs: abort?.time ?? stored.time ?? null
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
    const chunks = store.listState(`${PENDING_OFFSETS_AREA}/`).flatMap((key) => {
      const value = store.getState(key)
      const [transactionalId, number] = namesOfKey(key)
      if (!value || transactionalId === undefined) return []
      return { transactionalId, number: Number(number), offsets: readState<{ offsets: OffsetToCommit[] }>(key, value).offsets }
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
    return { change: putState(this.#key(number), { offsets }), enter: () => this.#enter(number, offsets) }
  }

  deletions(): StateChange[] {
    return [...this.#chunks.keys()].map((number) => deleteState(this.#key(number)))
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
    return stateKey(PENDING_OFFSETS_AREA, this.#transactionalId, number)
  }
}

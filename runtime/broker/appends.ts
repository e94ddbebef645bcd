// Batches of producers into the log: checked, sequenced, durable, each batch in one commit with its producer's state.
//
// Everything of one producer id runs one after another (a lock by id): a repeat that arrives while the first is still on its way to the
// disk waits for it and is then recognised. Batches without a producer id need no order beyond that of the calls.

import type { Offset } from '../base/offset.ts'
import type { Core } from '../core/core.ts'
import type { Clock } from '../io/clock.ts'
import type { Partition, Store } from '../log/contract.ts'
import { type CheckedBatch, checkClientBatch } from './batch-check.ts'
import { type FaultName, faultOfStoreError } from './fault.ts'
import type { KeyedLock } from './keyed-lock.ts'
import type { Ledgers, PartitionLedger } from './partition-ledger.ts'
import { checkSequence, type ProducerState, type SequencedBatch, stateAfterBatch } from './producer-state.ts'

export interface BatchToAppend {
  readonly topicName: string
  readonly partitionIndex: number
  readonly records: Uint8Array | null
}

export interface AppendOutcome {
  readonly fault: FaultName
  readonly message: string | null
  /** −1 when nothing was appended. */
  readonly baseOffset: number
  readonly logStartOffset: number
}

export interface AppendOptions {
  readonly isZstdAllowed: boolean
  /** Did the request name a transactional id? Transactional batches need one. */
  readonly hasTransactionalId: boolean
}

/** The coordinator's word on a transactional batch; 'NONE' when the partition belongs to the producer's open transaction. */
export type TransactionVerifier = (producer: { producerId: bigint; producerEpoch: number }, partition: Partition) => FaultName

export interface AppendsContext {
  readonly store: Store
  readonly core: Core
  readonly clock: Clock
  readonly ledgers: Ledgers
  /** By producer id: shared with the transaction coordinator. */
  readonly producerLock: KeyedLock
  readonly verifyTransaction: TransactionVerifier
  readonly batchBytesMax: number
  /** null = any timestamp is taken. */
  readonly timestampAheadMsMax: number | null
}

export class Appends {
  readonly #context: AppendsContext

  constructor(context: AppendsContext) {
    this.#context = context
  }

  /** One outcome per batch, in order; resolves when all are durable or refused. */
  async append(batches: readonly BatchToAppend[], options: AppendOptions): Promise<readonly AppendOutcome[]> {
    const outcomes = new Array<AppendOutcome>(batches.length)
    const byProducer = new Map<bigint, { at: number; ledger: PartitionLedger; batch: CheckedBatch; bytes: Uint8Array }[]>()
    const seen = new Set<PartitionLedger>()
    batches.forEach((input, at) => {
      const ledger = this.#context.ledgers.find(input.topicName, input.partitionIndex)
      if (!ledger) {
        outcomes[at] = refused('UNKNOWN_TOPIC_OR_PARTITION', `there is no ${input.topicName}-${input.partitionIndex}`, null)
        return
      }
      if (seen.has(ledger)) {
        outcomes[at] = refused('INVALID_REQUEST', 'the partition is named twice in one request', ledger)
        return
      }
      seen.add(ledger)
      const check = this.#check(input.records, options)
      if ('fault' in check) {
        outcomes[at] = refused(check.fault, check.message, ledger)
        return
      }
      const { producerId } = check.batch.header
      const list = byProducer.get(producerId) ?? []
      list.push({ at, ledger, batch: check.batch, bytes: input.records as Uint8Array })
      byProducer.set(producerId, list)
    })
    await Promise.all(
      [...byProducer].map(([producerId, list]) => {
        const appendAll = async (): Promise<void> => {
          await Promise.all(
            list.map(async ({ at, ledger, batch, bytes }) => {
              outcomes[at] =
                producerId < 0n ? await this.#appendPlain(ledger, batch, bytes) : await this.#appendSequenced(ledger, batch, bytes)
            })
          )
        }
        return producerId < 0n ? appendAll() : this.#context.producerLock.run(String(producerId), appendAll)
      })
    )
    return outcomes
  }

  #check(records: Uint8Array | null, options: AppendOptions): ReturnType<typeof checkClientBatch> {
    const { core, clock, batchBytesMax, timestampAheadMsMax } = this.#context
    const check = checkClientBatch(core, records, {
      batchBytesMax,
      timestampMsMax: timestampAheadMsMax === null ? null : clock.wallMs() + timestampAheadMsMax,
      isZstdAllowed: options.isZstdAllowed
    })
    if ('batch' in check && check.batch.isTransactional && !options.hasTransactionalId) {
      return { fault: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED', message: 'a transactional batch in a request without a transactional id' }
    }
    return check
  }

  async #appendPlain(ledger: PartitionLedger, batch: CheckedBatch, bytes: Uint8Array): Promise<AppendOutcome> {
    try {
      const [baseOffset] = await this.#context.store.commit([appendOf(ledger, batch, bytes)], [])
      return appended(baseOffset as Offset, ledger)
    } catch (error) {
      return refusedByStore(error, ledger)
    }
  }

  async #appendSequenced(ledger: PartitionLedger, batch: CheckedBatch, bytes: Uint8Array): Promise<AppendOutcome> {
    const { header, isTransactional } = batch
    const sequenced: SequencedBatch = { ...header, isTransactional }
    const known = ledger.producer(header.producerId)
    const verdict = checkSequence(known, sequenced)
    if (verdict.kind === 'refuse') return refused(verdict.fault, 'the producer is out of step with this partition', ledger)
    if (verdict.kind === 'duplicate') return appended(verdict.batch.baseOffset, ledger)
    if (isTransactional) {
      const fault = this.#context.verifyTransaction(header, ledger.partition)
      if (fault !== 'NONE') return refused(fault, 'the partition is not part of an open transaction of this producer', ledger)
    }
    const after = (offset: Offset): ProducerState => stateAfterBatch(known, sequenced, offset)
    try {
      const [baseOffset] = await this.#context.store.commit([appendOf(ledger, batch, bytes)], ([offset]) => [
        ledger.putProducer(after(offset as Offset))
      ])
      ledger.setProducer(after(baseOffset as Offset))
      return appended(baseOffset as Offset, ledger)
    } catch (error) {
      return refusedByStore(error, ledger)
    }
  }
}

function appendOf(ledger: PartitionLedger, batch: CheckedBatch, bytes: Uint8Array) {
  return { partition: ledger.partition, content: { batch: bytes, recordCount: batch.header.recordCount } }
}

function appended(baseOffset: number, ledger: PartitionLedger): AppendOutcome {
  return { fault: 'NONE', message: null, baseOffset, logStartOffset: ledger.partition.logStartOffset }
}

function refused(fault: FaultName, message: string, ledger: PartitionLedger | null): AppendOutcome {
  return { fault, message, baseOffset: -1, logStartOffset: ledger ? ledger.partition.logStartOffset : -1 }
}

function refusedByStore(error: unknown, ledger: PartitionLedger): AppendOutcome {
  return refused(faultOfStoreError(error, 'KAFKA_STORAGE_ERROR'), error instanceof Error ? error.message : String(error), ledger)
}

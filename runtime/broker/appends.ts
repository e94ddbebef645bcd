// Batches of producers into the log: checked, sequenced, durable, each batch in one commit with its producer's state.
//
// Nobody waits for the sync of another: a batch is judged by what is queued in front of it (queued-batches.ts), so that what a client pipelines shares
// a sync. A repeat that arrives while the first is still on its way to the disk is recognised, and answered as that one is. Batches of one producer
// id share a lock until they are durable: a marker waits for them, and they for it.
// Compressed batches are opened before (batch-check.ts); meanwhile whoever comes for the same partition or producer, or by the same connection,
// waits for its turn.

import type { Offset } from '../base/offset.ts'
import { Slots } from '../base/slots.ts'
import type { Core } from '../core/core.ts'
import type { Clock } from '../io/clock.ts'
import type { BlockCodec } from '../io/codec.ts'
import { defaultTopicConfig, type Partition, type Store } from '../log/contract.ts'
import type { AppendOutcome } from './append-outcome.ts'
import { type BatchCheck, type CheckedBatch, checkClientBatch, checkCompressed, isCompressed, type Refusal } from './batch-check.ts'
import { type FaultName, faultOfStoreError } from './fault.ts'
import type { KeyedLock } from './keyed-lock.ts'
import type { PartitionProducers, ProducerStates } from './partition-producers.ts'
import type { ProducerBound } from './producer-bound.ts'
import { checkSequence, type RecentBatch, type SequencedBatch } from './producer-state.ts'
import { QueuedBatch } from './queued-batches.ts'
import { batchRulesOf, refusalOfRecords, stampAppendTime, type TopicBatchRules } from './topic-batches.ts'
import { Turns } from './turns.ts'

/** Compressed batches opened at the same time: each may take a few MiB for a moment. */
const OPENED_AT_ONCE = 2

export interface BatchToAppend {
  readonly topicName: string
  readonly partitionIndex: number
  readonly records: Uint8Array | null
}

export interface AppendOptions {
  readonly isZstdAllowed: boolean
  /** Did the request name a transactional id? Transactional batches need one. */
  readonly hasTransactionalId: boolean
  /** Who asks: batches of one client are queued in the order of his calls, whatever they are. */
  readonly client?: string
}

/** The coordinator's word on a transactional batch; 'NONE' when the partition belongs to the producer's open transaction. */
export type TransactionVerifier = (producer: { producerId: bigint; producerEpoch: number }, partition: Partition) => FaultName

export interface AppendsContext {
  readonly store: Store
  readonly core: Core
  readonly clock: Clock
  readonly codec: BlockCodec
  readonly producers: ProducerStates
  /** By producer id: shared with the transaction coordinator. */
  readonly producerLock: KeyedLock
  readonly producerBound: ProducerBound
  readonly verifyTransaction: TransactionVerifier
  readonly batchBytesMax: number
  /** null = any timestamp is taken. */
  readonly timestampAheadMsMax: number | null
  /** A batch was not taken: its producer hears the fault, most of them not the message. */
  readonly onRefused?: (refusal: RefusedBatch) => void
}

export interface RefusedBatch {
  readonly topicName: string
  readonly partitionIndex: number
  readonly fault: FaultName
  readonly message: string
}

const OUT_OF_STEP = 'the producer is out of step with this partition'

interface Candidate {
  readonly at: number
  readonly producers: PartitionProducers
  readonly batch: CheckedBatch
  readonly bytes: Uint8Array
  readonly rules: TopicBatchRules
}

export class Appends {
  readonly #context: AppendsContext
  readonly #turns = new Turns()
  readonly #slots = new Slots(OPENED_AT_ONCE)
  /** Since the start. A batch that came again is not stored again. */
  readonly counters = { storedEvents: 0, refusedBatches: 0 }

  constructor(context: AppendsContext) {
    this.#context = context
  }

  /** One outcome per batch, in order; resolves when all are durable or refused. */
  async append(batches: readonly BatchToAppend[], options: AppendOptions): Promise<readonly AppendOutcome[]> {
    const outcomes = new Array<AppendOutcome>(batches.length)
    const candidates: Candidate[] = []
    const seen = new Set<PartitionProducers>()
    batches.forEach((input, at) => {
      const producers = this.#context.producers.find(input.topicName, input.partitionIndex)
      if (!producers) {
        outcomes[at] = refused('UNKNOWN_TOPIC_OR_PARTITION', `there is no ${input.topicName}-${input.partitionIndex}`, null)
        return
      }
      if (seen.has(producers)) {
        outcomes[at] = refused('INVALID_REQUEST', 'the partition is named twice in one request', producers)
        return
      }
      seen.add(producers)
      const rules = this.#rulesOf(input.topicName)
      const check = this.#check(input.records, rules, options)
      if ('fault' in check) {
        outcomes[at] = refusedBy(check, producers)
        return
      }
      candidates.push({ at, producers, batch: check.batch, bytes: input.records as Uint8Array, rules })
    })
    const compressed = candidates.filter(({ batch }) => isCompressed(batch.header))
    const opened = compressed.length === 0 ? null : Promise.all(compressed.map((candidate) => this.#open(candidate, outcomes)))
    const turn = this.#turns.take(keysOf(candidates, options.client), opened)
    if (turn) await turn
    for (const { at, producers, batch } of compressed) if (outcomes[at] !== undefined) noteRefused(producers, batch)
    await this.#appendAll(
      candidates.filter(({ at }) => outcomes[at] === undefined),
      outcomes
    )
    for (const [at, { fault, message }] of outcomes.entries()) {
      if (fault === 'NONE') continue
      this.counters.refusedBatches++
      const { topicName, partitionIndex } = batches[at] as BatchToAppend
      this.#context.onRefused?.({ topicName, partitionIndex, fault, message: message ?? '' })
    }
    return outcomes
  }

  /** Sets the outcome when what is inside a compressed batch is not what it should be. */
  async #open({ at, producers, bytes, rules }: Candidate, outcomes: AppendOutcome[]): Promise<void> {
    const refusal = await this.#slots.run(() => checkCompressed(this.#context, bytes, (opened) => refusalOfRecords(opened, rules)))
    if (refusal) outcomes[at] = refusedBy(refusal, producers)
  }

  #rulesOf(topicName: string): TopicBatchRules {
    const { store, clock } = this.#context
    return batchRulesOf(store.topics.get(topicName)?.config ?? defaultTopicConfig, this.#context, clock.wallMs())
  }

  async #appendAll(candidates: readonly Candidate[], outcomes: AppendOutcome[]): Promise<void> {
    const byProducer = new Map<bigint, Candidate[]>()
    for (const candidate of candidates) {
      const { producerId } = candidate.batch.header
      byProducer.set(producerId, [...(byProducer.get(producerId) ?? []), candidate])
    }
    await Promise.all(
      [...byProducer].map(([producerId, list]) => {
        const appendAll = async (): Promise<void> => {
          await Promise.all(
            list.map(async (candidate) => {
              const outcome = producerId < 0n ? this.#appendPlain(candidate) : this.#appendSequenced(candidate)
              outcomes[candidate.at] = await outcome
            })
          )
        }
        return producerId < 0n ? appendAll() : this.#context.producerLock.runShared(String(producerId), appendAll)
      })
    )
  }

  #check(records: Uint8Array | null, rules: TopicBatchRules, options: AppendOptions): BatchCheck {
    const { batchBytesMax, timestampMsMax } = rules
    const check = checkClientBatch(this.#context.core, records, { batchBytesMax, timestampMsMax, isZstdAllowed: options.isZstdAllowed })
    if ('batch' in check && check.batch.isTransactional && !options.hasTransactionalId) {
      return { fault: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED', message: 'a transactional batch in a request without a transactional id' }
    }
    if ('batch' in check && !isCompressed(check.batch.header)) return refusalOfRecords(records as Uint8Array, rules) ?? check
    return check
  }

  #appendPlain({ producers, batch, bytes, rules }: Candidate): Promise<AppendOutcome> {
    this.#stamp(bytes, rules)
    return new Promise((resolve) => {
      this.#context.store.submit([appendOf(producers, batch, bytes)], [], (error, [baseOffset]) => {
        if (error) return resolve(refusedByStore(error, producers))
        this.counters.storedEvents += batch.header.recordCount
        resolve(appended(baseOffset as Offset, producers, rules))
      })
    })
  }

  /** Queued, or refused, before it returns. */
  #appendSequenced({ producers, batch, bytes, rules }: Candidate): AppendOutcome | Promise<AppendOutcome> {
    const { header, isTransactional } = batch
    const { producerId } = header
    const sequenced: SequencedBatch = { ...header, isTransactional }
    const before = producers.queued.last(producerId)
    const known = producers.producer(producerId)
    const verdict = checkSequence(before?.state ?? known, sequenced)
    if (verdict.kind === 'refuse') return refused(verdict.fault, OUT_OF_STEP, producers)
    if (verdict.kind === 'duplicate') return repeated(producers, producerId, verdict.batch)
    if (!known && !before && producers.isBehindRefused(sequenced)) return refused('OUT_OF_ORDER_SEQUENCE_NUMBER', OUT_OF_STEP, producers)
    if (isTransactional) {
      const fault = this.#context.verifyTransaction(header, producers.partition)
      if (fault !== 'NONE') {
        producers.onRefused(sequenced)
        return refused(fault, 'the partition is not part of an open transaction of this producer', producers)
      }
    }
    const queued = new QueuedBatch(sequenced, { known, before, nowMs: this.#context.clock.wallMs() })
    producers.queued.add(producerId, queued)
    this.#stamp(bytes, rules)
    this.#context.store.submit(
      [appendOf(producers, batch, bytes)],
      ([offset]) => [producers.putProducer(queued.place(offset as Offset))],
      (error, [baseOffset]) => {
        producers.queued.remove(producerId, queued)
        const isNew = producers.producer(producerId) === undefined
        if (error) {
          producers.onRefused(sequenced)
          return queued.end(refusedByStore(error, producers))
        }
        producers.setProducer(queued.state)
        this.counters.storedEvents += header.recordCount
        if (isNew) this.#context.producerBound.enforce()
        queued.end(appended(baseOffset as Offset, producers, rules))
      }
    )
    return queued.outcome
  }

  #stamp(bytes: Uint8Array, { appendTimeMs }: TopicBatchRules): void {
    if (appendTimeMs !== null) stampAppendTime(this.#context.core, bytes, appendTimeMs)
  }
}

/** What is inside it was refused. Where it was in its place, those behind it are out of step. */
function noteRefused(producers: PartitionProducers, { header, isTransactional }: CheckedBatch): void {
  const { producerId } = header
  if (producerId < 0n) return
  const sequenced = { ...header, isTransactional }
  const state = producers.queued.last(producerId)?.state ?? producers.producer(producerId)
  if (checkSequence(state, sequenced).kind === 'accept') producers.onRefused(sequenced)
}

function keysOf(candidates: readonly Candidate[], client: string | undefined): Set<string> {
  const keys = new Set<string>(client === undefined ? [] : [`client ${client}`])
  for (const { producers, batch } of candidates) {
    keys.add(`${producers.partition.topicNumber}/${producers.partition.partitionIndex}`)
    if (batch.header.producerId >= 0n) keys.add(`producer ${batch.header.producerId}`)
  }
  return keys
}

/** What was queued waits for its outcome; of what is durable the offset is known, which the state of those queued behind it may not have. */
function repeated(producers: PartitionProducers, producerId: bigint, batch: RecentBatch): AppendOutcome | Promise<AppendOutcome> {
  const queued = producers.queued.find(producerId, batch)
  if (queued) return queued.outcome
  const durable = producers.producer(producerId)?.batches.find(({ firstSequence }) => firstSequence === batch.firstSequence)
  return appended((durable ?? batch).baseOffset, producers)
}

function appendOf(producers: PartitionProducers, batch: CheckedBatch, bytes: Uint8Array) {
  return { partition: producers.partition, content: { batch: bytes, recordCount: batch.header.recordCount } }
}

/** Without `rules`: it was stored before, and when is not known any more. */
function appended(baseOffset: number, { partition }: PartitionProducers, rules?: TopicBatchRules): AppendOutcome {
  return {
    fault: 'NONE',
    message: null,
    baseOffset,
    logStartOffset: partition.logStartOffset,
    appendTimeMs: rules?.appendTimeMs ?? null
  }
}

function refused(fault: FaultName, message: string, producers: PartitionProducers | null): AppendOutcome {
  return { fault, message, baseOffset: -1, logStartOffset: producers ? producers.partition.logStartOffset : -1, appendTimeMs: null }
}

function refusedBy({ fault, message, records }: Refusal, producers: PartitionProducers): AppendOutcome {
  return { ...refused(fault, message, producers), records }
}

function refusedByStore(error: unknown, producers: PartitionProducers): AppendOutcome {
  return refused(faultOfStoreError(error, 'KAFKA_STORAGE_ERROR'), error instanceof Error ? error.message : String(error), producers)
}

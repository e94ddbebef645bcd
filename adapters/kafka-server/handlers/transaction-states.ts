// DescribeProducers, DescribeTransactions and ListTransactions: who writes where, what is open and since when.

import type { ProducerState } from '../../../runtime/broker/producer-state.ts'
import { isOpen, type TransactionState, transactionStatuses } from '../../../runtime/broker/transaction-state.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type {
  ActiveProducer,
  DescribedTransaction,
  DescribeProducersRequest,
  DescribeProducersResponse,
  DescribeTransactionsRequest,
  DescribeTransactionsResponse,
  ListTransactionsRequest,
  ListTransactionsResponse
} from '../../kafka-protocol/messages/transaction-states.ts'
import { Breaths } from '../breaths.ts'
import type { Handler } from '../context.ts'
import { distinct, distinctPlaces } from '../distinct.ts'
import { errorCodeOf } from '../error-map.ts'

/** About what one of them takes in an answer. */
const PRODUCER_BYTES = 40
const TRANSACTION_BYTES = 64
/** Kafka has more states than are ever seen here: a filter may name them. */
const KNOWN_STATES: ReadonlySet<string> = new Set([...transactionStatuses, 'PrepareCommit', 'Dead', 'PrepareEpochFence'])
const NEVER_MS = -1

export const handleDescribeProducers: Handler<DescribeProducersRequest, DescribeProducersResponse> = async (request, context) => {
  const asked = distinctPlaces(
    request.topics.map(({ name, partitionIndexes }) => ({ name, partitions: partitionIndexes })),
    ({ name }) => name,
    (index) => index
  )
  const { producers } = context.broker
  const countOf = ({ name, partitions }: { name: string; partitions: readonly number[] }): number =>
    partitions.reduce((sum, index) => sum + (producers.find(name, index)?.producerCount ?? 0) + 1, 0)
  await context.reserveAnswer(asked.reduce((sum, topic) => sum + countOf(topic) * PRODUCER_BYTES, 0))
  return {
    topics: asked.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((partitionIndex) => {
        const found = producers.find(name, partitionIndex)
        if (!found) return { partitionIndex, errorCode: errorCodeOf('UNKNOWN_TOPIC_OR_PARTITION') }
        return { partitionIndex, activeProducers: [...found.producers()].map(describeProducer) }
      })
    }))
  }
}

function describeProducer({
  producerId,
  producerEpoch,
  batches,
  lastTimestampMs,
  transactionFirstOffset
}: ProducerState): Draft<ActiveProducer> {
  return {
    producerId,
    producerEpoch,
    lastSequence: batches.at(-1)?.lastSequence ?? -1,
    lastTimestamp: lastTimestampMs,
    coordinatorEpoch: transactionFirstOffset === null ? -1 : 0,
    currentTxnStartOffset: transactionFirstOffset ?? -1
  }
}

export const handleListTransactions: Handler<ListTransactionsRequest, ListTransactionsResponse> = async (request, context) => {
  const states = new Set(request.stateFilters)
  const producerIds = new Set(request.producerIdFilters)
  const { durationFilter } = request
  const all = context.broker.transactions.list()
  const nowMs = context.broker.nowMs()
  const known = [...states].filter((state) => KNOWN_STATES.has(state))
  const wanted: TransactionState[] = []
  const breaths = new Breaths()
  for (const state of all) {
    await breaths.next()
    if (known.length > 0 && !states.has(state.status)) continue
    if (producerIds.size > 0 && !producerIds.has(state.producerId)) continue
    if (durationFilter >= 0 && nowMs - (state.startedMs ?? NEVER_MS) <= durationFilter) continue
    wanted.push(state)
  }
  await context.reserveAnswer(wanted.reduce((sum, { transactionalId }) => sum + transactionalId.length + TRANSACTION_BYTES, 0))
  return {
    unknownStateFilters: [...states].filter((state) => !KNOWN_STATES.has(state)),
    transactionStates: wanted.map(({ transactionalId, producerId, status }) => ({ transactionalId, producerId, transactionState: status }))
  }
}

export const handleDescribeTransactions: Handler<DescribeTransactionsRequest, DescribeTransactionsResponse> = async (request, context) => {
  const ids = distinct(request.transactionalIds, (id) => id)
  const found = ids.map((id) => ({ id, state: context.broker.transactions.find(id) }))
  await context.reserveAnswer(
    found.reduce((sum, { id, state }) => sum + id.length + TRANSACTION_BYTES + (state?.partitions.size ?? 0) * TRANSACTION_BYTES, 0)
  )
  return { transactionStates: found.map(({ id, state }) => describeTransaction(id, state)) }
}

function describeTransaction(transactionalId: string, state: TransactionState | null): Draft<DescribedTransaction> {
  if (!state) {
    const errorCode = errorCodeOf(transactionalId === '' ? 'INVALID_REQUEST' : 'TRANSACTIONAL_ID_NOT_FOUND')
    return { errorCode, transactionalId, producerId: -1n, producerEpoch: -1, transactionTimeoutMs: -1, transactionStartTimeMs: NEVER_MS }
  }
  const topics = new Map<string, number[]>()
  for (const { topicName, partitionIndex, isDeleted } of isOpen(state) ? state.partitions : []) {
    if (isDeleted) continue
    const partitions = topics.get(topicName) ?? []
    topics.set(topicName, partitions)
    partitions.push(partitionIndex)
  }
  return {
    transactionalId,
    transactionState: state.status,
    transactionTimeoutMs: state.timeoutMs,
    transactionStartTimeMs: state.startedMs ?? NEVER_MS,
    producerId: state.producerId,
    producerEpoch: state.producerEpoch,
    topics: [...topics].map(([topic, partitions]) => ({ topic, partitions }))
  }
}

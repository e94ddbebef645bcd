// InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn.

import type { FaultName } from '../../../runtime/broker/fault.ts'
import type { Partition } from '../../../runtime/log/contract.ts'
import type {
  AddOffsetsToTxnRequest,
  AddOffsetsToTxnResponse,
  AddPartitionsToTxnRequest,
  AddPartitionsToTxnResponse,
  EndTxnRequest,
  EndTxnResponse,
  InitProducerIdRequest,
  InitProducerIdResponse,
  TxnOffsetCommitRequest,
  TxnOffsetCommitResponse
} from '../../kafka-protocol/messages/transactions.ts'
import type { Handler } from '../context.ts'
import { errorCodeOf, fencedCodeOf } from '../error-map.ts'
import { offsetAnswers, offsetsOf } from './offsets.ts'

const INIT_KNOWS_FENCED_FROM = 4
const OTHERS_KNOW_FENCED_FROM = 2

export const handleInitProducerId: Handler<InitProducerIdRequest, InitProducerIdResponse> = async (request, { broker, apiVersion }) => {
  const { transactionalId, transactionTimeoutMs: timeoutMs, producerId, producerEpoch } = request
  // without a transactional id what the client says it was does not matter: some send zeros
  const expected = transactionalId !== null && producerId >= 0n ? { producerId, producerEpoch } : null
  const answer = await broker.transactions.initProducer({ transactionalId, timeoutMs, expected })
  const errorCode = fencedCodeOf(answer.fault, { version: apiVersion, knownFrom: INIT_KNOWS_FENCED_FROM })
  return { errorCode, producerId: answer.producerId, producerEpoch: answer.producerEpoch }
}

export const handleAddPartitionsToTxn: Handler<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse> = async (
  request,
  { broker, apiVersion }
) => {
  const partitions: Partition[] = []
  const wrong = new Map<string, FaultName>()
  for (const { name, partitions: indexes } of request.topics) {
    for (const index of indexes) {
      const producers = broker.producers.find(name, index)
      if (!producers) wrong.set(`${name}/${index}`, 'UNKNOWN_TOPIC_OR_PARTITION')
      else if (broker.topics.isReserved(name)) wrong.set(`${name}/${index}`, 'INVALID_TOPIC_EXCEPTION')
      else partitions.push(producers.partition)
    }
  }
  const fault: FaultName =
    wrong.size > 0 ? 'OPERATION_NOT_ATTEMPTED' : await broker.transactions.addPartitions(request.transactionalId, request, partitions)
  const code = fencedCodeOf(fault, { version: apiVersion, knownFrom: OTHERS_KNOW_FENCED_FROM })
  const codeAt = (place: string): number => {
    const own = wrong.get(place)
    return own === undefined ? code : errorCodeOf(own)
  }
  return {
    resultsByTopic: request.topics.map(({ name, partitions: indexes }) => ({
      name,
      resultsByPartition: indexes.map((partitionIndex) => ({ partitionIndex, partitionErrorCode: codeAt(`${name}/${partitionIndex}`) }))
    }))
  }
}

export const handleAddOffsetsToTxn: Handler<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse> = async (request, { broker, apiVersion }) => {
  const isGroup = request.groupId !== '' && broker.committedOffsets.canStore(request.groupId)
  const fault = isGroup ? await broker.transactions.addGroup(request.transactionalId, request, request.groupId) : 'INVALID_GROUP_ID'
  return { errorCode: fencedCodeOf(fault, { version: apiVersion, knownFrom: OTHERS_KNOW_FENCED_FROM }) }
}

export const handleTxnOffsetCommit: Handler<TxnOffsetCommitRequest, TxnOffsetCommitResponse> = async (request, { broker }) => {
  const { transactionalId, groupId, memberId, groupInstanceId, generationId, topics } = request
  const { offsets, faultAt } = offsetsOf(broker, groupId, topics)
  let fault = broker.groups.checkCommit(groupId, { memberId, groupInstanceId, generationId }, { isTransactional: true })
  if (fault === 'NONE') fault = await broker.transactions.addOffsets(transactionalId, request, groupId, offsets)
  return { topics: offsetAnswers(topics, faultAt, fault === 'PRODUCER_FENCED' ? 'INVALID_PRODUCER_EPOCH' : fault) }
}

export const handleEndTxn: Handler<EndTxnRequest, EndTxnResponse> = async (request, { broker, apiVersion }) => {
  const fault = await broker.transactions.end(request.transactionalId, request, request.committed ? 'commit' : 'abort')
  return { errorCode: fencedCodeOf(fault, { version: apiVersion, knownFrom: OTHERS_KNOW_FENCED_FROM }) }
}

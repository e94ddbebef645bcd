// Produce: batches into the log. Every answer follows the sync, whatever acks says: durability costs one group commit, not a choice.

import type { AppendOutcome, BatchToAppend } from '../../../runtime/broker/appends.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type { ProducePartitionResponse, ProduceRequest, ProduceResponse } from '../../kafka-protocol/messages/produce.ts'
import { ConnectionRefusal, type Handler } from '../context.ts'
import { errorCodeOf } from '../error-map.ts'

const ACKS = new Set([-1, 0, 1])
const ZSTD_FROM = 7

export const handleProduce: Handler<ProduceRequest, ProduceResponse> = async (request, { broker, apiVersion }) => {
  const places = request.topicData.flatMap(({ name, partitionData }) => partitionData.map(({ index }) => ({ name, index })))
  const batches: BatchToAppend[] = request.topicData.flatMap(({ name, partitionData }) =>
    partitionData.map(({ index, records }) => ({ topicName: name, partitionIndex: index, records }))
  )
  const outcomes: readonly AppendOutcome[] = ACKS.has(request.acks)
    ? await broker.appends.append(batches, { isZstdAllowed: apiVersion >= ZSTD_FROM, hasTransactionalId: request.transactionalId !== null })
    : places.map(() => ({ fault: 'INVALID_REQUIRED_ACKS', message: `acks ${request.acks}`, baseOffset: -1, logStartOffset: -1 }))
  if (request.acks === 0) {
    const refused = outcomes.find((outcome) => outcome.fault !== 'NONE')
    if (refused) throw new ConnectionRefusal('refused', `acks=0 and ${refused.fault}: ${refused.message}`)
    return null
  }
  let at = 0
  return {
    responses: request.topicData.map(({ name, partitionData }) => ({
      name,
      partitionResponses: partitionData.map(({ index }) => answerOf(index, outcomes[at++] as AppendOutcome))
    }))
  }
}

function answerOf(index: number, outcome: AppendOutcome): Draft<ProducePartitionResponse> {
  const { fault, baseOffset, logStartOffset, message } = outcome
  return { index, errorCode: errorCodeOf(fault), baseOffset, logStartOffset, errorMessage: message }
}

// Produce: batches into the log. Every answer follows the sync, whatever acks says: durability costs one group commit, not a choice.
// The batches are queued, or have their turn, before the handler returns: a connection goes on to its next Produce then (dispatch.ts, overlaps).

import type { AppendOutcome } from '../../../runtime/broker/append-outcome.ts'
import type { AppendOptions, BatchToAppend } from '../../../runtime/broker/appends.ts'
import type { Broker } from '../../../runtime/broker/broker.ts'
import type { FaultName } from '../../../runtime/broker/fault.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type { ProducePartitionResponse, ProduceRequest, ProduceResponse } from '../../kafka-protocol/messages/produce.ts'
import { ConnectionRefusal, type Handler } from '../context.ts'
import { errorCodeOf } from '../error-map.ts'

const ACKS = new Set([-1, 0, 1])
const ZSTD_FROM = 7

export const handleProduce: Handler<ProduceRequest, ProduceResponse> = async (request, { broker, apiVersion, connectionId }) => {
  const batches: BatchToAppend[] = request.topicData.flatMap(({ name, partitionData }) =>
    partitionData.map(({ index, records }) => ({ topicName: name, partitionIndex: index, records }))
  )
  const outcomes: readonly AppendOutcome[] = ACKS.has(request.acks)
    ? await appendAll(broker, batches, {
        isZstdAllowed: apiVersion >= ZSTD_FROM,
        hasTransactionalId: request.transactionalId !== null,
        client: String(connectionId)
      })
    : batches.map(() => refused('INVALID_REQUIRED_ACKS', `acks ${request.acks}`))
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

/** One outcome per batch, in order. */
async function appendAll(broker: Broker, batches: readonly BatchToAppend[], options: AppendOptions): Promise<readonly AppendOutcome[]> {
  const isTaken = ({ topicName }: BatchToAppend): boolean => !broker.topics.isReserved(topicName)
  const outcomes = [...(await broker.appends.append(batches.filter(isTaken), options))].reverse()
  return batches.map((batch) =>
    isTaken(batch)
      ? (outcomes.pop() as AppendOutcome)
      : refused('INVALID_TOPIC_EXCEPTION', `the topic ${batch.topicName} is written by the gateway only`)
  )
}

function refused(fault: FaultName, message: string): AppendOutcome {
  return { fault, message, baseOffset: -1, logStartOffset: -1, appendTimeMs: null }
}

function answerOf(index: number, outcome: AppendOutcome): Draft<ProducePartitionResponse> {
  const { fault, baseOffset, logStartOffset, appendTimeMs, message, records = [] } = outcome
  const recordErrors = records.map((record) => ({ batchIndex: record.index, batchIndexErrorMessage: record.message }))
  const times = appendTimeMs === null ? {} : { logAppendTimeMs: appendTimeMs }
  return { index, errorCode: errorCodeOf(fault), baseOffset, logStartOffset, recordErrors, errorMessage: message, ...times }
}

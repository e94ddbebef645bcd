// Was a batch that we wrote committed? Asked when the position in the cluster has expired and only the data itself can tell.

import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import { api } from '../kafka-protocol/apis.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'
import type { FetchPartitionResponse } from '../kafka-protocol/messages/fetch.ts'
import type { Cluster } from './cluster.ts'
import { checkCode, KafkaErrorAnswer, readOnly } from './faults.ts'

const READ_COMMITTED = 1
/** From 13 on topics are named by id; 12 tells everything needed. */
const FETCH_VERSION_MAX = 12
/** Kafka sends the first batch whole, whatever the limits. */
const BYTES_MAX = 1

export interface ProbeTarget {
  readonly topicName: string
  readonly partitionIndex: number
  readonly baseOffset: number
  readonly producerId: bigint
}

/** @throws KafkaErrorAnswer (retriable while a transaction is still open in front of the batch) | UpstreamFault */
export async function probe(cluster: Cluster, target: ProbeTarget): Promise<'committed' | 'aborted' | 'unknown'> {
  const { topicName, partitionIndex, baseOffset, producerId } = target
  if (!cluster.leaderOf(topicName, partitionIndex)) await cluster.refresh([topicName])
  const leader = cluster.leaderOf(topicName, partitionIndex)
  const subject = `Fetch of ${topicName}/${partitionIndex} at ${baseOffset}`
  if (!leader) throw new KafkaErrorAnswer(ERROR_CODE.LEADER_NOT_AVAILABLE, subject)
  const connection = await cluster.at(leader)
  const partitions = [{ partition: partitionIndex, fetchOffset: baseOffset, partitionMaxBytes: BYTES_MAX }]
  const draft = { isolationLevel: READ_COMMITTED, maxBytes: BYTES_MAX, topics: [{ topic: topicName, partitions }] }
  const answer = await readOnly(connection.request(api.Fetch, () => draft, { versionMax: FETCH_VERSION_MAX }))
  checkCode(answer.errorCode, subject)
  const partition = answer.responses[0]?.partitions[0]
  if (!partition || partition.errorCode === ERROR_CODE.OFFSET_OUT_OF_RANGE) return 'unknown'
  checkCode(partition.errorCode, subject)
  return judge(partition, { baseOffset, producerId, subject })
}

function judge(
  partition: FetchPartitionResponse,
  { baseOffset, producerId, subject }: { baseOffset: number; producerId: bigint; subject: string }
) {
  if (baseOffset >= partition.highWatermark) return 'unknown'
  if (baseOffset >= partition.lastStableOffset) throw new KafkaErrorAnswer(ERROR_CODE.OFFSET_NOT_AVAILABLE, subject)
  const first = partition.records === null ? null : readBatchHeader(partition.records)
  if (!first || first.baseOffset !== baseOffset || first.producerId !== producerId) return 'unknown'
  const isAborted = partition.abortedTransactions?.some((aborted) => aborted.producerId === producerId && aborted.firstOffset <= baseOffset)
  return isAborted ? 'aborted' : 'committed'
}

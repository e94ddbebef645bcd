// Reads what is committed in a partition of the cluster, from an offset on: aborted batches and markers are left out, as a read_committed consumer does.
// Asked when the position in the cluster has expired and only the data itself can tell what was delivered.
// Source: Apache Kafka, Fetcher (CompletedFetch.java). Not for: opening batches (runtime/uplink/look-back.ts).

import { CONTROL_BIT, readBatchHeader, TRANSACTIONAL_BIT } from '../../runtime/core/batch-header.ts'
import type { CommittedRead } from '../../runtime/uplink/upstream.ts'
import { api } from '../kafka-protocol/apis.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'
import type { FetchPartitionResponse } from '../kafka-protocol/messages/fetch.ts'
import type { Cluster } from './cluster.ts'
import type { Connection } from './connection.ts'
import { isOfTopicAtLeader, joinAnswers, type KafkaErrorAnswer, readOnly } from './faults.ts'

const READ_COMMITTED = 1
/** From 13 on topics are named by id; 12 tells everything needed. */
const FETCH_VERSION_MAX = 12
const EARLIEST = -2

export interface ReadFrom {
  readonly topicName: string
  readonly partitionIndex: number
  readonly fromOffset: number
  readonly bytesMax: number
}

/** @throws KafkaErrorAnswer of the topic (retriable while a transaction is still open in front of the end) | UpstreamFault */
export async function readCommitted(cluster: Cluster, from: ReadFrom): Promise<CommittedRead> {
  const { topicName, partitionIndex, fromOffset, bytesMax } = from
  if (!cluster.leaderOf(topicName, partitionIndex)) await cluster.refresh([topicName])
  const leader = cluster.leaderOf(topicName, partitionIndex)
  const subject = `Fetch of ${topicName}/${partitionIndex} at ${fromOffset}`
  if (!leader) throw answerOf(topicName, ERROR_CODE.LEADER_NOT_AVAILABLE, subject)
  const connection = await cluster.at(leader)
  const partitions = [{ partition: partitionIndex, fetchOffset: fromOffset, partitionMaxBytes: bytesMax }]
  const draft = { isolationLevel: READ_COMMITTED, maxBytes: bytesMax, topics: [{ topic: topicName, partitions }] }
  const answer = await readOnly(connection.request(api.Fetch, () => draft, { versionMax: FETCH_VERSION_MAX }))
  if (answer.errorCode !== 0) throw answerOf(topicName, answer.errorCode, subject)
  const partition = answer.responses[0]?.partitions[0]
  if (!partition) throw answerOf(topicName, ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION, subject)
  if (partition.errorCode === ERROR_CODE.OFFSET_OUT_OF_RANGE) return outside(connection, from, subject)
  if (partition.errorCode !== 0) throw answerOf(topicName, partition.errorCode, subject)
  return committedOf(partition, from, subject)
}

/** In front of what is left: it goes on there. Behind the end: the topic was made anew, or the cluster lost its end. */
async function outside(
  connection: Connection,
  { topicName, partitionIndex, fromOffset }: ReadFrom,
  subject: string
): Promise<CommittedRead> {
  const draft = {
    isolationLevel: READ_COMMITTED,
    topics: [{ name: topicName, partitions: [{ partitionIndex, timestamp: EARLIEST }] }]
  }
  const answer = await readOnly(connection.request(api.ListOffsets, () => draft))
  const found = answer.topics[0]?.partitions[0]
  if (!found) throw answerOf(topicName, ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION, subject)
  if (found.errorCode !== 0) throw answerOf(topicName, found.errorCode, `ListOffsets of ${topicName}/${partitionIndex}`)
  const isInFront = found.offset > fromOffset
  return { batches: [], nextOffset: isInFront ? found.offset : fromOffset, isEnd: !isInFront, isDeleted: true }
}

/** It is about this topic; whoever reads several goes on with the others. */
function answerOf(topicName: string, code: number, subject: string): KafkaErrorAnswer {
  return joinAnswers([{ topicName, code, subject }], isOfTopicAtLeader)
}

function committedOf(partition: FetchPartitionResponse, { topicName, fromOffset }: ReadFrom, subject: string): CommittedRead {
  const { records, highWatermark, lastStableOffset } = partition
  const aborted = [...(partition.abortedTransactions ?? [])].sort((a, b) => a.firstOffset - b.firstOffset)
  const abortedNow = new Set<bigint>()
  const batches: Uint8Array[] = []
  let nextOffset = fromOffset
  for (let at = 0; records !== null && at < records.byteLength; ) {
    const header = readBatchHeader(records.subarray(at))
    if (!header || at + header.batchBytes > records.byteLength) break // cut by the size of the answer
    const batch = records.subarray(at, at + header.batchBytes)
    at += header.batchBytes
    nextOffset = header.lastOffset + 1
    while (aborted[0] && aborted[0].firstOffset <= header.lastOffset)
      abortedNow.add((aborted.shift() as (typeof aborted)[number]).producerId)
    if ((header.attributes & CONTROL_BIT) !== 0) abortedNow.delete(header.producerId)
    else if ((header.attributes & TRANSACTIONAL_BIT) === 0 || !abortedNow.has(header.producerId)) batches.push(batch)
  }
  const isAtStable = nextOffset >= lastStableOffset || nextOffset === fromOffset
  if (isAtStable && lastStableOffset < highWatermark && batches.length === 0)
    throw answerOf(topicName, ERROR_CODE.OFFSET_NOT_AVAILABLE, `${subject} (a transaction is open)`)
  return { batches, nextOffset, isEnd: nextOffset >= highWatermark, isDeleted: false }
}

// CreatePartitions, DeleteRecords and DescribeTopicPartitions.

import type { Offset } from '../../../runtime/base/offset.ts'
import { topicNameFault } from '../../../runtime/base/topic-names.ts'
import { BrokerFault } from '../../../runtime/broker/fault.ts'
import type { Topic } from '../../../runtime/log/contract.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type {
  CreatePartitionsRequest,
  CreatePartitionsResponse,
  DeleteRecordsRequest,
  DeleteRecordsResponse,
  DescribedTopic,
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponse
} from '../../kafka-protocol/messages/topics.ts'
import { Breaths } from '../breaths.ts'
import { ConnectionRefusal, type Handler, type RequestContext } from '../context.ts'
import { distinct, distinctPlaces, repeated } from '../distinct.ts'
import { errorCodeOf, refusalOf } from '../error-map.ts'
import { TOPIC_OPERATIONS } from '../operations.ts'
import { topicIdOf, ZERO_TOPIC_ID } from '../topic-id.ts'

/** DeleteRecords: up to the high watermark. */
const TO_THE_END = -1
const NO_OFFSET = -1
/** Kafka's max.request.partition.size.limit. */
const DESCRIBED_PARTITIONS_MAX = 2000
const PARTITION_BYTES = 48
const TOPIC_BYTES = 48

type AskedTopic = CreatePartitionsRequest['topics'][number]
type GrownTopic = Draft<CreatePartitionsResponse['results'][number]>

/** One behind the other. A topic that cannot be altered does not keep the others. */
export const handleCreatePartitions: Handler<CreatePartitionsRequest, CreatePartitionsResponse> = async (request, context) => {
  const twice = repeated(request.topics, ({ name }) => name)
  const results: GrownTopic[] = []
  const breaths = new Breaths()
  for (const asked of distinct(request.topics, ({ name }) => name)) {
    await breaths.next()
    const { name } = asked
    try {
      if (twice.has(name)) throw new BrokerFault('INVALID_REQUEST', 'the topic is named twice')
      checkAssignments(asked, context)
      await context.broker.topics.grow(name, asked.count, request)
      results.push({ name, errorCode: 0, errorMessage: null })
    } catch (error) {
      results.push({ name, ...refusalOf(error) })
    }
  }
  return { results }
}

/** @throws BrokerFault INVALID_REPLICA_ASSIGNMENT */
function checkAssignments({ name, count, assignments }: AskedTopic, { broker, node }: RequestContext): void {
  const known = broker.topics.find(name)?.partitions.length
  if (assignments === null || known === undefined || count <= known) return
  const isOurs = assignments.every(({ brokerIds }) => brokerIds.length === 1 && brokerIds[0] === node.nodeId)
  if (assignments.length === count - known && isOurs) return
  const words = `${count - known} new partition(s) live on node ${node.nodeId}: one assignment of it for each, or none at all`
  throw new BrokerFault('INVALID_REPLICA_ASSIGNMENT', words)
}

type TrimmedPartition = Draft<DeleteRecordsResponse['topics'][number]['partitions'][number]>

export const handleDeleteRecords: Handler<DeleteRecordsRequest, DeleteRecordsResponse> = async (request, context) => {
  const asked = distinctPlaces(
    request.topics,
    ({ name }) => name,
    ({ partitionIndex }) => partitionIndex
  )
  const topics: Draft<DeleteRecordsResponse['topics'][number]>[] = []
  const breaths = new Breaths()
  for (const { name, partitions } of asked) {
    const answers: TrimmedPartition[] = []
    for (const { partitionIndex, offset } of partitions) {
      await breaths.next()
      answers.push(await trim({ name, partitionIndex, offset }, context))
    }
    topics.push({ name, partitions: answers })
  }
  return { topics }
}

async function trim(
  { name, partitionIndex, offset }: { name: string; partitionIndex: number; offset: number },
  { broker }: RequestContext
): Promise<TrimmedPartition> {
  try {
    const partition = broker.topics.find(name)?.partitions[partitionIndex]
    if (!partition) throw new BrokerFault('UNKNOWN_TOPIC_OR_PARTITION', `there is no ${name}-${partitionIndex}`)
    if (offset < TO_THE_END) throw new BrokerFault('OFFSET_OUT_OF_RANGE', `there is no offset ${offset}`)
    const until = offset === TO_THE_END ? null : (offset as Offset)
    return { partitionIndex, lowWatermark: await broker.topics.deleteRecords(partition, until), errorCode: 0 }
  } catch (error) {
    return { partitionIndex, lowWatermark: NO_OFFSET, errorCode: refusalOf(error).errorCode }
  }
}

/** By name, so many partitions at the most; a cursor says where the next answer goes on. */
export const handleDescribeTopicPartitions: Handler<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse> = async (
  { topics: asked, responsePartitionLimit, cursor },
  context
) => {
  if (cursor && cursor.partitionIndex < 0) throw new ConnectionRefusal('refused', 'a cursor at a partition below 0')
  const { broker } = context
  const all = asked.length > 0 ? asked.map(({ name }) => name) : broker.topics.list().map(({ name }) => name)
  const names = distinct(cursor ? [...all, cursor.topicName] : all, (name) => name)
    .filter((name) => cursor === null || name >= cursor.topicName)
    .sort()
  let left = Math.min(Math.max(1, responsePartitionLimit), DESCRIBED_PARTITIONS_MAX)
  await context.reserveAnswer(names.reduce((sum, name) => sum + name.length + TOPIC_BYTES, left * PARTITION_BYTES))
  const topics: Draft<DescribedTopic>[] = []
  const breaths = new Breaths()
  for (const name of names) {
    await breaths.next()
    const topic = broker.topics.find(name)
    if (!topic) {
      const fault = topicNameFault(name) ? 'INVALID_TOPIC_EXCEPTION' : 'UNKNOWN_TOPIC_OR_PARTITION'
      topics.push({ errorCode: errorCodeOf(fault), name, topicId: ZERO_TOPIC_ID })
      continue
    }
    const from = name === cursor?.topicName ? cursor.partitionIndex : 0
    if (left === 0) return { topics, nextCursor: { topicName: name, partitionIndex: from } }
    const until = Math.min(topic.partitions.length, from + left)
    topics.push(describe(topic, { from, until }, context))
    left -= Math.max(0, until - from)
    if (until < topic.partitions.length) return { topics, nextCursor: { topicName: name, partitionIndex: until } }
  }
  return { topics, nextCursor: null }
}

function describe(topic: Topic, { from, until }: { from: number; until: number }, { broker, node }: RequestContext): Draft<DescribedTopic> {
  const replicas = [node.nodeId]
  return {
    errorCode: 0,
    name: topic.name,
    topicId: topicIdOf(topic),
    isInternal: broker.topics.isReserved(topic.name),
    partitions: topic.partitions.slice(from, until).map(({ partitionIndex }) => ({
      errorCode: 0,
      partitionIndex,
      leaderId: node.nodeId,
      leaderEpoch: broker.leaderEpochs.current,
      replicaNodes: replicas,
      isrNodes: replicas,
      eligibleLeaderReplicas: [],
      lastKnownElr: []
    })),
    topicAuthorizedOperations: TOPIC_OPERATIONS
  }
}

// Metadata: one node that leads everything, and the topics asked for, made on demand when that is allowed.

import type { Topic } from '../../../runtime/log/contract.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type { MetadataRequest, MetadataResponse, MetadataTopic } from '../../kafka-protocol/messages/metadata.ts'
import { Breaths } from '../breaths.ts'
import type { Handler, RequestContext } from '../context.ts'
import { distinct } from '../distinct.ts'
import { errorCodeOf, refusalOf } from '../error-map.ts'
import { CLUSTER_OPERATIONS, TOPIC_OPERATIONS } from '../operations.ts'
import { topicIdOf, ZERO_TOPIC_ID } from '../topic-id.ts'

const TOPIC_BYTES = 40
const PARTITION_BYTES = 40

export const handleMetadata: Handler<MetadataRequest, MetadataResponse> = async (request, context) => {
  const { node, clusterId, broker, apiVersion } = context
  const isAll = request.topics === null || (apiVersion === 0 && request.topics.length === 0)
  const topics: Draft<MetadataTopic>[] = []
  const asked = distinct(request.topics ?? [], ({ name, topicId }) => `${name ?? ''}/${topicId}`)
  await context.reserveAnswer(
    isAll ? bytesOf(broker.topics.list()) : bytesOf(asked.flatMap(({ name }) => broker.topics.find(name ?? '') ?? []))
  )
  if (isAll) topics.push(...broker.topics.list().map((topic) => describe(topic, request, context)))
  else {
    const breaths = new Breaths()
    for (const one of asked) {
      await breaths.next()
      topics.push(await lookUp(one, request, context))
    }
  }
  return {
    brokers: [{ nodeId: node.nodeId, host: node.host, port: node.port }],
    clusterId,
    controllerId: node.nodeId,
    topics,
    ...(request.includeClusterAuthorizedOperations && { clusterAuthorizedOperations: CLUSTER_OPERATIONS })
  }
}

/** About what the answer takes. */
function bytesOf(topics: readonly Topic[]): number {
  return topics.reduce((sum, { name, partitions }) => sum + name.length + TOPIC_BYTES + partitions.length * PARTITION_BYTES, 0)
}

async function lookUp(
  asked: { topicId: string; name: string | null },
  request: MetadataRequest,
  context: RequestContext
): Promise<Draft<MetadataTopic>> {
  const { broker, autoCreateTopics, apiVersion } = context
  if (asked.name === null) {
    const known = broker.topics.findById(Buffer.from(asked.topicId, 'hex'))
    if (known) return describe(known, request, context)
    return { errorCode: errorCodeOf('UNKNOWN_TOPIC_ID'), name: apiVersion >= 12 ? null : '', topicId: asked.topicId }
  }
  const { name } = asked
  try {
    const { topics } = broker
    const topic = !request.allowAutoTopicCreation ? topics.find(name) : autoCreateTopics ? await topics.ensure(name) : topics.findOnly(name)
    return topic
      ? describe(topic, request, context)
      : { errorCode: errorCodeOf('UNKNOWN_TOPIC_OR_PARTITION'), name, topicId: ZERO_TOPIC_ID }
  } catch (error) {
    return { errorCode: refusalOf(error).errorCode, name, topicId: ZERO_TOPIC_ID }
  }
}

function describe(topic: Topic, request: MetadataRequest, { node: { nodeId }, broker }: RequestContext): Draft<MetadataTopic> {
  const partitions = topic.partitions.map((partition) => ({
    errorCode: 0,
    partitionIndex: partition.partitionIndex,
    leaderId: nodeId,
    leaderEpoch: broker.leaderEpochs.current,
    replicaNodes: [nodeId],
    isrNodes: [nodeId]
  }))
  return {
    errorCode: 0,
    name: topic.name,
    topicId: topicIdOf(topic),
    isInternal: broker.topics.isReserved(topic.name),
    partitions,
    ...(request.includeTopicAuthorizedOperations && { topicAuthorizedOperations: TOPIC_OPERATIONS })
  }
}

// CreateTopics and DeleteTopics, for one node: replication factor 1, replicas where we are.

import type { Broker } from '../../../runtime/broker/broker.ts'
import { BrokerFault, type FaultName } from '../../../runtime/broker/fault.ts'
import type { NewTopic } from '../../../runtime/broker/topics.ts'
import { defaultTopicConfig } from '../../../runtime/log/contract.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type {
  CreateTopicsRequest,
  CreateTopicsResponse,
  DeleteTopicsRequest,
  DeleteTopicsResponse
} from '../../kafka-protocol/messages/topics.ts'
import { Breaths } from '../breaths.ts'
import { topicConfigs } from '../configs.ts'
import type { Handler, RequestContext } from '../context.ts'
import { distinct, repeated } from '../distinct.ts'
import { errorCodeOf, refusalOf } from '../error-map.ts'
import { topicIdOf, ZERO_TOPIC_ID } from '../topic-id.ts'

type AskedTopic = CreateTopicsRequest['topics'][number]
type CreatedTopic = Draft<CreateTopicsResponse['topics'][number]>

export const handleCreateTopics: Handler<CreateTopicsRequest, CreateTopicsResponse> = async (request, context) => {
  const topics: CreatedTopic[] = []
  const twice = repeated(request.topics, ({ name }) => name)
  const breaths = new Breaths()
  for (const asked of request.topics) {
    await breaths.next()
    topics.push(
      twice.has(asked.name)
        ? refused(asked.name, { errorCode: errorCodeOf('INVALID_REQUEST'), errorMessage: 'the topic is named twice' })
        : await createOne(asked, request.validateOnly, context)
    )
  }
  return { topics }
}

async function createOne(asked: AskedTopic, validateOnly: boolean, { broker, node }: RequestContext): Promise<CreatedTopic> {
  const { name } = asked
  try {
    const topic: NewTopic = {
      name,
      partitionCount: asked.assignments.length > 0 ? assignedCount(asked, node.nodeId) : asked.numPartitions,
      replicationFactor: asked.replicationFactor,
      settings: new Map(asked.configs.map((config) => [config.name, config.value]))
    }
    const created = validateOnly ? null : await broker.topics.create(topic)
    const made = created ?? { config: { ...defaultTopicConfig, ...broker.topics.check(topic).config } }
    return {
      name,
      topicId: created ? topicIdOf(created) : ZERO_TOPIC_ID,
      errorCode: 0,
      errorMessage: null,
      numPartitions: made.config.partitionCount,
      replicationFactor: 1,
      configs: topicConfigs(made, broker.settings).map(({ name, value, configSource, readOnly }) => ({
        name,
        value,
        configSource,
        readOnly,
        isSensitive: false
      }))
    }
  } catch (error) {
    return refused(name, refusalOf(error))
  }
}

/** @throws BrokerFault INVALID_REPLICA_ASSIGNMENT, INVALID_REQUEST */
function assignedCount({ assignments, numPartitions, replicationFactor }: AskedTopic, nodeId: number): number {
  if (numPartitions !== -1 || replicationFactor !== -1)
    throw new BrokerFault('INVALID_REQUEST', 'an assignment and a count cannot be given together')
  const indexes = new Set(assignments.map((assignment) => assignment.partitionIndex))
  const isDense = indexes.size === assignments.length && assignments.every((_, index) => indexes.has(index))
  const isOurs = assignments.every(({ brokerIds }) => brokerIds.length === 1 && brokerIds[0] === nodeId)
  if (!isDense || !isOurs) throw new BrokerFault('INVALID_REPLICA_ASSIGNMENT', `partitions are numbered from 0 and live on node ${nodeId}`)
  return assignments.length
}

function refused(name: string, refusal: ReturnType<typeof refusalOf>): CreatedTopic {
  return { name, topicId: ZERO_TOPIC_ID, ...refusal, configs: [] }
}

type DeletedTopic = Draft<DeleteTopicsResponse['responses'][number]>

/** One behind the other. A topic that cannot be deleted does not keep the others. */
export const handleDeleteTopics: Handler<DeleteTopicsRequest, DeleteTopicsResponse> = async (request, { broker, apiVersion }) => {
  const asked: DeleteTopicsRequest['topics'] =
    apiVersion >= 6 ? request.topics : request.topicNames.map((name) => ({ name, topicId: ZERO_TOPIC_ID }))
  const responses: DeletedTopic[] = []
  for (const one of distinct(asked, ({ name, topicId }) => `${name ?? ''}/${topicId}`)) responses.push(await deleteOne(one, broker))
  return { responses }
}

async function deleteOne({ name, topicId }: DeleteTopicsRequest['topics'][number], broker: Broker): Promise<DeletedTopic> {
  const refusal = (fault: FaultName, errorMessage: string): DeletedTopic => ({ name, topicId, errorCode: errorCodeOf(fault), errorMessage })
  if ((name === null) === (topicId === ZERO_TOPIC_ID)) return refusal('INVALID_REQUEST', 'a topic is named by its name or by its id')
  const topic = name === null ? broker.topics.findById(Buffer.from(topicId, 'hex')) : broker.topics.find(name)
  if (!topic) return refusal(name === null ? 'UNKNOWN_TOPIC_ID' : 'UNKNOWN_TOPIC_OR_PARTITION', 'there is no such topic')
  try {
    await broker.topics.delete(topic)
    return { name: topic.name, topicId: topicIdOf(topic), errorCode: 0, errorMessage: null }
  } catch (error) {
    return { name, topicId, ...refusalOf(error) }
  }
}

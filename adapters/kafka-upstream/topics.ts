// Partition counts and limits of topics, and making the ones that are missing.

import type { UpstreamTopic } from '../../runtime/uplink/upstream.ts'
import { api } from '../kafka-protocol/apis.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'
import type { MetadataTopic } from '../kafka-protocol/messages/metadata.ts'
import type { Cluster } from './cluster.ts'
import { checkTopics, KafkaErrorAnswer, readOnly, type TopicAnswer, textOf } from './faults.ts'

/** Kafka's default of max.message.bytes, used where the cluster does not let us read its settings. */
const BATCH_BYTES_MAX_DEFAULT = 1_048_588
const RESOURCE_TOPIC = 2
const LIMIT_CONFIG = 'max.message.bytes'
const CLUSTER_DEFAULT = -1

export interface MissingTopics {
  /** null = may not be created. */
  readonly createPartitionCount: number | null
  readonly timeoutMs: number
}

/** Whatever the cluster says of a topic is about that topic: the others are asked for without it. */
const isOfTopic = (): boolean => true

/** @throws KafkaErrorAnswer, which names the topics that are the reason | UpstreamFault */
export async function describeTopics(
  cluster: Cluster,
  names: readonly string[],
  missing: MissingTopics
): Promise<readonly UpstreamTopic[]> {
  if (names.length === 0) return []
  const topics = await cluster.refresh(names)
  const absent = topics.filter((topic) => topic.errorCode === ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION).map((topic) => topic.name ?? '')
  if (absent.length > 0) {
    if (missing.createPartitionCount === null) throw new MissingTopicAnswer(absent)
    await createTopics(cluster, absent, missing.createPartitionCount, missing.timeoutMs)
    // Kafka tells its brokers of a new topic in its own time.
    const made = absent.map((name) => ({
      topicName: name,
      code: ERROR_CODE.LEADER_NOT_AVAILABLE,
      subject: `topic ${name} has just been created`
    }))
    checkTopics(made, isOfTopic)
  }
  checkTopics(
    topics.map(({ name, errorCode }) => ({ topicName: name ?? '', code: errorCode, subject: `topic ${name}` })),
    isOfTopic
  )
  const limits = await readLimits(cluster, names)
  return names.map((name) => describe(name, topics, limits))
}

/** Retriable for Kafka, because it may be a stale view; for us the final word. */
class MissingTopicAnswer extends KafkaErrorAnswer {
  constructor(names: readonly string[]) {
    const code = ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION
    super(code, `topic ${names.join(', ')}`, { topics: new Map(names.map((name) => [name, textOf(code, `topic ${name}`)])) })
  }

  override get isRetriable(): boolean {
    return false
  }
}

function describe(name: string, topics: readonly MetadataTopic[], limits: ReadonlyMap<string, number>): UpstreamTopic {
  const topic = topics.find((candidate) => candidate.name === name)
  if (!topic) throw new KafkaErrorAnswer(ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION, `topic ${name}`)
  return {
    name,
    partitionCount: topic.partitions.length,
    batchBytesMax: limits.get(name) ?? BATCH_BYTES_MAX_DEFAULT,
    topicId: topic.topicId
  }
}

async function createTopics(cluster: Cluster, names: readonly string[], partitionCount: number, timeoutMs: number): Promise<void> {
  const connection = await cluster.controller()
  const answer = await connection.request(api.CreateTopics, () => ({
    topics: names.map((name) => ({ name, numPartitions: partitionCount, replicationFactor: CLUSTER_DEFAULT })),
    timeoutMs
  }))
  const answers = answer.topics.map(({ name, errorCode, errorMessage }): TopicAnswer => {
    const code = errorCode === ERROR_CODE.TOPIC_ALREADY_EXISTS ? 0 : errorCode
    return { topicName: name, code, subject: `CreateTopics ${name}${errorMessage === null ? '' : ` (${errorMessage})`}` }
  })
  checkTopics(answers, isOfTopic)
}

/** Topics whose settings we may not read are left out. */
async function readLimits(cluster: Cluster, names: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const connection = await cluster.any()
  const answer = await readOnly(
    connection.request(api.DescribeConfigs, () => ({
      resources: names.map((name) => ({ resourceType: RESOURCE_TOPIC, resourceName: name, configurationKeys: [LIMIT_CONFIG] }))
    }))
  )
  const limits = new Map<string, number>()
  for (const { errorCode, resourceName, configs } of answer.results) {
    const value = Number(configs.find((config) => config.name === LIMIT_CONFIG)?.value)
    if (errorCode === 0 && Number.isSafeInteger(value) && value > 0) limits.set(resourceName, value)
  }
  return limits
}

// What a Kafka address says of its topics: partitions with their ends, and the settings that are a topic's own.

import { api } from '../adapters/kafka-protocol/apis.ts'
import type { KafkaAdmin, TopicAnswer } from './kafka-admin.ts'
import { EARLIEST, LATEST, offsetsAt, placeWords } from './kafka-places.ts'

const RESOURCE_TOPIC = 2
const SOURCE_TOPIC = 1

export interface KnownPartition {
  readonly partitionIndex: number
  readonly leaderId: number
  readonly startOffset: number
  readonly endOffset: number
}

export interface KnownTopic extends TopicAnswer {
  readonly topicId: string
  readonly partitions: readonly KnownPartition[]
}

/** By name; null = all. One that is not there has an error code. */
export async function topicsOf(admin: KafkaAdmin, names: readonly string[] | null): Promise<KnownTopic[]> {
  const asked = names?.map((name) => ({ name })) ?? null
  const { topics } = await admin.request(api.Metadata, () => ({ topics: asked, allowAutoTopicCreation: false }))
  const there = topics.filter(({ errorCode }) => errorCode === 0)
  const places = there.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex }) => ({ topic: name ?? '', partition: partitionIndex }))
  )
  const [starts, ends] = [await offsetsAt(admin, places, EARLIEST), await offsetsAt(admin, places, LATEST)]
  return topics
    .map(({ name, topicId, errorCode, partitions }) => ({
      name: name ?? '',
      topicId: Buffer.from(topicId, 'hex').toString('base64url'),
      errorCode,
      errorMessage: null,
      partitions: partitions
        .map(({ partitionIndex, leaderId }) => {
          const at = placeWords({ topic: name ?? '', partition: partitionIndex })
          return { partitionIndex, leaderId, startOffset: starts.get(at) ?? 0, endOffset: ends.get(at) ?? 0 }
        })
        .sort((left, right) => left.partitionIndex - right.partitionIndex)
    }))
    .sort((left, right) => (left.name < right.name ? -1 : 1))
}

/** Topic → its settings; those that are at their default only with `isAll`. */
export async function settingsOfTopics(
  admin: KafkaAdmin,
  names: readonly string[],
  { isAll }: { isAll: boolean }
): Promise<ReadonlyMap<string, Readonly<Record<string, string | null>>>> {
  const resources = names.map((resourceName) => ({ resourceType: RESOURCE_TOPIC, resourceName, configurationKeys: null }))
  const { results } = await admin.request(api.DescribeConfigs, () => ({ resources }))
  return new Map(
    results.map(({ resourceName, configs }) => [
      resourceName,
      Object.fromEntries(
        configs.filter(({ configSource }) => isAll || configSource === SOURCE_TOPIC).map(({ name, value }) => [name, value])
      )
    ])
  )
}

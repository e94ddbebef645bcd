// Where consumer groups stand, asked of a gateway over its Kafka port: committed offsets, who reads what. Not for: where partitions end (kafka-places.ts).

import { api } from '../adapters/kafka-protocol/apis.ts'
import { kafkaError } from '../adapters/kafka-protocol/error-codes.ts'
import type { DescribeGroupsResponse } from '../adapters/kafka-protocol/messages/group-admin.ts'
import { WadiError } from '../runtime/base/errors.ts'
import type { KafkaAdmin } from './kafka-admin.ts'
import { byTopic, type Place, placeWords } from './kafka-places.ts'

/** Of many requests or none: what is refused is said once, by its Kafka name. */
export function refusal(what: string, code: number): WadiError {
  return new WadiError('WADI_USAGE', {
    happened: `The gateway refused to ${what}: ${kafkaError(code).name}.`,
    kept: 'Nothing was changed.',
    next: 'docs/kafka.md tells what it means.'
  })
}

export async function committedOffsets(kafka: KafkaAdmin, groupId: string): Promise<(Place & { readonly offset: number })[]> {
  const { groups, topics } = await kafka.request(api.OffsetFetch, (version) =>
    version >= 8 ? { groups: [{ groupId, topics: null }] } : { groupId, topics: null }
  )
  return (groups[0]?.topics ?? topics).flatMap(({ name: topic, partitions }) =>
    partitions.map(({ partitionIndex: partition, committedOffset: offset }) => ({ topic, partition, offset }))
  )
}

/** All partitions of the topics; of one that is not there it is said. @throws WadiError WADI_TOPIC_UNKNOWN */
export async function partitionsOf(kafka: KafkaAdmin, names: readonly string[]): Promise<Place[]> {
  const topics = names.map((name) => ({ name }))
  const answer = await kafka.request(api.Metadata, () => ({ topics, allowAutoTopicCreation: false }))
  return answer.topics.flatMap(({ name, errorCode, partitions }) => {
    if (errorCode === 0) return partitions.map(({ partitionIndex: partition }) => ({ topic: name ?? '', partition }))
    throw new WadiError('WADI_TOPIC_UNKNOWN', {
      happened: `There is no topic "${name}": ${kafkaError(errorCode).name}.`,
      kept: 'Nothing was changed.',
      next: '"wadi topic list" names those that there are.'
    })
  })
}

/** Durable when it resolves. @throws WadiError naming the first fault */
export async function commitOffsets(
  kafka: KafkaAdmin,
  groupId: string,
  offsets: readonly (Place & { readonly offset: number })[]
): Promise<void> {
  const offsetAt = new Map(offsets.map((one) => [placeWords(one), one.offset]))
  const { topics } = await kafka.request(api.OffsetCommit, () => ({
    groupId,
    memberId: '',
    topics: byTopic(offsets).map(([name, partitions]) => ({
      name,
      partitions: partitions.map((partitionIndex) => ({
        partitionIndex,
        committedOffset: offsetAt.get(placeWords({ topic: name, partition: partitionIndex })) ?? 0,
        committedMetadata: ''
      }))
    }))
  }))
  const fault = topics.flatMap(({ partitions }) => partitions).find(({ errorCode }) => errorCode !== 0)
  if (fault) throw refusal(`commit offsets of the group "${groupId}"`, fault.errorCode)
}

export type DescribedGroup = DescribeGroupsResponse['groups'][number]

/** null: there is no such group. */
export async function describeGroup(kafka: KafkaAdmin, groupId: string): Promise<DescribedGroup | null> {
  const { groups } = await kafka.request(api.DescribeGroups, () => ({ groups: [groupId] }))
  const [group] = groups
  if (group?.errorCode !== 0) throw refusal(`describe the group "${groupId}"`, group?.errorCode ?? -1)
  return group.groupState === 'Dead' ? null : group
}

/** Kafka's ConsumerProtocolAssignment, in every version; [] for what is none. */
export function assignedPlaces(assignment: Uint8Array): Place[] {
  const view = new DataView(assignment.buffer, assignment.byteOffset, assignment.byteLength)
  const places: Place[] = []
  let at = 2
  const int32 = (): number => view.getInt32((at += 4) - 4)
  try {
    for (let topics = int32(); topics > 0; topics--) {
      const bytes = view.getInt16(at)
      const topic = Buffer.from(assignment.buffer, assignment.byteOffset + at + 2, bytes).toString()
      at += 2 + bytes
      for (let partitions = int32(); partitions > 0; partitions--) places.push({ topic, partition: int32() })
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return []
  }
  return places
}

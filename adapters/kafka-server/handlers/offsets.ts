// OffsetCommit and OffsetFetch: where groups stand.

import type { Broker } from '../../../runtime/broker/broker.ts'
import { OFFSET_METADATA_CHARACTERS_MAX, type OffsetToCommit } from '../../../runtime/broker/committed-offsets.ts'
import { type FaultName, faultOfStoreError } from '../../../runtime/broker/fault.ts'
import type {
  OffsetCommitRequest,
  OffsetCommitResponse,
  OffsetFetchRequest,
  OffsetFetchResponse
} from '../../kafka-protocol/messages/offsets.ts'
import type { Handler } from '../context.ts'
import { distinct } from '../distinct.ts'
import { errorCodeOf } from '../error-map.ts'

const BATCHED_FROM = 8

interface AskedTopic {
  name: string
  partitions: { partitionIndex: number; committedOffset: number; committedLeaderEpoch: number; committedMetadata: string | null }[]
}

/** Offsets of the request that may be committed, of each place the last one, and the fault of each place that may not. */
export function offsetsOf(
  broker: Broker,
  groupId: string,
  topics: readonly AskedTopic[]
): { offsets: OffsetToCommit[]; faultAt: Map<string, FaultName> } {
  const offsets = new Map<string, OffsetToCommit>()
  const faultAt = new Map<string, FaultName>()
  for (const { name, partitions } of topics) {
    for (const asked of partitions) {
      const { partitionIndex, committedOffset: offset, committedLeaderEpoch: leaderEpoch } = asked
      const metadata = asked.committedMetadata ?? ''
      const place = `${name}/${partitionIndex}`
      if (!broker.producers.find(name, partitionIndex)) faultAt.set(place, 'UNKNOWN_TOPIC_OR_PARTITION')
      else if (metadata.length > OFFSET_METADATA_CHARACTERS_MAX) faultAt.set(place, 'OFFSET_METADATA_TOO_LARGE')
      else offsets.set(place, { groupId, topicName: name, partitionIndex, offset, leaderEpoch, metadata })
    }
  }
  return { offsets: [...offsets.values()], faultAt }
}

/** One answer per place: its own fault, else `common`. */
export function offsetAnswers(
  topics: readonly AskedTopic[],
  faultAt: ReadonlyMap<string, FaultName>,
  common: FaultName
): OffsetCommitResponse['topics'] {
  return topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({
      partitionIndex,
      errorCode: errorCodeOf(common === 'NONE' ? (faultAt.get(`${name}/${partitionIndex}`) ?? 'NONE') : common)
    }))
  }))
}

export const handleOffsetCommit: Handler<OffsetCommitRequest, OffsetCommitResponse> = async (request, { broker }) => {
  const { groupId, memberId, groupInstanceId, generationIdOrMemberEpoch: generationId, topics } = request
  const claim = { memberId, groupInstanceId, generationId }
  const { offsets, faultAt } = offsetsOf(broker, groupId, topics)
  let fault = broker.groups.checkCommit(groupId, claim, { isTransactional: false })
  if (fault === 'NONE' && !broker.committedOffsets.canStore(groupId)) fault = 'INVALID_GROUP_ID'
  if (fault === 'NONE' && offsets.length > 0) {
    try {
      await broker.committedOffsets.commit(offsets)
    } catch (error) {
      fault = faultOfStoreError(error, 'COORDINATOR_NOT_AVAILABLE')
    }
  }
  return { topics: offsetAnswers(topics, faultAt, fault) }
}

type AskedGroup = OffsetFetchRequest['groups'][number]
type FetchedTopics = OffsetFetchResponse['topics']

export const handleOffsetFetch: Handler<OffsetFetchRequest, OffsetFetchResponse> = (request, { broker, apiVersion }) => {
  const { requireStable } = request
  if (apiVersion < BATCHED_FROM) return { errorCode: 0, topics: committedOf(broker, request, requireStable) }
  const groups = distinct(request.groups, ({ groupId }) => groupId).map((group) => ({
    groupId: group.groupId,
    topics: committedOf(broker, group, requireStable),
    errorCode: 0
  }))
  return { groups }
}

function committedOf(broker: Broker, asked: Pick<AskedGroup, 'groupId' | 'topics'>, requireStable: boolean): FetchedTopics {
  const { groupId } = asked
  const topics = distinct(asked.topics ?? allTopicsOf(broker, groupId), ({ name }) => name)
  return topics.map(({ name, partitionIndexes }) => ({
    name,
    partitions: [...new Set(partitionIndexes)].map((partitionIndex) => {
      const isUnstable = requireStable && broker.transactions.hasPendingOffset(groupId, name, partitionIndex)
      const committed = isUnstable ? null : broker.committedOffsets.find(groupId, { topicName: name, partitionIndex })
      return {
        partitionIndex,
        committedOffset: committed?.offset ?? -1,
        committedLeaderEpoch: committed?.leaderEpoch ?? -1,
        metadata: committed?.metadata ?? '',
        errorCode: errorCodeOf(isUnstable ? 'UNSTABLE_OFFSET_COMMIT' : 'NONE')
      }
    })
  }))
}

function allTopicsOf(broker: Broker, groupId: string): { name: string; partitionIndexes: number[] }[] {
  const byName = new Map<string, number[]>()
  for (const { topicName, partitionIndex } of broker.committedOffsets.list(groupId)) {
    byName.set(topicName, [...(byName.get(topicName) ?? []), partitionIndex])
  }
  return [...byName].map(([name, partitionIndexes]) => ({ name, partitionIndexes }))
}

// ListGroups, DescribeGroups, DeleteGroups, OffsetDelete.

import { inParts } from '../../../runtime/base/in-parts.ts'
import type { TopicPartition } from '../../../runtime/broker/committed-offsets.ts'
import { placeKey } from '../../../runtime/broker/committed-offsets.ts'
import type { FaultName } from '../../../runtime/broker/fault.ts'
import type { GroupDescription } from '../../../runtime/broker/group-admin.ts'
import type {
  DeleteGroupsRequest,
  DeleteGroupsResponse,
  DescribeGroupsRequest,
  DescribeGroupsResponse,
  ListGroupsRequest,
  ListGroupsResponse,
  OffsetDeleteRequest,
  OffsetDeleteResponse
} from '../../kafka-protocol/messages/group-admin.ts'
import { Breaths } from '../breaths.ts'
import type { Handler } from '../context.ts'
import { distinct, distinctPlaces } from '../distinct.ts'
import { errorCodeOf } from '../error-map.ts'
import { GROUP_OPERATIONS } from '../operations.ts'

const GROUP_TYPE = 'classic'
/** About what a group, and a member beside its blobs and names, takes in an answer. */
const LISTED_BYTES = 64
const DELETED_AT_ONCE = 100

export const handleListGroups: Handler<ListGroupsRequest, ListGroupsResponse> = async (request, { broker, reserveAnswer }) => {
  const states = lowerCased(request.statesFilter)
  const types = lowerCased(request.typesFilter)
  const isAskedFor = (state: string): boolean =>
    (states.size === 0 || states.has(state.toLowerCase())) && (types.size === 0 || types.has(GROUP_TYPE))
  const groups = broker.groupAdmin
    .list()
    .filter(({ status }) => isAskedFor(status))
    .map(({ groupId, protocolType, status }) => ({ groupId, protocolType, groupState: status, groupType: GROUP_TYPE }))
  await reserveAnswer(groups.reduce((sum, { groupId, protocolType }) => sum + LISTED_BYTES + 3 * (groupId.length + protocolType.length), 0))
  return { errorCode: 0, groups }
}

function lowerCased(words: readonly string[]): ReadonlySet<string> {
  return new Set(words.map((word) => word.toLowerCase()))
}

export const handleDescribeGroups: Handler<DescribeGroupsRequest, DescribeGroupsResponse> = async (request, { broker, reserveAnswer }) => {
  const groups: GroupDescription[] = []
  const breaths = new Breaths()
  let bytes = 0
  for (const groupId of distinct(request.groups, (name) => name)) {
    await breaths.next()
    const group = broker.groupAdmin.describe(groupId)
    bytes += describedBytes(group)
    groups.push(group)
  }
  await reserveAnswer(bytes)
  return {
    groups: groups.map(({ groupId, status, protocolType, protocolName, members }) => ({
      errorCode: 0,
      groupId,
      groupState: status,
      protocolType,
      protocolData: protocolName,
      members: members.map(({ memberId, groupInstanceId, clientId, clientHost, metadata, assignment }) => ({
        memberId,
        groupInstanceId,
        clientId,
        clientHost: `/${clientHost}`, // as Java writes an address
        memberMetadata: metadata,
        memberAssignment: assignment
      })),
      ...(request.includeAuthorizedOperations && { authorizedOperations: GROUP_OPERATIONS })
    }))
  }
}

function describedBytes({ groupId, protocolName, members }: GroupDescription): number {
  return members.reduce(
    (sum, { memberId, groupInstanceId, clientId, metadata, assignment }) =>
      sum +
      LISTED_BYTES +
      3 * (memberId.length + (groupInstanceId?.length ?? 0) + clientId.length) +
      metadata.byteLength +
      assignment.byteLength,
    LISTED_BYTES + 3 * (groupId.length + protocolName.length)
  )
}

/** Many share a commit. A group that cannot be deleted does not keep the others. */
export const handleDeleteGroups: Handler<DeleteGroupsRequest, DeleteGroupsResponse> = async (request, { broker }) => {
  const results: { groupId: string; errorCode: number }[] = []
  for (const part of inParts(
    distinct(request.groupsNames, (name) => name),
    DELETED_AT_ONCE
  )) {
    const faults = await Promise.all(part.map((groupId) => broker.groupAdmin.delete(groupId)))
    results.push(...part.map((groupId, at) => ({ groupId, errorCode: errorCodeOf(faults[at] as FaultName) })))
    await new Promise((resolve) => setImmediate(resolve)) // others are looked at between them
  }
  return { results }
}

export const handleOffsetDelete: Handler<OffsetDeleteRequest, OffsetDeleteResponse> = async (request, { broker }) => {
  const { groupId } = request
  if (groupId === '') return { errorCode: errorCodeOf('INVALID_GROUP_ID'), topics: [] }
  const topics = distinctPlaces(
    request.topics,
    ({ name }) => name,
    ({ partitionIndex }) => partitionIndex
  )
  const unknown = new Set<string>()
  const places: TopicPartition[] = []
  for (const { name: topicName, partitions } of topics) {
    for (const { partitionIndex } of partitions) {
      const place = { topicName, partitionIndex }
      if (broker.producers.find(topicName, partitionIndex)) places.push(place)
      else unknown.add(placeKey(place))
    }
  }
  const { fault, faultAt } = await broker.groupAdmin.deleteOffsets(groupId, places)
  if (fault !== 'NONE') return { errorCode: errorCodeOf(fault), topics: [] }
  const faultOf = (place: string): FaultName => (unknown.has(place) ? 'UNKNOWN_TOPIC_OR_PARTITION' : (faultAt.get(place) ?? 'NONE'))
  return {
    errorCode: 0,
    topics: topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({
        partitionIndex,
        errorCode: errorCodeOf(faultOf(placeKey({ topicName: name, partitionIndex })))
      }))
    }))
  }
}

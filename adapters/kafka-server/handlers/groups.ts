// JoinGroup, SyncGroup, Heartbeat, LeaveGroup: the classic group protocol. Blobs of members are copied: they outlive the request.

import type {
  HeartbeatRequest,
  HeartbeatResponse,
  JoinGroupRequest,
  JoinGroupResponse,
  LeaveGroupRequest,
  LeaveGroupResponse,
  SyncGroupRequest,
  SyncGroupResponse
} from '../../kafka-protocol/messages/groups.ts'
import type { Handler } from '../context.ts'
import { errorCodeOf } from '../error-map.ts'

const KNOWN_MEMBER_ID_FROM = 4
const SKIP_ASSIGNMENT_FROM = 9
const NULLABLE_PROTOCOL_NAME_FROM = 7
const BATCHED_LEAVE_FROM = 3

export const handleJoinGroup: Handler<JoinGroupRequest, JoinGroupResponse> = async (request, context) => {
  const { broker, apiVersion, clientId, clientHost } = context
  const joining = broker.groups.join({
    groupId: request.groupId,
    memberId: request.memberId,
    groupInstanceId: request.groupInstanceId,
    clientId,
    clientHost,
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs < 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs,
    protocolType: request.protocolType,
    protocols: request.protocols.map(({ name, metadata }) => ({ name, metadata: Uint8Array.from(metadata) })),
    requiresKnownMemberId: apiVersion >= KNOWN_MEMBER_ID_FROM,
    knowsSkipAssignment: apiVersion >= SKIP_ASSIGNMENT_FROM
  })
  context.releaseRequest()
  const answer = await joining
  const noName = apiVersion >= NULLABLE_PROTOCOL_NAME_FROM ? null : ''
  return {
    errorCode: errorCodeOf(answer.fault),
    generationId: answer.generationId,
    protocolType: answer.protocolType,
    protocolName: answer.protocolName ?? noName,
    leader: answer.leaderId,
    skipAssignment: answer.skipAssignment,
    memberId: answer.memberId,
    members: answer.members.map((member) => ({ ...member }))
  }
}

export const handleSyncGroup: Handler<SyncGroupRequest, SyncGroupResponse> = async (request, context) => {
  const syncing = context.broker.groups.sync(request.groupId, {
    memberId: request.memberId,
    groupInstanceId: request.groupInstanceId,
    generationId: request.generationId,
    protocolType: request.protocolType,
    protocolName: request.protocolName,
    assignments: new Map(request.assignments.map(({ memberId, assignment }) => [memberId, Uint8Array.from(assignment)]))
  })
  context.releaseRequest()
  const answer = await syncing
  const { protocolType, protocolName, assignment } = answer
  return { errorCode: errorCodeOf(answer.fault), protocolType, protocolName, assignment }
}

export const handleHeartbeat: Handler<HeartbeatRequest, HeartbeatResponse> = (request, { broker }) => {
  const { memberId, groupInstanceId, generationId } = request
  return { errorCode: errorCodeOf(broker.groups.heartbeat(request.groupId, { memberId, groupInstanceId, generationId })) }
}

export const handleLeaveGroup: Handler<LeaveGroupRequest, LeaveGroupResponse> = async (request, { broker, apiVersion }) => {
  const { groupId } = request
  if (apiVersion < BATCHED_LEAVE_FROM) {
    const fault = broker.groups.leave(groupId, { memberId: request.memberId, groupInstanceId: null })
    await broker.groups.whenSaved(groupId)
    return { errorCode: errorCodeOf(fault) }
  }
  const members = request.members.map(({ memberId, groupInstanceId }) => {
    const fault = broker.groups.leave(groupId, { memberId, groupInstanceId })
    return { memberId, groupInstanceId, errorCode: errorCodeOf(fault) }
  })
  await broker.groups.whenSaved(groupId)
  return { errorCode: groupId === '' ? errorCodeOf('INVALID_GROUP_ID') : 0, members }
}

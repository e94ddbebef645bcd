// Membership of consumer groups, the classic protocol.

import { defineApi } from '../api.ts'

export interface JoinGroupRequest {
  groupId: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  memberId: string
  groupInstanceId: string | null
  protocolType: string
  protocols: { name: string; metadata: Uint8Array }[]
  reason: string | null
}

export interface JoinGroupResponse {
  throttleTimeMs: number
  errorCode: number
  generationId: number
  protocolType: string | null
  protocolName: string | null
  leader: string
  skipAssignment: boolean
  memberId: string
  members: { memberId: string; groupInstanceId: string | null; metadata: Uint8Array }[]
}

export const JoinGroup = defineApi<JoinGroupRequest, JoinGroupResponse>({
  key: 11,
  name: 'JoinGroup',
  versions: [0, 9],
  flexibleFrom: 6,
  request: `groupId:str, sessionTimeoutMs:i32, rebalanceTimeoutMs:i32=-1 v1+, memberId:str, groupInstanceId:str?=null v5+,
    protocolType:str, protocols:[name:str, metadata:bytes], reason:str?=null v8+`,
  response: `throttleTimeMs:i32 v2+, errorCode:i16, generationId:i32=-1, protocolType:str?=null v7+, protocolName:str?(7), leader:str,
    skipAssignment:bool v9+, memberId:str, members:[memberId:str, groupInstanceId:str?=null v5+, metadata:bytes]`
})

export interface SyncGroupRequest {
  groupId: string
  generationId: number
  memberId: string
  groupInstanceId: string | null
  protocolType: string | null
  protocolName: string | null
  assignments: { memberId: string; assignment: Uint8Array }[]
}

export interface SyncGroupResponse {
  throttleTimeMs: number
  errorCode: number
  protocolType: string | null
  protocolName: string | null
  assignment: Uint8Array
}

export const SyncGroup = defineApi<SyncGroupRequest, SyncGroupResponse>({
  key: 14,
  name: 'SyncGroup',
  versions: [0, 5],
  flexibleFrom: 4,
  request: `groupId:str, generationId:i32, memberId:str, groupInstanceId:str?=null v3+, protocolType:str?=null v5+,
    protocolName:str?=null v5+, assignments:[memberId:str, assignment:bytes]`,
  response: 'throttleTimeMs:i32 v1+, errorCode:i16, protocolType:str?=null v5+, protocolName:str?=null v5+, assignment:bytes'
})

export interface HeartbeatRequest {
  groupId: string
  generationId: number
  memberId: string
  groupInstanceId: string | null
}

export interface HeartbeatResponse {
  throttleTimeMs: number
  errorCode: number
}

export const Heartbeat = defineApi<HeartbeatRequest, HeartbeatResponse>({
  key: 12,
  name: 'Heartbeat',
  versions: [0, 4],
  flexibleFrom: 4,
  request: 'groupId:str, generationId:i32, memberId:str, groupInstanceId:str?=null v3+',
  response: 'throttleTimeMs:i32 v1+, errorCode:i16'
})

export interface LeaveGroupRequest {
  groupId: string
  /** Up to version 2; from 3 on members. */
  memberId: string
  members: { memberId: string; groupInstanceId: string | null; reason: string | null }[]
}

export interface LeaveGroupResponse {
  throttleTimeMs: number
  errorCode: number
  members: { memberId: string; groupInstanceId: string | null; errorCode: number }[]
}

export const LeaveGroup = defineApi<LeaveGroupRequest, LeaveGroupResponse>({
  key: 13,
  name: 'LeaveGroup',
  versions: [0, 5],
  flexibleFrom: 4,
  request: 'groupId:str, memberId:str v0-2, members:[memberId:str, groupInstanceId:str?=null, reason:str?=null v5+] v3+',
  response: 'throttleTimeMs:i32 v1+, errorCode:i16, members:[memberId:str, groupInstanceId:str?, errorCode:i16] v3+'
})

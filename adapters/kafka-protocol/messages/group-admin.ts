// What administrators ask of consumer groups.

import { defineApi } from '../api.ts'

export interface ListGroupsRequest {
  /** Empty = all. So is typesFilter. */
  statesFilter: string[]
  typesFilter: string[]
}

export interface ListGroupsResponse {
  throttleTimeMs: number
  errorCode: number
  groups: { groupId: string; protocolType: string; groupState: string; groupType: string }[]
}

export const ListGroups = defineApi<ListGroupsRequest, ListGroupsResponse>({
  key: 16,
  name: 'ListGroups',
  versions: [0, 5],
  flexibleFrom: 3,
  request: 'statesFilter:[]str v4+, typesFilter:[]str v5+',
  response: 'throttleTimeMs:i32 v1+, errorCode:i16, groups:[groupId:str, protocolType:str, groupState:str v4+, groupType:str v5+]'
})

export interface DescribeGroupsRequest {
  groups: string[]
  includeAuthorizedOperations: boolean
}

export interface DescribeGroupsResponse {
  throttleTimeMs: number
  groups: {
    errorCode: number
    groupId: string
    groupState: string
    protocolType: string
    protocolData: string
    members: {
      memberId: string
      groupInstanceId: string | null
      clientId: string
      clientHost: string
      memberMetadata: Uint8Array
      memberAssignment: Uint8Array
    }[]
    authorizedOperations: number
  }[]
}

export const DescribeGroups = defineApi<DescribeGroupsRequest, DescribeGroupsResponse>({
  key: 15,
  name: 'DescribeGroups',
  versions: [0, 5],
  flexibleFrom: 5,
  request: 'groups:[]str, includeAuthorizedOperations:bool v3+',
  response: `throttleTimeMs:i32 v1+, groups:[errorCode:i16, groupId:str, groupState:str, protocolType:str, protocolData:str,
    members:[memberId:str, groupInstanceId:str?=null v4+, clientId:str, clientHost:str, memberMetadata:bytes, memberAssignment:bytes],
    authorizedOperations:i32=minInt v3+]`
})

export interface DeleteGroupsRequest {
  groupsNames: string[]
}

export interface DeleteGroupsResponse {
  throttleTimeMs: number
  results: { groupId: string; errorCode: number }[]
}

export const DeleteGroups = defineApi<DeleteGroupsRequest, DeleteGroupsResponse>({
  key: 42,
  name: 'DeleteGroups',
  versions: [0, 2],
  flexibleFrom: 2,
  request: 'groupsNames:[]str',
  response: 'throttleTimeMs:i32, results:[groupId:str, errorCode:i16]'
})

export interface OffsetDeleteRequest {
  groupId: string
  topics: { name: string; partitions: { partitionIndex: number }[] }[]
}

export interface OffsetDeleteResponse {
  errorCode: number
  throttleTimeMs: number
  topics: { name: string; partitions: { partitionIndex: number; errorCode: number }[] }[]
}

export const OffsetDelete = defineApi<OffsetDeleteRequest, OffsetDeleteResponse>({
  key: 47,
  name: 'OffsetDelete',
  versions: [0, 0],
  flexibleFrom: Number.POSITIVE_INFINITY,
  request: 'groupId:str, topics:[name:str, partitions:[partitionIndex:i32]]',
  response: 'errorCode:i16, throttleTimeMs:i32, topics:[name:str, partitions:[partitionIndex:i32, errorCode:i16]]'
})

// Committed positions of consumer groups.

import { defineApi } from '../api.ts'

export interface OffsetCommitRequest {
  groupId: string
  generationIdOrMemberEpoch: number
  memberId: string
  groupInstanceId: string | null
  retentionTimeMs: number
  topics: {
    name: string
    partitions: {
      partitionIndex: number
      committedOffset: number
      committedLeaderEpoch: number
      committedMetadata: string | null
    }[]
  }[]
}

export interface OffsetCommitResponse {
  throttleTimeMs: number
  topics: { name: string; partitions: { partitionIndex: number; errorCode: number }[] }[]
}

export const OffsetCommit = defineApi<OffsetCommitRequest, OffsetCommitResponse>({
  key: 8,
  name: 'OffsetCommit',
  versions: [2, 9],
  flexibleFrom: 8,
  request: `groupId:str, generationIdOrMemberEpoch:i32=-1, memberId:str, groupInstanceId:str?=null v7+, retentionTimeMs:bound=-1 v0-4,
    topics:[name:str,
      partitions:[partitionIndex:i32, committedOffset:i64, committedLeaderEpoch:i32=-1 v6+, committedMetadata:str?]]`,
  response: 'throttleTimeMs:i32 v3+, topics:[name:str, partitions:[partitionIndex:i32, errorCode:i16]]'
})

interface FetchedTopic {
  name: string
  partitions: {
    partitionIndex: number
    committedOffset: number
    committedLeaderEpoch: number
    metadata: string | null
    errorCode: number
  }[]
}

export interface OffsetFetchRequest {
  /** groupId and topics up to version 7; from 8 on groups. null topics = all (version 2 and up). */
  groupId: string
  topics: { name: string; partitionIndexes: number[] }[] | null
  groups: {
    groupId: string
    memberId: string | null
    memberEpoch: number
    topics: { name: string; partitionIndexes: number[] }[] | null
  }[]
  requireStable: boolean
}

export interface OffsetFetchResponse {
  throttleTimeMs: number
  topics: FetchedTopic[]
  errorCode: number
  groups: { groupId: string; topics: FetchedTopic[]; errorCode: number }[]
}

const FETCHED_PARTITIONS = `partitions:[partitionIndex:i32, committedOffset:i64, committedLeaderEpoch:i32=-1 v5+, metadata:str?,
  errorCode:i16]`

export const OffsetFetch = defineApi<OffsetFetchRequest, OffsetFetchResponse>({
  key: 9,
  name: 'OffsetFetch',
  versions: [1, 9],
  flexibleFrom: 6,
  request: `groupId:str v0-7, topics:[name:str, partitionIndexes:[]i32]?(2) v0-7,
    groups:[groupId:str, memberId:str?=null v9+, memberEpoch:i32=-1 v9+, topics:[name:str, partitionIndexes:[]i32]?] v8+,
    requireStable:bool v7+`,
  response: `throttleTimeMs:i32 v3+, topics:[name:str, ${FETCHED_PARTITIONS}] v0-7, errorCode:i16 v2-7,
    groups:[groupId:str, topics:[name:str, ${FETCHED_PARTITIONS}], errorCode:i16] v8+`
})

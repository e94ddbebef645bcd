// Making, growing and deleting topics, and looking at them.

import { defineApi } from '../api.ts'

export interface CreateTopicsRequest {
  topics: {
    name: string
    /** -1 = the cluster's default; so is replicationFactor -1. */
    numPartitions: number
    replicationFactor: number
    assignments: { partitionIndex: number; brokerIds: number[] }[]
    configs: { name: string; value: string | null }[]
  }[]
  timeoutMs: number
  validateOnly: boolean
}

export interface CreateTopicsResponse {
  throttleTimeMs: number
  topics: {
    name: string
    topicId: string
    errorCode: number
    errorMessage: string | null
    topicConfigErrorCode: number
    numPartitions: number
    replicationFactor: number
    configs: { name: string; value: string | null; readOnly: boolean; configSource: number; isSensitive: boolean }[] | null
  }[]
}

export const CreateTopics = defineApi<CreateTopicsRequest, CreateTopicsResponse>({
  key: 19,
  name: 'CreateTopics',
  versions: [2, 7],
  flexibleFrom: 5,
  request: `topics:[name:str, numPartitions:i32, replicationFactor:i16, assignments:[partitionIndex:i32, brokerIds:[]i32],
      configs:[name:str, value:str?]],
    timeoutMs:i32=60000, validateOnly:bool`,
  response: `throttleTimeMs:i32,
    topics:[name:str, topicId:uuid v7+, errorCode:i16, errorMessage:text?, topicConfigErrorCode:i16 v5+ tag0, numPartitions:i32=-1 v5+,
      replicationFactor:i16=-1 v5+, configs:[name:str, value:str?, readOnly:bool, configSource:i8=-1, isSensitive:bool]? v5+]`
})

export interface DeleteTopicsRequest {
  /** From version 6 on: by name, or by id when the name is null. */
  topics: { name: string | null; topicId: string }[]
  /** Before version 6. */
  topicNames: string[]
  timeoutMs: number
}

export interface DeleteTopicsResponse {
  throttleTimeMs: number
  responses: { name: string | null; topicId: string; errorCode: number; errorMessage: string | null }[]
}

export const DeleteTopics = defineApi<DeleteTopicsRequest, DeleteTopicsResponse>({
  key: 20,
  name: 'DeleteTopics',
  versions: [1, 6],
  flexibleFrom: 4,
  request: 'topics:[name:str?, topicId:uuid] v6+, topicNames:[]str v0-5, timeoutMs:i32',
  response: `throttleTimeMs:i32,
    responses:[name:str?(6), topicId:uuid v6+, errorCode:i16, errorMessage:text? v5+]`
})

export interface CreatePartitionsRequest {
  /** assignments null = anywhere; else one for each new partition. */
  topics: { name: string; count: number; assignments: { brokerIds: number[] }[] | null }[]
  timeoutMs: number
  validateOnly: boolean
}

export interface CreatePartitionsResponse {
  throttleTimeMs: number
  results: { name: string; errorCode: number; errorMessage: string | null }[]
}

export const CreatePartitions = defineApi<CreatePartitionsRequest, CreatePartitionsResponse>({
  key: 37,
  name: 'CreatePartitions',
  versions: [0, 3],
  flexibleFrom: 2,
  request: 'topics:[name:str, count:i32, assignments:[brokerIds:[]i32]?], timeoutMs:i32, validateOnly:bool',
  response: 'throttleTimeMs:i32, results:[name:str, errorCode:i16, errorMessage:text?]'
})

export interface DeleteRecordsRequest {
  /** offset: the first that stays; -1 = the high watermark. */
  topics: { name: string; partitions: { partitionIndex: number; offset: number }[] }[]
  timeoutMs: number
}

export interface DeleteRecordsResponse {
  throttleTimeMs: number
  topics: { name: string; partitions: { partitionIndex: number; lowWatermark: number; errorCode: number }[] }[]
}

export const DeleteRecords = defineApi<DeleteRecordsRequest, DeleteRecordsResponse>({
  key: 21,
  name: 'DeleteRecords',
  versions: [0, 2],
  flexibleFrom: 2,
  request: 'topics:[name:str, partitions:[partitionIndex:i32, offset:bound]], timeoutMs:i32',
  response: 'throttleTimeMs:i32, topics:[name:str, partitions:[partitionIndex:i32, lowWatermark:i64, errorCode:i16]]'
})

/** Where a description that did not fit into one answer goes on. */
export interface DescribeCursor {
  topicName: string
  partitionIndex: number
}

export interface DescribeTopicPartitionsRequest {
  /** Empty = all. */
  topics: { name: string }[]
  responsePartitionLimit: number
  cursor: DescribeCursor | null
}

export interface DescribedTopic {
  errorCode: number
  name: string | null
  topicId: string
  isInternal: boolean
  partitions: {
    errorCode: number
    partitionIndex: number
    leaderId: number
    leaderEpoch: number
    replicaNodes: number[]
    isrNodes: number[]
    eligibleLeaderReplicas: number[] | null
    lastKnownElr: number[] | null
    offlineReplicas: number[]
  }[]
  topicAuthorizedOperations: number
}

export interface DescribeTopicPartitionsResponse {
  throttleTimeMs: number
  topics: DescribedTopic[]
  nextCursor: DescribeCursor | null
}

export const DescribeTopicPartitions = defineApi<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse>({
  key: 75,
  name: 'DescribeTopicPartitions',
  versions: [0, 0],
  flexibleFrom: 0,
  request: 'topics:[name:str], responsePartitionLimit:i32=2000, cursor:{topicName:str, partitionIndex:i32}?',
  response: `throttleTimeMs:i32,
    topics:[errorCode:i16, name:str?, topicId:uuid, isInternal:bool,
      partitions:[errorCode:i16, partitionIndex:i32, leaderId:i32, leaderEpoch:i32=-1, replicaNodes:[]i32, isrNodes:[]i32,
        eligibleLeaderReplicas:[]i32?, lastKnownElr:[]i32?, offlineReplicas:[]i32],
      topicAuthorizedOperations:i32=minInt],
    nextCursor:{topicName:str, partitionIndex:i32}?`
})

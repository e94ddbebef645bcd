// Metadata (3): brokers, topics, partitions and their leaders.

import { defineApi } from '../api.ts'

export interface MetadataRequest {
  /** null = all topics (version 1 and up); in version 0 an empty list is all topics. */
  topics: { topicId: string; name: string | null }[] | null
  allowAutoTopicCreation: boolean
  includeClusterAuthorizedOperations: boolean
  includeTopicAuthorizedOperations: boolean
}

export interface MetadataPartition {
  errorCode: number
  partitionIndex: number
  leaderId: number
  leaderEpoch: number
  replicaNodes: number[]
  isrNodes: number[]
  offlineReplicas: number[]
}

export interface MetadataTopic {
  errorCode: number
  name: string | null
  topicId: string
  isInternal: boolean
  partitions: MetadataPartition[]
  topicAuthorizedOperations: number
}

export interface MetadataResponse {
  throttleTimeMs: number
  brokers: { nodeId: number; host: string; port: number; rack: string | null }[]
  clusterId: string | null
  controllerId: number
  topics: MetadataTopic[]
  clusterAuthorizedOperations: number
}

export const Metadata = defineApi<MetadataRequest, MetadataResponse>({
  key: 3,
  name: 'Metadata',
  versions: [0, 12],
  flexibleFrom: 9,
  request: `topics:[topicId:uuid v10+, name:str?(10)]?(1), allowAutoTopicCreation:bool=true v4+,
    includeClusterAuthorizedOperations:bool v8-10, includeTopicAuthorizedOperations:bool v8+`,
  response: `throttleTimeMs:i32 v3+, brokers:[nodeId:i32, host:str, port:i32, rack:str?=null v1+], clusterId:str?=null v2+,
    controllerId:i32=-1 v1+,
    topics:[errorCode:i16, name:str?(12), topicId:uuid v10+, isInternal:bool v1+,
      partitions:[errorCode:i16, partitionIndex:i32, leaderId:i32, leaderEpoch:i32=-1 v7+, replicaNodes:[]i32, isrNodes:[]i32,
        offlineReplicas:[]i32 v5+],
      topicAuthorizedOperations:i32=minInt v8+],
    clusterAuthorizedOperations:i32=minInt v8-10`
})

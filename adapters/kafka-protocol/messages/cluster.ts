// What a cluster says of itself: its nodes, what lies on their disks, replicas on the move.

import { defineApi } from '../api.ts'

export interface DescribeClusterRequest {
  includeClusterAuthorizedOperations: boolean
  /** 1 brokers, 2 controllers. */
  endpointType: number
}

export interface DescribeClusterResponse {
  throttleTimeMs: number
  errorCode: number
  errorMessage: string | null
  endpointType: number
  clusterId: string
  controllerId: number
  brokers: { brokerId: number; host: string; port: number; rack: string | null }[]
  clusterAuthorizedOperations: number
}

export const DescribeCluster = defineApi<DescribeClusterRequest, DescribeClusterResponse>({
  key: 60,
  name: 'DescribeCluster',
  versions: [0, 1],
  flexibleFrom: 0,
  request: 'includeClusterAuthorizedOperations:bool, endpointType:i8=1 v1+',
  response: `throttleTimeMs:i32, errorCode:i16, errorMessage:text?, endpointType:i8=1 v1+, clusterId:str, controllerId:i32=-1,
    brokers:[brokerId:i32, host:str, port:i32, rack:str?], clusterAuthorizedOperations:i32=minInt`
})

export interface DescribeLogDirsRequest {
  /** null = all. */
  topics: { topic: string; partitions: number[] }[] | null
}

export interface DescribedLogDir {
  errorCode: number
  logDir: string
  topics: { name: string; partitions: { partitionIndex: number; partitionSize: number; offsetLag: number; isFutureKey: boolean }[] }[]
  totalBytes: number
  usableBytes: number
}

export interface DescribeLogDirsResponse {
  throttleTimeMs: number
  errorCode: number
  results: DescribedLogDir[]
}

export const DescribeLogDirs = defineApi<DescribeLogDirsRequest, DescribeLogDirsResponse>({
  key: 35,
  name: 'DescribeLogDirs',
  versions: [1, 4],
  flexibleFrom: 2,
  request: 'topics:[topic:str, partitions:[]i32]?',
  response: `throttleTimeMs:i32, errorCode:i16 v3+,
    results:[errorCode:i16, logDir:str, topics:[name:str, partitions:[partitionIndex:i32, partitionSize:i64, offsetLag:i64, isFutureKey:bool]],
      totalBytes:i64=-1 v4+, usableBytes:i64=-1 v4+]`
})

export interface ListPartitionReassignmentsRequest {
  timeoutMs: number
  topics: { name: string; partitionIndexes: number[] }[] | null
}

export interface ListPartitionReassignmentsResponse {
  throttleTimeMs: number
  errorCode: number
  errorMessage: string | null
  topics: {
    name: string
    partitions: { partitionIndex: number; replicas: number[]; addingReplicas: number[]; removingReplicas: number[] }[]
  }[]
}

export const ListPartitionReassignments = defineApi<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse>({
  key: 46,
  name: 'ListPartitionReassignments',
  versions: [0, 0],
  flexibleFrom: 0,
  request: 'timeoutMs:i32=60000, topics:[name:str, partitionIndexes:[]i32]?',
  response: `throttleTimeMs:i32, errorCode:i16, errorMessage:text?,
    topics:[name:str, partitions:[partitionIndex:i32, replicas:[]i32, addingReplicas:[]i32, removingReplicas:[]i32]]`
})

// Fetch (1): batches from an offset on, as they are stored. One shape for all versions; what a version lacks has its default.

import { defineApi } from '../api.ts'

export interface FetchRequest {
  clusterId: string | null
  /** Versions up to 14; later it is in replicaState. -1 = a consumer. */
  replicaId: number
  replicaState: { replicaId: number; replicaEpoch: number }
  maxWaitMs: number
  minBytes: number
  maxBytes: number
  /** 1 = read_committed. */
  isolationLevel: number
  sessionId: number
  sessionEpoch: number
  /** `topic` up to version 12, `topicId` from 13 on. */
  topics: {
    topic: string
    topicId: string
    partitions: {
      partition: number
      currentLeaderEpoch: number
      fetchOffset: number
      lastFetchedEpoch: number
      logStartOffset: number
      partitionMaxBytes: number
    }[]
  }[]
  forgottenTopicsData: { topic: string; topicId: string; partitions: number[] }[]
  rackId: string
}

export interface FetchPartitionResponse {
  partitionIndex: number
  errorCode: number
  highWatermark: number
  lastStableOffset: number
  logStartOffset: number
  divergingEpoch: { epoch: number; endOffset: number }
  currentLeader: { leaderId: number; leaderEpoch: number }
  snapshotId: { endOffset: number; epoch: number }
  abortedTransactions: { producerId: bigint; firstOffset: number }[] | null
  preferredReadReplica: number
  records: Uint8Array | null
}

export interface FetchResponse {
  throttleTimeMs: number
  errorCode: number
  sessionId: number
  responses: { topic: string; topicId: string; partitions: FetchPartitionResponse[] }[]
  nodeEndpoints: { nodeId: number; host: string; port: number; rack: string | null }[]
}

export const Fetch = defineApi<FetchRequest, FetchResponse>({
  key: 1,
  name: 'Fetch',
  versions: [4, 16],
  flexibleFrom: 12,
  request: `clusterId:str?=null v12+ tag0, replicaId:i32=-1 v0-14, replicaState:{replicaId:i32=-1, replicaEpoch:i64=-1} v15+ tag1,
    maxWaitMs:i32, minBytes:i32, maxBytes:i32=maxInt, isolationLevel:i8, sessionId:i32 v7+, sessionEpoch:i32=-1 v7+,
    topics:[topic:str v0-12, topicId:uuid v13+,
      partitions:[partition:i32, currentLeaderEpoch:i32=-1 v9+, fetchOffset:bound, lastFetchedEpoch:i32=-1 v12+,
        logStartOffset:bound=-1 v5+, partitionMaxBytes:i32]],
    forgottenTopicsData:[topic:str v0-12, topicId:uuid v13+, partitions:[]i32] v7+, rackId:str v11+`,
  response: `throttleTimeMs:i32, errorCode:i16 v7+, sessionId:i32 v7+,
    responses:[topic:str v0-12, topicId:uuid v13+,
      partitions:[partitionIndex:i32, errorCode:i16, highWatermark:i64, lastStableOffset:i64=-1, logStartOffset:i64=-1 v5+,
        divergingEpoch:{epoch:i32=-1, endOffset:i64=-1} v12+ tag0, currentLeader:{leaderId:i32=-1, leaderEpoch:i32=-1} v12+ tag1,
        snapshotId:{endOffset:i64=-1, epoch:i32=-1} v12+ tag2, abortedTransactions:[producerId:big, firstOffset:i64]?,
        preferredReadReplica:i32=-1 v11+, records:records?]],
    nodeEndpoints:[nodeId:i32, host:str, port:i32, rack:str?=null] v16+ tag0`
})

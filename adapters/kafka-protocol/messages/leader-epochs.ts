// OffsetForLeaderEpoch (23): where what a leader epoch wrote ends.

import { defineApi } from '../api.ts'

export interface OffsetForLeaderEpochRequest {
  /** -1 = a consumer, -2 = it does not say. */
  replicaId: number
  topics: { topic: string; partitions: { partition: number; currentLeaderEpoch: number; leaderEpoch: number }[] }[]
}

export interface OffsetForLeaderEpochResponse {
  throttleTimeMs: number
  topics: { topic: string; partitions: { errorCode: number; partition: number; leaderEpoch: number; endOffset: number }[] }[]
}

export const OffsetForLeaderEpoch = defineApi<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  versions: [2, 4],
  flexibleFrom: 4,
  request: `replicaId:i32=-2 v3+, topics:[topic:str, partitions:[partition:i32, currentLeaderEpoch:i32=-1, leaderEpoch:i32]]`,
  response: `throttleTimeMs:i32, topics:[topic:str, partitions:[errorCode:i16, partition:i32, leaderEpoch:i32=-1, endOffset:i64=-1]]`
})

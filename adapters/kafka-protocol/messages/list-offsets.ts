// ListOffsets (2): earliest, latest, or the first offset at or after a time.

import { defineApi } from '../api.ts'

export interface ListOffsetsRequest {
  replicaId: number
  isolationLevel: number
  /** timestamp: -1 latest, -2 earliest, -3 of the largest timestamp, otherwise milliseconds. */
  topics: { name: string; partitions: { partitionIndex: number; currentLeaderEpoch: number; timestamp: number }[] }[]
}

export interface ListOffsetsResponse {
  throttleTimeMs: number
  topics: {
    name: string
    partitions: { partitionIndex: number; errorCode: number; timestamp: number; offset: number; leaderEpoch: number }[]
  }[]
}

export const ListOffsets = defineApi<ListOffsetsRequest, ListOffsetsResponse>({
  key: 2,
  name: 'ListOffsets',
  versions: [1, 9],
  flexibleFrom: 6,
  request: `replicaId:i32=-1, isolationLevel:i8 v2+,
    topics:[name:str, partitions:[partitionIndex:i32, currentLeaderEpoch:i32=-1 v4+, timestamp:bound]]`,
  response: `throttleTimeMs:i32 v2+,
    topics:[name:str, partitions:[partitionIndex:i32, errorCode:i16, timestamp:i64=-1, offset:i64=-1, leaderEpoch:i32=-1 v4+]]`
})

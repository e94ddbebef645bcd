// Produce (0): batches to append, one per partition. Acks 0 has no answer.

import { defineApi } from '../api.ts'

export interface ProduceRequest {
  transactionalId: string | null
  /** -1 all in-sync replicas, 0 no answer at all, 1 the leader. */
  acks: number
  timeoutMs: number
  topicData: { name: string; partitionData: { index: number; records: Uint8Array | null }[] }[]
}

export interface ProducePartitionResponse {
  index: number
  errorCode: number
  baseOffset: number
  logAppendTimeMs: number
  logStartOffset: number
  recordErrors: { batchIndex: number; batchIndexErrorMessage: string | null }[]
  errorMessage: string | null
  currentLeader: { leaderId: number; leaderEpoch: number }
}

export interface ProduceResponse {
  responses: { name: string; partitionResponses: ProducePartitionResponse[] }[]
  throttleTimeMs: number
  nodeEndpoints: { nodeId: number; host: string; port: number; rack: string | null }[]
}

export const Produce = defineApi<ProduceRequest, ProduceResponse>({
  key: 0,
  name: 'Produce',
  versions: [3, 11],
  flexibleFrom: 9,
  request: 'transactionalId:str?=null, acks:i16, timeoutMs:i32, topicData:[name:str, partitionData:[index:i32, records:records?]]',
  response: `responses:[name:str, partitionResponses:[index:i32, errorCode:i16, baseOffset:i64, logAppendTimeMs:i64=-1,
      logStartOffset:i64=-1 v5+, recordErrors:[batchIndex:i32, batchIndexErrorMessage:text?=null] v8+, errorMessage:text?=null v8+,
      currentLeader:{leaderId:i32=-1, leaderEpoch:i32=-1} v10+ tag0]],
    throttleTimeMs:i32, nodeEndpoints:[nodeId:i32, host:str, port:i32, rack:str?=null] v10+ tag0`
})

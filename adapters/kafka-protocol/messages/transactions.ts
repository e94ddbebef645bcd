// The five requests of a transaction, protocol version 1 (the coordinator is told every partition before it is written to).

import { defineApi } from '../api.ts'

export interface InitProducerIdRequest {
  transactionalId: string | null
  transactionTimeoutMs: number
  producerId: bigint
  producerEpoch: number
}

export interface InitProducerIdResponse {
  throttleTimeMs: number
  errorCode: number
  producerId: bigint
  producerEpoch: number
}

export const InitProducerId = defineApi<InitProducerIdRequest, InitProducerIdResponse>({
  key: 22,
  name: 'InitProducerId',
  versions: [0, 5],
  flexibleFrom: 2,
  request: 'transactionalId:str?, transactionTimeoutMs:i32, producerId:big=-1 v3+, producerEpoch:i16=-1 v3+',
  response: 'throttleTimeMs:i32, errorCode:i16, producerId:big=-1, producerEpoch:i16'
})

export interface AddPartitionsToTxnRequest {
  transactionalId: string
  producerId: bigint
  producerEpoch: number
  topics: { name: string; partitions: number[] }[]
}

export interface AddPartitionsToTxnResponse {
  throttleTimeMs: number
  resultsByTopic: { name: string; resultsByPartition: { partitionIndex: number; partitionErrorCode: number }[] }[]
}

/** Versions 4 and up are for brokers among themselves. */
export const AddPartitionsToTxn = defineApi<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>({
  key: 24,
  name: 'AddPartitionsToTxn',
  versions: [0, 3],
  flexibleFrom: 3,
  request: 'transactionalId:str, producerId:big, producerEpoch:i16, topics:[name:str, partitions:[]i32]',
  response: `throttleTimeMs:i32,
    resultsByTopic:[name:str, resultsByPartition:[partitionIndex:i32, partitionErrorCode:i16]]`
})

export interface AddOffsetsToTxnRequest {
  transactionalId: string
  producerId: bigint
  producerEpoch: number
  groupId: string
}

export interface AddOffsetsToTxnResponse {
  throttleTimeMs: number
  errorCode: number
}

export const AddOffsetsToTxn = defineApi<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>({
  key: 25,
  name: 'AddOffsetsToTxn',
  versions: [0, 4],
  flexibleFrom: 3,
  request: 'transactionalId:str, producerId:big, producerEpoch:i16, groupId:str',
  response: 'throttleTimeMs:i32, errorCode:i16'
})

export interface EndTxnRequest {
  transactionalId: string
  producerId: bigint
  producerEpoch: number
  committed: boolean
}

export interface EndTxnResponse {
  throttleTimeMs: number
  errorCode: number
}

export const EndTxn = defineApi<EndTxnRequest, EndTxnResponse>({
  key: 26,
  name: 'EndTxn',
  versions: [0, 4],
  flexibleFrom: 3,
  request: 'transactionalId:str, producerId:big, producerEpoch:i16, committed:bool',
  response: 'throttleTimeMs:i32, errorCode:i16'
})

export interface TxnOffsetCommitRequest {
  transactionalId: string
  groupId: string
  producerId: bigint
  producerEpoch: number
  generationId: number
  memberId: string
  groupInstanceId: string | null
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

export interface TxnOffsetCommitResponse {
  throttleTimeMs: number
  topics: { name: string; partitions: { partitionIndex: number; errorCode: number }[] }[]
}

export const TxnOffsetCommit = defineApi<TxnOffsetCommitRequest, TxnOffsetCommitResponse>({
  key: 28,
  name: 'TxnOffsetCommit',
  versions: [0, 4],
  flexibleFrom: 3,
  request: `transactionalId:str, groupId:str, producerId:big, producerEpoch:i16, generationId:i32=-1 v3+, memberId:str v3+,
    groupInstanceId:str?=null v3+,
    topics:[name:str,
      partitions:[partitionIndex:i32, committedOffset:i64, committedLeaderEpoch:i32=-1 v2+, committedMetadata:str?]]`,
  response: 'throttleTimeMs:i32, topics:[name:str, partitions:[partitionIndex:i32, errorCode:i16]]'
})

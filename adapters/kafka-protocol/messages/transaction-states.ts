// Looking at producers and transactions: who writes where, what is open and since when.

import { defineApi } from '../api.ts'

export interface DescribeProducersRequest {
  topics: { name: string; partitionIndexes: number[] }[]
}

export interface ActiveProducer {
  producerId: bigint
  producerEpoch: number
  lastSequence: number
  lastTimestamp: number
  coordinatorEpoch: number
  currentTxnStartOffset: number
}

export interface DescribeProducersResponse {
  throttleTimeMs: number
  topics: {
    name: string
    partitions: { partitionIndex: number; errorCode: number; errorMessage: string | null; activeProducers: ActiveProducer[] }[]
  }[]
}

export const DescribeProducers = defineApi<DescribeProducersRequest, DescribeProducersResponse>({
  key: 61,
  name: 'DescribeProducers',
  versions: [0, 0],
  flexibleFrom: 0,
  request: 'topics:[name:str, partitionIndexes:[]i32]',
  response: `throttleTimeMs:i32,
    topics:[name:str, partitions:[partitionIndex:i32, errorCode:i16, errorMessage:text?,
      activeProducers:[producerId:big, producerEpoch:i32, lastSequence:i32=-1, lastTimestamp:i64=-1, coordinatorEpoch:i32,
        currentTxnStartOffset:i64=-1]]]`
})

export interface ListTransactionsRequest {
  /** Both empty = all. */
  stateFilters: string[]
  producerIdFilters: bigint[]
  /** Only those that are open for longer; -1 = all. */
  durationFilter: number
}

export interface ListTransactionsResponse {
  throttleTimeMs: number
  errorCode: number
  unknownStateFilters: string[]
  transactionStates: { transactionalId: string; producerId: bigint; transactionState: string }[]
}

export const ListTransactions = defineApi<ListTransactionsRequest, ListTransactionsResponse>({
  key: 66,
  name: 'ListTransactions',
  versions: [0, 1],
  flexibleFrom: 0,
  request: 'stateFilters:[]str, producerIdFilters:[]big, durationFilter:bound=-1 v1+',
  response: `throttleTimeMs:i32, errorCode:i16, unknownStateFilters:[]str,
    transactionStates:[transactionalId:str, producerId:big, transactionState:str]`
})

export interface DescribeTransactionsRequest {
  transactionalIds: string[]
}

export interface DescribedTransaction {
  errorCode: number
  transactionalId: string
  transactionState: string
  transactionTimeoutMs: number
  transactionStartTimeMs: number
  producerId: bigint
  producerEpoch: number
  topics: { topic: string; partitions: number[] }[]
}

export interface DescribeTransactionsResponse {
  throttleTimeMs: number
  transactionStates: DescribedTransaction[]
}

export const DescribeTransactions = defineApi<DescribeTransactionsRequest, DescribeTransactionsResponse>({
  key: 65,
  name: 'DescribeTransactions',
  versions: [0, 0],
  flexibleFrom: 0,
  request: 'transactionalIds:[]str',
  response: `throttleTimeMs:i32,
    transactionStates:[errorCode:i16, transactionalId:str, transactionState:str, transactionTimeoutMs:i32, transactionStartTimeMs:i64,
      producerId:big, producerEpoch:i16, topics:[topic:str, partitions:[]i32]]`
})

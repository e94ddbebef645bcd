// Every way the broker refuses, as Kafka's names. Numbers belong to the wire: adapters/kafka-server/error-map.ts.
// A fault is the client's or the moment's doing; a bug is an AssertionError.

import { WadiError } from '../base/errors.ts'

export const faultNames = [
  'NONE',
  'UNKNOWN_SERVER_ERROR',
  'OFFSET_OUT_OF_RANGE',
  'CORRUPT_MESSAGE',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'COORDINATOR_NOT_AVAILABLE',
  'MESSAGE_TOO_LARGE',
  'OFFSET_METADATA_TOO_LARGE',
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_REQUIRED_ACKS',
  'ILLEGAL_GENERATION',
  'INCONSISTENT_GROUP_PROTOCOL',
  'INVALID_GROUP_ID',
  'UNKNOWN_MEMBER_ID',
  'INVALID_SESSION_TIMEOUT',
  'REBALANCE_IN_PROGRESS',
  'INVALID_TIMESTAMP',
  'INVALID_COMMIT_OFFSET_SIZE',
  'UNSUPPORTED_VERSION',
  'TOPIC_ALREADY_EXISTS',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_REPLICA_ASSIGNMENT',
  'INVALID_CONFIG',
  'INVALID_REQUEST',
  'POLICY_VIOLATION',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_TXN_STATE',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TRANSACTION_TIMEOUT',
  'CONCURRENT_TRANSACTIONS',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  'OPERATION_NOT_ATTEMPTED',
  'KAFKA_STORAGE_ERROR',
  'NON_EMPTY_GROUP',
  'GROUP_ID_NOT_FOUND',
  'FETCH_SESSION_ID_NOT_FOUND',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'MEMBER_ID_REQUIRED',
  'GROUP_MAX_SIZE_REACHED',
  'FENCED_INSTANCE_ID',
  'GROUP_SUBSCRIBED_TO_TOPIC',
  'INVALID_RECORD',
  'UNSTABLE_OFFSET_COMMIT',
  'PRODUCER_FENCED',
  'UNKNOWN_TOPIC_ID',
  'SECURITY_DISABLED',
  'TRANSACTIONAL_ID_NOT_FOUND',
  'MISMATCHED_ENDPOINT_TYPE',
  'UNSUPPORTED_ENDPOINT_TYPE'
] as const

export type FaultName = (typeof faultNames)[number]

export class BrokerFault extends Error {
  override readonly name = 'BrokerFault'
  readonly fault: FaultName

  constructor(fault: FaultName, message: string, cause?: unknown) {
    super(`${fault}: ${message}`, { cause })
    this.fault = fault
  }
}

/** What a client is told when storage refused. `fallback` is the retriable answer that fits the API. */
export function faultOfStoreError(error: unknown, fallback: 'KAFKA_STORAGE_ERROR' | 'COORDINATOR_NOT_AVAILABLE'): FaultName {
  if (error instanceof BrokerFault) return error.fault
  if (!(error instanceof WadiError)) throw error
  switch (error.code) {
    case 'WADI_RECORD_TOO_LARGE':
      return 'MESSAGE_TOO_LARGE'
    case 'WADI_RECORD_INVALID':
      return 'INVALID_RECORD'
    case 'WADI_OFFSET_OUT_OF_RANGE':
      return 'OFFSET_OUT_OF_RANGE'
    case 'WADI_TOPIC_EXISTS':
      return 'TOPIC_ALREADY_EXISTS'
    case 'WADI_TOPIC_INVALID':
      return 'INVALID_TOPIC_EXCEPTION'
    case 'WADI_TOPIC_UNDELIVERED':
      return 'POLICY_VIOLATION'
    case 'WADI_TOPIC_UNKNOWN':
      return 'UNKNOWN_TOPIC_OR_PARTITION'
    default:
      return fallback
  }
}

// The broker's faults as Kafka's numbers, and what older versions of an API are told instead.

import { type FaultName, faultOfStoreError } from '../../runtime/broker/fault.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'

export function errorCodeOf(fault: FaultName): number {
  return ERROR_CODE[fault]
}

/** What a change of topics is answered that was refused: by a rule, or by the store. */
export function refusalOf(error: unknown): { readonly errorCode: number; readonly errorMessage: string } {
  const errorMessage = error instanceof Error ? error.message : String(error)
  return { errorCode: errorCodeOf(faultOfStoreError(error, 'KAFKA_STORAGE_ERROR')), errorMessage }
}

/** PRODUCER_FENCED came late to each API; below `knownFrom` clients know only INVALID_PRODUCER_EPOCH. */
export function fencedCodeOf(fault: FaultName, { version, knownFrom }: { version: number; knownFrom: number }): number {
  return errorCodeOf(fault === 'PRODUCER_FENCED' && version < knownFrom ? 'INVALID_PRODUCER_EPOCH' : fault)
}

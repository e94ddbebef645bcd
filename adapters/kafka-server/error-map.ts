// The broker's faults as Kafka's numbers, and what older versions of an API are told instead.

import type { FaultName } from '../../runtime/broker/fault.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'

export function errorCodeOf(fault: FaultName): number {
  return ERROR_CODE[fault]
}

/** PRODUCER_FENCED came late to each API; below `knownFrom` clients know only INVALID_PRODUCER_EPOCH. */
export function fencedCodeOf(fault: FaultName, { version, knownFrom }: { version: number; knownFrom: number }): number {
  return errorCodeOf(fault === 'PRODUCER_FENCED' && version < knownFrom ? 'INVALID_PRODUCER_EPOCH' : fault)
}

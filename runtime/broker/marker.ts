// The control batch that ends a transaction on one partition: 78 bytes, one record, one offset. Source: kafka, EndTransactionMarker.java.

import {
  ATTRIBUTES_AT,
  BASE_SEQUENCE_AT,
  BASE_TIMESTAMP_AT,
  BATCH_LENGTH_AT,
  CONTROL_BIT,
  LENGTH_PREFIX_BYTES,
  MAGIC,
  MAGIC_AT,
  MAX_TIMESTAMP_AT,
  PRODUCER_EPOCH_AT,
  PRODUCER_ID_AT,
  RECORD_COUNT_AT,
  RECORDS_AT,
  TRANSACTIONAL_BIT,
  viewOf
} from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import { writeCrc } from '../log/batch-codec.ts'
import { ABORT_TYPE, COMMIT_TYPE } from '../log/transaction-index.ts'

export const MARKER_BYTES = 78
const MARKER_TYPE = { abort: ABORT_TYPE, commit: COMMIT_TYPE } as const
const RECORD_BODY_BYTES = 16

export function buildMarker(
  core: Core,
  marker: { producerId: bigint; producerEpoch: number; timestampMs: number; outcome: 'commit' | 'abort' }
): Uint8Array {
  const batch = new Uint8Array(MARKER_BYTES)
  const view = viewOf(batch)
  view.setInt32(BATCH_LENGTH_AT, MARKER_BYTES - LENGTH_PREFIX_BYTES)
  view.setUint8(MAGIC_AT, MAGIC)
  view.setInt16(ATTRIBUTES_AT, TRANSACTIONAL_BIT | CONTROL_BIT)
  view.setBigInt64(BASE_TIMESTAMP_AT, BigInt(marker.timestampMs))
  view.setBigInt64(MAX_TIMESTAMP_AT, BigInt(marker.timestampMs))
  view.setBigInt64(PRODUCER_ID_AT, marker.producerId)
  view.setInt16(PRODUCER_EPOCH_AT, marker.producerEpoch)
  view.setInt32(BASE_SEQUENCE_AT, -1)
  view.setInt32(RECORD_COUNT_AT, 1)
  // length, attributes, timestamp delta, offset delta, key length 4, key (version, type), value length 6, value (version, epoch), 0 headers
  const record = [RECORD_BODY_BYTES << 1, 0, 0, 0, 4 << 1, 0, 0, 0, MARKER_TYPE[marker.outcome], 6 << 1, 0, 0, 0, 0, 0, 0, 0]
  batch.set(record, RECORDS_AT)
  writeCrc(core, batch)
  return batch
}

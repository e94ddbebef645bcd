// Words for what is inside a batch: plain values, no addresses.

import type { Offset } from '../base/offset.ts'

export interface RecordHeader {
  /** UTF-8 bytes. */
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}

/** A record on its way in: it has no offset yet. */
export interface RecordInput {
  readonly timestampMs: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** May be shared by many records, and must not change once one was handed over: the same array is encoded once. */
  readonly headers: readonly RecordHeader[]
}

/** A record read back. Its byte arrays are copies: they stay valid. */
export interface StoredRecord extends RecordInput {
  readonly offset: Offset
}

/** The header of a RecordBatch v2, in words. docs/formats/segment.md has the layout. */
export interface BatchHeader {
  readonly baseOffset: Offset
  /** Whole batch in bytes, the first 12 included. */
  readonly batchBytes: number
  readonly partitionLeaderEpoch: number
  readonly crc: number
  readonly attributes: number
  readonly lastOffsetDelta: number
  readonly lastOffset: Offset
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
}

/** Why bytes are not a batch that may be served. */
export type BatchFault = 'short' | 'length' | 'magic' | 'crc' | 'attributes' | 'count' | 'record'

export interface ProducerFields {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly isTransactional: boolean
}

/** A batch with its records in the clear, in two pieces, so that the large one need not be copied. The CRC in the head may be an older one. */
export interface OpenedBatch {
  readonly head: Uint8Array
  readonly records: Uint8Array
}

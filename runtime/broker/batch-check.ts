// Is what a client sent one batch that may be appended? Header rules in Kafka's order, then CRC and records by the core.
// Compressed batches are opened afterwards (checkCompressed): whoever reads them later, the uplink first, must be able to.
// Source: Apache Kafka, LogValidator; docs/formats/segment.md for the layout.

import {
  ATTRIBUTES_AT,
  BATCH_LENGTH_AT,
  CODEC_MASK,
  CONTROL_BIT,
  LENGTH_PREFIX_BYTES,
  MAGIC,
  MAGIC_AT,
  RECORDS_AT,
  readBatchHeader,
  TIMESTAMP_TYPE_BIT,
  TRANSACTIONAL_BIT,
  viewOf
} from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { BatchFault, BatchHeader } from '../core/record.ts'
import { type BlockCodec, OutputTooLarge } from '../io/codec.ts'
import { decompressBatch } from '../log/batch-codec.ts'
import type { FaultName } from './fault.ts'

const CODEC_ZSTD = 4
const BATCH_LENGTH_MIN = 14

export interface BatchLimits {
  readonly batchBytesMax: number
  /** null = any timestamp; otherwise the latest one that is taken. */
  readonly timestampMsMax: number | null
  /** Old clients cannot know zstd: Produce below version 7. */
  readonly isZstdAllowed: boolean
}

export interface CheckedBatch {
  readonly header: BatchHeader
  readonly isTransactional: boolean
}

export type BatchCheck = { readonly batch: CheckedBatch } | Refusal

export interface Refusal {
  readonly fault: FaultName
  readonly message: string
  /** Which records of the batch it is about. */
  readonly records?: readonly { readonly index: number; readonly message: string }[]
}

/** `records` is the whole records field of one partition in a Produce request. */
export function checkClientBatch(core: Core, records: Uint8Array | null, limits: BatchLimits): BatchCheck {
  const shape = shapeFault(records, limits)
  if (shape) return shape
  const bytes = records as Uint8Array
  const header = readBatchHeader(bytes)
  if (!header) return refuse('INVALID_RECORD', 'the batch header has impossible offsets')
  const fault = core.checkBatch(bytes)
  if (fault === 'crc') return refuse('CORRUPT_MESSAGE', 'the checksum does not match')
  const headerFault = headerFaultOf(header, limits)
  if (headerFault) return headerFault
  if (fault) return refuse(faultNameOf(fault), `the batch is malformed (${fault})`)
  return { batch: { header, isTransactional: (header.attributes & TRANSACTIONAL_BIT) !== 0 } }
}

/** May be so large whatever the ratio; above it only as much as deflate, whose limit is the lowest of the codecs, can make of a block. */
const RECORDS_BYTES_FREE = 1024 * 1024
const RATIO_MAX = 1032

/**
 * null when a compressed batch (header and CRC were right) opens, and holds the records that its header claims, which `checkRecords` lets pass.
 * Bounded by what a batch of ours can hold and by the ratio above. Large blocks leave the thread, or let others in between (BlockCodec);
 * LZ4 is done here, in about a millisecond per MiB.
 */
export async function checkCompressed(
  { core, codec }: { core: Core; codec: BlockCodec },
  bytes: Uint8Array,
  checkRecords: (opened: Uint8Array) => Refusal | null
): Promise<Refusal | null> {
  const recordsBytesMax = Math.max(RECORDS_BYTES_FREE, RATIO_MAX * (bytes.byteLength - RECORDS_AT))
  try {
    const opened = await decompressBatch(core, codec, bytes, recordsBytesMax)
    const fault = core.checkBatch(opened)
    return fault ? refuse('INVALID_RECORD', `the compressed records do not fit the batch's header (${fault})`) : checkRecords(opened)
  } catch (error) {
    if (error instanceof OutputTooLarge) return refuse('MESSAGE_TOO_LARGE', error.message)
    if (error instanceof RangeError) return refuse('CORRUPT_MESSAGE', error.message)
    throw error
  }
}

export function isCompressed(header: BatchHeader): boolean {
  return (header.attributes & CODEC_MASK) !== 0
}

function refuse(fault: FaultName, message: string): Refusal {
  return { fault, message }
}

function shapeFault(records: Uint8Array | null, limits: BatchLimits): Refusal | null {
  if (!records || records.byteLength === 0) return refuse('INVALID_RECORD', 'there is no batch')
  if (records.byteLength <= MAGIC_AT) return refuse('CORRUPT_MESSAGE', `the batch has only ${records.byteLength} bytes`)
  const view = viewOf(records)
  const magic = records[MAGIC_AT] as number
  if (magic > MAGIC) return refuse('CORRUPT_MESSAGE', `unknown message format ${magic}`)
  if (magic < MAGIC) return refuse('INVALID_RECORD', `message format ${magic} is no longer written`)
  const batchLength = view.getInt32(BATCH_LENGTH_AT)
  const batchBytes = batchLength + LENGTH_PREFIX_BYTES
  if (batchLength < BATCH_LENGTH_MIN || batchBytes > records.byteLength)
    return refuse('CORRUPT_MESSAGE', `the batch length ${batchLength} is wrong`)
  if (batchBytes < records.byteLength) return refuse('INVALID_RECORD', 'more than one batch for one partition')
  if (view.getBigInt64(0) !== 0n) return refuse('INVALID_RECORD', 'the base offset must be 0')
  if (batchBytes > limits.batchBytesMax) {
    return refuse('MESSAGE_TOO_LARGE', `the batch has ${batchBytes} bytes, at most ${limits.batchBytesMax} are taken`)
  }
  if (batchBytes < RECORDS_AT) return refuse('CORRUPT_MESSAGE', `the batch has only ${batchBytes} bytes`)
  if ((view.getInt16(ATTRIBUTES_AT) & CODEC_MASK) === CODEC_ZSTD && !limits.isZstdAllowed) {
    return refuse('UNSUPPORTED_COMPRESSION_TYPE', 'zstd needs Produce version 7')
  }
  return null
}

function headerFaultOf(header: BatchHeader, limits: BatchLimits): Refusal | null {
  if (header.recordCount <= 0) return refuse('INVALID_RECORD', `${header.recordCount} records`)
  if (header.lastOffsetDelta + 1 !== header.recordCount) {
    return refuse('INVALID_RECORD', `${header.recordCount} records, but the last offset delta is ${header.lastOffsetDelta}`)
  }
  if ((header.attributes & CONTROL_BIT) !== 0) return refuse('INVALID_RECORD', 'clients do not write control batches')
  if (header.producerId >= 0n && header.baseSequence < 0) return refuse('INVALID_RECORD', 'a producer id without a sequence')
  if (header.producerId < 0n && (header.attributes & TRANSACTIONAL_BIT) !== 0)
    return refuse('INVALID_RECORD', 'a transaction without a producer id')
  if ((header.attributes & CODEC_MASK) > CODEC_ZSTD) return refuse('UNSUPPORTED_COMPRESSION_TYPE', 'unknown compression')
  if ((header.attributes & TIMESTAMP_TYPE_BIT) !== 0) return refuse('INVALID_TIMESTAMP', 'clients do not set the log append time')
  if (Number.isNaN(header.maxTimestampMs) || (limits.timestampMsMax !== null && header.maxTimestampMs > limits.timestampMsMax)) {
    return refuse('INVALID_TIMESTAMP', `the timestamp ${header.maxTimestampMs} ms lies too far in the future`)
  }
  return null
}

function faultNameOf(fault: BatchFault): FaultName {
  switch (fault) {
    case 'crc':
    case 'short':
    case 'length':
    case 'magic':
      return 'CORRUPT_MESSAGE'
    default:
      return 'INVALID_RECORD'
  }
}

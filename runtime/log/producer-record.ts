// The durable state of one producer on one partition, as bytes: producer/<topic number>/<partition>/<producer id>. One travels with every batch of a
// producer, so it is small: 20 to 60 bytes. docs/formats/state.md has the bytes.
//
// Versions before wrote JSON with `v` 1 (state-codec.ts); it begins with `{`, is still read, and is replaced by the producer's next batch.
// Not for: what the numbers mean (runtime/broker/producer-state.ts).

import { viewOf } from '../core/batch-header.ts'
import { readState, stateDamaged, stateNewer } from './state-codec.ts'
import { fields, integer, listOf, orNull, whole } from './state-shape.ts'
import { NUMBER_MAX, putVarint, VARINT_BYTES_MAX, VarintReader } from './state-varint.ts'

/** A batch that was appended: its sequences are firstSequence and the recordCount - 1 behind it, modulo 2^31. */
export interface ProducedBatch {
  readonly firstSequence: number
  readonly recordCount: number
  readonly baseOffset: number
}

export interface ProducerRecord {
  readonly producerEpoch: number
  /** Oldest first. */
  readonly batches: readonly ProducedBatch[]
  /** Where the open transaction began on this partition; null when none is open. */
  readonly transactionFirstOffset: number | null
  /** Unix time. */
  readonly lastTimestampMs: number
}

const VERSION = 2
const JSON_START = 0x7b
const EPOCH_AT = 1
const TIMESTAMP_AT = 3
const VARINTS_AT = 11
const VARINTS_PER_BATCH = 3
const BATCHES_MAX = 5

export function encodeProducerRecord(record: ProducerRecord): Uint8Array {
  const { producerEpoch, transactionFirstOffset, lastTimestampMs } = record
  const batches = lastAscending(record.batches)
  const bytes = new Uint8Array(VARINTS_AT + VARINT_BYTES_MAX * (2 + VARINTS_PER_BATCH * batches.length))
  const view = viewOf(bytes)
  bytes[0] = VERSION
  view.setInt16(EPOCH_AT, producerEpoch)
  view.setBigInt64(TIMESTAMP_AT, BigInt(lastTimestampMs))
  let at = putVarint(bytes, VARINTS_AT, transactionFirstOffset === null ? 0 : transactionFirstOffset + 1)
  at = putVarint(bytes, at, batches.length)
  let endOffset = 0
  for (const { firstSequence, recordCount, baseOffset } of batches) {
    at = putVarint(bytes, at, firstSequence)
    at = putVarint(bytes, at, recordCount)
    at = putVarint(bytes, at, baseOffset - endOffset)
    endOffset = baseOffset + recordCount
  }
  return bytes.slice(0, at)
}

/** Without those in front of one that begins below their end: versions before gave offsets out again that damage had taken from the log. */
function lastAscending(batches: readonly ProducedBatch[]): readonly ProducedBatch[] {
  let first = 0
  for (const [index, { baseOffset, recordCount }] of batches.entries()) {
    const next = batches[index + 1]
    if (next && next.baseOffset < baseOffset + recordCount) first = index + 1
  }
  return batches.slice(first)
}

/** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
export function readProducerRecord(key: string, value: Uint8Array): ProducerRecord {
  const version = value[0]
  if (version === JSON_START) return fromJson(key, value)
  if (version !== undefined && version > VERSION && version < JSON_START) throw stateNewer(key, version, VERSION)
  if (version !== VERSION || value.byteLength < VARINTS_AT) throw stateDamaged(key, value)
  const view = viewOf(value)
  const varints = new VarintReader(key, value, VARINTS_AT)
  const transactionEnd = varints.next()
  const count = varints.next()
  if (count > BATCHES_MAX) throw stateDamaged(key, value)
  const batches: ProducedBatch[] = []
  for (let endOffset = 0; batches.length < count; ) {
    const firstSequence = varints.next()
    const recordCount = varints.next()
    const baseOffset = endOffset + varints.next()
    batches.push({ firstSequence, recordCount, baseOffset })
    endOffset = baseOffset + recordCount
    if (endOffset > NUMBER_MAX) throw stateDamaged(key, value)
  }
  varints.end()
  const lastTimestampMs = Number(view.getBigInt64(TIMESTAMP_AT))
  if (!Number.isSafeInteger(lastTimestampMs)) throw stateDamaged(key, value)
  const transactionFirstOffset = transactionEnd === 0 ? null : transactionEnd - 1
  return { producerEpoch: view.getInt16(EPOCH_AT), batches, transactionFirstOffset, lastTimestampMs }
}

interface JsonRecord {
  readonly epoch: number
  /** First and last sequence, base and last offset, timestamp. */
  readonly batches: readonly (readonly number[])[]
  readonly txn: number | null
  readonly time: number
}

const jsonRecord = fields<JsonRecord>({ epoch: integer, batches: listOf(listOf(integer)), txn: orNull(whole), time: integer })

function fromJson(key: string, value: Uint8Array): ProducerRecord {
  const { epoch, batches, txn, time } = readState(key, value, jsonRecord)
  return {
    producerEpoch: epoch,
    batches: batches.map(([firstSequence = -1, , baseOffset = -1, lastOffset = -1]) => {
      if (firstSequence < 0 || baseOffset < 0 || lastOffset < baseOffset) throw stateDamaged(key, value)
      return { firstSequence, recordCount: lastOffset - baseOffset + 1, baseOffset }
    }),
    transactionFirstOffset: txn,
    lastTimestampMs: time
  }
}

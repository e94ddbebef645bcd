// What a topic asks of the batches of Kafka producers beyond what is asked of every batch (batch-check.ts), and what becomes of their timestamps.
// Source: Apache Kafka, LogValidator.

import { ATTRIBUTES_AT, MAX_TIMESTAMP_AT, TIMESTAMP_TYPE_BIT, viewOf } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import { walkRecords } from '../core/record-walk.ts'
import { writeCrc } from '../log/batch-codec.ts'
import type { TopicConfig } from '../log/contract.ts'
import type { Refusal } from './batch-check.ts'

/** Of a client that does not say when. */
const NO_TIMESTAMP = -1
/** Records of a batch that are named in its refusal: the others are not stored either. */
const NAMED_RECORDS_MAX = 100

export interface TopicBatchRules {
  readonly batchBytesMax: number
  /** null = any. */
  readonly timestampMsMax: number | null
  readonly timestampMsMin: number | null
  /** Of every record. */
  readonly needsKey: boolean
  /** The time that its records are given; null = they keep theirs. */
  readonly appendTimeMs: number | null
}

/** `limits`: what the broker asks of all topics. */
export function batchRulesOf(
  config: TopicConfig,
  limits: { readonly batchBytesMax: number; readonly timestampAheadMsMax: number | null },
  nowMs: number
): TopicBatchRules {
  const isAppendTime = config.timestampType === 'LogAppendTime'
  const aheadMs = isAppendTime ? null : (config.timestampAheadMsMax ?? limits.timestampAheadMsMax)
  const behindMs = isAppendTime ? null : config.timestampBehindMsMax
  return {
    batchBytesMax: Math.min(limits.batchBytesMax, config.batchBytesMax ?? limits.batchBytesMax),
    timestampMsMax: aheadMs === null ? null : nowMs + aheadMs,
    timestampMsMin: behindMs === null ? null : nowMs - behindMs,
    needsKey: config.cleanup !== 'delete',
    appendTimeMs: isAppendTime ? nowMs : null
  }
}

/** What is wrong with records of an opened batch; null = nothing, or nothing is asked of them. */
export function refusalOfRecords(batch: Uint8Array, { needsKey, timestampMsMin }: TopicBatchRules): Refusal | null {
  if (!needsKey && timestampMsMin === null) return null
  const records: { index: number; message: string }[] = []
  let fault: Refusal['fault'] = 'NONE'
  walkRecords(batch, (index, { timestampMs, hasKey }) => {
    if (needsKey && !hasKey) {
      fault = 'INVALID_RECORD'
      records.push({ index, message: 'Compacted topic cannot accept message without key.' })
    } else if (timestampMsMin !== null && timestampMs !== NO_TIMESTAMP && timestampMs < timestampMsMin) {
      if (fault === 'NONE') fault = 'INVALID_TIMESTAMP'
      records.push({ index, message: `The timestamp ${timestampMs} ms lies too far in the past.` })
    }
    return records.length < NAMED_RECORDS_MAX
  })
  if (fault === 'NONE') return null
  return { fault, message: `One or more records have been rejected. ${records[0]?.message}`, records }
}

/** Its records have this time for whoever reads them. In place: header and checksum only, whatever is inside. */
export function stampAppendTime(core: Pick<Core, 'crc32c'>, batch: Uint8Array, nowMs: number): void {
  const view = viewOf(batch)
  view.setInt16(ATTRIBUTES_AT, view.getInt16(ATTRIBUTES_AT) | TIMESTAMP_TYPE_BIT)
  view.setBigInt64(MAX_TIMESTAMP_AT, BigInt(nowMs))
  writeCrc(core, batch)
}

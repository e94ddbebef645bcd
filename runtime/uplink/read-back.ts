// What any Wadi has delivered, read back from the centre: committed batches from an offset on, as the names that their events carry.
//
// Bounded per upstream partition in bytes: what lies behind that is not looked at.
// Not for: whose events these are and what that means (look-back.ts, former-ids.ts).

import { ATTRIBUTES_AT, viewOf } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { StoredRecord } from '../core/record.ts'
import type { BlockCodec } from '../io/codec.ts'
import { decompressBatch } from '../log/batch-codec.ts'
import type { Upstream } from './upstream.ts'

const LOG_APPEND_TIME_BIT = 0x08
const READ_BYTES = 1024 * 1024
const READ_BACK_BYTES_MAX = 64 * 1024 * 1024

export interface ReadBackContext {
  readonly upstream: Upstream
  readonly core: Core
  readonly codec: BlockCodec
}

/** What the headers of an event say of where it comes from. */
export interface EventName {
  readonly gatewayId: string
  readonly logId: string
  readonly branchId: string
  /** "<edge topic>/<partition>" */
  readonly sourceKey: string
  readonly offset: number
}

/** Behind the headers of its own each event has `wadi.id` and `wadi.offset` (core-wasm/assembly/repack.ts). */
const ADDED_HEADERS = 2

/** The event as it was before it was sent: `headers` are its own. */
export interface EventContent extends Pick<StoredRecord, 'timestampMs' | 'key' | 'value' | 'headers'> {
  /** false: the topic has LogAppendTime, and the time is that of its broker. */
  readonly isOwnTime: boolean
}

export interface ReadBackPlace {
  readonly topicName: string
  readonly partitionIndex: number
  readonly fromOffset: number
  /** Only the batch at fromOffset. */
  readonly isFirstBatchOnly?: boolean
}

/** Visits the events of any Wadi in a partition, in order. False: part of what might hold some is deleted, too large or not readable. @throws UpstreamFault */
export async function readBack(
  context: ReadBackContext,
  place: ReadBackPlace,
  visit: (event: EventName, content: EventContent) => void
): Promise<boolean> {
  let bytes = 0
  let isComplete = true
  for (let offset = place.fromOffset; ; ) {
    const read = await context.upstream.readCommitted({ ...place, fromOffset: offset, bytesMax: READ_BYTES })
    if (read.isDeleted) isComplete = false
    const batches = place.isFirstBatchOnly ? read.batches.slice(0, read.isDeleted ? 0 : 1) : read.batches
    for (const batch of batches) {
      bytes += batch.byteLength
      if (!(await visitRecords(context, batch, visit))) isComplete = false // it cannot be opened, so it may be ours
    }
    if (read.isEnd || place.isFirstBatchOnly) return isComplete
    if (bytes >= READ_BACK_BYTES_MAX || read.nextOffset <= offset) return false
    offset = read.nextOffset
  }
}

async function visitRecords(
  { core, codec }: ReadBackContext,
  batch: Uint8Array,
  visit: (event: EventName, content: EventContent) => void
): Promise<boolean> {
  try {
    const isOwnTime = (viewOf(batch).getInt16(ATTRIBUTES_AT) & LOG_APPEND_TIME_BIT) === 0
    const plain = await decompressBatch(core, codec, batch)
    for (const record of core.readRecords(plain)) {
      const event = nameOf(headerText(record.headers, 'wadi.id'), headerText(record.headers, 'wadi.offset'))
      if (event) visit(event, { ...record, headers: record.headers.slice(0, -ADDED_HEADERS), isOwnTime })
    }
    return true
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return false
  }
}

/** null when the headers are not ours. */
function nameOf(id: string | null, place: string | null): EventName | null {
  const idCut = id?.lastIndexOf('/') ?? -1
  const placeCut = place?.lastIndexOf('/') ?? -1
  if (id === null || place === null || idCut < 0 || placeCut < 1) return null
  const offset = Number(place.slice(placeCut + 1))
  const [logId = '', branchId = ''] = id.slice(idCut + 1).split('~')
  if (!Number.isSafeInteger(offset)) return null
  return { gatewayId: id.slice(0, idCut), logId, branchId, sourceKey: place.slice(0, placeCut), offset }
}

function headerText(headers: readonly { key: Uint8Array; value: Uint8Array | null }[], name: string): string | null {
  for (let at = headers.length - 1; at >= 0; at--) {
    const header = headers[at] as (typeof headers)[number]
    if (header.value && Buffer.from(header.key).toString() === name) return Buffer.from(header.value).toString()
  }
  return null
}

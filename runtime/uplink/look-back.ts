// What of ours is at the centre, found by reading it: for positions that the centre has forgotten, when the local notes may be older than the last
// transactions. Reads committed batches from a noted base offset on and takes the greatest `wadi.offset` of each branch and edge partition.
//
// Bounded per upstream partition in bytes: what lies behind that is not looked at, and isComplete is false.
// Not for: deciding what it means (find-positions.ts).

import type { Core } from '../core/core.ts'
import type { BlockCodec } from '../io/codec.ts'
import { decompressBatch } from '../log/batch-codec.ts'
import type { Upstream } from './upstream.ts'

const READ_BYTES = 1024 * 1024
export const LOOK_BACK_BYTES_MAX = 64 * 1024 * 1024

export interface Found {
  /** "<branch id> <edge topic>/<partition>" → greatest offset that is at the centre. */
  readonly greatest: Map<string, number>
  /** false: part of what might hold events of ours is deleted, too large or not readable. */
  isComplete: boolean
}

export interface ReadBackContext {
  readonly upstream: Upstream
  readonly core: Core
  readonly codec: BlockCodec
}

export interface LookBackContext extends ReadBackContext {
  readonly logId: string
  /** Under which this log was delivered; null: not known. Another one is that of a copy of this disk, whose events are not ours. */
  readonly gatewayIds: ReadonlySet<string> | null
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

export interface ReadBackPlace {
  readonly topicName: string
  readonly partitionIndex: number
  readonly fromOffset: number
  /** Only the batch at fromOffset. */
  readonly isFirstBatchOnly?: boolean
}

export function foundKey(branchId: string, sourceKey: string): string {
  return `${branchId} ${sourceKey}`
}

/** Adds to `found` what partition `place` holds from `fromOffset` on. @throws UpstreamFault */
export async function lookBack(context: LookBackContext, place: ReadBackPlace, found: Found): Promise<void> {
  const { logId, gatewayIds } = context
  const isComplete = await readBack(context, place, (event) => {
    if (event.logId !== logId || (gatewayIds && !gatewayIds.has(event.gatewayId))) return
    const key = foundKey(event.branchId, event.sourceKey)
    found.greatest.set(key, Math.max(event.offset, found.greatest.get(key) ?? 0))
  })
  found.isComplete &&= isComplete
}

/** Visits the events of any Wadi in a partition, in order. False: part of what might hold some is deleted, too large or not readable. @throws UpstreamFault */
export async function readBack(context: ReadBackContext, place: ReadBackPlace, visit: (event: EventName) => void): Promise<boolean> {
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
    if (bytes >= LOOK_BACK_BYTES_MAX || read.nextOffset <= offset) return false
    offset = read.nextOffset
  }
}

async function visitRecords({ core, codec }: ReadBackContext, batch: Uint8Array, visit: (event: EventName) => void): Promise<boolean> {
  try {
    const plain = await decompressBatch(core, codec, batch)
    for (const { headers } of core.readRecords(plain)) {
      const event = nameOf(headerText(headers, 'wadi.id'), headerText(headers, 'wadi.offset'))
      if (event) visit(event)
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

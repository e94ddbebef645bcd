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

export interface LookBackContext {
  readonly upstream: Upstream
  readonly core: Core
  readonly codec: BlockCodec
  readonly logId: string
  /** Under which this log was delivered; null: not known. Another one is that of a copy of this disk, whose events are not ours. */
  readonly gatewayIds: ReadonlySet<string> | null
}

export function foundKey(branchId: string, sourceKey: string): string {
  return `${branchId} ${sourceKey}`
}

/** Adds to `found` what partition `place` holds from `fromOffset` on. @throws UpstreamFault */
export async function lookBack(
  context: LookBackContext,
  place: { topicName: string; partitionIndex: number; fromOffset: number },
  found: Found
): Promise<void> {
  let bytes = 0
  for (let offset = place.fromOffset; ; ) {
    const read = await context.upstream.readCommitted({ ...place, fromOffset: offset, bytesMax: READ_BYTES })
    if (read.isDeleted) found.isComplete = false
    for (const batch of read.batches) {
      bytes += batch.byteLength
      await noteRecords(context, batch, found)
    }
    if (read.isEnd) return
    if (bytes >= LOOK_BACK_BYTES_MAX || read.nextOffset <= offset) {
      found.isComplete = false
      return
    }
    offset = read.nextOffset
  }
}

async function noteRecords(context: LookBackContext, batch: Uint8Array, found: Found): Promise<void> {
  try {
    const plain = await decompressBatch(context.core, context.codec, batch)
    for (const { headers } of context.core.readRecords(plain)) {
      const branchId = branchOf(headerText(headers, 'wadi.id'), context)
      const place = headerText(headers, 'wadi.offset')
      if (branchId === null || place === null) continue
      const cut = place.lastIndexOf('/')
      const key = foundKey(branchId, place.slice(0, cut))
      const offset = Number(place.slice(cut + 1))
      if (cut > 0 && Number.isSafeInteger(offset)) found.greatest.set(key, Math.max(offset, found.greatest.get(key) ?? 0))
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    found.isComplete = false // it cannot be opened, so it may be ours
  }
}

/** The branch that an id names when it is of this log, delivered by this gateway; null when it is another's. */
function branchOf(id: string | null, { logId, gatewayIds }: LookBackContext): string | null {
  const cut = id?.lastIndexOf('/') ?? -1
  if (id === null || (gatewayIds && !gatewayIds.has(id.slice(0, cut)))) return null
  const [log, branchId = ''] = id.slice(cut + 1).split('~')
  return log === logId ? branchId : null
}

function headerText(headers: readonly { key: Uint8Array; value: Uint8Array | null }[], name: string): string | null {
  for (let at = headers.length - 1; at >= 0; at--) {
    const header = headers[at] as (typeof headers)[number]
    if (header.value && Buffer.from(header.key).toString() === name) return Buffer.from(header.value).toString()
  }
  return null
}

// A single event the centre will never take is put aside, so that it does not hold up those behind it: a copy goes to the dead-letter
// topic, with headers saying where it came from and why. The same commit notes its offset, so it is put aside once.
// Not for: events that cannot be read here (damage, see the recovery report).

import { readBatchHeader } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { StoredRecord } from '../core/record.ts'
import type { BlockCodec } from '../io/codec.ts'
import { decompressBatch } from '../log/batch-codec.ts'
import type { Store } from '../log/contract.ts'
import type { Source } from './source.ts'
import type { Poison } from './transaction-builder.ts'

const encoder = new TextEncoder()

function parkedKey(source: Source): string {
  return `uplink/parked/${source.key}`
}

/** Offset of the last event of this partition that was put aside, -1 when there is none. */
export function parkedOffset(store: Store, source: Source): number {
  const value = store.getState(parkedKey(source))
  return value ? Number(new TextDecoder().decode(value)) : -1
}

/** false when there is no dead-letter topic, or the event came from there. @throws WadiError when the store refuses */
export async function park(
  context: { store: Store; core: Core; codec: BlockCodec; deadLetterTopic: string },
  poison: Poison
): Promise<boolean> {
  const { store, deadLetterTopic } = context
  const { source, offset, reason } = poison
  const partition = store.topics.get(deadLetterTopic)?.partitions[0]
  if (!partition || source.edgeTopic === deadLetterTopic) return false
  const record = await readOne(context, source, offset)
  if (!record) return false
  const headers = [
    ...record.headers,
    { key: encoder.encode('wadi.reason'), value: encoder.encode(reason) },
    { key: encoder.encode('wadi.source'), value: encoder.encode(`${source.key}/${offset}`) }
  ]
  const content = { record: { timestampMs: record.timestampMs, key: record.key, value: record.value, headers } }
  await store.commit([{ partition, content }], [{ key: parkedKey(source), value: encoder.encode(String(offset)) }])
  return true
}

async function readOne(context: { core: Core; codec: BlockCodec }, source: Source, offset: number): Promise<StoredRecord | null> {
  const { batches } = await source.partition.read(offset as typeof source.partition.highWatermark, { bytesMax: 1 })
  for (const batch of batches) {
    const header = readBatchHeader(batch)
    if (!header || header.lastOffset < offset) continue
    const records = context.core.readRecords(await decompressBatch(context.core, context.codec, batch))
    return records.find((record) => record.offset === offset) ?? null
  }
  return null
}

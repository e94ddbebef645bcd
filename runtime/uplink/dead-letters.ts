// Dead letters: a single event that the centre does not take, or a batch that cannot be opened, is put aside, so that it does not hold up those
// behind it: a copy goes to the dead-letter topic, with headers saying where it came from and why. The same commit notes its offsets, so it is put
// aside once. Not for: bytes that do not verify (damage, see the recovery report).

import { WadiError } from '../base/errors.ts'
import { RECORDS_AT, readBatchHeader } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { RecordHeader, RecordInput, StoredRecord } from '../core/record.ts'
import type { BlockCodec } from '../io/codec.ts'
import { decompressBatch } from '../log/batch-codec.ts'
import type { Store } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea } from '../log/state-area.ts'
import { textual, wholeOf } from '../log/state-codec.ts'
import type { Source } from './source.ts'
import type { Poison } from './transaction-builder.ts'

const encoder = new TextEncoder()

/** Both ends included. */
interface Range {
  readonly first: number
  readonly last: number
}

/** Offsets that were put aside, in order. */
export const putAside = new StateArea<readonly Range[]>(
  'uplink/parked',
  textual({
    format: (ranges) => ranges.map(({ first, last }) => (first === last ? String(last) : `${first}-${last}`)).join(','),
    parse(text) {
      const ranges: Range[] = []
      for (const range of text.split(',')) {
        const [first = null, last = first] = range.split('-').map((end) => wholeOf(end))
        if (first === null || last === null || last < first) return null
        ranges.push({ first, last })
      }
      return ranges
    }
  }),
  {
    keys: '<edge topic>/<partition>',
    valueBytesMax: STATE_VALUE_BYTES_MAX,
    entries: 'one for each partition of topics that were ever delivered, of 500 ranges',
    goes: 'never; ranges in front of everything that may come again do, with the next one'
  }
)

/** Notes of what was put aside that are damaged: of those nothing is known, and what is put aside once more has a second letter. */
export function damagedDeadLetterNotes(store: Store): string[] {
  const damaged: string[] = []
  for (const key of putAside.keysIn(store)) putAside.getWhole(store, key, () => damaged.push(key))
  return damaged
}

/** Ranges that a position may still lie in front of: two transactions are prepared at most, and each carries few of them. */
const RANGES_MAX = 500

/** What was put aside of this partition and may be met again, in order; both ends included. What adjoins is one range. */
function deadLetterRanges(store: Store, source: Source): readonly Range[] {
  return putAside.getWhole(store, putAside.keyAt(source.key), () => undefined) ?? []
}

/** The range that holds `offset`, when it was put aside; null when it was not. */
export function deadLetterRange(store: Store, source: Source, offset: number): Range | null {
  return deadLetterRanges(store, source).find(({ first, last }) => offset >= first && offset <= last) ?? null
}

/** The ranges with [first, last] added, without what lies below everything that may come again. */
function withRange(ranges: readonly Range[], added: Range, confirmed: number): Range[] {
  const all = [...ranges.filter(({ last }) => last >= confirmed), added].sort((a, b) => a.first - b.first)
  const joined: Range[] = []
  for (const range of all) {
    const before = joined.at(-1)
    if (before && before.last + 1 >= range.first)
      joined[joined.length - 1] = { first: before.first, last: Math.max(before.last, range.last) }
    else joined.push(range)
  }
  return joined.slice(-RANGES_MAX)
}

/**
 * Events put aside; 0 when there is no dead-letter topic, or they came from there. A batch that cannot be opened becomes one dead letter,
 * its value the bytes of the batch.
 * @throws WadiError when the store refuses
 */
export async function writeDeadLetter(
  context: { store: Store; core: Core; codec: BlockCodec; deadLetterTopic: string },
  poison: Poison
): Promise<number> {
  const { store, deadLetterTopic } = context
  const { source, offset, batch } = poison
  const partition = store.topics.get(deadLetterTopic)?.partitions[0]
  if (!partition || source.edgeTopic === deadLetterTopic) return 0
  const record = batch ? letterOf(batch) : await readOne(context, source, offset)
  if (!record) return 0
  const last = batch ? lastOffsetOf(batch) : offset
  const note = withRange(deadLetterRanges(store, source), { first: offset, last }, source.confirmed)
  const change = putAside.put(putAside.keyAt(source.key), note)
  try {
    await store.commit([{ partition, content: { record: withReason(record, poison) }, mayExceedQuota: true }], [change])
  } catch (error) {
    if (!batch || !(error instanceof WadiError) || error.code !== 'WADI_RECORD_TOO_LARGE') throw error
    const cut = letterOf(batch.subarray(0, RECORDS_AT), [headerOf('wadi.cut', `of ${batch.byteLength} bytes`)])
    await store.commit([{ partition, content: { record: withReason(cut, poison) }, mayExceedQuota: true }], [change])
  }
  return last + 1 - offset
}

function withReason(record: RecordInput, { source, offset, reason }: Poison): RecordInput {
  const { timestampMs, key, value, headers } = record
  return {
    timestampMs,
    key,
    value,
    headers: [...headers, headerOf('wadi.reason', reason), headerOf('wadi.source', `${source.key}/${offset}`)]
  }
}

/** The batch itself as a record's value: its events have no key of their own that we could read. */
function letterOf(batch: Uint8Array, headers: readonly RecordHeader[] = []): RecordInput {
  const timestampMs = readBatchHeader(batch)?.maxTimestampMs ?? Number.NaN
  return {
    timestampMs: Number.isSafeInteger(timestampMs) && timestampMs >= 0 ? timestampMs : 0,
    key: null,
    value: batch,
    headers: [headerOf('wadi.content', 'record-batch'), ...headers]
  }
}

function lastOffsetOf(batch: Uint8Array): number {
  return readBatchHeader(batch)?.lastOffset as number
}

function headerOf(key: string, value: string): RecordHeader {
  return { key: encoder.encode(key), value: encoder.encode(value) }
}

async function readOne(context: { core: Core; codec: BlockCodec }, source: Source, offset: number): Promise<StoredRecord | null> {
  const { batches } = await source.partition.read(offset as typeof source.partition.highWatermark, { bytesMax: 1 })
  for (const { header, bytes } of batches) {
    if (header.lastOffset < offset) continue
    const records = context.core.readRecords(await decompressBatch(context.core, context.codec, bytes))
    return records.find((record) => record.offset === offset) ?? null
  }
  return null
}

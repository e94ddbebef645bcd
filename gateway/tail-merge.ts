// Partitions of a tail merged by time: each keeps its order; of what they begin with the oldest comes first, and what is missing before that.
//
// Invariant: all of them together hold HELD_BYTES_MAX, and one read, whatever their number: each has an equal share for the events that come next.
// Of a partition that has no room for its next event only the time is kept: it is read again when it is due.

import type { RecordHeader, StoredRecord } from '../runtime/core/record.ts'
import type { TailCursor, TailItem } from './tail-cursor.ts'
import type { TailSelection } from './tail-request.ts'

export const HELD_BYTES_MAX = 8 * 1024 * 1024

/** What an event takes beside its bytes: objects and views. */
const ITEM_OVERHEAD_BYTES = 500
const HEADER_OVERHEAD_BYTES = 250
const READ_BYTES = { min: 4 * 1024, max: 256 * 1024 }
/** Nobody reads further ahead, however much room there is. */
const SHARE_BYTES_MAX = 1024 * 1024

export interface MergeOptions {
  readonly selection: TailSelection
  /** Where each is read to. */
  endOf(cursor: TailCursor): number
  readonly heldBytesMax: number
}

/** Ends when each is at its end, or is held up. */
export async function* mergedByTime(
  cursors: readonly TailCursor[],
  { selection, endOf, heldBytesMax }: MergeOptions
): AsyncGenerator<TailItem, void, void> {
  const [only] = cursors
  if (cursors.length === 1 && only) return yield* selected(only, endOf(only), selection)
  const budget = { left: heldBytesMax, share: Math.min(SHARE_BYTES_MAX, Math.floor(heldBytesMax / cursors.length)) }
  const heads: Head[] = []
  for (const cursor of cursors) {
    const head = new Head(cursor, { until: endOf(cursor), selection, budget })
    await head.look()
    if (head.timeMs !== null) heads.push(head)
  }
  while (heads.length > 0) {
    let oldest = 0
    for (let index = 1; index < heads.length; index++) {
      if ((heads[index]?.timeMs ?? 0) < (heads[oldest]?.timeMs ?? 0)) oldest = index
    }
    const head = heads[oldest] as Head
    const item = await head.take()
    if (item) yield item
    await head.look()
    if (head.timeMs === null) heads.splice(oldest, 1)
  }
}

async function* selected(cursor: TailCursor, until: number, selection: TailSelection): AsyncGenerator<TailItem, void, void> {
  for await (const item of cursor.readTo(until)) if (isMeant(item, selection)) yield item
}

function isMeant(item: TailItem, selection: TailSelection): boolean {
  return 'missing' in item || selection.takes(item.placed, item.placed.record)
}

interface Budget {
  left: number
  readonly share: number
}

/** What one partition has next. */
class Head {
  readonly #cursor: TailCursor
  readonly #until: number
  readonly #selection: TailSelection
  readonly #budget: Budget
  #held: { readonly item: TailItem; readonly bytes: number }[] = []
  #heldBytes = 0
  /** Of the first item; null = there is none any more. */
  timeMs: number | null = null

  constructor(cursor: TailCursor, options: { until: number; selection: TailSelection; budget: Budget }) {
    this.#cursor = cursor
    this.#until = options.until
    this.#selection = options.selection
    this.#budget = options.budget
  }

  /** Finds out what comes next, and keeps as much as there is room for. */
  async look(): Promise<void> {
    if (this.#held.length === 0) {
      this.timeMs = null
      await this.#read({ isDue: false })
    } else this.timeMs = timeOf((this.#held[0] as { item: TailItem }).item)
  }

  /** The next one. null when it cannot be read any more: retention or the device were faster. */
  async take(): Promise<TailItem | null> {
    if (this.#held.length === 0) await this.#read({ isDue: true })
    const first = this.#held.shift()
    if (!first) return null
    this.#heldBytes -= first.bytes
    this.#budget.left += first.bytes
    return first.item
  }

  /** From the cursor on; the cursor then stands behind what is held. `isDue`: the first one is held whatever its size, it leaves at once. */
  async #read({ isDue }: { isDue: boolean }): Promise<void> {
    const bytesMax = Math.min(READ_BYTES.max, Math.max(READ_BYTES.min, this.#budget.share))
    for await (const item of this.#cursor.readTo(this.#until, bytesMax)) {
      if (!isMeant(item, this.#selection)) continue
      this.timeMs ??= timeOf(item)
      const bytes = sizeOf(item)
      const isFirst = this.#held.length === 0
      const fits = bytes <= this.#budget.left && (isFirst || this.#heldBytes + bytes <= this.#budget.share)
      if (!fits && !(isDue && isFirst)) {
        this.#cursor.next = startOf(item)
        return
      }
      this.#held.push({ item: copyOf(item), bytes })
      this.#heldBytes += bytes
      this.#budget.left -= bytes
    }
  }
}

function timeOf(item: TailItem): number {
  return 'placed' in item ? item.placed.record.timestampMs : Number.NEGATIVE_INFINITY
}

function startOf(item: TailItem): number {
  return 'placed' in item ? item.placed.record.offset : item.missing.startOffset
}

function sizeOf(item: TailItem): number {
  if (!('placed' in item)) return ITEM_OVERHEAD_BYTES
  const { key, value, headers } = item.placed.record
  const headerBytes = headers.reduce((sum, { key, value }) => sum + HEADER_OVERHEAD_BYTES + key.byteLength + (value?.byteLength ?? 0), 0)
  return ITEM_OVERHEAD_BYTES + (key?.byteLength ?? 0) + (value?.byteLength ?? 0) + headerBytes
}

/** A record as it is read holds its whole batch. */
function copyOf(item: TailItem): TailItem {
  if (!('placed' in item)) return item
  const { record } = item.placed
  const headers = record.headers.map(({ key, value }): RecordHeader => ({ key: new Uint8Array(key), value: copied(value) }))
  const copy: StoredRecord = { ...record, key: copied(record.key), value: copied(record.value), headers }
  return { placed: { ...item.placed, record: copy } }
}

function copied(bytes: Uint8Array | null): Uint8Array | null {
  return bytes === null ? null : new Uint8Array(bytes)
}

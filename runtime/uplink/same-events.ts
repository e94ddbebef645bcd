// Events of this log that the centre has and that a copy of this disk may have sent: under branches which this disk does not know, because the copy noted a
// fork that this one has not, or under its own; and the centre has forgotten the position that would tell. Which of our events are among them is known by what they are: at one offset the same
// timestamp, key, value and headers. What two copies of a disk have in common is the beginning of each partition, so the first event that differs ends it.
//
// Bounded in events that are kept for the comparison; and where the centre sets the time (LogAppendTime) the rest is too little to tell: then
// isComplete is false.
// Not for: reading the centre (read-back.ts), deciding what follows (noted-offsets.ts).

import { WadiError } from '../base/errors.ts'
import { toOffset } from '../base/offset.ts'
import type { Core } from '../core/core.ts'
import type { StoredRecord } from '../core/record.ts'
import type { BlockCodec } from '../io/codec.ts'
import { DiskError } from '../io/disk.ts'
import { decompressBatch } from '../log/batch-codec.ts'
import type { EventContent, EventName } from './read-back.ts'
import type { Source } from './source.ts'

const EVENTS_MAX = 50_000
const READ_BYTES = 1024 * 1024

const encoder = new TextEncoder()

/** What one unknown branch has of one source. */
interface Range {
  least: number
  greatest: number
}

export interface Common {
  /** Everything below is at the centre; where it began to compare when nothing is the same. */
  readonly next: number
  /** Branch id → where it begins here, and its greatest offset. */
  readonly branches: ReadonlyMap<string, Range>
  /** What lies here at `next`, or behind it, is not what the centre has there. */
  readonly isApart: boolean
  /** false: what lies behind `next` may be at the centre too, up to the greatest offset of the branches. */
  readonly isComplete: boolean
}

export class EventsOfBranches {
  readonly #core: Core
  readonly #codec: BlockCodec
  /** Source → offset → what lies there, one entry per branch. */
  readonly #contents = new Map<string, Map<number, string[]>>()
  readonly #ranges = new Map<string, Map<string, Range>>()
  /** Source → high watermark: what lies behind it cannot be ours. */
  readonly #ends: ReadonlyMap<string, number>
  #count = 0
  #isComplete = true

  constructor(context: { core: Core; codec: BlockCodec }, sources: readonly Source[]) {
    this.#core = context.core
    this.#codec = context.codec
    this.#ends = new Map(sources.map(({ key, partition }) => [key, partition.highWatermark]))
  }

  /** An event of this log at the centre. */
  add({ branchId, sourceKey, offset }: EventName, content: EventContent): void {
    const ranges = this.#ranges.get(sourceKey) ?? new Map<string, Range>()
    this.#ranges.set(sourceKey, ranges)
    const range = ranges.get(branchId) ?? { least: offset, greatest: offset }
    ranges.set(branchId, range)
    range.least = Math.min(range.least, offset)
    range.greatest = Math.max(range.greatest, offset)
    if (offset >= (this.#ends.get(sourceKey) ?? 0)) return
    if (this.#count >= EVENTS_MAX || !content.isOwnTime) {
      this.#isComplete = false
      return
    }
    this.#count++
    const contents = this.#contents.get(sourceKey) ?? new Map<number, string[]>()
    this.#contents.set(sourceKey, contents)
    contents.set(offset, [...(contents.get(offset) ?? []), this.#textOf(content)])
  }

  /** Compares what this disk has from `from` on. null when there is nothing to compare with. */
  async commonWith({ key, partition }: Source, from: number): Promise<Common | null> {
    const branches = this.#ranges.get(key)
    if (!branches) return null
    const contents = this.#contents.get(key) ?? new Map<number, string[]>()
    const end = Math.min(partition.highWatermark, 1 + Math.max(...[...branches.values()].map(({ greatest }) => greatest)))
    let next = from
    try {
      for (let offset = toOffset(Math.max(from, partition.logStartOffset)); offset < end; ) {
        const read = await partition.read(offset, { bytesMax: READ_BYTES })
        for (const { bytes } of read.batches) {
          for (const record of await this.#recordsOf(bytes)) {
            const there = record.offset < offset ? undefined : contents.get(record.offset)
            if (!there) continue
            if (!there.includes(this.#textOf(record))) return { next, branches, isApart: true, isComplete: this.#isComplete }
            next = record.offset + 1
          }
        }
        if (read.nextOffset <= offset) break
        offset = read.nextOffset
      }
    } catch (error) {
      // What cannot be read now may be there.
      if (!(error instanceof WadiError || error instanceof DiskError)) throw error
      return { next, branches, isApart: false, isComplete: false }
    }
    return { next, branches, isApart: false, isComplete: this.#isComplete }
  }

  /** Nothing of what cannot be opened: it was not delivered event by event. */
  async #recordsOf(batch: Uint8Array): Promise<readonly StoredRecord[]> {
    try {
      return this.#core.readRecords(await decompressBatch(this.#core, this.#codec, batch))
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return []
    }
  }

  #textOf({ timestampMs, key, value, headers }: Pick<StoredRecord, 'timestampMs' | 'key' | 'value' | 'headers'>): string {
    const sum = (bytes: Uint8Array | null): string => (bytes ? `${bytes.byteLength}.${this.#core.crc32c(bytes)}` : '')
    const ofHeaders = headers.map((header) => `${sum(header.key)}=${sum(header.value)}`).join(',')
    return `${timestampMs}/${sum(key)}/${sum(value)}/${headers.length === 0 ? '' : sum(encoder.encode(ofHeaders))}`
  }
}

// The offset index and the time index of one segment, in Kafka's formats: sparse, derived, never believed over the log.
//
//   .index      8 bytes an entry: relativeOffset i32 (= lastOffset of the batch - base), position i32 (start of that batch)
//   .timeindex 12 bytes an entry: timestamp i64, relativeOffset i32 (lastOffset of the earliest batch having that maximum)
//
// Invariants: offsets and timestamps strictly rise. An entry is made when more than indexIntervalBytes were appended since the last one;
// the time index gets a last entry when the segment is rolled or written out.
// Source: Apache Kafka, OffsetIndex.java, TimeIndex.java, LogSegment.java. Not for: reading files (segment.ts).

import { viewOf } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { BatchHeader } from '../core/record.ts'

export const OFFSET_ENTRY_BYTES = 8
export const TIME_ENTRY_BYTES = 12

/** A growing array of fixed-size entries. */
class Entries {
  readonly #width: number
  #bytes: Uint8Array
  #used = 0

  constructor(width: number, initial: Uint8Array = new Uint8Array(0)) {
    this.#width = width
    this.#bytes = initial
    this.#used = initial.byteLength
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#used)
  }

  get count(): number {
    return this.#used / this.#width
  }

  /** A view to write the new last entry into. */
  push(): DataView {
    if (this.#used + this.#width > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(32 * this.#width, this.#bytes.byteLength * 2))
      grown.set(this.bytes)
      this.#bytes = grown
    }
    this.#used += this.#width
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#used - this.#width, this.#width)
  }

  entry(index: number): DataView {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + index * this.#width, this.#width)
  }

  keep(count: number): void {
    this.#used = Math.min(this.#used, count * this.#width)
  }
}

export class SegmentIndex {
  readonly baseOffset: number
  #offsets = new Entries(OFFSET_ENTRY_BYTES)
  #times = new Entries(TIME_ENTRY_BYTES)
  #bytesSinceEntry = 0
  #maxTimestampMs = -1
  #maxTimestampOffset = 0

  constructor(baseOffset: number) {
    this.baseOffset = baseOffset
  }

  get maxTimestampMs(): number {
    return this.#maxTimestampMs
  }

  get offsetBytes(): Uint8Array {
    return this.#offsets.bytes
  }

  get timeBytes(): Uint8Array {
    return this.#times.bytes
  }

  /** Notes a batch that was appended at `positionBytes`, as LogSegment.append does. */
  onAppend(header: BatchHeader, positionBytes: number, intervalBytes: number): void {
    if (header.maxTimestampMs > this.#maxTimestampMs) {
      this.#maxTimestampMs = header.maxTimestampMs
      this.#maxTimestampOffset = header.lastOffset
    }
    if (this.#bytesSinceEntry > intervalBytes) {
      const entry = this.#offsets.push()
      entry.setInt32(0, header.lastOffset - this.baseOffset)
      entry.setInt32(4, positionBytes)
      this.addTimeEntry()
      this.#bytesSinceEntry = 0
    }
    this.#bytesSinceEntry += header.batchBytes
  }

  /** Adds the maximum so far to the time index, if it grew since the last entry. */
  addTimeEntry(): void {
    if (this.#maxTimestampMs < 0 || this.#maxTimestampMs <= this.#lastTimeEntryMs()) return
    const relativeOffset = this.#maxTimestampOffset - this.baseOffset
    if (this.#times.count > 0 && this.#times.entry(this.#times.count - 1).getInt32(8) >= relativeOffset) return
    const entry = this.#times.push()
    entry.setBigInt64(0, BigInt(this.#maxTimestampMs))
    entry.setInt32(8, relativeOffset)
  }

  #lastTimeEntryMs(): number {
    return this.#times.count === 0 ? -1 : Number(this.#times.entry(this.#times.count - 1).getBigInt64(0))
  }

  /** Position from which a forward scan finds `offset`. */
  positionFor(core: Core, offset: number): number {
    const entry = core.searchOffsetIndex(this.#offsets.bytes, offset - this.baseOffset)
    return entry < 0 ? 0 : this.#offsets.entry(entry).getInt32(4)
  }

  /** Offset from which a forward scan finds the first record with a timestamp ≥ timestampMs. */
  offsetBefore(core: Core, timestampMs: number): number {
    const entry = core.searchTimeIndex(this.#times.bytes, timestampMs - 1)
    return entry < 0 ? this.baseOffset : this.baseOffset + this.#times.entry(entry).getInt32(8)
  }

  /** Forgets what lies at or behind `positionBytes`; the caller scans on from there. */
  keepBelow(positionBytes: number, nextOffset: number): void {
    let count = this.#offsets.count
    while (count > 0 && this.#offsets.entry(count - 1).getInt32(4) >= positionBytes) count--
    this.#offsets.keep(count)
    let timeCount = this.#times.count
    while (timeCount > 0 && this.baseOffset + this.#times.entry(timeCount - 1).getInt32(8) >= nextOffset) timeCount--
    this.#times.keep(timeCount)
    this.#maxTimestampMs = this.#lastTimeEntryMs()
    this.#maxTimestampOffset = timeCount === 0 ? this.baseOffset : this.baseOffset + this.#times.entry(timeCount - 1).getInt32(8)
  }

  /** null when the bytes cannot be the indexes of a segment of this size: rebuild them from the log. */
  static load(files: { baseOffset: number; offsetBytes: Uint8Array; timeBytes: Uint8Array; segmentBytes: number }): SegmentIndex | null {
    const { offsetBytes, timeBytes } = files
    if (offsetBytes.byteLength % OFFSET_ENTRY_BYTES !== 0 || timeBytes.byteLength % TIME_ENTRY_BYTES !== 0) return null
    const offsets = viewOf(offsetBytes)
    let lastRelative = -1
    let lastPosition = -1
    for (let at = 0; at < offsetBytes.byteLength; at += OFFSET_ENTRY_BYTES) {
      const relative = offsets.getInt32(at)
      const position = offsets.getInt32(at + 4)
      if (relative <= lastRelative || position <= lastPosition || position >= files.segmentBytes) return null
      lastRelative = relative
      lastPosition = position
    }
    const times = viewOf(timeBytes)
    let lastTime = -1n
    lastRelative = -1
    for (let at = 0; at < timeBytes.byteLength; at += TIME_ENTRY_BYTES) {
      const time = times.getBigInt64(at)
      const relative = times.getInt32(at + 8)
      if (time <= lastTime || time > BigInt(Number.MAX_SAFE_INTEGER) || relative <= lastRelative) return null
      lastTime = time
      lastRelative = relative
    }
    const index = new SegmentIndex(files.baseOffset)
    index.#offsets = new Entries(OFFSET_ENTRY_BYTES, offsetBytes)
    index.#times = new Entries(TIME_ENTRY_BYTES, timeBytes)
    index.#maxTimestampMs = Number(lastTime)
    index.#maxTimestampOffset = files.baseOffset + Math.max(0, lastRelative)
    return index
  }
}

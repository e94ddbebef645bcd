// Reads batches out of a segment file, one after the other, each checked: size, magic, CRC, continuity.
// Used by recovery, verify and dump, which walk the records too, and by readers, who say how much they want: that comes with one call to the device, its
// batches lie one behind the other in memory, and their records, which were checked when they were stored, are what the CRC says.
// Invariant: memory is bounded by the largest batch plus one chunk.
// Not for: deciding what a fault means (partition-log.ts on reads, recovery.ts at the start).

import { BATCH_LENGTH_AT, LENGTH_PREFIX_BYTES, MAGIC, MAGIC_AT, RECORDS_AT, readBatchHeader, viewOf } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { BatchFault, BatchHeader } from '../core/record.ts'
import type { SalvageFile } from './salvage-read.ts'

/** What is read from the device at once by who reads all. */
const CHUNK_BYTES = 128 * 1024
/** By who says how much he wants. */
const CHUNK_BYTES_MIN = 16 * 1024
const CHUNK_BYTES_MAX = 1024 * 1024

export type ScanStep =
  | { readonly kind: 'batch'; readonly header: BatchHeader; readonly batch: Uint8Array; readonly positionBytes: number }
  | { readonly kind: 'end'; readonly positionBytes: number }
  | { readonly kind: 'fault'; readonly fault: BatchFault | 'order'; readonly positionBytes: number }

export class BatchScan {
  readonly #core: Core
  readonly #file: SalvageFile
  /** Nothing is looked at from there on. */
  readonly endBytes: number
  /** Behind a broken place no batch goes on to here or further: a record may hold the bytes of a whole batch of somewhere else. */
  readonly #endOffset: number
  /** Who wants more than up to here gets it in small pieces; null = all is wanted. */
  readonly #wantedEndBytes: number | null
  #chunk: Uint8Array = new Uint8Array(0)
  #chunkAt = 0
  positionBytes: number
  /** The next batch must not begin below this. */
  nextOffset: number

  /** `wantedBytes`: about how much the caller will take; without it, all. */
  constructor(
    core: Core,
    file: SalvageFile,
    range: { startBytes: number; endBytes: number; nextOffset: number; endOffset?: number; wantedBytes?: number }
  ) {
    this.#core = core
    this.#file = file
    this.endBytes = range.endBytes
    this.#wantedEndBytes = range.wantedBytes === undefined ? null : range.startBytes + range.wantedBytes
    this.#endOffset = range.endOffset ?? Number.POSITIVE_INFINITY
    this.positionBytes = range.startBytes
    this.nextOffset = range.nextOffset
  }

  /** The next batch, checked; moves on only when it is whole. The bytes are the caller's. */
  async next(): Promise<ScanStep> {
    const at = this.positionBytes
    if (at >= this.endBytes) return { kind: 'end', positionBytes: at }
    const start = await this.#bytesAt(at, RECORDS_AT)
    if (start.byteLength < RECORDS_AT) return { kind: 'fault', fault: 'short', positionBytes: at }
    const header = readBatchHeader(start)
    if (header === null) return { kind: 'fault', fault: 'magic', positionBytes: at }
    if (header.batchBytes > this.#core.batchBytesMax || at + header.batchBytes > this.endBytes) {
      return { kind: 'fault', fault: 'length', positionBytes: at }
    }
    const batch = await this.#bytesAt(at, header.batchBytes)
    if (batch.byteLength < header.batchBytes) return { kind: 'fault', fault: 'short', positionBytes: at }
    const fault = this.#wantedEndBytes === null ? this.#core.checkBatch(batch) : this.#core.checkStoredBatch(batch)
    if (fault !== null) return { kind: 'fault', fault, positionBytes: at }
    if (header.baseOffset < this.nextOffset) return { kind: 'fault', fault: 'order', positionBytes: at }
    this.positionBytes = at + header.batchBytes
    this.nextOffset = header.lastOffset + 1
    return { kind: 'batch', header, batch, positionBytes: at }
  }

  /** Does the next batch say that it is larger? As far as its header is here; it is not checked. */
  isNextLargerThan(bytes: number): boolean {
    if (bytes < RECORDS_AT) return true
    const at = this.positionBytes - this.#chunkAt
    if (at < 0 || at + RECORDS_AT > this.#chunk.byteLength) return false
    return viewOf(this.#chunk).getInt32(at + BATCH_LENGTH_AT) + LENGTH_PREFIX_BYTES > bytes
  }

  /** What of [startBytes, endBytes) the device refused, as far as this scan asked. */
  isUnreadable(startBytes: number, endBytes: number): boolean {
    return this.#file.isUnreadable(startBytes, endBytes)
  }

  /**
   * After a fault: the next byte position where a whole, checked batch begins; null when there is none. Where the broken batch says that it ends is
   * looked at first, because what lies in it is its records, whatever they hold.
   */
  async findBehind(faultBytes: number): Promise<number | null> {
    const broken = readBatchHeader(await this.#bytesAt(faultBytes, RECORDS_AT))
    const extentBytes = faultBytes + (broken?.batchBytes ?? 0)
    if (broken && broken.batchBytes >= RECORDS_AT && (await this.#isBatchAt(extentBytes))) return extentBytes
    for (let at = faultBytes + 1; at + RECORDS_AT <= this.endBytes; at++) {
      at = await this.#nextMagic(at)
      if (at + RECORDS_AT > this.endBytes) return null
      if (await this.#isBatchAt(at)) return at
    }
    return null
  }

  /** A whole batch begins there that can be one of this file. */
  async #isBatchAt(at: number): Promise<boolean> {
    if (at + RECORDS_AT > this.endBytes) return false
    const header = readBatchHeader(await this.#bytesAt(at, RECORDS_AT))
    if (header === null || header.baseOffset < this.nextOffset || header.lastOffset >= this.#endOffset) return false
    if (header.batchBytes > this.#core.batchBytesMax || at + header.batchBytes > this.endBytes) return false
    return this.#core.checkBatch(await this.#bytesAt(at, header.batchBytes)) === null
  }

  /** The first position from `at` on where a batch's magic would be right, without a turn of the loop for every byte. */
  async #nextMagic(at: number): Promise<number> {
    for (let position = at; position + RECORDS_AT <= this.endBytes; ) {
      await this.#bytesAt(position, RECORDS_AT)
      const found = this.#chunk.indexOf(MAGIC, position - this.#chunkAt + MAGIC_AT)
      if (found >= 0) return this.#chunkAt + found - MAGIC_AT
      position = Math.max(position + 1, this.#chunkAt + this.#chunk.byteLength - MAGIC_AT)
    }
    return this.endBytes
  }

  #chunkBytesAt(at: number): number {
    return this.#wantedEndBytes === null ? CHUNK_BYTES : Math.min(CHUNK_BYTES_MAX, Math.max(CHUNK_BYTES_MIN, this.#wantedEndBytes - at))
  }

  async #bytesAt(at: number, length: number): Promise<Uint8Array> {
    const end = Math.min(at + length, this.endBytes)
    if (at < this.#chunkAt || end > this.#chunkAt + this.#chunk.byteLength) {
      const chunk = new Uint8Array(Math.min(Math.max(length, this.#chunkBytesAt(at)), this.endBytes - at))
      const count = await this.#file.readAt(at, chunk)
      this.#chunk = chunk.subarray(0, count)
      this.#chunkAt = at
    }
    return this.#chunk.subarray(at - this.#chunkAt, Math.min(end - this.#chunkAt, this.#chunk.byteLength))
  }
}

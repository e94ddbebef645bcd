// One partition as a tail reads it: what is durable and committed, in order, and what is missing between.
// Invariants: every offset is handed out as an event, belongs to what readers do not see (markers, aborted transactions), or is named as missing;
// whoever leaves the loop of readTo() at any point goes on with the next call where he was.

import { WadiError } from '../runtime/base/errors.ts'
import { toOffset } from '../runtime/base/offset.ts'
import type { Core } from '../runtime/core/core.ts'
import type { BatchHeader, StoredRecord } from '../runtime/core/record.ts'
import type { BlockCodec } from '../runtime/io/codec.ts'
import { DiskError } from '../runtime/io/disk.ts'
import { readBatchRecords } from '../runtime/log/batch-codec.ts'
import type { OffsetRange, Partition } from '../runtime/log/contract.ts'

const READ_BYTES = 256 * 1024

/** A record and where it lies. */
export interface PlacedRecord {
  readonly topicName: string
  readonly partitionIndex: number
  readonly record: StoredRecord
}

/** Offsets that a reader cannot have: the disk does not have them, they cannot be opened, or retention was faster than the reader. */
export interface MissingRange extends OffsetRange {
  readonly topicName: string
  readonly partitionIndex: number
  readonly reason: 'damage' | 'cannot be opened' | 'deleted'
}

export type TailItem = { readonly placed: PlacedRecord } | { readonly missing: MissingRange }

export interface TailCodec {
  readonly core: Core
  readonly codec: BlockCodec
}

export class TailCursor {
  readonly partition: Partition
  readonly #codec: TailCodec
  /** First offset that was not handed out. */
  next: number
  /** The device did not let it be read: the next try may. */
  isHeldUp = false

  constructor(partition: Partition, next: number, codec: TailCodec) {
    this.partition = partition
    this.next = Math.max(next, partition.logStartOffset)
    this.#codec = codec
  }

  /**
   * From `next` to `until`, which is not above the last stable offset. Ends before it when the device cannot be read now. `next` is behind what was
   * handed out last; who cannot take that may put it back.
   */
  async *readTo(until: number, bytesMax = READ_BYTES): AsyncGenerator<TailItem, void, void> {
    this.isHeldUp = false
    while (this.next < until && !this.partition.isDeleted) {
      const { logStartOffset } = this.partition
      if (this.next < logStartOffset) {
        const range = { startOffset: this.next, endOffset: Math.min(logStartOffset, until) }
        this.next = logStartOffset
        yield this.#missing(range, 'deleted')
        continue
      }
      const read = await this.#read(bytesMax)
      if (read === 'again') continue
      if (read === 'held up') return
      const { batches, missing, nextOffset } = read
      const ranges = [...missing]
      for (const { header, bytes } of batches) {
        while (ranges[0] && ranges[0].startOffset < header.baseOffset) yield* this.#named(ranges.shift(), until, 'damage')
        yield* this.#records(bytes, header, until)
      }
      for (const range of ranges) yield* this.#named(range, until, 'damage')
      this.next = Math.max(this.next, Math.min(nextOffset, until))
    }
  }

  async #read(bytesMax: number): Promise<Awaited<ReturnType<Partition['readCommitted']>> | 'again' | 'held up'> {
    try {
      return await this.partition.readCommitted(toOffset(this.next), { bytesMax })
    } catch (error) {
      if (error instanceof WadiError && error.code === 'WADI_OFFSET_OUT_OF_RANGE') return 'again' // retention has overtaken us
      if (this.partition.isDeleted) return 'again' // the topic was deleted meanwhile: nothing more comes
      if (!(error instanceof DiskError)) throw error
      this.isHeldUp = true
      return 'held up'
    }
  }

  async *#records(batch: Uint8Array, header: BatchHeader, until: number): AsyncGenerator<TailItem, void, void> {
    const { topicName, partitionIndex } = this.partition
    const records = await readBatchRecords(this.#codec.core, this.#codec.codec, batch)
    if (records === null) {
      const range = { startOffset: Math.max(header.baseOffset, this.next), endOffset: header.lastOffset + 1 }
      return yield* this.#named(range, until, 'cannot be opened')
    }
    for (const record of records) {
      if (record.offset < this.next || record.offset >= until) continue
      this.next = record.offset + 1
      yield { placed: { topicName, partitionIndex, record } }
    }
  }

  *#named(range: OffsetRange | undefined, until: number, reason: MissingRange['reason']): Generator<TailItem, void, void> {
    if (range && range.startOffset < until) {
      const endOffset = Math.min(range.endOffset, until)
      this.next = Math.max(this.next, endOffset)
      yield this.#missing({ startOffset: range.startOffset, endOffset }, reason)
    }
  }

  #missing(range: OffsetRange, reason: MissingRange['reason']): TailItem {
    const { topicName, partitionIndex } = this.partition
    return { missing: { topicName, partitionIndex, ...range, reason } }
  }
}

// Turns what lies in the partitions into the batches of one transaction: read, decompress, repack into large batches for the centre's
// partitions, compress. Large operations only: the work per event is done in the core.
//
// What cannot be opened (nonsense in a right CRC, or more than a batch of ours holds) ends a part. Then it is a part of its own, whole, as it
// lies here, where the centre may take it: equal partition counts, and it may try. Otherwise it is poison.
//
// Equal partition counts map one to one. Otherwise every record goes where Kafka's own partitioner would put its key.
// Not for: talking to the centre, deciding when.

import { LEADER_EPOCH_AT, RECORDS_AT, readBatchHeader, viewOf, writeBaseOffset } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { BatchHeader, OpenedBatch } from '../core/record.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import { codecOf, compressBatch, joinBatch, openBatch, releaseOpened } from '../log/batch-codec.ts'
import type { StoredBatch } from '../log/contract.ts'
import { OpenedRemainders, type Remainder } from './opened-remainders.ts'
import type { Source } from './source.ts'
import type { UpstreamTopic } from './upstream.ts'

/** A batch for one partition of the centre, without producer fields. */
export interface PreparedBatch {
  readonly topicName: string
  readonly partitionIndex: number
  readonly bytes: Uint8Array
  readonly recordCount: number
}

/** What one edge partition gives to a transaction: every record of [from, until). */
export interface Part {
  readonly source: Source
  readonly from: number
  readonly until: number
  readonly batches: readonly PreparedBatch[]
  readonly eventCount: number
  readonly plainBytes: number
  /** Branch of this log that its events were named by. */
  readonly branchId: string
  /** Why this part is one batch that goes as it is, without `wadi.id` and `wadi.offset`. */
  readonly wholeBecause?: string
}

export interface PreparedTransaction {
  readonly parts: readonly Part[]
  /** Upstream topic → partition count the parts were made for. */
  readonly partitionCounts: ReadonlyMap<string, number>
}

/** What cannot be sent in any way: one record, or a batch that cannot be opened. */
export interface Poison {
  readonly source: Source
  readonly offset: number
  readonly reason: string
  /** As it lies here; its records from `offset` on are meant. */
  readonly batch?: Uint8Array
}

/** A batch that cannot be opened. */
interface Closed {
  readonly batch: Uint8Array
  readonly header: BatchHeader
  readonly reason: string
}

interface Opened {
  /** Beside each other: in the clear, and as stored. Let go when they are repacked. */
  readonly plain: OpenedBatch[]
  readonly stored: Uint8Array[]
  readonly end: number
  /** What lies at `end` and stopped us. */
  readonly closed: Closed | null
}

export interface BuilderOptions {
  readonly core: Core
  readonly codec: BlockCodec
  readonly compression: CodecName
  /** Value of the header `wadi.id`; a branch of the log adds "~" and its id. */
  readonly id: string
}

interface Repacked {
  readonly until: number
  readonly batches: readonly PreparedBatch[]
  readonly plainBytes: number
  /** The record at `until` does not fit a batch, not even alone. */
  readonly isTooLarge: boolean
}

const RATIO_MAX = 16
/** Of the core's room, when many batches share it: their last grains are not full. */
const ROOM_USED_BESIDE = 0.6
const RATIO_SAFETY = 0.8
/** Errors that the centre answered to a closed batch that was sent whole. A lost link is no answer. */
const WHOLE_TRIES_MAX = 3

export class TransactionBuilder {
  readonly #options: BuilderOptions
  /** Branch id → value of `wadi.id`. */
  readonly #ids = new Map<string, Uint8Array>()
  /** Upstream topic → plain bytes per compressed byte, as seen. */
  readonly #ratios = new Map<string, number>()
  /** Source → bytes in the clear per stored byte, as last seen. */
  readonly #openedRatios = new Map<string, number>()
  /** Source → bytes of its repacked records per byte in the clear, as last seen: two headers make small records much larger. */
  readonly #repackedRatios = new Map<string, number>()
  /** Upstream topic → largest compressed batch the centre was seen to refuse, less. */
  readonly #learnedMax = new Map<string, number>()

  readonly #remainders: OpenedRemainders

  constructor(options: BuilderOptions) {
    this.#options = options
    this.#remainders = new OpenedRemainders(options.codec)
  }

  /** The centre refused a batch of this many bytes as too large. */
  learnLimit(upstreamTopic: string, refusedBytes: number): void {
    const known = this.#learnedMax.get(upstreamTopic) ?? Number.POSITIVE_INFINITY
    this.#learnedMax.set(upstreamTopic, Math.max(1, Math.min(known, Math.floor(refusedBytes / 2))))
  }

  /** Source's next part, at most about `budgetBytes` before compression; a Poison when its next record can not be sent; null when there is nothing. */
  async part(source: Source, topic: UpstreamTopic, sourceCount: number, budgetBytes: number): Promise<Part | Poison | null> {
    const from = source.planned
    const limitBytes = Math.min(topic.batchBytesMax, this.#learnedMax.get(topic.name) ?? Number.POSITIVE_INFINITY)
    const ratio = this.#ratios.get(topic.name) ?? 1
    const { core } = this.#options
    const bytesMax = Math.min(
      core.batchBytesMax,
      Math.max(RECORDS_AT, budgetBytes),
      Math.max(limitBytes, limitBytes * ratio * RATIO_SAFETY)
    )
    const targetCount = topic.partitionCount === sourceCount ? 0 : topic.partitionCount
    // Not more than fits is opened. The batches of several targets grow beside each other in the room of one.
    const roomBytes = targetCount > 1 ? Math.min(bytesMax, core.batchBytesMax * ROOM_USED_BESIDE) : bytesMax
    const openBytesMax = roomBytes / (this.#repackedRatios.get(source.key) ?? 1)
    let untilMax = source.untilMax
    let opened = await this.#read(source, openBytesMax, untilMax)
    for (;;) {
      const { plain, end, closed } = opened
      if (plain.length === 0) {
        if (end > from) return emptyPart(source, from, end)
        return closed ? this.#closedPart(source, topic, closed, targetCount === 0 ? limitBytes : 0) : null
      }
      try {
        const packed = await this.#pack(source, topic, opened, { targetCount, bytesMax, limitBytes })
        if (!('tooLargeUntil' in packed)) return packed
        untilMax = from + Math.max(1, Math.floor((packed.tooLargeUntil - from) / 2))
        opened = await this.#read(source, openBytesMax, untilMax)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        opened = this.#beforeMisfit(source, opened, error)
      }
    }
  }

  /**
   * `opened` is empty afterwards: what is in the clear is not kept while the thread pool compresses.
   * @throws RangeError when the records of a batch cannot be read; then `opened` is as it was
   */
  async #pack(
    source: Source,
    topic: UpstreamTopic,
    opened: Opened,
    limits: { targetCount: number; bytesMax: number; limitBytes: number }
  ): Promise<Part | Poison | { readonly tooLargeUntil: number }> {
    const { core } = this.#options
    const { targetCount, bytesMax, limitBytes } = limits
    const { planned: from, branchId } = source // before anything is awaited
    const { plain, end } = opened
    let repacked = this.#repack(source, topic, plain, { from, until: end, targetCount, bytesMax })
    if (repacked.isTooLarge) {
      // Alone it may be as large as the core can make it: compressed it may still fit.
      const alone = { from, until: from + 1, targetCount, bytesMax: core.batchBytesMax }
      if (bytesMax < core.batchBytesMax) repacked = this.#repack(source, topic, plain, alone)
      if (repacked.isTooLarge) return { source, offset: from, reason: `it does not fit a batch of ${core.batchBytesMax} bytes` }
    }
    this.#learnRepackedRatio(source, plain, repacked)
    const { until, plainBytes } = repacked
    this.#letGo(source, opened, until)
    const batches = await Promise.all(repacked.batches.map((batch) => this.#compress(batch)))
    const largest = batches.reduce((max, batch) => Math.max(max, batch.bytes.byteLength), 0)
    if (plainBytes > 0) this.#learnRatio(topic.name, plainBytes, batches)
    if (largest > limitBytes && until > from + 1) return { tooLargeUntil: until }
    // What was learned is about batches. One event goes until the centre refuses it, unless it is larger than the centre says that it takes.
    if (largest > topic.batchBytesMax)
      return { source, offset: from, reason: `compressed it takes ${largest} bytes and the centre takes ${topic.batchBytesMax}` }
    const eventCount = batches.reduce((sum, batch) => sum + batch.recordCount, 0)
    return { source, from, until, batches, eventCount, plainBytes, branchId }
  }

  /** What the next part begins with is kept, the rest is given back; `opened` is empty afterwards. */
  #letGo(source: Source, { plain, stored }: Opened, until: number): void {
    const remainders: Remainder[] = []
    for (const [index, opened] of plain.entries()) {
      const remainder = { opened, stored: stored[index] as Uint8Array }
      if ((readBatchHeader(opened.head) as BatchHeader).lastOffset >= until) remainders.push(remainder)
      else releaseOpened(this.#options.codec, opened, remainder.stored)
    }
    this.#remainders.keep(source.key, remainders)
    plain.length = 0
    stored.length = 0
  }

  /** Whole batches from the source's planned offset on, uncompressed, until there are enough bytes. */
  async #read(source: Source, bytesMax: number, untilMax: number): Promise<Opened> {
    const { partition } = source
    const plain: OpenedBatch[] = []
    const stored: Uint8Array[] = []
    let closed: Closed | null = null
    let bytes = 0
    let next: number = source.planned
    for (const remainder of this.#remainders.take(source.key, next)) {
      plain.push(remainder.opened)
      stored.push(remainder.stored)
      bytes += bytesInRange(remainder.opened, next, untilMax)
      next = (readBatchHeader(remainder.opened.head) as BatchHeader).lastOffset + 1
    }
    while (next < untilMax && bytes < bytesMax && !closed) {
      const readBytes = Math.max(4096, Math.floor((bytesMax - bytes) / (this.#openedRatios.get(source.key) ?? 2)))
      const result = await partition.readCommitted(next as typeof partition.highWatermark, { bytesMax: readBytes })
      let readTo: number = result.nextOffset
      let storedBytes = 0
      const bytesBefore = bytes
      for (const batch of result.batches) {
        if (bytes >= bytesMax) {
          // Opened it may be twenty times as much: what does not fit is left to the next part.
          readTo = batch.header.baseOffset
          break
        }
        storedBytes += batch.bytes.byteLength
        const uncompressed = await this.#open(batch)
        if (!('records' in uncompressed)) {
          closed = uncompressed
          break
        }
        plain.push(uncompressed)
        stored.push(batch.bytes)
        bytes += RECORDS_AT + uncompressed.records.byteLength
      }
      if (bytes > bytesBefore) this.#openedRatios.set(source.key, Math.max(1, (bytes - bytesBefore) / storedBytes))
      if (closed) next = Math.max(next, closed.header.baseOffset)
      else if (readTo <= next) break
      else next = readTo
    }
    return { plain, stored, end: Math.min(next, untilMax), closed }
  }

  async #open({ header, bytes }: StoredBatch): Promise<OpenedBatch | Closed> {
    try {
      return await openBatch(this.#options.core, this.#options.codec, bytes)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return { batch: bytes, header, reason: error.message }
    }
  }

  /** `opened` up to the first batch whose records do not fit its header; only looked for when repacking stumbled. @throws `cause` when there is none */
  #beforeMisfit(source: Source, opened: Opened, cause: RangeError): Opened {
    const misfit = opened.plain.findIndex((batch) => this.#options.core.checkBatch(joinBatch(this.#options.core, batch)) !== null)
    if (misfit < 0) throw cause
    const batch = opened.stored[misfit] as Uint8Array
    const header = readBatchHeader(batch) as BatchHeader
    return {
      plain: opened.plain.slice(0, misfit),
      stored: opened.stored.slice(0, misfit),
      end: Math.max(source.planned, header.baseOffset),
      closed: { batch, header, reason: 'its records do not fit its header' }
    }
  }

  #closedPart(source: Source, topic: UpstreamTopic, closed: Closed, limitBytes: number): Part | Poison {
    const { batch, header, reason } = closed
    const from = source.planned
    const isWhole = header.baseOffset === from && header.recordCount === header.lastOffsetDelta + 1 && codecOf(batch) !== null
    if (!isWhole || batch.byteLength > limitBytes || source.wholeTriesAt(from) >= WHOLE_TRIES_MAX)
      return { source, offset: from, reason, batch }
    const bytes = new Uint8Array(batch) // a copy: slice() of a Buffer would be a view of the log
    writeBaseOffset(bytes, 0)
    viewOf(bytes).setInt32(LEADER_EPOCH_AT, -1)
    const { recordCount } = header
    const prepared = { topicName: topic.name, partitionIndex: source.partition.partitionIndex, bytes, recordCount }
    const until = header.lastOffset + 1
    const { branchId } = source
    return {
      source,
      from,
      until,
      batches: [prepared],
      eventCount: recordCount,
      plainBytes: bytes.byteLength,
      branchId,
      wholeBecause: reason
    }
  }

  /** All targets cover the same range: where one is full, the others end too. */
  #repack(
    source: Source,
    topic: UpstreamTopic,
    plain: readonly OpenedBatch[],
    range: { from: number; until: number; targetCount: number; bytesMax: number }
  ): Repacked {
    const { repack } = this.#options.core
    const { targetCount, bytesMax } = range
    const { partitionIndex } = source.partition
    const offsetPrefix = new TextEncoder().encode(`${source.key}/`)
    repack.beginForward({ bytesMax, id: this.#idOf(source.branchId), offsetPrefix, partitionIndex, targetCount })
    let { until } = range
    for (const batch of plain) {
      const result = repack.addOpened(batch, { fromOffset: range.from, untilOffset: range.until })
      if (!result.isFull) continue
      until = result.nextOffset
      break
    }
    const batches = repack.finishForward().map(({ targetIndex, bytes, recordCount }) => ({
      topicName: topic.name,
      partitionIndex: targetCount === 0 ? partitionIndex : targetIndex,
      bytes,
      recordCount
    }))
    const plainBytes = batches.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
    return { until, batches, plainBytes, isTooLarge: until === range.from }
  }

  #idOf(branchId: string): Uint8Array {
    const known = this.#ids.get(branchId)
    if (known) return known
    const id = new TextEncoder().encode(branchId === '' ? this.#options.id : `${this.#options.id}~${branchId}`)
    this.#ids.set(branchId, id)
    return id
  }

  async #compress(batch: PreparedBatch): Promise<PreparedBatch> {
    const { core, codec, compression } = this.#options
    const bytes = await compressBatch(core, codec, batch.bytes, compression)
    if (bytes !== batch.bytes) codec.release(batch.bytes)
    return { ...batch, bytes }
  }

  #learnRepackedRatio(source: Source, plain: readonly OpenedBatch[], { until, plainBytes }: Repacked): void {
    const takenBytes = plain.reduce((sum, batch) => sum + bytesInRange(batch, source.planned, until), 0)
    if (takenBytes > 0 && plainBytes > 0) this.#repackedRatios.set(source.key, Math.max(1, plainBytes / takenBytes))
  }

  #learnRatio(upstreamTopic: string, plainBytes: number, batches: readonly PreparedBatch[]): void {
    const sentBytes = batches.reduce((sum, batch) => sum + batch.bytes.byteLength, 0)
    if (sentBytes === 0) return
    const seen = Math.min(RATIO_MAX, plainBytes / sentBytes)
    const known = this.#ratios.get(upstreamTopic) ?? 1
    this.#ratios.set(upstreamTopic, seen < known ? seen : known * 0.7 + seen * 0.3)
  }
}

/** Nothing of [from, until) is to be sent. */
export function emptyPart(source: Source, from: number, until: number): Part {
  return { source, from, until, batches: [], eventCount: 0, plainBytes: 0, branchId: source.branchId }
}

/** About: as if all records of the batch had one length. */
function bytesInRange({ head, records }: OpenedBatch, from: number, until: number): number {
  const { baseOffset, lastOffset } = readBatchHeader(head) as BatchHeader
  const taken = Math.min(until, lastOffset + 1) - Math.max(from, baseOffset)
  return (RECORDS_AT + records.byteLength) * Math.max(0, taken / (lastOffset + 1 - baseOffset))
}

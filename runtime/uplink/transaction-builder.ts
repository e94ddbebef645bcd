// Turns what lies in the partitions into the batches of one transaction: read, decompress, repack into large batches for the centre's
// partitions, compress. Large operations only: the work per event is done in the core.
//
// Equal partition counts map one to one. Otherwise every record goes where Kafka's own partitioner would put its key.
// Not for: talking to the centre, deciding when.

import { CONTROL_BIT, RECORDS_AT, readBatchHeader } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import { compressBatch, decompressBatch } from '../log/batch-codec.ts'
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
}

export interface PreparedTransaction {
  readonly parts: readonly Part[]
  /** Upstream topic → partition count the parts were made for. */
  readonly partitionCounts: ReadonlyMap<string, number>
}

/** A record that can not be sent, whatever we try. */
export interface Poison {
  readonly source: Source
  readonly offset: number
  readonly reason: string
}

export interface BuilderOptions {
  readonly core: Core
  readonly codec: BlockCodec
  readonly compression: CodecName
  /** Value of the header `wadi.id`. */
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
const RATIO_SAFETY = 0.8

export class TransactionBuilder {
  readonly #options: BuilderOptions
  readonly #id: Uint8Array
  /** Upstream topic → plain bytes per compressed byte, as seen. */
  readonly #ratios = new Map<string, number>()
  /** Source → bytes in the clear per stored byte, as last seen. */
  readonly #openedRatios = new Map<string, number>()
  /** Upstream topic → largest compressed batch the centre was seen to refuse, less. */
  readonly #learnedMax = new Map<string, number>()

  constructor(options: BuilderOptions) {
    this.#options = options
    this.#id = new TextEncoder().encode(options.id)
  }

  /** The centre said too-large to a batch of this many bytes. */
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
    const { plain, end } = await this.#read(source, bytesMax)
    if (plain.length === 0) return end > from ? { source, from, until: end, batches: [], eventCount: 0, plainBytes: 0 } : null
    const targetCount = topic.partitionCount === sourceCount ? 0 : topic.partitionCount
    let until = end
    for (let batchBytesMax = bytesMax; ; ) {
      const repacked = this.#repackAll(source, topic, plain, { from, until, targetCount, bytesMax: batchBytesMax })
      if (repacked.isTooLarge && repacked.until === from) {
        if (batchBytesMax >= core.batchBytesMax)
          return { source, offset: from, reason: `it does not fit a batch of ${batchBytesMax} bytes` }
        until = from + 1 // alone it may be as large as the core can make it: compressed it may still fit
        batchBytesMax = core.batchBytesMax
        continue
      }
      until = repacked.until
      const batches = await Promise.all(repacked.batches.map((batch) => this.#compress(batch)))
      const largest = batches.reduce((max, batch) => Math.max(max, batch.bytes.byteLength), 0)
      if (repacked.plainBytes > 0) this.#learnRatio(topic.name, repacked.plainBytes, batches)
      if (largest <= limitBytes) {
        const eventCount = batches.reduce((sum, batch) => sum + batch.recordCount, 0)
        return { source, from, until, batches, eventCount, plainBytes: repacked.plainBytes }
      }
      if (until === from + 1)
        return { source, offset: from, reason: `compressed it takes ${largest} bytes and the centre takes ${limitBytes}` }
      until = from + Math.max(1, Math.floor((until - from) / 2))
    }
  }

  /** Whole batches from the source's planned offset on, uncompressed, until there are enough bytes. */
  async #read(source: Source, bytesMax: number): Promise<{ plain: Uint8Array[]; end: number }> {
    const { partition } = source
    const untilMax = source.untilMax
    const plain: Uint8Array[] = []
    let bytes = 0
    let next: number = source.planned
    while (next < untilMax && bytes < bytesMax) {
      const readBytes = Math.max(4096, Math.floor((bytesMax - bytes) / (this.#openedRatios.get(source.key) ?? 2)))
      const result = await partition.read(next as typeof partition.highWatermark, { bytesMax: readBytes })
      let readTo: number = result.nextOffset
      let storedBytes = 0
      const bytesBefore = bytes
      for (const batch of result.batches) {
        if (bytes >= bytesMax) {
          // Opened it may be twenty times as much: what does not fit is left to the next part.
          readTo = readBatchHeader(batch)?.baseOffset ?? readTo
          break
        }
        storedBytes += batch.byteLength
        if (((readBatchHeader(batch)?.attributes ?? 0) & CONTROL_BIT) !== 0) continue // a marker of a local transaction
        const uncompressed = await decompressBatch(this.#options.core, this.#options.codec, batch)
        plain.push(uncompressed)
        bytes += uncompressed.byteLength
      }
      if (bytes > bytesBefore) this.#openedRatios.set(source.key, Math.max(1, (bytes - bytesBefore) / storedBytes))
      if (readTo <= next) break
      next = readTo
    }
    if (plain[0]) source.noteTime(source.planned, readBatchHeader(plain[0])?.baseTimestampMs ?? 0)
    return { plain, end: Math.min(next, untilMax) }
  }

  /** All targets cover the same range: where one is full, the others end too. */
  #repackAll(
    source: Source,
    topic: UpstreamTopic,
    plain: readonly Uint8Array[],
    range: { from: number; until: number; targetCount: number; bytesMax: number }
  ): Repacked {
    const { targetCount } = range
    let { until } = range
    for (;;) {
      const batches: PreparedBatch[] = []
      let plainBytes = 0
      let isFull = false
      for (let targetIndex = 0; targetIndex < Math.max(1, targetCount) && !isFull; targetIndex++) {
        const result = this.#repackOne(source, plain, { ...range, until, targetIndex })
        if (result.until < until) {
          // A record did not fit: everything ends there. With one target this batch is right already.
          until = result.until
          isFull = targetIndex > 0
          if (until === range.from) return { until, batches: [], plainBytes: 0, isTooLarge: true }
        }
        if (!result.bytes || isFull) continue
        const partitionIndex = targetCount === 0 ? source.partition.partitionIndex : targetIndex
        batches.push({
          topicName: topic.name,
          partitionIndex,
          bytes: result.bytes,
          recordCount: readBatchHeader(result.bytes)?.recordCount ?? 0
        })
        plainBytes += result.bytes.byteLength
      }
      if (!isFull) return { until, batches, plainBytes, isTooLarge: false }
    }
  }

  #repackOne(
    source: Source,
    plain: readonly Uint8Array[],
    range: { from: number; until: number; targetIndex: number; targetCount: number; bytesMax: number }
  ): { until: number; bytes: Uint8Array | null } {
    const { repack } = this.#options.core
    repack.beginForward({
      bytesMax: range.bytesMax,
      id: this.#id,
      offsetPrefix: new TextEncoder().encode(`${source.key}/`),
      partitionIndex: source.partition.partitionIndex,
      targetIndex: range.targetIndex,
      targetCount: range.targetCount
    })
    let until = range.until
    for (const batch of plain) {
      const result = repack.add(batch, { fromOffset: range.from, untilOffset: range.until })
      if (!result.isFull) continue
      until = result.nextOffset
      break
    }
    return { until, bytes: repack.finish()?.slice() ?? null }
  }

  async #compress(batch: PreparedBatch): Promise<PreparedBatch> {
    const { core, codec, compression } = this.#options
    return { ...batch, bytes: await compressBatch(core, codec, batch.bytes, compression) }
  }

  #learnRatio(upstreamTopic: string, plainBytes: number, batches: readonly PreparedBatch[]): void {
    const sentBytes = batches.reduce((sum, batch) => sum + batch.bytes.byteLength, 0)
    if (sentBytes === 0) return
    const seen = Math.min(RATIO_MAX, plainBytes / sentBytes)
    const known = this.#ratios.get(upstreamTopic) ?? 1
    this.#ratios.set(upstreamTopic, seen < known ? seen : known * 0.7 + seen * 0.3)
  }
}

// Compacts one segment: what is superseded goes, everything else stays at its offset, in a file of its own that may take the segment's place.
//
// What goes: records that have a newer one of their key; records that delete their key, below `deletionsUntil` and when nothing that they supersede stays; records of
// aborted transactions; markers of committed ones. Markers of aborted transactions stay while readers are told of them: they find the end of what they leave out by them.
//
// Invariants
// - The batches cover the same offsets as before, one behind the other: those of a batch that goes are covered by the batch in front of it. Where that cannot
//   be (none is in front, it is a marker, another start wrote it, a hole lies between) the batch keeps its last record. So no batch is empty, which
//   not every client takes, and what is missing between batches is damage here as anywhere.
// - A batch of a transaction covers nothing from the next aborted transaction of its producer on: Kafka's Java consumer holds the last offset of a batch against where
//   aborted transactions begin, and would take it for one of that (CompletedFetch.consumeAbortedTransactionsUpTo).
// - A batch with a producer's fields is never put together with another; its sequences stay.
// - A segment with a broken place is left alone: what is whole behind it is found by its bytes.
// Not for: which keys are superseded (core), putting the file into place (segment.ts), when (compaction.ts).

import { assert } from '../base/assert.ts'
import {
  ATTRIBUTES_AT,
  BASE_OFFSET_AT,
  CONTROL_BIT,
  CRC_AT,
  LAST_OFFSET_DELTA_AT,
  RECORDS_AT,
  readSafeInt64,
  TIMESTAMP_TYPE_BIT,
  TRANSACTIONAL_BIT,
  viewOf,
  writeLeaderEpoch
} from '../core/batch-header.ts'
import type { CompactedBatch, CompactRules, Core, KeyMap } from '../core/core.ts'
import type { BatchHeader, OpenedBatch } from '../core/record.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import type { Disk, DiskFile } from '../io/disk.ts'
import { codecOf, compressBatch, openBatch, releaseOpened } from './batch-codec.ts'
import type { AbortedTransaction, StoredBatch } from './contract.ts'
import type { Segment, WriteMeter } from './segment.ts'
import { readSegment } from './segment-read.ts'
import { onlyDisk } from './store-errors.ts'
import { ABORT_TYPE, COMMIT_TYPE, isCommitted } from './transaction-index.ts'

/** What is read at once. */
const READ_BYTES = 256 * 1024
const WRITE_BYTES = 256 * 1024
/** Batches are put together up to so many bytes in the clear. */
const JOINED_BYTES_MAX = 256 * 1024
const NO_PRODUCER = -1n

export interface SegmentCompactionOptions {
  readonly core: Core
  readonly codec: BlockCodec
  readonly disk: Disk
  readonly meter: WriteMeter
  readonly keyMap: KeyMap
  /** For batches that nobody had compressed. */
  readonly codecName: CodecName
  readonly deletionsUntil: number
  readonly aborted: readonly AbortedTransaction[]
  /** After each batch. Rejects when the work is to end. */
  pause(work: { storedBytes: number; clearBytes: number }): Promise<void>
}

/** In the clear, so that codecs do not matter. */
export interface Measured {
  readonly bytes: number
  readonly superfluousBytes: number
  /** Records that are superseded by one that deletes their key. */
  readonly deletedRecords: number
  /** Nobody can open a batch of it: what its keys are is not known. */
  readonly hasUnknownKeys: boolean
}

export interface Compacted {
  readonly sizeBytes: number
  readonly removedRecords: number
}

/** What one batch is to be in the new file. */
interface Pending {
  /** As it stands in the segment; null = it was changed. */
  readonly stored: Uint8Array | null
  /** In the clear, to be put together with others; empty = it stays alone. */
  readonly parts: Uint8Array[]
  readonly codecName: CodecName
  readonly header: BatchHeader
  bytes: number
  coveredUntil: number
}

export class SegmentCompaction {
  readonly #options: SegmentCompactionOptions
  readonly #segment: Segment
  /** Of the batch that was opened last. */
  #clearBytes = 0

  constructor(options: SegmentCompactionOptions, segment: Segment) {
    this.#options = options
    this.#segment = segment
  }

  /**
   * How much would go; null when a part of the segment cannot be read or is damaged. `stays`: nothing will, and the key map is to know that of deleted keys.
   * @throws DiskError ENOENT when it was deleted
   */
  async measure({ stays }: { stays: boolean }): Promise<Measured | null> {
    let bytes = 0
    let superfluousBytes = 0
    let deletedRecords = 0
    let hasUnknownKeys = false
    const isWhole = await this.#each(async (batch) => {
      if ((batch.header.attributes & CONTROL_BIT) !== 0) {
        bytes += batch.bytes.byteLength
        if (this.#isSuperfluousMarker(batch)) superfluousBytes += batch.bytes.byteLength
        return
      }
      const isOpened = await this.#opened(batch, (opened) => {
        const { bytes: kept, deletedCount } = this.#compact(batch.header, opened, { keepsLast: false, stays })
        bytes += RECORDS_AT + opened.records.byteLength
        superfluousBytes += RECORDS_AT + opened.records.byteLength - kept.byteLength
        deletedRecords += deletedCount
        return true
      })
      if (!isOpened) hasUnknownKeys = true
    })
    return isWhole ? { bytes, superfluousBytes, deletedRecords, hasUnknownKeys } : null
  }

  /**
   * Writes what is left to a new file and syncs it; null, and no file is left, when a part of the segment cannot be read, or what is left would not be smaller (another
   * codec). @throws DiskError
   */
  async writeTo(path: string): Promise<Compacted | null> {
    const { disk } = this.#options
    const file = await disk.open(path, 'create')
    let result: Compacted | null = null
    try {
      await file.truncate(0)
      result = await this.#write(file)
      if (result) {
        await file.sync()
        this.#options.meter.onSync()
      }
      return result
    } finally {
      await file.close()
      if (!result) await disk.remove(path).catch(onlyDisk)
    }
  }

  async #write(file: DiskFile): Promise<Compacted | null> {
    const output = new Output(file, this.#options.meter)
    let pending: Pending | null = null
    let removedRecords = 0
    const isWhole = await this.#each(
      async (batch) => {
        const next = await this.#leftOf(batch, pending)
        removedRecords += next.removedRecords
        if (next.left === null) {
          assert(pending !== null, 'no batch covers what went')
          pending.coveredUntil = batch.header.lastOffset
          return
        }
        if (pending && joins(pending, next.left, this.#options.aborted)) {
          pending = {
            ...pending,
            stored: null,
            parts: [...pending.parts, ...next.left.parts],
            bytes: pending.bytes + next.left.bytes,
            coveredUntil: next.left.coveredUntil
          }
          return
        }
        if (pending) await output.add(await this.#encode(pending))
        pending = next.left
      },
      () => output.bytes < this.#segment.sizeBytes
    )
    if (!isWhole) return null
    const last = pending as Pending | null
    assert(last !== null && last.coveredUntil === this.#segment.nextOffset - 1, `${this.#segment.logPath} would end elsewhere`)
    await output.add(await this.#encode(last))
    const sizeBytes = await output.end()
    return sizeBytes < this.#segment.sizeBytes ? { sizeBytes, removedRecords } : null
  }

  /** Every batch, oldest first, while it `goesOn`. @returns false when it did not, or a part of the segment is damaged or cannot be read */
  async #each(visit: (batch: StoredBatch) => Promise<void>, goesOn = () => true): Promise<boolean> {
    const { core, pause } = this.#options
    for (let offset = this.#segment.baseOffset; offset < this.#segment.nextOffset; ) {
      const { batches, nextOffset, damage } = await readSegment(core, this.#segment, { offset, bytesMax: READ_BYTES })
      if (damage.length > 0 || nextOffset <= offset) return false
      for (const batch of batches) {
        this.#clearBytes = batch.bytes.byteLength
        await visit(batch)
        await pause({ storedBytes: batch.bytes.byteLength, clearBytes: this.#clearBytes })
        if (!goesOn()) return false
      }
      offset = nextOffset
    }
    return true
  }

  /** What is left of a batch; null = it goes, and `before` covers its offsets. */
  async #leftOf(batch: StoredBatch, before: Pending | null): Promise<{ left: Pending | null; removedRecords: number }> {
    const { header, bytes } = batch
    const isCovered = before !== null && canCover(before, header, this.#options.aborted)
    const untouched = { left: alone(batch), removedRecords: 0 }
    if ((header.attributes & CONTROL_BIT) !== 0)
      return isCovered && this.#isSuperfluousMarker(batch) ? { left: null, removedRecords: 0 } : untouched
    const left = await this.#opened(batch, (opened) => {
      const kept = this.#compact(header, opened, { keepsLast: !isCovered, stays: false })
      const removedRecords = header.recordCount - kept.recordCount
      if (kept.recordCount === 0) return { left: null, removedRecords }
      const isSame = removedRecords === 0
      const mayJoin = isPlain(header) && kept.bytes.byteLength < JOINED_BYTES_MAX / 2
      if (isSame && !mayJoin) return untouched
      const pending: Pending = {
        stored: isSame ? bytes : null,
        parts: [kept.bytes.slice()],
        codecName: this.#codecFor(header, bytes),
        header,
        bytes: kept.bytes.byteLength,
        coveredUntil: header.lastOffset
      }
      return { left: pending, removedRecords }
    })
    return left ?? untouched
  }

  /** The view is valid until the next call of the core. */
  #compact(header: BatchHeader, opened: OpenedBatch, rules: Pick<CompactRules, 'keepsLast' | 'stays'>): CompactedBatch {
    const { keyMap, deletionsUntil, aborted } = this.#options
    return keyMap.compact(opened, { ...rules, deletionsUntil, isAborted: !isCommitted(header, Number.POSITIVE_INFINITY, aborted) })
  }

  /** null when nobody can open the batch, or its records are not what its header says: it stays as it is. */
  async #opened<T>(batch: StoredBatch, use: (opened: OpenedBatch) => T): Promise<T | null> {
    const { core, codec } = this.#options
    try {
      const opened = await openBatch(core, codec, batch.bytes)
      this.#clearBytes = RECORDS_AT + opened.records.byteLength
      try {
        return use(opened)
      } finally {
        releaseOpened(codec, opened, batch.bytes)
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return null
    }
  }

  /** Of a committed transaction, or of an aborted one that has nothing left here and that nobody is told of any more. */
  #isSuperfluousMarker({ header, bytes }: StoredBatch): boolean {
    const { core, aborted } = this.#options
    try {
      const type = core.readRecords(bytes)[0]?.key?.[3]
      return type === COMMIT_TYPE || (type === ABORT_TYPE && !aborted.some(({ lastOffset }) => lastOffset === header.baseOffset))
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return false
    }
  }

  /** A producer's own codec stays, where we can write it; we do not write snappy. */
  #codecFor(header: BatchHeader, bytes: Uint8Array): CodecName {
    const { codecName, codec } = this.#options
    const given = codecOf(bytes)
    if (given === null || given === 'snappy') return codecName === 'none' ? 'lz4' : codecName
    if (given === 'none') return header.producerId === NO_PRODUCER ? codecName : 'none'
    return given === 'lz4' || codec.available.includes(given) ? given : codecName
  }

  async #encode(pending: Pending): Promise<Uint8Array> {
    const { core, codec } = this.#options
    const { stored, parts, header, coveredUntil, codecName } = pending
    const lastOffsetDelta = coveredUntil - header.baseOffset
    if (stored && coveredUntil === header.lastOffset) return stored
    const plain = stored ?? (parts.length === 1 ? (parts[0] as Uint8Array) : this.#joined(parts, header.partitionLeaderEpoch))
    const batch = new Uint8Array(await compressBatch(core, codec, plain, stored ? 'none' : codecName))
    viewOf(batch).setInt32(LAST_OFFSET_DELTA_AT, lastOffsetDelta)
    viewOf(batch).setUint32(CRC_AT, core.crc32c(batch.subarray(ATTRIBUTES_AT)))
    return batch
  }

  #joined(parts: readonly Uint8Array[], leaderEpoch: number): Uint8Array {
    const { repack, batchBytesMax } = this.#options.core
    repack.beginSeal({ bytesMax: batchBytesMax })
    for (const part of parts) {
      const baseOffset = readSafeInt64(viewOf(part), BASE_OFFSET_AT)
      const untilOffset = baseOffset + viewOf(part).getInt32(LAST_OFFSET_DELTA_AT) + 1
      assert(!repack.add(part, { fromOffset: baseOffset, untilOffset }).isFull, 'batches that are put together did not fit')
    }
    const joined = repack.finish()
    assert(joined !== null, 'put nothing together')
    const batch = joined.slice()
    writeLeaderEpoch(batch, leaderEpoch)
    return batch
  }
}

function alone({ header, bytes }: StoredBatch): Pending {
  return { stored: bytes, parts: [], codecName: 'none', header, bytes: bytes.byteLength, coveredUntil: header.lastOffset }
}

/** Whether `header`'s offsets can become the end of what `before` covers. */
function canCover(before: Pending, header: BatchHeader, aborted: readonly AbortedTransaction[]): boolean {
  const { attributes, producerId, baseOffset } = before.header
  if ((attributes & CONTROL_BIT) !== 0) return false
  const isAborted = ({ producerId: id, firstOffset }: AbortedTransaction): boolean =>
    id === producerId && firstOffset > baseOffset && firstOffset <= header.lastOffset
  if ((attributes & TRANSACTIONAL_BIT) !== 0 && aborted.some(isAborted)) return false
  return before.coveredUntil + 1 === header.baseOffset && before.header.partitionLeaderEpoch === header.partitionLeaderEpoch
}

/** Neither a producer's fields nor one time for all records. */
function isPlain({ producerId, attributes }: BatchHeader): boolean {
  return producerId === NO_PRODUCER && (attributes & (TRANSACTIONAL_BIT | CONTROL_BIT | TIMESTAMP_TYPE_BIT)) === 0
}

function joins(before: Pending, next: Pending, aborted: readonly AbortedTransaction[]): boolean {
  if (before.parts.length === 0 || next.parts.length === 0 || !isPlain(before.header) || !isPlain(next.header)) return false
  if (before.codecName !== next.codecName || before.bytes + next.bytes > JOINED_BYTES_MAX) return false
  return canCover(before, next.header, aborted)
}

/** Writes in pieces. */
class Output {
  readonly #file: DiskFile
  readonly #meter: WriteMeter
  #batches: Uint8Array[] = []
  #waitingBytes = 0
  #writtenBytes = 0

  constructor(file: DiskFile, meter: WriteMeter) {
    this.#file = file
    this.#meter = meter
  }

  async add(batch: Uint8Array): Promise<void> {
    this.#batches.push(batch)
    this.#waitingBytes += batch.byteLength
    if (this.#waitingBytes >= WRITE_BYTES) await this.#flush()
  }

  /** Written, or waiting to be. */
  get bytes(): number {
    return this.#writtenBytes + this.#waitingBytes
  }

  async end(): Promise<number> {
    await this.#flush()
    return this.#writtenBytes
  }

  async #flush(): Promise<void> {
    if (this.#waitingBytes === 0) return
    const bytes = Buffer.concat(this.#batches)
    await this.#file.writeAt(this.#writtenBytes, bytes)
    this.#meter.onWrite('segment', bytes.byteLength)
    this.#writtenBytes += bytes.byteLength
    this.#batches = []
    this.#waitingBytes = 0
  }
}

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
  CONTROL_BIT,
  LAST_OFFSET_DELTA_AT,
  RECORDS_AT,
  readBatchHeader,
  TIMESTAMP_TYPE_BIT,
  TRANSACTIONAL_BIT,
  viewOf,
  writeLeaderEpoch
} from '../core/batch-header.ts'
import type { CompactedBatch, CompactRules, Core, KeyMap } from '../core/core.ts'
import type { BatchHeader, OpenedBatch } from '../core/record.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import type { Disk, DiskFile } from '../io/disk.ts'
import { codecOf, compressBatch, withOpened, writeCrc } from './batch-codec.ts'
import type { AbortedTransaction, StoredBatch } from './contract.ts'
import { repackRun } from './seal.ts'
import type { Segment, WriteMeter } from './segment.ts'
import { readPieces } from './segment-read.ts'
import { onlyDisk } from './store-errors.ts'
import { ABORT_TYPE, COMMIT_TYPE, controlType, isCommitted } from './transaction-index.ts'

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
  readonly bytes: number
  readonly coveredUntil: number
}

/** What is left of a batch. */
interface Left {
  /** null = it goes, and the batch in front covers its offsets. */
  readonly left: Pending | null
  /** In the clear. */
  readonly keptBytes: number
  readonly removedRecords: number
  readonly deletedRecords: number
  /** Nobody can open it. */
  readonly isUnknown: boolean
}

const NOTHING_GOES = { removedRecords: 0, deletedRecords: 0, isUnknown: false }

export class SegmentCompaction {
  readonly #options: SegmentCompactionOptions
  readonly #segment: Segment
  /** Of the batch that was opened last. */
  #clearBytes = 0

  constructor(options: SegmentCompactionOptions, segment: Segment) {
    this.#options = options
    this.#segment = segment
  }

  /** How much would go; null when a part of the segment cannot be read or is damaged. @throws DiskError ENOENT when it was deleted */
  async measure(): Promise<Measured | null> {
    const sum = { bytes: 0, superfluousBytes: 0, deletedRecords: 0, hasUnknownKeys: false }
    let before: Pending | null = null
    const isWhole = await this.#each(async (batch) => {
      const next = await this.#leftOf(batch, before)
      sum.bytes += this.#clearBytes
      sum.superfluousBytes += this.#clearBytes - next.keptBytes
      sum.deletedRecords += next.deletedRecords
      if (next.isUnknown) sum.hasUnknownKeys = true
      before = next.left ?? covering(before, batch.header)
    })
    return isWhole ? sum : null
  }

  /** Nothing of the segment is going to go, and the key map is to know that of keys that were deleted. @returns false as #each() */
  keepDeleted(): Promise<boolean> {
    return this.#each(async (batch) => {
      if ((batch.header.attributes & CONTROL_BIT) !== 0) return
      await this.#opened(batch, (opened) => this.#compact(batch.header, opened, { keepsLast: false, stays: true }))
    })
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
          pending = covering(pending, batch.header)
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
    const { baseOffset: fromOffset, nextOffset: untilOffset } = this.#segment
    for await (const { batches, damage } of readPieces(core, this.#segment, { fromOffset, untilOffset, bytesMax: READ_BYTES })) {
      if (damage.length > 0) return false
      for (const batch of batches) {
        this.#clearBytes = batch.bytes.byteLength
        await visit(batch)
        await pause({ storedBytes: batch.bytes.byteLength, clearBytes: this.#clearBytes })
        if (!goesOn()) return false
      }
    }
    return true
  }

  async #leftOf(batch: StoredBatch, before: Pending | null): Promise<Left> {
    const { header, bytes } = batch
    const isCovered = before !== null && canCover(before, header, this.#options.aborted)
    const untouched = (): Left => ({ ...NOTHING_GOES, left: alone(batch), keptBytes: this.#clearBytes })
    if ((header.attributes & CONTROL_BIT) !== 0)
      return isCovered && this.#isSuperfluousMarker(batch) ? { ...NOTHING_GOES, left: null, keptBytes: 0 } : untouched()
    const left = await this.#opened(batch, (opened): Left => {
      const kept = this.#compact(header, opened, { keepsLast: !isCovered, stays: false })
      const { recordCount, deletedCount: deletedRecords } = kept
      const removedRecords = header.recordCount - recordCount
      if (recordCount === 0) return { ...NOTHING_GOES, left: null, keptBytes: 0, removedRecords, deletedRecords }
      const isSame = removedRecords === 0
      const mayJoin = isPlain(header) && kept.bytes.byteLength < JOINED_BYTES_MAX / 2
      if (isSame && !mayJoin) return untouched()
      const pending: Pending = {
        stored: isSame ? bytes : null,
        parts: [kept.bytes.slice()],
        codecName: this.#codecFor(header, bytes),
        header,
        bytes: kept.bytes.byteLength,
        coveredUntil: header.lastOffset
      }
      return { ...NOTHING_GOES, left: pending, keptBytes: pending.bytes, removedRecords, deletedRecords }
    })
    return left ?? { ...untouched(), isUnknown: true }
  }

  /** The view is valid until the next call of the core. */
  #compact(header: BatchHeader, opened: OpenedBatch, rules: Pick<CompactRules, 'keepsLast' | 'stays'>): CompactedBatch {
    const { keyMap, deletionsUntil, aborted } = this.#options
    return keyMap.compact(opened, { ...rules, deletionsUntil, isAborted: !isCommitted(header, Number.POSITIVE_INFINITY, aborted) })
  }

  /** null when nobody can open the batch, or its records are not what its header says: it stays as it is. */
  #opened<T>(batch: StoredBatch, use: (opened: OpenedBatch) => T): Promise<T | null> {
    const { core, codec } = this.#options
    return withOpened(core, codec, batch.bytes, (opened) => {
      this.#clearBytes = RECORDS_AT + opened.records.byteLength
      return use(opened)
    })
  }

  /** Of a committed transaction, or of an aborted one that has nothing left here and that nobody is told of any more. */
  #isSuperfluousMarker({ header, bytes }: StoredBatch): boolean {
    const { core, aborted } = this.#options
    try {
      const type = controlType(core.readRecords(bytes)[0]?.key)
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
    writeCrc(core, batch)
    return batch
  }

  #joined(parts: readonly Uint8Array[], leaderEpoch: number): Uint8Array {
    const run = parts.map((batch) => ({ ...(readBatchHeader(batch) as BatchHeader), batch }))
    const batch = repackRun(this.#options.core, run).slice()
    writeLeaderEpoch(batch, leaderEpoch)
    return batch
  }
}

function alone({ header, bytes }: StoredBatch): Pending {
  return { stored: bytes, parts: [], codecName: 'none', header, bytes: bytes.byteLength, coveredUntil: header.lastOffset }
}

/** `before` with the offsets of a batch that goes. */
function covering(before: Pending | null, { lastOffset }: BatchHeader): Pending {
  assert(before !== null, 'no batch covers what went')
  return { ...before, coveredUntil: lastOffset }
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

// Reads whole, checked batches out of one segment from an offset on. Damaged bytes are passed over and named; the reader goes on behind them.
// Invariants: what is returned is contiguous from the asked offset, except for the ranges in `damage`; the batches hold at most twice their own bytes
// of memory (a reader of many partitions is admitted by what it takes).
// Not for: reporting damage (partition-log.ts does, once per range).

import { assert } from '../base/assert.ts'
import type { Core } from '../core/core.ts'
import type { BatchScan, ScanStep } from './batch-scan.ts'
import type { StoredBatch } from './contract.ts'
import type { Segment } from './segment.ts'

export interface DamagedRange {
  readonly positionBytes: number
  readonly startOffset: number
  readonly endOffset: number
  /** The device refused to read some of it: it may be able to later. Else the bytes are there and wrong. */
  readonly isUnreadable: boolean
}

export interface SegmentRead {
  readonly batches: readonly StoredBatch[]
  readonly nextOffset: number
  readonly damage: readonly DamagedRange[]
}

export function readSegment(core: Core, segment: Segment, range: { offset: number; bytesMax: number }): Promise<SegmentRead> {
  return segment.withFile(async (file) => {
    const startBytes = segment.readTo.find(range.offset) ?? (await segment.index()).positionFor(core, range.offset)
    const scan = segment.scan(file, startBytes, range.bytesMax)
    const reader = new SegmentReader(scan, { ...range, endOffset: segment.nextOffset })
    const read = await reader.run()
    if (read.batches.length > 0) segment.readTo.note(read.nextOffset, reader.endBytes)
    return read
  })
}

/** What readSegment() gives, piece by piece, over the offsets of [fromOffset, untilOffset) that are in the segment. @throws DiskError as readSegment() */
export async function* readPieces(
  core: Core,
  segment: Segment,
  { fromOffset, untilOffset, bytesMax }: { fromOffset: number; untilOffset: number; bytesMax: number }
): AsyncGenerator<SegmentRead & { readonly offset: number }, void, void> {
  const end = Math.min(untilOffset, segment.nextOffset)
  for (let offset = Math.max(fromOffset, segment.baseOffset); offset < end; ) {
    const read = await readSegment(core, segment, { offset, bytesMax })
    assert(read.nextOffset > offset, `reading ${segment.logPath} stands still at ${offset}`)
    yield { ...read, offset }
    offset = read.nextOffset
  }
}

class SegmentReader {
  readonly #scan: BatchScan
  readonly #offset: number
  readonly #bytesMax: number
  /** As far as this scan looks: a seal may append meanwhile. */
  readonly #endOffset: number
  readonly #batches: StoredBatch[] = []
  readonly #damage: DamagedRange[] = []
  #bytes = 0
  #nextOffset: number
  /** Where the last batch ends that was taken. */
  endBytes = 0

  constructor(scan: BatchScan, range: { offset: number; bytesMax: number; endOffset: number }) {
    this.#scan = scan
    this.#offset = range.offset
    this.#bytesMax = range.bytesMax
    this.#endOffset = range.endOffset
    this.#nextOffset = range.offset
  }

  async run(): Promise<SegmentRead> {
    for (let goesOn = true; goesOn && !this.#isFull; ) {
      const step = await this.#scan.next()
      if (step.kind === 'batch') goesOn = this.#take(step)
      else if (step.kind === 'end') goesOn = this.#end(step.positionBytes)
      else goesOn = this.#batches.length === 0 && (await this.#passDamage(step.positionBytes))
    }
    return { batches: withoutSurplus(this.#batches), nextOffset: this.#nextOffset, damage: this.#damage }
  }

  /** What comes next has no room: it need not be read. */
  get #isFull(): boolean {
    return this.#batches.length > 0 && this.#scan.isNextLargerThan(this.#bytesMax - this.#bytes)
  }

  /** False when there is enough. */
  #take({ header, batch, positionBytes }: ScanStep & { kind: 'batch' }): boolean {
    if (header.lastOffset < this.#offset) return true
    if (header.baseOffset >= this.#endOffset) return this.#end(positionBytes) // a refused write left it there: it is in the next segment
    if (this.#batches.length > 0 && this.#bytes + batch.byteLength > this.#bytesMax) return false
    this.#batches.push({ header, bytes: batch })
    this.#bytes += batch.byteLength
    this.#nextOffset = header.lastOffset + 1
    this.endBytes = positionBytes + batch.byteLength
    return this.#bytes < this.#bytesMax
  }

  /** The file ends before the next segment begins: whole batches are missing at its end. */
  #end(positionBytes: number): false {
    if (this.#scan.nextOffset < this.#endOffset)
      this.#note({ positionBytes, endBytes: positionBytes + 1 }, Math.max(this.#offset, this.#scan.nextOffset), this.#endOffset)
    this.#nextOffset = Math.max(this.#nextOffset, this.#endOffset)
    return false
  }

  /** Looks for the next whole batch byte by byte: the index names one in many, and those before it are whole too. */
  async #passDamage(positionBytes: number): Promise<boolean> {
    const startOffset = Math.max(this.#offset, this.#scan.nextOffset)
    const behind = await this.#scan.findBehind(positionBytes)
    if (behind !== null) this.#scan.positionBytes = behind
    const next = behind === null ? null : await this.#scan.next()
    if (next?.kind !== 'batch') {
      this.#note({ positionBytes, endBytes: this.#scan.endBytes }, startOffset, this.#endOffset)
      this.#nextOffset = Math.max(this.#offset, this.#endOffset)
      return false
    }
    this.#note({ positionBytes, endBytes: next.positionBytes }, startOffset, next.header.baseOffset)
    return this.#take(next)
  }

  /** All of the bytes are asked about: what the device refuses may begin in the middle of a batch, whose first page was in the cache. */
  #note({ positionBytes, endBytes }: { positionBytes: number; endBytes: number }, startOffset: number, endOffset: number): void {
    if (endOffset <= startOffset) return
    const isUnreadable = this.#scan.isUnreadable(positionBytes, endBytes)
    this.#damage.push({ positionBytes, startOffset, endOffset, isUnreadable })
  }
}

/** Batches that are less than half of the piece of the file that they were read with are copied: who holds them would hold all of it. */
function withoutSurplus(batches: readonly StoredBatch[]): readonly StoredBatch[] {
  const takenBytes = new Map<ArrayBufferLike, number>()
  for (const { bytes } of batches) takenBytes.set(bytes.buffer, (takenBytes.get(bytes.buffer) ?? 0) + bytes.byteLength)
  return batches.map((batch) => {
    const { buffer } = batch.bytes
    const isSurplus = (takenBytes.get(buffer) as number) * 2 < buffer.byteLength
    return isSurplus ? { header: batch.header, bytes: new Uint8Array(batch.bytes) } : batch
  })
}

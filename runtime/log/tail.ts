// The end of a partition that is durable in the journal and not yet in a segment: valid batches in memory, served as they are.
//
// A gateway's batches are small (one event of 26 bytes makes one of 87), and an object, a Buffer and a header each would take several
// times what they carry. So batches are copied one behind the other into blocks; what else is known of them lies in arrays of numbers
// beside the block; headers are read where they lie. The first block of a quiet tail is small, the next ones twice as large each.
//
// Invariants: offsets rise; every batch here is covered by a completed sync; `oldestSequence` is the first commit that must stay in the
// journal; a block is never written again where a batch lies while the tail has that batch. Dropped blocks of the largest size are used again (memory
// outside of the heap is what makes the collector run at high rates), so a view is not kept beyond that: readers get copies (partition-log.ts).
// Not for: bytes on disk (segment.ts), deciding when to seal (seal.ts).

import { assert } from '../base/assert.ts'
import { type Offset, toOffset } from '../base/offset.ts'
import {
  ATTRIBUTES_AT,
  BASE_OFFSET_AT,
  BATCH_LENGTH_AT,
  LAST_OFFSET_DELTA_AT,
  LEADER_EPOCH_AT,
  LENGTH_PREFIX_BYTES,
  PRODUCER_ID_AT,
  readSafeInt64
} from '../core/batch-header.ts'

/** What seal and readers ask of a batch. A view: valid until the tail drops it. */
export interface TailBatch {
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly batch: Uint8Array
  /** Neither compressed nor from a producer with an id: it may be repacked. */
  readonly isPlain: boolean
  /** The start that wrote it; 0 of one from before that was written down. */
  readonly leaderEpoch: number
}

const BLOCK_BYTES_MIN = 1024
const BLOCK_BYTES_MAX = 64 * 1024
/** Object, views, arrays and the ArrayBuffer of one block. */
const BLOCK_OVERHEAD_BYTES = 600
/** Three numbers per batch in arrays that grow by half. */
const BATCH_OVERHEAD_BYTES = 36

interface Block {
  readonly bytes: Uint8Array
  readonly view: DataView
  usedBytes: number
  /** By batch: where it begins, the commit that made it durable, when it was added. */
  readonly starts: number[]
  readonly sequences: number[]
  readonly addedMs: number[]
}

/** Of the batches in the tail: what may be asked without reading them. */
export type TailView = Readonly<
  Pick<Tail, 'bytes' | 'memoryBytes' | 'count' | 'isEmpty' | 'startOffset' | 'oldestSequence' | 'oldestAddedMs'>
>

/** Dropped blocks that wait to be used again, of all tails together: 2 MiB. */
const FREE_BLOCKS_MAX = 32

/** Of several tails together; each tail adds its own changes. */
export class TailTotals {
  readonly #free: Uint8Array[] = []
  #bytes = 0
  #memoryBytes = 0

  /** Bytes of the batches. */
  get bytes(): number {
    return this.#bytes
  }

  /** What they take in memory. */
  get memoryBytes(): number {
    return this.#memoryBytes
  }

  /** What is in it is of no meaning. */
  takeBlock(bytes: number): Uint8Array {
    return (bytes === BLOCK_BYTES_MAX ? this.#free.pop() : undefined) ?? new Uint8Array(bytes)
  }

  /** Nobody looks at it any more. */
  giveBack(block: Uint8Array): void {
    if (block.byteLength === BLOCK_BYTES_MAX && this.#free.length < FREE_BLOCKS_MAX) this.#free.push(block)
  }

  add(bytes: number, memoryBytes: number): void {
    this.#bytes += bytes
    this.#memoryBytes += memoryBytes
  }
}

export class Tail {
  readonly #totals: TailTotals
  #blocks: Block[] = []
  /** Batches of the first block that are dropped already. */
  #dropped = 0
  #count = 0
  #bytes = 0
  #memoryBytes = 0

  constructor(totals: TailTotals = new TailTotals()) {
    this.#totals = totals
  }

  /** Bytes of the batches. */
  get bytes(): number {
    return this.#bytes
  }

  /** What they take in memory: whole blocks and the numbers beside them. */
  get memoryBytes(): number {
    return this.#memoryBytes
  }

  /** Batches. */
  get count(): number {
    return this.#count
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  get startOffset(): Offset | null {
    const first = this.#blocks[0]
    return first ? baseOffsetOf(first, this.#dropped) : null
  }

  get oldestSequence(): number | null {
    return this.#blocks[0]?.sequences[this.#dropped] ?? null
  }

  get oldestAddedMs(): number | null {
    return this.#blocks[0]?.addedMs[this.#dropped] ?? null
  }

  /** Copies the batch, whose header the caller has looked at. */
  push(batch: Uint8Array, commit: { sequence: number; addedMs: number }): void {
    const block = this.#blockFor(batch.byteLength)
    const start = block.usedBytes
    block.bytes.set(batch, start)
    block.usedBytes += batch.byteLength
    block.starts.push(start)
    block.sequences.push(commit.sequence)
    block.addedMs.push(commit.addedMs)
    this.#count++
    this.#add(batch.byteLength, BATCH_OVERHEAD_BYTES)
  }

  #add(bytes: number, memoryBytes: number): void {
    this.#bytes += bytes
    this.#memoryBytes += memoryBytes
    this.#totals.add(bytes, memoryBytes)
  }

  #blockFor(bytes: number): Block {
    const last = this.#blocks.at(-1)
    if (last && last.usedBytes + bytes <= last.bytes.byteLength) return last
    const wanted = last ? Math.min(last.bytes.byteLength * 2, BLOCK_BYTES_MAX) : BLOCK_BYTES_MIN
    const memory = this.#totals.takeBlock(Math.max(bytes, wanted))
    const block = { bytes: memory, view: new DataView(memory.buffer), usedBytes: 0, starts: [], sequences: [], addedMs: [] }
    this.#blocks.push(block)
    this.#add(0, memory.byteLength + BLOCK_OVERHEAD_BYTES)
    return block
  }

  /** Forgets the first `count` batches: they are in the segment now. */
  drop(count: number): void {
    assert(count <= this.#count, 'more dropped than there is')
    this.#count -= count
    let left = count
    let gone = 0
    for (const block of this.#blocks) {
      const held = block.starts.length - this.#dropped
      const taken = Math.min(left, held)
      const until = this.#dropped + taken
      this.#add((block.starts[this.#dropped] ?? 0) - (block.starts[until] ?? block.usedBytes), 0)
      this.#dropped = until
      left -= taken
      if (until < block.starts.length) break
      this.#add(0, -(block.bytes.byteLength + BLOCK_OVERHEAD_BYTES + BATCH_OVERHEAD_BYTES * block.starts.length))
      this.#totals.giveBack(block.bytes)
      this.#dropped = 0
      gone++
      if (left === 0) break
    }
    if (gone > 0) this.#blocks = this.#blocks.slice(gone)
  }

  /** Batches in order, from the one that holds `offset`, or the next one, on. */
  *from(offset: number): Generator<TailBatch, void> {
    let blockAt = this.#blockAt(offset)
    for (let at = this.#batchAt(blockAt, offset); blockAt < this.#blocks.length; blockAt++, at = 0) {
      const block = this.#blocks[blockAt] as Block
      for (; at < block.starts.length; at++) yield entryOf(block, at)
    }
  }

  /** Bytes of the batches that from(offset) gives. */
  bytesFrom(offset: number): number {
    const blockAt = this.#blockAt(offset)
    let bytes = 0
    for (let i = blockAt; i < this.#blocks.length; i++) {
      const block = this.#blocks[i] as Block
      bytes += block.usedBytes - (i === blockAt ? (block.starts[this.#batchAt(i, offset)] ?? block.usedBytes) : 0)
    }
    return bytes
  }

  /** The first block that ends with or behind `offset`. */
  #blockAt(offset: number): number {
    return lowest(0, this.#blocks.length, (i) => {
      const block = this.#blocks[i] as Block
      return lastOffsetOf(block, block.starts.length - 1) >= offset
    })
  }

  #batchAt(blockAt: number, offset: number): number {
    const block = this.#blocks[blockAt]
    if (!block) return 0
    return lowest(blockAt === 0 ? this.#dropped : 0, block.starts.length, (i) => lastOffsetOf(block, i) >= offset)
  }
}

function baseOffsetOf(block: Block, at: number): Offset {
  return toOffset(readSafeInt64(block.view, (block.starts[at] as number) + BASE_OFFSET_AT))
}

function lastOffsetOf(block: Block, at: number): Offset {
  return toOffset(baseOffsetOf(block, at) + block.view.getInt32((block.starts[at] as number) + LAST_OFFSET_DELTA_AT))
}

function entryOf(block: Block, at: number): TailBatch {
  const start = block.starts[at] as number
  const { view } = block
  return {
    baseOffset: baseOffsetOf(block, at),
    lastOffset: lastOffsetOf(block, at),
    batch: block.bytes.subarray(start, start + view.getInt32(start + BATCH_LENGTH_AT) + LENGTH_PREFIX_BYTES),
    isPlain: view.getInt16(start + ATTRIBUTES_AT) === 0 && view.getBigInt64(start + PRODUCER_ID_AT) === -1n,
    leaderEpoch: view.getInt32(start + LEADER_EPOCH_AT)
  }
}

/** First index in low … high - 1 where `isThere`, which stays true from there on; high when there is none. */
function lowest(low: number, high: number, isThere: (index: number) => boolean): number {
  let first = low
  let end = high
  while (first < end) {
    const middle = (first + end) >>> 1
    if (isThere(middle)) end = middle
    else first = middle + 1
  }
  return first
}

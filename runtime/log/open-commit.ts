// The commit that is being filled, while the one before it is written: records are encoded into the core's pool when they come, encoded batches and
// state changes are kept as they are. build() gives offsets, makes one block of everything, and leaves an empty commit behind.
//
// Invariants:
//   - what was taken fits one commit block;
//   - of one partition, everything lies in the order in which it was taken;
//   - offsets exist from build() on: they follow the partition's high watermark, which has counted every commit before.
// Not for: when to write, what a failed write means (group-commit.ts), what a topic allows (log-store.ts).

import { assert } from '../base/assert.ts'
import type { WadiError } from '../base/errors.ts'
import { type Offset, toOffset } from '../base/offset.ts'
import { writeLeaderEpoch } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { RecordInput } from '../core/record.ts'
import { recordBytesBound } from '../core/record-bytes.ts'
import type { Append, AppendDone, CommitDone, CommitState, LaneDone, LaneOpening, StateChange } from './contract.ts'
import { ENTRY_CHANGES_BYTES_MAX } from './incarnation-offsets.ts'
import type { PartitionLog } from './partition-log.ts'
import { encodeStateKey } from './state-map.ts'

const BLOCK_HEADER_BYTES_MAX = 64
const FRAME_BYTES_MAX = 16
const BATCH_OVERHEAD_BYTES = 61
/** The first batch of a partition: its frame, its header, and where this incarnation began there. */
const BUCKET_BYTES_MAX = FRAME_BYTES_MAX + BATCH_OVERHEAD_BYTES + ENTRY_CHANGES_BYTES_MAX
const NONE = -1
/** Of a commit, what the lane fills; and what makes one due (group-commit.ts). */
const LANE_SHARE = 3 / 4
const LANE_DUE_SHARE = 1 / 2
const LANE_RECORD_BYTES_MAX = 64 * 1024

/** An append whose partition the store has found among its own. */
export type LogAppend = Append & { readonly partition: PartitionLog }

/** Several appends and state changes, all or nothing. */
export interface CommitRequest {
  readonly appends: readonly LogAppend[]
  readonly state: CommitState
  /** Upper bound of what it takes in a commit. */
  readonly bytesBound: number
  readonly done: CommitDone
}

/** Beside what is in the commit itself. */
export interface BuildOptions {
  readonly generation: number
  readonly sequence: number
  /** The present start's number. */
  readonly incarnation: number
  /** Travel along as far as there is room. */
  readonly notes: Iterable<StateChange>
}

/** What is appended to one partition. */
class Bucket {
  readonly partition: PartitionLog
  readonly pieces: Piece[] = []
  recordCount = 0
  /** In the core's pool: the batch that the next record may join. */
  openBatch = NONE
  openBytes = 0
  /** No record has joined it, so it is not among the pieces. */
  isBatchNew = false
  /** Where the lane puts records of this partition, into the open batch. */
  lanePart = NONE
  /** Counted in the quota of the topic until the commit is done. */
  reservedBytes = 0
  baseOffset = 0

  constructor(partition: PartitionLog) {
    this.partition = partition
  }
}

/** One batch: in the core's pool, or encoded by somebody else. */
interface Piece {
  readonly pooled: number
  readonly encoded: Uint8Array | null
  /** Offset of its first record behind the bucket's base offset. */
  readonly delta: number
}

/** Records that the lane has put into the pool, with one who waits for them all. */
interface TakenWalk {
  readonly lane: LaneDone
  /** Behind the last record of each partition. */
  readonly ends: readonly { readonly bucket: Bucket; readonly records: number; readonly delta: number }[]
}

/** What the lane has put into the open batch of a partition and nobody has counted; `bytes` is an upper bound. */
export interface LaneRecords {
  readonly partition: PartitionLog
  readonly records: number
  readonly bytes: number
}

/** The same at the end of a walk; `walked`: all records of the walk, those that were counted before too. */
export interface WalkedRecords extends LaneRecords {
  readonly walked: number
}

interface TakenRequest {
  readonly request: CommitRequest
  readonly places: { readonly bucket: Bucket; readonly delta: number }[]
}

type Waiter = AppendDone | TakenRequest | TakenWalk

/** What was taken, in the order in which it was taken. A single record is its callback, with its bucket and its delta in the other lists. */
interface Taken {
  readonly waiters: Waiter[]
  readonly buckets: (Bucket | null)[]
  readonly deltas: number[]
  readonly byPartition: Map<PartitionLog, Bucket>
  /** Records of the lane beyond one for each of its waiters. */
  moreRecords: number
}

const nothingTaken = (): Taken => ({ waiters: [], buckets: [], deltas: [], byPartition: new Map(), moreRecords: 0 })

export class OpenCommit {
  readonly #core: Core
  readonly #bytesMax: number
  #taken = nothingTaken()
  #bytes = BLOCK_HEADER_BYTES_MAX
  #last: Bucket | null = null

  constructor(core: Core, bytesMax: number) {
    this.#core = core
    this.#bytesMax = bytesMax
    core.pool.clear()
  }

  /** Appends and requests; each record of the lane is an append. */
  get count(): number {
    return countOf(this.#taken)
  }

  /** Upper bound of the block. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether something of this size could ever be taken. */
  fitsAlone(bytesBound: number): boolean {
    return bytesBound + BUCKET_BYTES_MAX + BLOCK_HEADER_BYTES_MAX <= this.#bytesMax
  }

  /** Takes one record; its bytes are copied. @returns false when it does not fit beside what is there. @throws RangeError when it cannot be encoded */
  addRecord(partition: PartitionLog, record: RecordInput, bytesBound: number, done: AppendDone): boolean {
    const bucket = this.#bucketFor(partition)
    if (!this.#addPooled(bucket, record, bytesBound)) return false
    this.#push(done, bucket, bucket.recordCount - 1)
    return true
  }

  /** @returns false when it does not fit beside what is there: nothing of it was taken. @throws RangeError as addRecord, then neither */
  addRequest(request: CommitRequest): boolean {
    const { appends, bytesBound } = request
    const [only] = appends
    if (only && appends.length === 1 && 'record' in only.content) {
      const bucket = this.#bucketFor(only.partition)
      const { record } = only.content
      const recordBytes = recordBytesBound(record)
      if (!this.#fits(bytesBound + BUCKET_BYTES_MAX) || !this.#addPooled(bucket, record, recordBytes)) return false
      this.#bytes += bytesBound - recordBytes
      this.#push({ request, places: [{ bucket, delta: bucket.recordCount - 1 }] }, null, 0)
      return true
    }
    if (!this.#fits(bytesBound)) return false
    // Of several records one may find the pool full when others are in it: each is a batch of its own. All are encoded before the first is taken.
    const batches = appends.map(({ content }) =>
      'batch' in content ? content.batch : this.#core.buildBatch([content.record], { baseOffset: 0 })
    )
    this.#bytes += bytesBound
    const places = appends.map(({ partition, content }, index) => {
      const bucket = this.#bucketFor(partition)
      const delta = bucket.recordCount
      bucket.pieces.push({ pooled: NONE, encoded: batches[index] as Uint8Array, delta })
      bucket.openBatch = NONE
      this.#closeLane(bucket)
      bucket.recordCount += 'batch' in content ? content.recordCount : 1
      bucket.reservedBytes += contentBytesBound(content)
      return { bucket, delta }
    })
    this.#push({ request, places }, null, 0)
    return true
  }

  #fits(bytes: number): boolean {
    return this.count === 0 || this.#bytes + bytes <= this.#bytesMax
  }

  // --- the lane

  /** What the lane may put in: the rest is left for those who do not come by it. 0 or less = nothing. */
  get laneRoomBytes(): number {
    return Math.floor(this.#bytesMax * LANE_SHARE) - this.#bytes
  }

  /** Whether any record of the lane finds room: with less, who sends small ones would always come before who sends others. */
  get hasLaneTurn(): boolean {
    return this.laneRoomBytes >= this.laneRecordBytesMax + BUCKET_BYTES_MAX
  }

  /** Largest record that the lane puts in: when it finds no room, so much is there that a commit is due. */
  get laneRecordBytesMax(): number {
    const bytes = Math.floor(this.#bytesMax * (LANE_SHARE - LANE_DUE_SHARE)) - BUCKET_BYTES_MAX - BLOCK_HEADER_BYTES_MAX
    return Math.max(0, Math.min(bytes, LANE_RECORD_BYTES_MAX))
  }

  /**
   * The next records of `part` go into the open batch of its partition, or into a new one, behind those that the walk has put there so far.
   * 'refused': its batches are too small for the lane.
   */
  openLanePart(part: number, soFar: LaneRecords): LaneOpening {
    const { partition } = soFar
    const bucket = this.#countWalked(soFar)
    const batchBytesMax = Math.min(partition.share.segmentBytes - BATCH_OVERHEAD_BYTES, this.#bytesMax)
    if (batchBytesMax < this.laneRecordBytesMax) return 'refused'
    const isUsable = bucket.openBatch !== NONE && bucket.lanePart === NONE && batchBytesMax - bucket.openBytes >= this.laneRecordBytesMax
    if (!isUsable) {
      if (this.laneRoomBytes < BUCKET_BYTES_MAX) return 'full'
      const batch = this.#core.pool.openBatch()
      if (batch === null) return 'full'
      this.#startBatch(bucket, batch)
      this.#bytes += BUCKET_BYTES_MAX
    }
    bucket.lanePart = part
    this.#core.lane.openPart(part, bucket.openBatch, {
      roomBytes: batchBytesMax - bucket.openBytes,
      batchBytes: isUsable ? 0 : BUCKET_BYTES_MAX
    })
    return 'open'
  }

  /** What one walk of the lane has put into the open batches. */
  addWalk(walked: readonly WalkedRecords[], done: LaneDone): void {
    let count = 0
    const ends = walked.map((of) => {
      const bucket = this.#countWalked(of)
      count += of.walked
      return { bucket, records: of.walked, delta: bucket.recordCount }
    })
    this.#taken.moreRecords += count - 1
    this.#push({ lane: done, ends }, null, 0)
  }

  #countWalked({ partition, records, bytes }: LaneRecords): Bucket {
    const bucket = this.#bucketFor(partition)
    if (records === 0) return bucket
    this.#joinBatch(bucket, bytes)
    bucket.recordCount += records
    this.#bytes += bytes
    return bucket
  }

  #closeLane(bucket: Bucket): void {
    if (bucket.lanePart === NONE) return
    this.#core.lane.closePart(bucket.lanePart)
    bucket.lanePart = NONE
  }

  // --- batches in the pool

  #startBatch(bucket: Bucket, batch: number): void {
    bucket.openBatch = batch
    bucket.openBytes = 0
    bucket.isBatchNew = true
  }

  /** A record of so many bytes is in the open batch: before it is counted. */
  #joinBatch(bucket: Bucket, bytes: number): void {
    if (bucket.isBatchNew) bucket.pieces.push({ pooled: bucket.openBatch, encoded: null, delta: bucket.recordCount })
    bucket.isBatchNew = false
    bucket.openBytes += bytes
    bucket.reservedBytes += bytes
  }

  #push(waiter: Waiter, bucket: Bucket | null, delta: number): void {
    const { waiters, buckets, deltas } = this.#taken
    waiters.push(waiter)
    buckets.push(bucket)
    deltas.push(delta)
  }

  #bucketFor(partition: PartitionLog): Bucket {
    if (this.#last?.partition === partition) return this.#last
    const { byPartition } = this.#taken
    let bucket = byPartition.get(partition)
    if (!bucket) byPartition.set(partition, (bucket = new Bucket(partition)))
    this.#last = bucket
    return bucket
  }

  /** Into the open batch of the bucket, or into a new one: a batch is not larger than a segment may be, because retention deletes whole segments. */
  #addPooled(bucket: Bucket, record: RecordInput, bytesBound: number): boolean {
    const { pool } = this.#core
    const isFull = bucket.openBytes + bytesBound + BATCH_OVERHEAD_BYTES > bucket.partition.share.segmentBytes
    const startsBatch = bucket.openBatch === NONE || isFull
    const bytes = bytesBound + (startsBatch ? BUCKET_BYTES_MAX : 0)
    if (!this.#fits(bytes)) return false
    const batch = startsBatch ? pool.openBatch() : bucket.openBatch
    if (batch === null || !pool.addRecord(batch, record)) {
      assert(this.count > 0, 'a record that fits a commit does not fit an empty pool')
      return false
    }
    if (startsBatch) this.#startBatch(bucket, batch)
    this.#closeLane(bucket) // what it knows of the batch is not so any more
    this.#joinBatch(bucket, bytesBound)
    bucket.recordCount++
    this.#bytes += bytes
    return true
  }

  /** Everything that was taken, not written: to be refused. */
  takeBack(): BuiltCommit {
    return new BuiltCommit(this.#takeAll(), { batches: [], state: [], notes: [], block: new Uint8Array(0) })
  }

  /** One block with everything that was taken; the block and the batches are views of the core's commit, which is pinned. */
  build({ generation, sequence, incarnation, notes }: BuildOptions): BuiltCommit {
    const { commit } = this.#core
    const bytes = this.#bytes
    const taken = this.#taken
    commit.begin()
    const batches: CommittedBatch[] = []
    const state: StateChange[] = []
    for (const bucket of taken.byPartition.values()) {
      if (bucket.recordCount === 0) continue // nothing of it fitted
      const { partition } = bucket
      bucket.baseOffset = partition.highWatermark
      for (const piece of bucket.pieces) batches.push({ partition, batch: this.#addPiece(bucket, piece, incarnation) })
      state.push(...partition.changesForIncarnation(incarnation, bucket.baseOffset))
    }
    for (const waiter of taken.waiters) if ('request' in waiter) state.push(...stateOf(waiter))
    const fitting = notesThatFit(notes, { state, room: this.#bytesMax - bytes })
    state.push(...fitting)
    for (const change of state) assert(commit.addState(encodeStateKey(change), change.value), 'a state change did not fit')
    const block = commit.finish({ generation, sequence })
    return new BuiltCommit(this.#takeAll(), { batches, state, notes: fitting, block })
  }

  #addPiece({ partition, baseOffset }: Bucket, { pooled, encoded, delta }: Piece, incarnation: number): Uint8Array {
    const { topicNumber, partitionIndex } = partition
    const frame = { topicNumber, partitionIndex, baseOffset: baseOffset + delta }
    const { commit } = this.#core
    const batch = encoded === null ? commit.addPooled(frame, pooled) : commit.addBatch(frame, encoded)
    assert(batch !== null, 'a batch that was counted did not fit')
    writeLeaderEpoch(batch, incarnation)
    return batch
  }

  #takeAll(): Taken {
    const taken = this.#taken
    this.#taken = nothingTaken()
    this.#bytes = BLOCK_HEADER_BYTES_MAX
    this.#last = null
    this.#core.pool.clear()
    return taken
  }
}

export interface CommittedBatch {
  readonly partition: PartitionLog
  readonly batch: Uint8Array
}

/** A commit on its way: what is in it, and who waits for it. */
export class BuiltCommit {
  readonly block: Uint8Array
  readonly batches: readonly CommittedBatch[]
  readonly state: readonly StateChange[]
  /** Those of `state` that came as notes. */
  readonly notes: readonly StateChange[]
  readonly #taken: Taken

  constructor(taken: Taken, { batches, state, notes, block }: Pick<BuiltCommit, 'batches' | 'state' | 'notes' | 'block'>) {
    this.#taken = taken
    this.block = block
    this.batches = batches
    this.state = state
    this.notes = notes
  }

  get count(): number {
    return countOf(this.#taken)
  }

  /** Of the batches. */
  get payloadBytes(): number {
    return this.batches.reduce((sum, { batch }) => sum + batch.byteLength, 0)
  }

  /** The partitions that it appends to, with the offsets [startOffset, endOffset) that they get. */
  *appended(): Generator<{ partition: PartitionLog; startOffset: number; endOffset: number }> {
    for (const { partition, baseOffset, recordCount } of this.#taken.byPartition.values())
      if (recordCount > 0) yield { partition, startOffset: baseOffset, endOffset: baseOffset + recordCount }
  }

  /** Its bytes do not wait any more: they are stored, or refused. */
  release(): void {
    for (const { partition, reservedBytes } of this.#taken.byPartition.values()) partition.account.release(reservedBytes)
  }

  /** Answers all who wait, in the order of their appends. `call` runs each answer, and catches what it throws. */
  answer(error: WadiError | null, call: (answer: () => void) => void): void {
    const { waiters, buckets, deltas } = this.#taken
    for (let i = 0; i < waiters.length; i++) {
      const waiter = waiters[i] as Waiter
      if (typeof waiter === 'function') {
        const offset = error ? 0 : (buckets[i]?.baseOffset ?? 0) + (deltas[i] ?? 0)
        call(() => waiter(error, offset as Offset))
      } else if ('lane' in waiter) {
        const ends = waiter.ends.map(({ bucket: { partition, baseOffset }, records, delta }) => ({
          ...{ partition, records },
          endOffset: error ? 0 : baseOffset + delta
        }))
        call(() => waiter.lane(error, ends))
      } else {
        const offsets = error ? [] : waiter.places.map(({ bucket, delta }) => toOffset(bucket.baseOffset + delta))
        call(() => waiter.request.done(error, offsets))
      }
    }
  }
}

function countOf({ waiters, moreRecords }: Taken): number {
  return waiters.length + moreRecords
}

function stateOf({ request, places }: TakenRequest): readonly StateChange[] {
  const { state } = request
  return typeof state === 'function' ? state(places.map(({ bucket, delta }) => toOffset(bucket.baseOffset + delta))) : state
}

/**
 * What a request says of the same key is newer or more important than a note. From the first on, as many as fit: a note is never durable before
 * those that were given before it.
 */
function notesThatFit(notes: Iterable<StateChange>, { state, room }: { state: readonly StateChange[]; room: number }): StateChange[] {
  const changed = new Set(state.map(({ key }) => key))
  const fitting: StateChange[] = []
  let bytes = 0
  for (const note of notes) {
    const noteBytes = stateBytesBound([note])
    if (changed.has(note.key)) continue
    if (bytes + noteBytes > room) break
    bytes += noteBytes
    fitting.push(note)
  }
  return fitting
}

/** Upper bound of what a request takes in a commit. A function for the state is asked with the largest offsets. */
export function requestBytesBound(appends: readonly Append[], state: CommitState): number {
  const changes = typeof state === 'function' ? state(appends.map(() => toOffset(Number.MAX_SAFE_INTEGER))) : state
  let bytes = stateBytesBound(changes)
  for (const { content } of appends) bytes += BUCKET_BYTES_MAX + contentBytesBound(content)
  return bytes
}

/** What an append takes in the log at most, without the header of its batch. */
export function contentBytesBound(content: Append['content']): number {
  return 'batch' in content ? content.batch.byteLength : recordBytesBound(content.record)
}

function stateBytesBound(changes: readonly StateChange[]): number {
  let bytes = 0
  for (const change of changes) bytes += FRAME_BYTES_MAX + encodeStateKey(change).byteLength + (change.value?.byteLength ?? 0)
  return bytes
}

// Group commit: one write and one sync for all partitions; the only place where an append is resolved.
//
// Appends wait in a queue. A commit takes as many as fit, encodes them by partition into one block, writes it durably and only then
// makes them visible and calls who waits, in the order of the appends. One commit is in flight; what arrives meanwhile forms the next.
//
// Invariants:
//   G1  `done` is called with null only after the journal's durable write resolved.
//   G2  Offsets are computed when a commit is built and count only when it succeeded.
//   G3  Callbacks run in the order of the appends, whatever the partitions. One that throws keeps nobody else from being called, and then the
//       store fails: a program error is never silent and never leaves the queue standing.
// Errors handed to `done`: WADI_DISK_FULL (nothing written, retriable), WADI_LOG_FAILED (final), WADI_CLOSED, WADI_RECORD_TOO_LARGE.
// Not here: what a topic allows (retention.ts decides and refuses before), files (journal.ts).

import { assert } from '../base/assert.ts'
import type { WadiError } from '../base/errors.ts'
import { type Offset, toOffset } from '../base/offset.ts'
import { LEADER_EPOCH_AT, viewOf, writeBaseOffset } from '../core/batch-header.ts'
import type { Core } from '../core/core.ts'
import type { RecordInput } from '../core/record.ts'
import type { Clock, Timer } from '../io/clock.ts'
import { DiskError } from '../io/disk.ts'
import type { Append, AppendDone, StateChange } from './contract.ts'
import { ENTRY_CHANGES_BYTES_MAX } from './incarnation-offsets.ts'
import type { Journal } from './journal.ts'
import type { PartitionLog } from './partition-log.ts'
import { encodeStateKey, type StateMap } from './state-map.ts'
import { diskFull, tooLarge, writeFailed } from './store-errors.ts'

const BLOCK_HEADER_BYTES_MAX = 64
/** At the default linger 16 KiB, of which padding to whole blocks is a small part; a long linger, set to spare flash, asks for more. */
const WELL_FILLED_BYTES_PER_MS = 8 * 1024
const FRAME_BYTES_MAX = 16
const BATCH_OVERHEAD_BYTES = 61
/** The first batch of a partition: its frame, its header, and where this incarnation began there. */
const BUCKET_BYTES_MAX = FRAME_BYTES_MAX + BATCH_OVERHEAD_BYTES + ENTRY_CHANGES_BYTES_MAX
const RECORD_OVERHEAD_BYTES_MAX = 32
const HEADER_OVERHEAD_BYTES_MAX = 10

/** Upper bound of what a record takes inside a batch. */
export function recordBytesBound(record: RecordInput): number {
  let bytes = RECORD_OVERHEAD_BYTES_MAX + (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0)
  for (const header of record.headers) bytes += HEADER_OVERHEAD_BYTES_MAX + header.key.byteLength + (header.value?.byteLength ?? 0)
  return bytes
}

type StateOf = readonly StateChange[] | ((baseOffsets: readonly Offset[]) => readonly StateChange[])

/** An append whose partition the store has found among its own. */
export type LogAppend = Append & { readonly partition: PartitionLog }

interface Request {
  readonly appends: readonly LogAppend[]
  readonly state: StateOf
  readonly bytesBound: number
  readonly done: (error: WadiError | null, baseOffsets: readonly Offset[]) => void
}

interface HotRequest {
  readonly partition: PartitionLog
  readonly record: RecordInput
  readonly bytesBound: number
  readonly done: AppendDone
}

type Waiting = Request | HotRequest

interface Bucket {
  readonly partition: PartitionLog
  nextOffset: number
  /** `startsBatch`: not in the same batch as the record before. */
  readonly items: { record: RecordInput | null; batch: Uint8Array | null; baseOffset: number; startsBatch: boolean }[]
  /** Of the batch that the next record may join. */
  openBytes: number
}

interface Encoded {
  readonly partition: PartitionLog
  readonly batch: Uint8Array
  readonly recordCount: number
}

interface Plan {
  /** Notes that travel with it. */
  readonly notes: StateChange[]
  readonly taken: Waiting[]
  readonly baseOffsets: (number | readonly Offset[])[]
  readonly buckets: Map<PartitionLog, Bucket>
  readonly state: StateChange[]
}

export interface GroupCommitOptions {
  readonly core: Core
  readonly clock: Clock
  readonly journal: Journal
  readonly state: StateMap
  readonly lingerMs: number
  readonly commitBytesMax: number
  /** The present start's number. */
  readonly incarnation: () => number
  /** Called after each commit with what became visible. */
  onCommit(commit: { recordCount: number; payloadBytes: number; partitions: Iterable<PartitionLog> }): void
  /** The journal is full and waits for a checkpoint. */
  onFull(): void
  /** A durable write failed for good. */
  onFailed(error: WadiError): void
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  #waiting: Waiting[] = []
  #waitingBytes = 0
  /** Requests in the last commit. */
  #lastCount = 0
  #isRunning = false
  #timer: Timer | null = null
  #isScheduled = false
  #oldestMs = 0
  #refusal: WadiError | null = null
  #idle: (() => void)[] = []
  /** Key → change that waits for a commit to travel with. */
  #notes = new Map<string, StateChange>()

  constructor(options: GroupCommitOptions) {
    this.#options = options
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** One record: the hot path. */
  append(partition: PartitionLog, record: RecordInput, done: AppendDone): void {
    this.#enqueue({ partition, record, bytesBound: recordBytesBound(record), done })
  }

  /** Several appends and state changes, all or nothing. */
  submit(appends: readonly LogAppend[], state: StateOf, done: Request['done']): void {
    let bytesBound = stateBytes(typeof state === 'function' ? state(appends.map(() => toOffset(Number.MAX_SAFE_INTEGER))) : state)
    for (const { content } of appends) {
      bytesBound += BUCKET_BYTES_MAX + ('batch' in content ? content.batch.byteLength : recordBytesBound(content.record))
    }
    this.#enqueue({ appends, state, bytesBound, done })
  }

  /** Travels with the next commit that has room for it. Not for what a promise depends on. */
  note(changes: readonly StateChange[]): void {
    for (const change of changes) {
      encodeStateKey(change)
      this.#notes.set(change.key, change)
    }
  }

  #enqueue(request: Waiting): void {
    const { commitBytesMax } = this.#options
    if (this.#refusal) return this.#refuse(request, this.#refusal)
    if (request.bytesBound + BUCKET_BYTES_MAX + BLOCK_HEADER_BYTES_MAX > commitBytesMax)
      return this.#refuse(request, tooLarge(request.bytesBound, commitBytesMax))
    if (this.#waiting.length === 0) this.#oldestMs = this.#options.clock.monotonicMs()
    this.#waiting.push(request)
    this.#waitingBytes += request.bytesBound
    reserve(request, 1)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isRunning || this.#isScheduled || this.#waiting.length === 0) return
    const { clock, lingerMs, commitBytesMax } = this.#options
    const waitedMs = clock.monotonicMs() - this.#oldestMs
    // Whoever was answered by the last commit has come again, so nobody else is expected; and padding is a small part of the block.
    const allAreBack = this.#waiting.length >= this.#lastCount && this.#waitingBytes >= lingerMs * WELL_FILLED_BYTES_PER_MS
    if (waitedMs >= lingerMs || allAreBack || this.#waitingBytes >= commitBytesMax / 2) {
      this.#timer?.cancel()
      this.#timer = null
      this.#isScheduled = true
      clock.soon(() => {
        this.#isScheduled = false
        this.#start()
      })
    } else if (this.#timer === null) {
      this.#timer = clock.after(lingerMs - waitedMs, () => {
        this.#timer = null
        this.#start()
      })
    }
  }

  /** Resolves when nothing waits and nothing is in flight. */
  drained(): Promise<void> {
    if (!this.#isRunning && this.#waiting.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** From now on every append is refused with `error`; what waits is refused at once unless `drain`. */
  refuseAll(error: WadiError, options: { drain: boolean }): void {
    this.#refusal = error
    if (!options.drain) this.#refuseWaiting(error)
  }

  /** Refuses what waits now; later appends are taken again. For "disk full". */
  refuseWaiting(error: WadiError): void {
    this.#refuseWaiting(error)
  }

  #refuseWaiting(error: WadiError): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const request of waiting) {
      reserve(request, -1)
      this.#refuse(request, error)
    }
    this.#settleIdle()
  }

  #settleIdle(): void {
    if (this.#isRunning || this.#waiting.length > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #start(): void {
    this.#run().catch((error: unknown) => {
      this.#isRunning = false
      this.#onProgramError(error)
      this.#settleIdle()
    })
  }

  /** The one sink for errors of the program itself, in a caller's callback or here: nothing more is acknowledged. */
  #onProgramError(error: unknown): void {
    const failed = writeFailed('A program error: answering or building a commit', error)
    this.refuseAll(failed, { drain: false })
    this.#options.onFailed(failed)
  }

  async #run(): Promise<void> {
    if (this.#isRunning || this.#waiting.length === 0) return
    this.#isRunning = true
    this.#timer?.cancel()
    this.#timer = null
    while (!this.#options.journal.prepare(this.#options.commitBytesMax)) {
      if (!this.#options.journal.isFilling) this.#options.onFull()
      await this.#options.journal.waitForRoom()
      if (this.#waiting.length === 0) break
    }
    if (this.#waiting.length > 0) await this.#commitOnce()
    this.#isRunning = false
    if (this.#waiting.length > 0) {
      this.#oldestMs = Math.max(this.#oldestMs, 0)
      this.#schedule()
    }
    this.#settleIdle()
  }

  async #commitOnce(): Promise<void> {
    const { core, journal, clock } = this.#options
    const plan: Plan = { taken: [], baseOffsets: [], buckets: new Map(), state: [], notes: [] }
    let encoded: Encoded[]
    let block: Uint8Array
    try {
      this.#fill(plan)
      encoded = this.#encode(plan)
      block = core.commit.finish({ generation: journal.generation, sequence: journal.sequence + 1 })
    } catch (error) {
      const failed = writeFailed('A program error: building a commit', error)
      for (const request of plan.taken) this.#refuse(request, failed)
      throw error
    }
    let isDurable = false
    try {
      await journal.append(block, clock.monotonicMs(), (sequence) => {
        isDurable = true
        core.commit.release()
        this.#publish(plan, encoded, sequence)
      })
    } catch (error) {
      if (isDurable) throw error
      core.commit.release()
      this.#onWriteError(plan, error)
    }
  }

  /** Takes requests from the queue while they fit, gives offsets, computes state. */
  #fill(plan: Plan): void {
    try {
      this.#take(plan)
    } finally {
      this.#waiting = this.#waiting.slice(plan.taken.length)
      if (this.#waiting.length > 0) this.#oldestMs = this.#options.clock.monotonicMs()
    }
  }

  #take(plan: Plan): void {
    let bytes = BLOCK_HEADER_BYTES_MAX
    let count = 0
    for (const request of this.#waiting) {
      const newBuckets = this.#opensBatch(plan, request) ? BUCKET_BYTES_MAX : 0
      if (count > 0 && bytes + request.bytesBound + newBuckets > this.#options.commitBytesMax) break
      bytes += request.bytesBound + newBuckets
      this.#waitingBytes -= request.bytesBound
      count++
      plan.taken.push(request)
      if ('record' in request) {
        const bucket = bucketOf(plan, request.partition)
        plan.baseOffsets.push(bucket.nextOffset)
        addRecord(bucket, request.record, request.bytesBound)
        continue
      }
      const baseOffsets = request.appends.map(({ partition, content }) => {
        const bucket = bucketOf(plan, partition)
        const baseOffset = bucket.nextOffset
        if ('batch' in content) {
          bucket.items.push({ record: null, batch: content.batch, baseOffset, startsBatch: true })
          bucket.nextOffset += content.recordCount
        } else addRecord(bucket, content.record, recordBytesBound(content.record))
        return toOffset(baseOffset)
      })
      plan.baseOffsets.push(baseOffsets)
      const changes = typeof request.state === 'function' ? request.state(baseOffsets) : request.state
      plan.state.push(...changes)
    }
    this.#planIncarnations(plan)
    this.#planNotes(plan, bytes)
  }

  /** Where this incarnation begins to write, once per partition. The bytes are in BUCKET_BYTES_MAX. */
  #planIncarnations(plan: Plan): void {
    const incarnation = this.#options.incarnation()
    for (const { partition, items } of plan.buckets.values()) {
      const startOffset = items[0]?.baseOffset
      if (startOffset !== undefined) plan.state.push(...partition.changesForIncarnation(incarnation, startOffset))
    }
  }

  #planNotes(plan: Plan, planBytes: number): void {
    let bytes = planBytes
    const changed = new Set(plan.state.map(({ key }) => key))
    for (const note of this.#notes.values()) {
      const noteBytes = stateBytes([note])
      // What a request says of the same key is newer or more important than a note.
      if (changed.has(note.key) || bytes + noteBytes > this.#options.commitBytesMax) continue
      bytes += noteBytes
      plan.notes.push(note)
    }
    plan.state.push(...plan.notes)
  }

  /** A single record begins a batch of its own when there is none for it to join: the partition's first, behind a client's batch, or at the end of a full one. */
  #opensBatch(plan: Plan, request: Waiting): boolean {
    if (!('record' in request)) return false
    const bucket = plan.buckets.get(request.partition)
    return bucket?.items.at(-1)?.record == null || startsBatch(bucket, request.bytesBound)
  }

  #encode(plan: Plan): Encoded[] {
    const { commit } = this.#options.core
    const encoded: Encoded[] = []
    commit.begin()
    for (const { partition, items } of plan.buckets.values()) {
      const frame = { topicNumber: partition.topicNumber, partitionIndex: partition.partitionIndex }
      let isOpen = false
      const closeBatch = (): void => {
        if (!isOpen) return
        const { batch, recordCount } = commit.closeBatch()
        encoded.push({ partition, batch, recordCount }) // a view of the commit: the tail copies it when it is durable
        isOpen = false
      }
      for (const { record, batch, baseOffset, startsBatch } of items) {
        if (record !== null) {
          if (startsBatch) closeBatch()
          if (!isOpen) commit.openBatch({ ...frame, baseOffset })
          isOpen = true
          assert(commit.addRecord(record), 'a record that was counted did not fit')
        } else if (batch !== null) {
          closeBatch()
          assert(commit.addBatch({ ...frame, baseOffset }, batch), 'a batch that was counted did not fit')
          const copy = copyOf(batch)
          writeBaseOffset(copy, baseOffset)
          viewOf(copy).setInt32(LEADER_EPOCH_AT, 0)
          encoded.push({ partition, batch: copy, recordCount: 0 })
        }
      }
      closeBatch()
    }
    for (const change of plan.state) assert(commit.addState(encodeStateKey(change), change.value), 'a state change did not fit')
    return encoded
  }

  #publish(plan: Plan, encoded: readonly Encoded[], sequence: number): void {
    const nowMs = this.#options.clock.monotonicMs()
    this.#lastCount = plan.taken.length
    this.#options.state.apply(plan.state)
    for (const note of plan.notes) if (this.#notes.get(note.key) === note) this.#notes.delete(note.key)
    const incarnation = this.#options.incarnation()
    let payloadBytes = 0
    let recordCount = 0
    for (const { partition, batch } of encoded) {
      partition.onCommitted(batch, { sequence, nowMs })
      payloadBytes += batch.byteLength
    }
    for (const { partition, nextOffset, items } of plan.buckets.values()) {
      assert(
        partition.highWatermark === nextOffset,
        `${partition.topicName}-${partition.partitionIndex} ends at ${partition.highWatermark}, not ${nextOffset}`
      )
      const startOffset = items[0]?.baseOffset ?? nextOffset
      partition.onIncarnation(incarnation, startOffset)
      recordCount += nextOffset - startOffset
    }
    for (const request of plan.taken) reserve(request, -1)
    plan.taken.forEach((request, i) => {
      const base = plan.baseOffsets[i]
      this.#call(() => {
        if ('record' in request) request.done(null, base as Offset)
        else request.done(null, base as readonly Offset[])
      })
    })
    this.#options.onCommit({ recordCount, payloadBytes, partitions: plan.buckets.keys() })
  }

  #refuse(request: Waiting, error: WadiError): void {
    this.#call(() => {
      if ('record' in request) request.done(error, 0 as Offset)
      else request.done(error, [])
    })
  }

  #call(done: () => void): void {
    try {
      done()
    } catch (error) {
      this.#onProgramError(error)
    }
  }

  #onWriteError(plan: Plan, error: unknown): void {
    for (const request of plan.taken) reserve(request, -1)
    if (error instanceof DiskError && error.isFull) {
      const full = diskFull(error)
      for (const request of plan.taken) this.#refuse(request, full)
      return
    }
    const failed = writeFailed('A durable write to the journal', error)
    this.refuseAll(failed, { drain: false })
    for (const request of plan.taken) this.#refuse(request, failed)
    this.#options.onFailed(failed)
  }
}

function bucketOf(plan: Plan, partition: PartitionLog): Bucket {
  let bucket = plan.buckets.get(partition)
  if (!bucket) {
    bucket = { partition, nextOffset: partition.highWatermark, items: [], openBytes: 0 }
    plan.buckets.set(partition, bucket)
  }
  return bucket
}

/** A batch is not larger than a segment of its partition may be: retention deletes whole segments. */
function startsBatch({ openBytes, partition }: Bucket, bytesBound: number): boolean {
  return openBytes > 0 && openBytes + bytesBound + BATCH_OVERHEAD_BYTES > partition.share.segmentBytes
}

function addRecord(bucket: Bucket, record: RecordInput, bytesBound: number): void {
  const isFirst = startsBatch(bucket, bytesBound)
  bucket.openBytes = (isFirst ? 0 : bucket.openBytes) + bytesBound
  bucket.items.push({ record, batch: null, baseOffset: bucket.nextOffset++, startsBatch: isFirst })
}

/** Bytes that wait for their commit count in the quota of their topic. `sign`: 1 when they are taken, -1 when they are stored or refused. */
function reserve(request: Waiting, sign: 1 | -1): void {
  if ('record' in request) return request.partition.account.reserve(sign * request.bytesBound)
  for (const { partition, content } of request.appends) partition.account.reserve(sign * contentBytesBound(content))
}

/** What an append takes in the log at most, without the header of its batch. */
export function contentBytesBound(content: Append['content']): number {
  return 'batch' in content ? content.batch.byteLength : recordBytesBound(content.record)
}

function stateBytes(changes: readonly StateChange[]): number {
  let bytes = 0
  for (const change of changes) bytes += FRAME_BYTES_MAX + encodeStateKey(change).byteLength + (change.value?.byteLength ?? 0)
  return bytes
}

function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafe(bytes.byteLength)
  copy.set(bytes)
  return copy
}

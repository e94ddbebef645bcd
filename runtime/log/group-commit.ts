// Group commit: one write and one sync for all partitions; the only place where an append is resolved.
//
// Appends go into the open commit as they come (open-commit.ts). One commit is written at a time; meanwhile the next one is filled. When a write is
// durable its events become visible, the next write begins if there is enough for it, and only then are those called who waited for the last one: the
// device works while the processor answers.
//
//   fill 1 ──▶ write 1 ──▶ visible 1 ▶ write 2 ─ ─ ─ ─ ─ ─▶ visible 2 ▶ write 3
//              fill 2 ─────────────────▶ answer 1, fill 3 ─▶            ▶ answer 2
//
// Invariants:
//   G1  `done` is called with null only after the journal's durable write resolved.
//   G2  Offsets are computed when a commit is built and count only when it succeeded.
//   G3  Callbacks run in the order of the appends, whatever the partitions. One that throws keeps nobody else from being called, and then the
//       store fails: a program error is never silent and never leaves the queue standing. What waits is refused then before the rest is called.
//   G4  Nothing is stored that was taken behind something that is refused: what waits when a write fails is refused with it. A producer's next
//       batch, a device's next event follow upon the one before.
// Errors handed to `done`: WADI_DISK_FULL (nothing written, retriable), WADI_LOG_FAILED (final), WADI_CLOSED, WADI_RECORD_TOO_LARGE.
// Not here: what a topic allows (retention.ts decides and refuses before), files (journal.ts).

import { assert } from '../base/assert.ts'
import type { WadiError } from '../base/errors.ts'
import type { Offset } from '../base/offset.ts'
import type { Core } from '../core/core.ts'
import type { RecordInput } from '../core/record.ts'
import type { Clock, Timer } from '../io/clock.ts'
import { DiskError } from '../io/disk.ts'
import type { AppendDone, CommitState, LaneDone, LaneOpening, StateChange } from './contract.ts'
import type { Journal } from './journal.ts'
import {
  type BuiltCommit,
  type CommitRequest,
  contentBytesBound,
  type LaneRecords,
  type LogAppend,
  OpenCommit,
  requestBytesBound,
  type WalkedRecords
} from './open-commit.ts'
import type { PartitionLog } from './partition-log.ts'
import { encodeStateKey, type StateMap } from './state-map.ts'
import { diskFull, tooLarge, writeFailed } from './store-errors.ts'

const WRITE_MS_WEIGHT = 0.1
/** At the default linger 16 KiB, of which padding to whole blocks is a small part; a long linger, set to spare flash, asks for more. */
const WELL_FILLED_BYTES_PER_MS = 8 * 1024
/** Of a write: so long the next one waits for those whom the last one answered. On a fast device it is not worth a timer. */
const PATIENCE_SHARE = 1 / 4
const PATIENCE_MS_MIN = 1

interface SingleAppend {
  readonly partition: PartitionLog
  readonly record: RecordInput
  readonly bytesBound: number
  readonly done: AppendDone
}

/** Somebody whose records the lane had no room for, in the queue of those who wait. */
interface LaneTurn {
  readonly turn: () => void
}

type Waiting = CommitRequest | SingleAppend | LaneTurn

export interface GroupCommitOptions {
  readonly core: Core
  readonly clock: Clock
  readonly journal: Journal
  readonly state: StateMap
  readonly lingerMs: number
  readonly commitBytesMax: number
  /** The present start's number. */
  readonly incarnation: () => number
  /** Called after each commit with what became visible, when all who waited were called. */
  onCommit(commit: { recordCount: number; payloadBytes: number; partitions: Iterable<PartitionLog> }): void
  /** The journal is full and waits for a checkpoint, or too few of its files take commits. It is called again when the journal wakes those who wait. */
  onFull(): void
  /** A durable write failed for good. */
  onFailed(error: WadiError): void
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  readonly #open: OpenCommit
  /** What the open commit has no room for, in order. */
  #waiting: Waiting[] = []
  /** So many appends and requests wait when all have come again whom the last commit answered. */
  #expectedCount = 0
  /** When the last commit was durable. */
  #durableMs = Number.NEGATIVE_INFINITY
  /** Of durable writes, a moving average: about the last ten count. */
  #writeMs = 0
  #isRunning = false
  #timer: Timer | null = null
  #isScheduled = false
  #oldestMs = 0
  #refusal: WadiError | null = null
  #idle: (() => void)[] = []
  /** While a turn of the lane is taken: so many waited when it began, and do not hold it up. What it has added itself does, or the lane would overtake it. */
  #turnWaiting = 0
  /** Key → change that waits for a commit to travel with. */
  #notes = new Map<string, StateChange>()

  constructor(options: GroupCommitOptions) {
    this.#options = options
    this.#open = new OpenCommit(options.core, options.commitBytesMax)
  }

  /** One record, the hot path. `bytesBound`: recordBytesBound(record). */
  append(partition: PartitionLog, record: RecordInput, bytesBound: number, done: AppendDone): void {
    const refusal = this.#refusalFor(bytesBound)
    if (refusal) return this.#call(() => done(refusal, 0 as Offset))
    if (this.#isEmpty) this.#oldestMs = this.#options.clock.monotonicMs()
    if (this.#waiting.length > 0 || !this.#open.addRecord(partition, record, bytesBound, done)) {
      this.#waiting.push({ partition, record, bytesBound, done })
    }
    partition.account.reserve(bytesBound)
    this.#schedule()
  }

  /** Several appends and state changes, all or nothing. */
  submit(appends: readonly LogAppend[], state: CommitState, done: CommitRequest['done']): void {
    const request = { appends, state, bytesBound: requestBytesBound(appends, state), done }
    const refusal = this.#refusalFor(request.bytesBound)
    if (refusal) return this.#call(() => done(refusal, []))
    if (this.#isEmpty) this.#oldestMs = this.#options.clock.monotonicMs()
    if (this.#waiting.length > 0 || !this.#open.addRequest(request)) this.#waiting.push(request)
    for (const { partition, content } of appends) partition.account.reserve(contentBytesBound(content))
    this.#schedule()
  }

  // --- the lane (lane-log.ts): records that are in the pool already

  /** 'full' also while others wait: they come first. 'refused' while nothing is taken: who appends a record hears why. */
  laneRoomBytes(): number | 'full' | 'refused' {
    if (this.#refusal) return 'refused'
    if (this.#waiting.length > this.#turnWaiting) return 'full'
    const room = this.#open.laneRoomBytes
    return room > 0 ? room : 'full'
  }

  /** Runs `turn` once, behind those who wait now, when there is room, or nothing is taken any more. */
  onceLaneRoom(turn: () => void): void {
    if (this.#refusal || this.#isEmpty) return void this.#options.clock.soon(() => this.#call(turn))
    this.#waiting.push({ turn })
    this.#schedule()
  }

  get laneRecordBytesMax(): number {
    return this.#open.laneRecordBytesMax
  }

  openLanePart(part: number, soFar: LaneRecords): LaneOpening {
    soFar.partition.account.reserve(soFar.bytes)
    return this.#open.openLanePart(part, soFar)
  }

  addWalk(walked: readonly WalkedRecords[], done: LaneDone): void {
    if (this.#isEmpty) this.#oldestMs = this.#options.clock.monotonicMs()
    this.#open.addWalk(walked, done)
    for (const { partition, bytes } of walked) partition.account.reserve(bytes)
    this.#schedule()
  }

  /** Travels with the next commit that has room for it. Not for what must be durable when somebody is answered. */
  note(changes: readonly StateChange[]): void {
    for (const change of changes) {
      encodeStateKey(change)
      this.#notes.delete(change.key) // they travel in the order in which they were given
      this.#notes.set(change.key, change)
    }
  }

  #refusalFor(bytesBound: number): WadiError | null {
    if (this.#refusal) return this.#refusal
    return this.#open.fitsAlone(bytesBound) ? null : tooLarge(bytesBound, this.#options.commitBytesMax)
  }

  get writeMs(): number {
    return this.#writeMs
  }

  get #isEmpty(): boolean {
    return this.#open.count === 0 && this.#waiting.length === 0
  }

  /** Enough, or old enough, for a commit. */
  get #isDue(): boolean {
    const { clock, lingerMs, commitBytesMax } = this.#options
    if (this.#waiting.length > 0 || this.#open.bytes >= commitBytesMax / 2) return true
    // Whoever was answered by the last commit has come again, so nobody else is expected; and padding is a small part of the block.
    const areAllBack = this.#open.count >= this.#expectedCount
    if (areAllBack && this.#open.bytes >= lingerMs * WELL_FILLED_BYTES_PER_MS) return true
    const nowMs = clock.monotonicMs()
    return nowMs >= this.#lingerEndMs && (areAllBack || nowMs >= this.#patienceEndMs)
  }

  get #lingerEndMs(): number {
    return this.#oldestMs + this.#options.lingerMs
  }

  get #patienceEndMs(): number {
    return this.#durableMs + this.#patienceMs
  }

  /** 0 = none. */
  get #patienceMs(): number {
    const patienceMs = Math.min(this.#options.lingerMs, this.#writeMs * PATIENCE_SHARE)
    return patienceMs < PATIENCE_MS_MIN ? 0 : patienceMs
  }

  #schedule(): void {
    if (this.#isRunning || this.#isScheduled || this.#isEmpty) return
    const { clock } = this.#options
    if (this.#isDue) {
      this.#timer?.cancel()
      this.#timer = null
      this.#isScheduled = true
      clock.soon(() => {
        this.#isScheduled = false
        this.#start()
      })
    } else if (this.#timer === null) {
      this.#timer = clock.after(Math.max(this.#lingerEndMs, this.#patienceEndMs) - clock.monotonicMs(), () => {
        this.#timer = null
        this.#start()
      })
    }
  }

  /** Resolves when nothing waits and nothing is in flight. */
  drained(): Promise<void> {
    if (!this.#isRunning && this.#isEmpty) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** From now on every append is refused with `error`; what waits is refused at once unless `drain`. */
  refuseAll(error: WadiError, options: { drain: boolean }): void {
    this.#refusal = error
    if (!options.drain) this.refuseWaiting(error)
  }

  /** Refuses what waits now; later appends are taken again. For "disk full". */
  refuseWaiting(error: WadiError): void {
    this.takeWaiting()(error)
  }

  /** Takes out what waits now. The function refuses it. */
  takeWaiting(): (error: WadiError) => void {
    const taken = this.#open.takeBack()
    const waiting = this.#waiting
    this.#waiting = []
    taken.release()
    for (const one of waiting) release(one)
    return (error) => {
      taken.answer(error, this.#call)
      for (const one of waiting) {
        if ('turn' in one) this.#options.clock.soon(() => this.#call(one.turn))
        else this.#call(() => refuse(one, error))
      }
      this.#settleIdle()
    }
  }

  #settleIdle(): void {
    if (this.#isRunning || !this.#isEmpty) return
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

  /** Commit after commit, for as long as the next one is due when the last one is durable. */
  async #run(): Promise<void> {
    if (this.#isRunning || this.#isEmpty) return
    const { journal, onFull } = this.#options
    this.#isRunning = true
    this.#timer?.cancel()
    this.#timer = null
    /** Durable and visible, those who wait for it were not called yet. */
    let durable: BuiltCommit | null = null
    while (!this.#isEmpty && (durable === null || this.#isDue)) {
      if (!journal.prepare()) {
        this.#answer(durable)
        durable = null
        if (!journal.isFilling) onFull()
        await journal.waitForRoom()
        continue
      }
      const next = this.#build(durable)
      const written = this.#write(next)
      this.#refill()
      this.#answer(durable)
      durable = (await written) ? next : null
      if (durable === null) break
    }
    this.#answer(durable)
    this.#isRunning = false
    this.#schedule()
    this.#settleIdle()
  }

  /** @param durable is answered also when this throws */
  #build(durable: BuiltCommit | null): BuiltCommit {
    const { journal, incarnation } = this.#options
    try {
      return this.#open.build({
        generation: journal.generation,
        sequence: journal.sequence + 1,
        incarnation: incarnation(),
        notes: this.#notes.values()
      })
    } catch (error) {
      this.#answer(durable)
      throw error
    }
  }

  #take(one: Waiting): boolean {
    if ('turn' in one) return this.#takeTurn(one)
    return 'record' in one ? this.#open.addRecord(one.partition, one.record, one.bytesBound, one.done) : this.#open.addRequest(one)
  }

  /** The lane puts in what it has, as far as there is room; who has more waits again, behind the others. */
  #takeTurn({ turn }: LaneTurn): boolean {
    if (!this.#open.hasLaneTurn) return false
    this.#turnWaiting = this.#waiting.length
    try {
      turn()
    } finally {
      this.#turnWaiting = 0
    }
    return true
  }

  /** What waited for room, as far as there is room now; not who comes meanwhile. */
  #refill(): void {
    const count = this.#waiting.length
    let taken = 0
    let failure: unknown = null
    this.#oldestMs = this.#options.clock.monotonicMs()
    while (taken < count) {
      try {
        if (!this.#take(this.#waiting[taken] as Waiting)) break
      } catch (error) {
        failure = error
        break
      }
      taken++
    }
    this.#waiting = this.#waiting.slice(taken)
    if (failure !== null) this.#onProgramError(failure) // not thrown: the commit that is being written is answered all the same
  }

  /** @returns whether it is durable; if not, those who wait for it were told why */
  async #write(commit: BuiltCommit): Promise<boolean> {
    const { core, journal, clock } = this.#options
    let isDurable = false
    const startedMs = clock.monotonicMs()
    try {
      await journal.append(commit.block, clock.monotonicMs(), (sequence) => {
        isDurable = true
        this.#writeMs += (clock.monotonicMs() - startedMs - this.#writeMs) * WRITE_MS_WEIGHT
        this.#publish(commit, sequence)
        core.commit.release()
      })
      return true
    } catch (error) {
      if (isDurable) {
        commit.answer(writeFailed('A program error: making a commit visible', error), this.#call)
        throw error
      }
      core.commit.release()
      this.#onWriteError(commit, error)
      return false
    }
  }

  /** Makes it visible. The batches are views of the core's commit: they are copied here. */
  #publish(commit: BuiltCommit, sequence: number): void {
    const nowMs = this.#options.clock.monotonicMs()
    this.#expectedCount = commit.count + (this.#patienceMs > 0 ? this.#open.count + this.#waiting.length : 0)
    this.#durableMs = nowMs
    this.#options.state.apply(commit.state)
    for (const note of commit.notes) if (this.#notes.get(note.key) === note) this.#notes.delete(note.key)
    const incarnation = this.#options.incarnation()
    for (const { partition, batch } of commit.batches) partition.onCommitted(batch, { sequence, nowMs })
    for (const { partition, startOffset, endOffset } of commit.appended()) {
      const { topicName, partitionIndex, highWatermark } = partition
      assert(highWatermark === endOffset, `${topicName}-${partitionIndex} ends at ${highWatermark}, not ${endOffset}`)
      partition.onIncarnation(incarnation, startOffset)
    }
    commit.release()
  }

  #answer(commit: BuiltCommit | null): void {
    if (commit === null) return
    commit.answer(null, this.#call)
    let recordCount = 0
    const partitions: PartitionLog[] = []
    for (const { partition, startOffset, endOffset } of commit.appended()) {
      recordCount += endOffset - startOffset
      partitions.push(partition)
    }
    this.#call(() => this.#options.onCommit({ recordCount, payloadBytes: commit.payloadBytes, partitions }))
  }

  readonly #call = (answer: () => void): void => {
    try {
      answer()
    } catch (error) {
      this.#onProgramError(error)
    }
  }

  #onWriteError(commit: BuiltCommit, error: unknown): void {
    commit.release()
    if (error instanceof DiskError && error.isFull) {
      const full = diskFull(error)
      const refuseBehind = this.takeWaiting() // before anybody is told, who may ask again
      commit.answer(full, this.#call)
      return refuseBehind(full)
    }
    const failed = writeFailed('A durable write to the journal', error)
    this.refuseAll(failed, { drain: true })
    commit.answer(failed, this.#call)
    this.refuseWaiting(failed)
    this.#options.onFailed(failed)
  }
}

function refuse(one: CommitRequest | SingleAppend, error: WadiError): void {
  if ('record' in one) one.done(error, 0 as Offset)
  else one.done(error, [])
}

/** Bytes that wait for their commit count in the quota of their topic. */
function release(one: Waiting): void {
  if ('turn' in one) return
  if ('record' in one) return one.partition.account.release(one.bytesBound)
  for (const { partition, content } of one.appends) partition.account.release(contentBytesBound(content))
}

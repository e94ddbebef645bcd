// Decides what the next transaction carries: oldest first within a partition, partitions in turns, no more than the byte limit. Keeps
// transactions that were made but not delivered, so that a lost link does not cost the work twice.
// Not for: talking to the centre.

import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import type { Clock } from '../io/clock.ts'
import type { BlockCodec } from '../io/codec.ts'
import { DiskError } from '../io/disk.ts'
import type { Store } from '../log/contract.ts'
import type { UplinkCounters } from './counters.ts'
import { deadLetterRange, writeDeadLetter } from './dead-letters.ts'
import { skipHole } from './holes.ts'
import type { Notices } from './notices.ts'
import type { UplinkSettings } from './settings.ts'
import type { Source } from './source.ts'
import { emptyPart, type Part, type Poison, type PreparedTransaction, TransactionBuilder } from './transaction-builder.ts'
import type { UpstreamTopic } from './upstream.ts'

const SHARE_BYTES_MIN = 256 * 1024
/** Of one transaction, prepared at the same time: enough to keep the thread pool of a gateway with four cores busy. */
const PARTS_AT_ONCE = 4
const UNREADABLE_DELAY_MS = 10_000
/** The store notes a log start again with its next round of retention. */
const LOG_START_DELAY_MS = 1_000
/** Of one transaction. */
const PARTS_MAX = 256

export interface PlannerContext {
  readonly store: Store
  readonly core: Core
  readonly codec: BlockCodec
  readonly clock: Clock
  readonly counters: UplinkCounters
  readonly notices: Notices
  readonly settings: UplinkSettings
  /** The topic at the centre failed in the last transaction that carried it: a transaction of its own, and not a large one, tells whether it is cured. */
  nextOnTrial(upstreamTopics: Iterable<string>): string | null
}

export class Planner {
  readonly #context: PlannerContext
  readonly #builder: TransactionBuilder
  #sources: readonly Source[] = []
  #topics: ReadonlyMap<string, UpstreamTopic> = new Map()
  #ready: PreparedTransaction[] = []
  #turn = 0
  /** So many transactions carry one partition each, until we know which one the centre refuses. */
  #isolatedLeft = 0
  /** Edge topic → why nothing of it is sent any more. */
  readonly stopped = new Map<string, string>()

  constructor(context: PlannerContext) {
    this.#context = context
    const { core, codec, settings, store } = context
    this.#builder = new TransactionBuilder({
      core,
      codec,
      compression: settings.compression === 'best' ? (codec.available[0] ?? 'gzip') : settings.compression,
      id: `${settings.gatewayId}/${store.logId}`
    })
  }

  /** The sources have been set to the centre's position: prepared transactions are kept as far as they continue there. */
  restart(sources: readonly Source[], topics: ReadonlyMap<string, UpstreamTopic>): void {
    this.#sources = sources
    this.#topics = topics
    const kept: PreparedTransaction[] = []
    for (const transaction of this.#isolatedLeft > 0 ? [] : this.#ready) {
      if (transaction.parts.some((part) => part.wholeBecause !== undefined)) break // made anew, and not too often
      if (transaction.parts.every((part) => part.until <= part.source.planned)) continue // was delivered after all
      if (!this.#continues(transaction)) break
      for (const part of transaction.parts) part.source.plan(part.until)
      kept.push(transaction)
    }
    this.#ready = kept
  }

  /** Not delivered: perhaps after the next connection. */
  giveBack(transactions: readonly PreparedTransaction[]): void {
    this.#ready = [...transactions, ...this.#ready]
  }

  /** There is something to send now. */
  get hasOpen(): boolean {
    return this.#ready.length > 0 || this.#open().open.length > 0
  }

  /** Bytes (as stored) that no prepared transaction holds, about; all of a partition counts when any of it is open. */
  get openBytes(): number {
    let sum = 0
    for (const source of this.#open().open)
      sum += source.partition.bytesFrom(Math.max(source.planned, source.partition.logStartOffset) as typeof source.partition.highWatermark)
    return sum
  }

  /** null when everything durable is planned (or stopped, or unreadable for the moment). */
  async next(): Promise<PreparedTransaction | null> {
    const ready = this.#ready.shift()
    if (ready) return ready
    const { open, isTrial } = this.#open()
    this.#turn++
    const transactionBytesMax = Math.min(this.#context.settings.transactionBytesMax, isTrial ? SHARE_BYTES_MIN : Number.POSITIVE_INFINITY)
    const share = Math.max(SHARE_BYTES_MIN, Math.floor(transactionBytesMax / Math.max(1, open.length)))
    const partsMax = this.#isolatedLeft > 0 ? 1 : PARTS_MAX
    const parts: Part[] = []
    let budget = transactionBytesMax
    while (open.length > 0 && budget > 0 && parts.length < partsMax) {
      // Beside each other: while one part is compressed in the thread pool, another is repacked here.
      const count = Math.max(1, Math.min(PARTS_AT_ONCE, partsMax - parts.length, Math.floor(budget / share)))
      const group = open.splice(0, count)
      const made = await Promise.all(group.map((source) => this.#part(source, Math.min(share, budget))))
      for (const part of made) {
        if (!part) continue
        part.source.plan(part.until)
        parts.push(part)
        budget -= part.plainBytes
      }
    }
    if (parts.length === 0) return null
    const counts = new Map([...this.#topics.values()].map((topic) => [topic.name, topic.partitionCount]))
    return { parts, partitionCounts: counts }
  }

  /** The centre's answer was an error that may be about the content of `suspects`. Where one of them went whole, it counts as a try. */
  answeredWithError(suspects: readonly Part[]): void {
    for (const { source, from, wholeBecause } of suspects) if (wholeBecause !== undefined) source.triedWhole(from)
  }

  /** A transaction was committed. */
  delivered(): void {
    if (this.#isolatedLeft > 0) this.#isolatedLeft--
  }

  /**
   * The centre refused what lay in `suspects` (parts of a transaction that was not committed).
   * A single record that is refused is put aside.
   */
  async refused(kind: 'too-large' | 'bad-record', suspects: readonly Part[], reason: string): Promise<void> {
    this.#ready = []
    if (suspects.length > 1) {
      this.#isolatedLeft = Math.max(1, this.#sources.length)
      return
    }
    const part = suspects[0]
    if (!part) return
    if (part.wholeBecause !== undefined) {
      part.source.triedWhole(part.from, Number.POSITIVE_INFINITY)
      return
    }
    if (part.eventCount <= 1) {
      part.source.suspectUntil = null
      const offset = part.until - 1
      if (part.until - part.from > 1) part.source.suspectUntil = part.until
      else await this.#deadLetter({ source: part.source, offset, reason })
      return
    }
    if (kind === 'too-large') {
      const largest = part.batches.reduce((left, right) => (right.bytes.byteLength > left.bytes.byteLength ? right : left))
      if (largest.recordCount > 1) {
        this.#builder.learnLimit(part.source.upstreamTopic, largest.bytes.byteLength)
        return
      }
    }
    part.source.suspectUntil = part.until
  }

  #open(): { open: Source[]; isTrial: boolean } {
    const nowMs = this.#context.clock.monotonicMs()
    const ready = this.#sources.filter(
      (source) => source.hasUnplanned && !this.stopped.has(source.edgeTopic) && source.blockedUntilMs <= nowMs
    )
    const onTrial = this.#context.nextOnTrial(new Set(ready.map(({ upstreamTopic }) => upstreamTopic)))
    const open = onTrial === null ? ready : ready.filter(({ upstreamTopic }) => upstreamTopic === onTrial)
    const first = open.length === 0 ? 0 : this.#turn % open.length
    return { open: [...open.slice(first), ...open.slice(0, first)], isTrial: onTrial !== null }
  }

  async #part(source: Source, budgetBytes: number): Promise<Part | null> {
    const { notices, store, clock } = this.#context
    const topic = this.#topics.get(source.upstreamTopic)
    const sourceCount = store.topics.get(source.edgeTopic)?.partitions.length
    if (!topic || sourceCount === undefined || source.partition.isDeleted) return null
    const from = source.planned
    try {
      for (;;) {
        if (!skipHole(source, this.#context)) {
          source.blockedUntilMs = clock.monotonicMs() + LOG_START_DELAY_MS
          return skippedPart(source, from)
        }
        for (let range = deadLetterRange(store, source, source.planned); range; range = deadLetterRange(store, source, source.planned))
          source.plan(range.last + 1)
        if (!source.hasUnplanned) return skippedPart(source, from)
        const part = await this.#builder.part(source, topic, sourceCount, budgetBytes)
        if (part === null) source.blockedUntilMs = clock.monotonicMs() + UNREADABLE_DELAY_MS
        if (part !== null && 'until' in part && part.wholeBecause !== undefined) this.#noteWhole(part)
        if (part === null || 'until' in part) return part
        if (!(await this.#deadLetter(part))) return null
      }
    } catch (error) {
      if (error instanceof WadiError && error.code === 'WADI_OFFSET_OUT_OF_RANGE' && source.planned < source.partition.logStartOffset)
        return null
      if (!(error instanceof WadiError || error instanceof DiskError || error instanceof RangeError)) throw error
      if (source.partition.isDeleted) return null
      source.blockedUntilMs = clock.monotonicMs() + UNREADABLE_DELAY_MS
      notices.add('unreadable', `${source.key}: reading at ${source.planned} failed: ${error.message}`, {
        partition: source.key,
        offset: source.planned
      })
      return null
    }
  }

  #noteWhole({ source, from, until, wholeBecause }: Part): void {
    const text = `${source.key}: the batch at ${from} cannot be opened (${wholeBecause}); it is sent as it is, without wadi.id and wadi.offset.`
    this.#context.notices.add('whole', text, { partition: source.key, offset: from, until })
  }

  /** false when the topic had to be stopped. */
  async #deadLetter(poison: Poison): Promise<boolean> {
    const { store, core, codec, counters, notices, settings } = this.#context
    const { source, offset, reason } = poison
    if (deadLetterRange(store, source, offset)) return true // in a transaction that was made before it was put aside
    const facts = { partition: source.key, offset, reason }
    const count = await writeDeadLetter({ store, core, codec, deadLetterTopic: settings.deadLetterTopic }, poison)
    const what = count > 1 ? `the batch of ${count} events at` : 'event'
    if (count > 0) {
      counters.deadLetterEvents += count
      const text = `${source.key}: ${what} ${offset} cannot be delivered (${reason}); it is in ${settings.deadLetterTopic}.`
      notices.add('dead-letter', text, facts)
      return true
    }
    const text = `event ${offset} of partition ${source.partition.partitionIndex} cannot be delivered (${reason}) and there is no topic ${settings.deadLetterTopic} to put it`
    this.stopped.set(source.edgeTopic, text)
    notices.add('stopped', `${source.edgeTopic} is not delivered any further: ${text}.`, facts)
    return false
  }

  #continues(transaction: PreparedTransaction): boolean {
    return transaction.parts.every((part) => {
      const { source } = part
      const topic = this.#topics.get(source.upstreamTopic)
      return (
        this.#sources.includes(source) &&
        topic !== undefined &&
        transaction.partitionCounts.get(topic.name) === topic.partitionCount &&
        source.planned === part.from &&
        source.branchId === part.branchId &&
        part.until <= source.untilMax &&
        part.batches.every((batch) => batch.bytes.byteLength <= topic.batchBytesMax)
      )
    })
  }
}

/** All of it was put aside or is gone: nothing to send, and still to be confirmed in its turn. */
function skippedPart(source: Source, from: number): Part | null {
  return source.planned > from ? emptyPart(source, from, source.planned) : null
}

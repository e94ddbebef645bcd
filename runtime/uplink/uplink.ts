// Delivers what is durable here to the central cluster, each event once and in order per partition. The log is the queue: nothing is
// buffered but two transactions. What is delivered is known from the centre: every transaction carries our position (position.ts), and
// after a start or any fault we take a new producer epoch (which ends what was open), read the position back, and go on from there (resume.ts).
//
// One loop: connect → deliver until something fails → wait → connect …
// Not for: the wire (adapters/kafka-upstream), bandwidth policy, deleting (storage does, below what setDelivered says).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import { toOffset } from '../base/offset.ts'
import type { Core } from '../core/core.ts'
import { type Clock, sleep } from '../io/clock.ts'
import type { BlockCodec } from '../io/codec.ts'
import { DiskError } from '../io/disk.ts'
import type { Random } from '../io/random.ts'
import type { Store } from '../log/contract.ts'
import { Backoff } from './backoff.ts'
import { DeliveryNotes } from './delivery-notes.ts'
import { Forks } from './forks.ts'
import { readHint } from './hint.ts'
import { Ledger, type Notice, type UplinkCounters } from './ledger.ts'
import { LinkState, type LinkStatus } from './link-state.ts'
import { Planner } from './planner.ts'
import { type BeginningAt, beginningsOf, encodePosition, firstNamed } from './position.ts'
import { Progress, type Rate } from './progress.ts'
import { type Carried, placeByHint, resume } from './resume.ts'
import { defaultUplinkSettings, type UplinkSettings } from './settings.ts'
import { Source } from './source.ts'
import type { Part, PreparedTransaction } from './transaction-builder.ts'
import { ProducerSession, sendTransaction } from './transaction-send.ts'
import { type CommittedPosition, type Upstream, UpstreamFault, type UpstreamTopic } from './upstream.ts'

const IDLE_POLL_MS = 5_000
/** A pause so long is used to note what is delivered, when no commit of events has carried the note. */
const IDLE_NOTE_DELAY_MS = 600_000

export interface UplinkOptions {
  readonly store: Store
  readonly core: Core
  readonly codec: BlockCodec
  readonly clock: Clock
  readonly random: Random
  readonly upstream: Upstream
  readonly settings: Pick<UplinkSettings, 'topics' | 'gatewayId'> & Partial<UplinkSettings>
}

export interface TopicLag {
  readonly edgeTopic: string
  readonly upstreamTopic: string
  readonly lagEvents: number
  /** As stored. */
  readonly lagBytes: number
  /** Age of the oldest event that is not delivered, by its own timestamp; null when nothing lags or it was not looked at yet. */
  readonly lagMs: number | null
  /** Why nothing of this topic is sent; null when it is. */
  readonly stoppedBecause: string | null
}

export interface UplinkStatus extends LinkStatus, Rate {
  readonly description: string
  readonly counters: Readonly<UplinkCounters>
  readonly lagEvents: number
  readonly lagBytes: number
  readonly lagMs: number | null
  readonly topics: readonly TopicLag[]
  readonly wireBytes: { readonly sent: number; readonly received: number }
}

export class Uplink {
  readonly #options: UplinkOptions
  readonly #settings: UplinkSettings
  /** Edge topic → topic at the centre. */
  readonly #topics: Map<string, string>
  readonly #clock: Clock
  readonly #store: Store
  readonly #upstream: Upstream
  readonly #ledger = new Ledger()
  readonly #link: LinkState
  readonly #progress = new Progress()
  readonly #planner: Planner
  readonly #backoff: Backoff
  #sources: Source[] = []
  #unsubscribe: (() => void)[] = []
  readonly #notes: DeliveryNotes
  readonly #forks: Forks
  /** Upstream topic → what its position holds beside ours. */
  #carried: ReadonlyMap<string, Carried> = new Map()
  #session: ProducerSession | null = null
  #isClosing = false
  #isPaused = false
  /** A commit was asked for and nobody has said yet whether it happened: the notes must not say that all is known. */
  #isCommitOpen = false
  /** The centre was heard in this start: the notes are ours. */
  #hasConnected = false
  /** A topic was refused: the centre is asked again at this monotonic time. */
  #describeAgainAtMs: number | null = null
  #loop: Promise<void> | null = null
  #suspects: readonly Part[] = []
  #fencedAtMs: number[] = []
  /** Aborts the wait under way: close, pause, resume, new events. */
  #wake = new AbortController()
  #isWaitingForWork = false
  #idleSinceMs: number | null = null

  constructor(options: UplinkOptions) {
    this.#options = options
    this.#settings = { ...defaultUplinkSettings, ...options.settings }
    this.#topics = new Map(this.#settings.topics)
    this.#clock = options.clock
    this.#store = options.store
    this.#upstream = options.upstream
    this.#link = new LinkState(options.clock)
    this.#backoff = new Backoff(this.#settings.backoff, options.random)
    this.#planner = new Planner({ ...options, ledger: this.#ledger, settings: this.#settings })
    this.#forks = new Forks(options.store)
    const { store, clock } = options
    this.#notes = new DeliveryNotes({ store, clock, ledger: this.#ledger, sources: () => this.#sources })
  }

  /** Begins; returns at once. */
  start(): void {
    assert(this.#loop === null, 'the uplink was started twice')
    this.#findSources()
    const hint = readHint(this.#store)
    for (const source of this.#sources) placeByHint(source, hint)
    this.#loop = this.#run()
  }

  /** Ends what is under way, then sends nothing until resume(). */
  pause(): void {
    this.#isPaused = true
    this.#interrupt()
  }

  /** Goes on at once, also out of a back-off; topics that were stopped are tried again. */
  resume(): void {
    this.#isPaused = false
    this.#planner.stopped.clear()
    this.#backoff.reset()
    this.#fencedAtMs = []
    this.#interrupt()
  }

  /** One more topic to deliver, from now on. A pause, a back-off or a fence goes on as it is. */
  addTopic(edgeTopic: string, upstreamTopic: string): void {
    this.#topics.set(edgeTopic, upstreamTopic)
    if (this.#isWaitingForWork) this.#interrupt()
  }

  /** Lets the transaction under way end, at most `deadlineMs`; what it leaves open the next start resolves. */
  async close(options: { deadlineMs: number }): Promise<void> {
    this.#isClosing = true
    this.#interrupt()
    if (this.#loop) {
      const timeout = new AbortController()
      await Promise.race([this.#loop.finally(() => timeout.abort()), sleep(this.#clock, options.deadlineMs, timeout.signal)])
    }
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
    this.#link.enter('closed')
    await this.#upstream.close()
  }

  onStatus(listener: (status: UplinkStatus) => void): () => void {
    return this.#link.onChange(() => listener(this.status()))
  }

  onNotice(listener: (notice: Notice) => void): () => void {
    return this.#ledger.onNotice(listener)
  }

  status(): UplinkStatus {
    const nowMs = this.#clock.wallMs()
    const topics = [...this.#topics].map(([edgeTopic, upstreamTopic]): TopicLag => {
      const sources = this.#sources.filter((source) => source.edgeTopic === edgeTopic)
      const oldest = sources.flatMap((source) => source.oldestTimestampMs ?? [])
      return {
        edgeTopic,
        upstreamTopic,
        lagEvents: sources.reduce((sum, source) => sum + source.lagEvents, 0),
        lagBytes: sources.reduce((sum, source) => sum + source.lagBytes, 0),
        lagMs: oldest.length === 0 ? null : Math.max(0, nowMs - Math.min(...oldest)),
        stoppedBecause: this.#planner.stopped.get(edgeTopic) ?? null
      }
    })
    const lagEvents = topics.reduce((sum, topic) => sum + topic.lagEvents, 0)
    const lags = topics.flatMap((topic) => topic.lagMs ?? [])
    return {
      ...this.#link.status(),
      ...this.#progress.rate(lagEvents),
      description: this.#upstream.description,
      counters: { ...this.#ledger.counters },
      lagEvents,
      lagBytes: topics.reduce((sum, topic) => sum + topic.lagBytes, 0),
      lagMs: lags.length === 0 ? null : Math.max(...lags),
      topics,
      wireBytes: { ...this.#upstream.wireBytes }
    }
  }

  async #run(): Promise<void> {
    while (!this.#isClosing) {
      if (this.#isPaused) {
        this.#link.enter('paused')
        await this.#wait(Number.POSITIVE_INFINITY)
        continue
      }
      try {
        await this.#connect()
        await this.#deliver()
      } catch (error) {
        await this.#afterFault(error)
      }
    }
    if (this.#hasConnected) await this.#notes.write({ isClosed: !this.#isCommitOpen })
  }

  async #connect(): Promise<void> {
    this.#link.enter('connecting')
    this.#session = null
    this.#findSources()
    await this.#noteOldest()
    const topics = await this.#describe()
    this.#session = new ProducerSession(await this.#upstream.initProducer())
    const hint = readHint(this.#store)
    const sources = this.#sources.filter((source) => topics.has(source.upstreamTopic))
    const { core, codec } = this.#options
    const context = {
      store: this.#store,
      upstream: this.#upstream,
      core,
      codec,
      ledger: this.#ledger,
      hint,
      forks: this.#forks,
      topics,
      isCommitOpen: this.#isCommitOpen
    }
    this.#carried = await resume(context, sources)
    this.#isCommitOpen = false
    const recreated = new Set<string>()
    for (const { upstreamTopic: name, topicId } of hint?.written.values() ?? []) {
      const now = topics.get(name)?.topicId ?? topicId
      if (topicId !== '' && now !== topicId && /[^0]/.test(now)) recreated.add(name)
    }
    for (const topic of recreated)
      this.#ledger.notice('recreated', `The topic ${topic} at the centre was made anew since we last wrote there.`, { topic })
    this.#notes.onConnected(topics, hint)
    this.#planner.restart(sources, topics)
    this.#progress.restart(this.#sample())
    // Once in each start, before it delivers: so what is noted tells which start may have delivered something after it.
    if (!this.#hasConnected && !(await this.#notes.write({ isClosed: false })) && this.#notes.hasMoved) throw notNoted()
    this.#hasConnected = true
  }

  /** Sends until closed, paused, or the topics here changed. @throws UpstreamFault */
  async #deliver(): Promise<void> {
    while (!this.#isClosing && !this.#isPaused && !this.#mustConnectAgain()) {
      this.#session ??= new ProducerSession(await this.#upstream.initProducer())
      const transaction = await this.#planner.next()
      if (!transaction) {
        await this.#idle()
        continue
      }
      if (transaction.parts.every((part) => part.batches.length === 0)) {
        for (const part of transaction.parts) this.#confirm(part)
        continue
      }
      this.#link.enter('sending')
      this.#idleSinceMs = null
      const sending = this.#send(transaction)
      sending.catch(() => undefined) // awaited below; a fault meanwhile is not unhandled
      const following = this.#planner.openBytes >= this.#settings.aheadBytesMin ? await this.#planner.next() : null
      const prepared = following ? [following] : []
      try {
        await sending
      } catch (error) {
        this.#planner.giveBack([transaction, ...prepared])
        throw error
      }
      this.#planner.giveBack(prepared)
    }
  }

  async #send(transaction: PreparedTransaction): Promise<void> {
    const session = this.#session
    assert(session !== null, 'a transaction without a producer id')
    const positions = this.#positions(transaction)
    this.#suspects = []
    this.#planner.sending(transaction)
    const { wasInDoubt, written } = await sendTransaction(
      {
        upstream: this.#upstream,
        core: this.#options.core,
        clock: this.#clock,
        session,
        positions,
        onEnding: () => {
          this.#isCommitOpen = true
        },
        onRefused: (suspects) => {
          this.#suspects = suspects
        }
      },
      transaction
    )
    if (wasInDoubt) this.#session = null // a new epoch: see sendTransaction
    const { counters } = this.#ledger
    counters.transactions++
    for (const part of transaction.parts) {
      counters.deliveredEvents += part.eventCount
      counters.deliveredBytes += part.batches.reduce((sum, batch) => sum + batch.bytes.byteLength, 0)
      this.#confirm(part)
    }
    this.#planner.delivered()
    this.#progress.add(this.#sample())
    this.#backoff.reset()
    this.#link.succeed()
    this.#isCommitOpen = false
    this.#notes.onDelivered(written, positions.keys())
  }

  #confirm(part: Part): void {
    part.source.confirm(part.until)
    this.#store.setDelivered(part.source.partition, toOffset(part.until))
  }

  /** Everything is delivered: wait for events, then a little longer for more of them. */
  async #idle(): Promise<void> {
    this.#link.enter('idle')
    this.#backoff.reset()
    const nowMs = this.#clock.monotonicMs()
    this.#idleSinceMs ??= nowMs
    const noteInMs = this.#notes.isBehind ? Math.max(0, this.#idleSinceMs + IDLE_NOTE_DELAY_MS - nowMs) : Number.POSITIVE_INFINITY
    const waitMs = this.#needsPoll() ? Math.min(IDLE_POLL_MS, noteInMs) : noteInMs
    this.#isWaitingForWork = true
    const wasWoken = this.#planner.hasOpen || (await this.#wait(waitMs))
    this.#isWaitingForWork = false
    if (wasWoken && !this.#isClosing && !this.#isPaused) await this.#wait(this.#settings.lingerMs)
    else if (noteInMs <= waitMs && !this.#isClosing) await this.#notes.write({ isClosed: false })
  }

  async #afterFault(error: unknown): Promise<void> {
    if (!(error instanceof UpstreamFault || error instanceof WadiError || error instanceof DiskError)) throw error
    this.#ledger.counters.failures++
    this.#link.fail(error.message)
    const kind = error instanceof UpstreamFault ? error.kind : 'retry'
    switch (kind) {
      case 'too-large':
      case 'bad-record':
        return this.#afterRefusedBatch(kind, error.message)
      case 'fenced':
        return this.#afterFence()
      case 'refused':
        return this.#delay('refused', this.#settings.refusedDelayMs)
      default:
        return this.#delay('waiting', this.#backoff.nextDelayMs())
    }
  }

  /** Halves the range until the one event is found that the centre does not take; that is put aside. */
  async #afterRefusedBatch(kind: 'too-large' | 'bad-record', reason: string): Promise<void> {
    try {
      await this.#planner.refused(kind, this.#suspects, reason)
      if (this.#suspects.length > 0) return
    } catch (error) {
      if (!(error instanceof WadiError || error instanceof DiskError)) throw error
      this.#link.fail(error.message)
    }
    await this.#delay('waiting', this.#backoff.nextDelayMs())
  }

  /** Two gateways with one id would take it from each other for ever: the one that notices stops. */
  async #afterFence(): Promise<void> {
    const { fencesMax, fenceWindowMs, fencedDelayMs } = this.#settings
    const nowMs = this.#clock.monotonicMs()
    this.#ledger.counters.fences++
    this.#fencedAtMs = [...this.#fencedAtMs.filter((atMs) => nowMs - atMs < fenceWindowMs), nowMs]
    if (this.#fencedAtMs.length < fencesMax) return this.#delay('waiting', this.#backoff.nextDelayMs())
    return this.#delay('fenced', fencedDelayMs)
  }

  async #delay(phase: 'waiting' | 'fenced' | 'refused', delayMs: number): Promise<void> {
    if (this.#isClosing) return
    this.#link.enterDelay(phase, delayMs)
    await this.#wait(delayMs)
  }

  /** True when it was interrupted. */
  async #wait(delayMs: number): Promise<boolean> {
    if (this.#isClosing) return true
    this.#wake = new AbortController()
    const { signal } = this.#wake
    if (delayMs === Number.POSITIVE_INFINITY)
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    else await sleep(this.#clock, delayMs, signal)
    return signal.aborted
  }

  #interrupt(): void {
    this.#wake.abort()
  }

  #findSources(): void {
    const sources: Source[] = []
    for (const [edgeTopic, upstreamTopic] of this.#topics) {
      for (const partition of this.#store.topics.get(edgeTopic)?.partitions ?? []) {
        sources.push(this.#sources.find((source) => source.partition === partition) ?? new Source(edgeTopic, upstreamTopic, partition))
      }
    }
    this.#sources = sources
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
    const onAdvance = (): void => {
      if (this.#isWaitingForWork) this.#interrupt()
    }
    this.#unsubscribe = sources.map((source) => source.partition.onAdvance(onAdvance))
  }

  #mustConnectAgain(): boolean {
    if (this.#describeAgainAtMs !== null && this.#clock.monotonicMs() >= this.#describeAgainAtMs) return true
    let count = 0
    for (const edgeTopic of this.#topics.keys()) count += this.#store.topics.get(edgeTopic)?.partitions.length ?? 0
    return count !== this.#sources.length
  }

  /** Something may change that nobody tells us about: a topic is made, a damaged partition can be read again. */
  #needsPoll(): boolean {
    return (
      [...this.#topics.keys()].some((topic) => !this.#store.topics.has(topic)) ||
      this.#sources.some((source) => source.hasUnplanned) ||
      this.#describeAgainAtMs !== null
    )
  }

  /** A topic the centre refuses is stopped alone. @throws UpstreamFault when none is left or the centre is not there */
  async #describe(): Promise<Map<string, UpstreamTopic>> {
    const counts = new Map<string, number>()
    for (const source of this.#sources) {
      const edgeCount = this.#store.topics.get(source.edgeTopic)?.partitions.length ?? 1
      counts.set(source.upstreamTopic, Math.max(edgeCount, counts.get(source.upstreamTopic) ?? 0))
    }
    const found = new Map<string, UpstreamTopic>()
    let refusal: UpstreamFault | null = null
    for (const count of new Set(counts.values())) {
      const names = [...counts].filter(([, wanted]) => wanted === count).map(([name]) => name)
      const createPartitionCount = this.#settings.createTopics ? count : null
      for (const group of [names, ...names.map((name) => [name])]) {
        if (group.every((name) => found.has(name))) continue
        try {
          for (const topic of await this.#upstream.describeTopics(group, { createPartitionCount })) found.set(topic.name, topic)
        } catch (error) {
          if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
          refusal = error
        }
      }
    }
    if (refusal && found.size === 0) throw refusal
    this.#describeAgainAtMs = refusal ? this.#clock.monotonicMs() + this.#settings.refusedDelayMs : null
    if (refusal) this.#link.fail(refusal.message)
    return found
  }

  /** Of every upstream topic that the transaction writes to: how far each of its edge topics is delivered when it is committed. */
  #positions(transaction: PreparedTransaction): Map<string, CommittedPosition> {
    const { logId, starts } = this.#store
    const ends = new Map(transaction.parts.map((part) => [part.source, part.until]))
    const positions = new Map<string, CommittedPosition>()
    for (const upstreamTopic of new Set(transaction.parts.map(({ source }) => source.upstreamTopic))) {
      const { own, others } = this.#carried.get(upstreamTopic) ?? { own: new Map<string, readonly number[]>(), others: [] }
      const nextOffsets = new Map<string, readonly number[]>(own)
      let committedOffset = 0
      for (const source of this.#sources.filter((candidate) => candidate.upstreamTopic === upstreamTopic)) {
        const offsets = [...(nextOffsets.get(source.edgeTopic) ?? [])]
        offsets[source.partition.partitionIndex] = ends.get(source) ?? source.confirmed
        nextOffsets.set(source.edgeTopic, offsets)
        committedOffset += ends.get(source) ?? source.confirmed
      }
      const beginnings = beginningsOf(starts, this.#beginningsOf(nextOffsets.keys()))
      const pieces = encodePosition([{ logId, branchId: this.#forks.branchId, starts, nextOffsets, beginnings }, ...others])
      positions.set(upstreamTopic, { committedOffset, pieces })
    }
    return positions
  }

  #beginningsOf(edgeTopics: Iterable<string>): BeginningAt[] {
    const first = firstNamed(this.#store.starts)
    return [...edgeTopics].flatMap((edgeTopic) =>
      (this.#store.topics.get(edgeTopic)?.partitions ?? []).flatMap((partition) =>
        partition.beginningsSince(first).map((beginning) => ({ ...beginning, edgeTopic, partitionIndex: partition.partitionIndex }))
      )
    )
  }

  /** So that the status can say how old the oldest event is while the centre is away. */
  async #noteOldest(): Promise<void> {
    for (const source of this.#sources) {
      if (source.lagEvents === 0 || source.oldestTimestampMs !== null) continue
      try {
        await source.noteOldest()
      } catch (error) {
        if (!(error instanceof WadiError || error instanceof DiskError)) throw error
      }
    }
  }

  #sample(): Parameters<Progress['add']>[0] {
    const { deliveredEvents, deliveredBytes } = this.#ledger.counters
    const lagEvents = this.#sources.reduce((sum, source) => sum + source.lagEvents, 0)
    return { atMs: this.#clock.monotonicMs(), deliveredEvents, deliveredBytes, totalEvents: deliveredEvents + lagEvents }
  }
}

function notNoted(): WadiError {
  return new WadiError('WADI_UNAVAILABLE', {
    happened: 'A topic is delivered to another topic of the centre than before, and this cannot be noted on the disk.',
    kept: 'Everything is kept; nothing is delivered meanwhile.',
    next: 'See why the disk refuses; the uplink tries again by itself.'
  })
}

// Delivers what is durable here to the central cluster, each event once and in order per partition. The log is the queue: nothing is
// buffered but two transactions. What is delivered is known from the centre: every transaction carries our position (transaction-positions.ts),
// and after a start or any fault we take a new producer epoch, which ends what was open, read the position back, and go on from there
// (find-positions.ts).
//
// One loop: connect → deliver until something fails → wait → connect …
// Not for: which partitions there are (sources.ts), what a transaction carries (planner.ts), the status (status.ts), the wire
// (adapters/kafka-upstream), deleting (the store does, below what setDelivered was called with).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import { type Clock, sleep } from '../io/clock.ts'
import type { BlockCodec } from '../io/codec.ts'
import { DiskError } from '../io/disk.ts'
import type { Random } from '../io/random.ts'
import type { Store } from '../log/contract.ts'
import { Backoff } from './backoff.ts'
import { newCounters } from './counters.ts'
import { damagedDeadLetterNotes } from './dead-letters.ts'
import { readDeliveryNotes } from './delivery-notes.ts'
import { DeliveryNotesWriter } from './delivery-notes-writer.ts'
import { findPositions, placeByNotes } from './find-positions.ts'
import { Forks } from './forks.ts'
import { LinkState } from './link-state.ts'
import { type Notice, Notices } from './notices.ts'
import { Planner } from './planner.ts'
import { defaultUplinkSettings, type UplinkSettings } from './settings.ts'
import type { Source } from './source.ts'
import { Sources } from './sources.ts'
import { StatusReport, type UplinkStatus } from './status.ts'
import type { Part, PreparedTransaction } from './transaction-builder.ts'
import { TransactionPositions } from './transaction-positions.ts'
import { ProducerSession, sendTransaction } from './transaction-send.ts'
import { type Upstream, UpstreamFault } from './upstream.ts'
import { recreatedTopics, UpstreamTopics } from './upstream-topics.ts'

export type { UplinkStatus } from './status.ts'

const IDLE_POLL_MS = 5_000
/** After so long without an event the delivery notes are written with a commit of their own, when no commit of events has carried them. */
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

export class Uplink {
  readonly #options: UplinkOptions
  readonly #settings: UplinkSettings
  readonly #clock: Clock
  readonly #store: Store
  readonly #upstream: Upstream
  readonly #counters = newCounters()
  readonly #notices = new Notices()
  readonly #link: LinkState
  readonly #planner: Planner
  readonly #backoff: Backoff
  readonly #sources: Sources
  readonly #topics: UpstreamTopics
  readonly #positions: TransactionPositions
  readonly #notes: DeliveryNotesWriter
  readonly #forks: Forks
  readonly #report: StatusReport
  #session: ProducerSession | null = null
  /** The link ended while nothing was asked of it. */
  #lost: UpstreamFault | null = null
  #isClosing = false
  #isPaused = false
  /** The centre was connected to in this start: the delivery notes on the disk are those of this start. */
  #hasConnected = false
  /** The last connection was made; a fault is one of delivering. */
  #isConnected = false
  #loop: Promise<void> | null = null
  #suspects: readonly Part[] = []
  #fencedAtMs: number[] = []
  /** Aborted by close, pause, resume and new events: ends the wait under way. */
  #wake = new AbortController()
  #isWaitingForWork = false
  #idleSinceMs: number | null = null

  constructor(options: UplinkOptions) {
    const { store, clock, upstream } = options
    upstream.onLost((fault) => {
      this.#lost = fault
      this.#interruptIdle()
    })
    const settings = { ...defaultUplinkSettings, ...options.settings }
    const [counters, notices] = [this.#counters, this.#notices]
    this.#options = options
    this.#settings = settings
    this.#clock = clock
    this.#store = store
    this.#upstream = upstream
    this.#link = new LinkState(clock)
    this.#backoff = new Backoff(settings.backoff, options.random)
    this.#topics = new UpstreamTopics({ ...options, notices, settings })
    this.#planner = new Planner({ ...options, counters, notices, settings, nextOnTrial: (names) => this.#topics.nextOnTrial(names) })
    this.#forks = new Forks(store)
    this.#sources = new Sources({ store, clock, topics: settings.topics, onAdvance: () => this.#interruptIdle() })
    const sources = (): readonly Source[] => this.#sources.list
    this.#positions = new TransactionPositions({ store, forks: this.#forks, sources })
    this.#notes = new DeliveryNotesWriter({ store, clock, notices, gatewayId: settings.gatewayId, sources })
    const stoppedBecause = (edgeTopic: string, upstreamTopic: string): string | null =>
      this.#planner.stopped.get(edgeTopic) ?? this.#topics.reasonFor(upstreamTopic)
    this.#report = new StatusReport({ clock, upstream, link: this.#link, counters, sources: this.#sources, stoppedBecause })
  }

  /** Begins; returns at once. */
  start(): void {
    assert(this.#loop === null, 'the uplink was started twice')
    this.#sources.refresh()
    const notes = readDeliveryNotes(this.#store)
    for (const key of [...(notes?.damaged ?? []), ...damagedDeadLetterNotes(this.#store)])
      this.#notices.add('notes', `The local note ${key} cannot be read: what the centre has is looked for there.`, { key })
    for (const source of this.#sources.list) placeByNotes(source, notes)
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
    this.#topics.tryAgain()
    this.#backoff.reset()
    this.#fencedAtMs = []
    this.#interrupt()
  }

  /** One more topic to deliver, from now on. A pause, a back-off or a fence goes on as it is. */
  addTopic(edgeTopic: string, upstreamTopic: string): void {
    this.#sources.addTopic(edgeTopic, upstreamTopic)
    this.#interruptIdle()
  }

  /** The topic was deleted here. What the centre has of it stays there, and its position with it: a topic of that name goes on behind it. */
  removeTopic(edgeTopic: string): void {
    this.#sources.removeTopic(edgeTopic)
    this.#planner.stopped.delete(edgeTopic)
    this.#interruptIdle()
  }

  /** Lets the transaction under way end, at most `deadlineMs`; what it leaves open the next start resolves. */
  async close(options: { deadlineMs: number }): Promise<void> {
    this.#isClosing = true
    this.#interrupt()
    if (this.#loop) {
      const timeout = new AbortController()
      await Promise.race([this.#loop.finally(() => timeout.abort()), sleep(this.#clock, options.deadlineMs, timeout.signal)])
    }
    this.#sources.close()
    this.#link.enter('closed')
    await this.#upstream.close()
  }

  onStatus(listener: (status: UplinkStatus) => void): () => void {
    return this.#link.onChange(() => listener(this.status()))
  }

  onNotice(listener: (notice: Notice) => void): () => void {
    return this.#notices.onNotice(listener)
  }

  status(): UplinkStatus {
    return this.#report.status()
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
    if (this.#hasConnected) await this.#notes.write({ isClosed: true })
  }

  async #connect(): Promise<void> {
    this.#link.enter('connecting')
    this.#isConnected = false
    this.#lost = null
    this.#session = null
    this.#sources.refresh()
    const topics = await this.#topics.describe(this.#sources.list)
    this.#session = new ProducerSession(await this.#upstream.initProducer())
    const sources = this.#sources.list.filter((source) => topics.has(source.upstreamTopic))
    const { core, codec } = this.#options
    const context = {
      store: this.#store,
      upstream: this.#upstream,
      core,
      codec,
      counters: this.#counters,
      notices: this.#notices,
      notes: this.#notes.known(),
      forks: this.#forks,
      topics,
      gatewayId: this.#settings.gatewayId
    }
    const { carried, notes } = await findPositions(context, sources)
    this.#positions.carry(carried)
    for (const topic of recreatedTopics(topics, notes))
      this.#notices.add('recreated', `The topic ${topic} at the centre was made anew since we last wrote there.`, { topic })
    this.#notes.onConnected(topics, notes)
    this.#topics.onConnected(topics, sources)
    const open = sources.filter(({ upstreamTopic }) => this.#topics.isOpen(upstreamTopic))
    this.#planner.restart(open, topics)
    this.#report.onConnected()
    // Before a start delivers, and before it delivers one more topic: so what is noted tells which start may have delivered something after it.
    const isNew = !this.#hasConnected || this.#notes.isNew
    if (isNew && !(await this.#notes.write({ isClosed: false })) && this.#notes.hasMoved) throw notNoted()
    this.#hasConnected = true
    this.#isConnected = true
  }

  /** Sends until closed, paused, or the topics here changed. @throws UpstreamFault */
  async #deliver(): Promise<void> {
    while (!this.#isClosing && !this.#isPaused && !this.#sources.isOutdated && this.#topics.dueInMs > 0) {
      this.#session ??= new ProducerSession(await this.#upstream.initProducer())
      const transaction = await this.#planner.next()
      if (!transaction) {
        await this.#idle()
        continue
      }
      if (transaction.parts.every((part) => part.batches.length === 0)) {
        for (const part of transaction.parts) this.#positions.confirm(part)
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
    const positions = this.#positions.of(transaction)
    this.#suspects = []
    const { wasInDoubt, written } = await sendTransaction(
      {
        upstream: this.#upstream,
        core: this.#options.core,
        clock: this.#clock,
        session,
        positions,
        onEnding: () => {
          for (const { source } of transaction.parts) source.isInDoubt = true
        },
        onRefused: (suspects) => {
          this.#suspects = suspects
        }
      },
      transaction
    )
    if (wasInDoubt) this.#session = null // a new epoch: see sendTransaction
    const counters = this.#counters
    counters.transactions++
    for (const part of transaction.parts) {
      counters.deliveredEvents += part.eventCount
      counters.deliveredBytes += part.batches.reduce((sum, batch) => sum + batch.bytes.byteLength, 0)
      this.#positions.confirm(part)
    }
    this.#planner.delivered()
    this.#topics.onDelivered(positions.keys())
    this.#report.onDelivered()
    this.#backoff.reset()
    this.#link.succeed()
    this.#lost = null
    this.#notes.onDelivered(written, positions.keys())
  }

  /** Everything is delivered: wait for events, then a little longer for more of them. @throws UpstreamFault when the link is lost meanwhile */
  async #idle(): Promise<void> {
    if (this.#lost) throw this.#lost
    this.#link.enter('idle')
    this.#backoff.reset()
    const nowMs = this.#clock.monotonicMs()
    this.#idleSinceMs ??= nowMs
    const noteInMs = this.#notes.isBehind ? Math.max(0, this.#idleSinceMs + IDLE_NOTE_DELAY_MS - nowMs) : Number.POSITIVE_INFINITY
    const pollInMs = this.#sources.needsPoll ? IDLE_POLL_MS : Number.POSITIVE_INFINITY
    const waitMs = Math.min(pollInMs, noteInMs, this.#topics.dueInMs)
    this.#isWaitingForWork = true
    const wasWoken = this.#planner.hasOpen || (await this.#wait(waitMs))
    this.#isWaitingForWork = false
    if (this.#lost && !this.#isClosing && !this.#isPaused) throw this.#lost
    if (wasWoken && !this.#isClosing && !this.#isPaused) await this.#wait(this.#settings.lingerMs)
    else if (noteInMs <= waitMs && !this.#isClosing) await this.#notes.write({ isClosed: false })
  }

  async #afterFault(error: unknown): Promise<void> {
    if (!(error instanceof UpstreamFault || error instanceof WadiError || error instanceof DiskError)) throw error
    this.#counters.failures++
    this.#link.fail(error.message)
    const kind = error instanceof UpstreamFault ? error.kind : 'retry'
    if (error instanceof UpstreamFault && error.mayBeContent) this.#planner.answeredWithError(this.#suspects)
    const step = this.#isConnected ? 'send' : 'connect'
    if (error instanceof UpstreamFault && this.#topics.leaveOut(error, step, this.#sources.list)) return // the others go on at once
    if (this.#isConnected) this.#topics.putOffTrials(this.#sources.list)
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

  /** Two gateways with one id fence each other for ever: the one that is fenced too often waits for long. */
  async #afterFence(): Promise<void> {
    const { fencesMax, fenceWindowMs, fencedDelayMs } = this.#settings
    const nowMs = this.#clock.monotonicMs()
    this.#counters.fences++
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

  /** Something may have come that can be sent; a pause, a back-off or a fence goes on. */
  #interruptIdle(): void {
    if (this.#isWaitingForWork) this.#interrupt()
  }
}

function notNoted(): WadiError {
  return new WadiError('WADI_UNAVAILABLE', {
    happened: 'A topic is delivered to another topic of the centre than before, and this cannot be noted on the disk.',
    kept: 'Everything is kept; nothing is delivered meanwhile.',
    next: 'See why the disk refuses; the uplink tries again by itself.'
  })
}

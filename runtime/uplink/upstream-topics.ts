// The topics at the centre as it describes them, and those that are left out because the centre does not take their events: each stops alone,
// says why, and is tried again by itself.
//
// What a person has to cure (rights, a policy) is tried every refusedDelayMs; what may pass (no leader, an unnamed error) with a back-off.
// A topic that failed in a transaction is on trial then: it is let in when a transaction of its own is committed (planner.ts). Of several the one
// that is due longest has its turn, so that one that fails again and again does not keep the others out.
// When nothing else is left to deliver to, nothing more is left out: the uplink waits as a whole, and its state says why.
// Not for: rights and creation at the cluster (adapters/kafka-upstream), what may be sent to a topic (planner.ts).

import type { Clock } from '../io/clock.ts'
import type { Random } from '../io/random.ts'
import type { Store } from '../log/contract.ts'
import { Backoff } from './backoff.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { Notices } from './notices.ts'
import type { UplinkSettings } from './settings.ts'
import type { Source } from './source.ts'
import { type Upstream, UpstreamFault, type UpstreamFaultKind, type UpstreamTopic } from './upstream.ts'

export interface UpstreamTopicsOptions {
  readonly store: Store
  readonly upstream: Upstream
  readonly clock: Clock
  readonly random: Random
  readonly notices: Notices
  readonly settings: Pick<UplinkSettings, 'createTopics' | 'refusedDelayMs' | 'backoff'>
}

interface LeftOut {
  /** Where it failed last. connect: the centre was asked about it; send: in a transaction. */
  readonly step: 'connect' | 'send'
  /** It failed in a transaction since it was left out: that the centre describes it does not tell that it is cured. */
  readonly needsTrial: boolean
  readonly reason: string
  readonly backoff: Backoff
  /** From the last failure on. */
  delayMs: number
  /** Monotonic: the end of that. */
  untilMs: number
  /** The next connection, or transaction of its own, may tell. */
  isOnTrial: boolean
}

/** A topic alone can be the reason of these. */
const LEAVES_OUT: ReadonlySet<UpstreamFaultKind> = new Set<UpstreamFaultKind>(['refused', 'retry', 'in-doubt', 'unreachable'])

/** So much of its delay a topic may be tried early, with another one. */
const TRIAL_SHARE = 1 / 4

export class UpstreamTopics {
  readonly #options: UpstreamTopicsOptions
  readonly #leftOut = new Map<string, LeftOut>()

  constructor(options: UpstreamTopicsOptions) {
    this.#options = options
  }

  /** Milliseconds until a topic that is left out may be tried again; infinity when there is none. */
  get dueInMs(): number {
    const nowMs = this.#options.clock.monotonicMs()
    const waiting = [...this.#leftOut.values()].filter(({ isOnTrial }) => !isOnTrial)
    return Math.max(0, Math.min(...waiting.map(({ untilMs }) => untilMs - nowMs)))
  }

  /** Why nothing is sent to this topic of the centre; null when it is not left out. */
  reasonFor(upstreamTopic: string): string | null {
    return this.#leftOut.get(upstreamTopic)?.reason ?? null
  }

  /** The one of these topics that is left out and has its turn: something may be sent to it now, alone, to see whether it is cured. null: none has. */
  nextOnTrial(upstreamTopics: Iterable<string>): string | null {
    let next: string | null = null
    let untilMs = Number.POSITIVE_INFINITY
    for (const name of upstreamTopics) {
      const entry = this.#leftOut.get(name)
      if (!entry?.isOnTrial || entry.untilMs >= untilMs) continue
      next = name
      untilMs = entry.untilMs
    }
    return next
  }

  /** Something may be sent to it, as far as is known. */
  isOpen(upstreamTopic: string): boolean {
    return this.#leftOut.get(upstreamTopic)?.isOnTrial ?? true
  }

  /** Everything that is left out may be tried again now. */
  tryAgain(): void {
    for (const entry of this.#leftOut.values()) entry.untilMs = Number.NEGATIVE_INFINITY
  }

  /**
   * The topics of `sources` by name; those that the centre refuses are left out.
   * @throws UpstreamFault when none is left that something may be sent to, or the centre is not there
   */
  async describe(sources: readonly Source[]): Promise<Map<string, UpstreamTopic>> {
    const { upstream, settings } = this.#options
    this.#beginTrials()
    const counts = this.#wantedCounts(sources)
    const isAsked = (name: string): boolean => this.isOpen(name) || this.#leftOut.get(name)?.step === 'send'
    const groups = [...new Set(counts.values())].map((count) =>
      [...counts.keys()].filter((name) => counts.get(name) === count && isAsked(name))
    )
    const found = new Map<string, UpstreamTopic>()
    const faults = new Map<string, UpstreamFault>()
    for (let group = groups.shift(); group; group = groups.shift()) {
      const [first] = group
      if (first === undefined) continue
      const createPartitionCount = settings.createTopics ? (counts.get(first) ?? 1) : null
      try {
        for (const topic of await upstream.describeTopics(group, { createPartitionCount })) found.set(topic.name, topic)
      } catch (error) {
        if (!(error instanceof UpstreamFault)) throw error
        const isOfOne = group.length === 1 && error.kind === 'refused'
        const named = isOfOne ? group : namedBy(error).filter((name) => group.includes(name))
        if (named.length === 0 && error.kind !== 'refused') throw error
        for (const name of named) faults.set(name, error)
        groups.push(...(named.length === 0 ? group.map((name) => [name]) : [group.filter((name) => !named.includes(name))]))
      }
    }
    const [fault] = faults.values()
    if (fault && ![...found.keys()].some((name) => this.isOpen(name))) throw fault
    for (const [name, of] of faults) this.#leaveOut(name, 'connect', of)
    return found
  }

  /** The connection is made: what it was tried with is let in, and what has nothing to send that could tell. */
  onConnected(topics: ReadonlyMap<string, UpstreamTopic>, sources: readonly Source[]): void {
    const isWanted = (name: string): boolean => sources.some((source) => source.upstreamTopic === name && source.hasUnplanned)
    for (const [name, { needsTrial, isOnTrial }] of this.#leftOut)
      if (isOnTrial && topics.has(name) && (!needsTrial || !isWanted(name))) this.#letIn(name)
  }

  /** A transaction with something for these topics was committed. */
  onDelivered(upstreamTopics: Iterable<string>): void {
    for (const name of upstreamTopics) if (this.#leftOut.has(name)) this.#letIn(name)
  }

  /** What is on trial was sent alone, and it failed for a reason that names no topic: the others come before it is tried again. */
  putOffTrials(sources: readonly Source[]): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (!sources.some(({ upstreamTopic }) => !this.#leftOut.has(upstreamTopic))) return
    for (const entry of this.#leftOut.values()) {
      if (!entry.isOnTrial) continue
      entry.isOnTrial = false
      entry.delayMs = this.#options.settings.refusedDelayMs
      entry.untilMs = nowMs + entry.delayMs
    }
  }

  /**
   * Leaves out the topics that `fault` names, when others are left to deliver to.
   * @returns false when it changes nothing: the fault is of the whole uplink
   */
  leaveOut(fault: UpstreamFault, step: LeftOut['step'], sources: readonly Source[]): boolean {
    const open = new Set(sources.map(({ upstreamTopic }) => upstreamTopic).filter((name) => this.isOpen(name)))
    const named = namedBy(fault).filter((name) => open.has(name))
    if (named.length === 0 || named.length === open.size) return false
    for (const name of named) this.#leaveOut(name, step, fault)
    return true
  }

  #leaveOut(name: string, step: LeftOut['step'], fault: UpstreamFault): void {
    const { clock, random, notices, settings } = this.#options
    const before = this.#leftOut.get(name)
    const backoff = before?.backoff ?? new Backoff(settings.backoff, random)
    const reason = fault.topics.get(name) ?? fault.message
    const delayMs = fault.kind === 'refused' ? settings.refusedDelayMs : backoff.nextDelayMs()
    const needsTrial = step === 'send' || before?.needsTrial === true
    this.#leftOut.set(name, { step, needsTrial, reason, backoff, delayMs, untilMs: clock.monotonicMs() + delayMs, isOnTrial: false })
    if (before) return
    const text = `Nothing is sent to the topic ${name} of the centre: ${reason}. Its events are kept and the topic is tried again; other topics go on.`
    notices.add('left-out', text, { topic: name, reason })
  }

  #letIn(name: string): void {
    this.#leftOut.delete(name)
    this.#options.notices.add('let-in', `The topic ${name} of the centre is delivered to again.`, { topic: name })
  }

  /** Together with what is due goes what has waited for the most part: each try costs all topics a new connection to the centre. */
  #beginTrials(): void {
    const nowMs = this.#options.clock.monotonicMs()
    const entries = [...this.#leftOut.values()]
    const share = entries.some(({ untilMs }) => untilMs <= nowMs) ? TRIAL_SHARE : 0
    for (const entry of entries) entry.isOnTrial = entry.untilMs <= nowMs + share * entry.delayMs
  }

  /** Upstream topic → partitions it is made with: as many as the largest edge topic that is delivered there has. */
  #wantedCounts(sources: readonly Source[]): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { edgeTopic, upstreamTopic } of sources) {
      const edgeCount = this.#options.store.topics.get(edgeTopic)?.partitions.length ?? 1
      counts.set(upstreamTopic, Math.max(edgeCount, counts.get(upstreamTopic) ?? 0))
    }
    return counts
  }
}

function namedBy(fault: UpstreamFault): string[] {
  return LEAVES_OUT.has(fault.kind) ? [...fault.topics.keys()] : []
}

/** false when the cluster does not tell topic ids. */
export function isTopicId(topicId: string): boolean {
  return /[^0]/.test(topicId)
}

/** Names of topics at the centre that have another id than when we last wrote there. */
export function recreatedTopics(topics: ReadonlyMap<string, UpstreamTopic>, notes: DeliveryNotes | null): Set<string> {
  const recreated = new Set<string>()
  for (const { upstreamTopic: name, topicId } of notes?.written.values() ?? []) {
    const now = topics.get(name)?.topicId ?? topicId
    if (topicId !== '' && now !== topicId && isTopicId(now)) recreated.add(name)
  }
  return recreated
}

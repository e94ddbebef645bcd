// What the uplink says about itself: its state, how much is not delivered yet, how fast it goes.
// Not for: decisions of the uplink; nothing here is read back by it.

import type { Clock } from '../io/clock.ts'
import type { UplinkCounters } from './counters.ts'
import { isUp, type LinkState, type LinkStatus } from './link-state.ts'
import { Progress, type Rate } from './progress.ts'
import type { Lag, Sources } from './sources.ts'
import type { Upstream } from './upstream.ts'

export interface TopicLag {
  readonly edgeTopic: string
  readonly upstreamTopic: string
  readonly lagEvents: number
  /** As stored. */
  readonly lagBytes: number
  /** Since the oldest event that is not delivered arrived; null when nothing waits. */
  readonly lagMs: number | null
  /** It was here before this start: it is older than lagMs. */
  readonly isLagAtLeast: boolean
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

export interface StatusReportOptions {
  readonly clock: Clock
  readonly upstream: Upstream
  readonly link: LinkState
  readonly counters: UplinkCounters
  readonly sources: Sources
  /** Why nothing of an edge topic is sent; null when it is. */
  stoppedBecause(edgeTopic: string, upstreamTopic: string): string | null
}

export class StatusReport {
  readonly #options: StatusReportOptions
  readonly #progress = new Progress()

  constructor(options: StatusReportOptions) {
    this.#options = options
  }

  /** Rates are measured from now on. */
  onConnected(): void {
    this.#progress.restart(this.#sample())
  }

  /** A transaction was committed and counted. */
  onDelivered(): void {
    this.#progress.add(this.#sample())
  }

  /** As of now. */
  status(): UplinkStatus {
    const { upstream, link, counters, sources, clock } = this.#options
    const topics = [...sources.lags()].map(([edgeTopic, lag]) => this.#lagOf(edgeTopic, sources.topics.get(edgeTopic) ?? edgeTopic, lag))
    const lagEvents = topics.reduce((sum, topic) => sum + topic.lagEvents, 0)
    const lags = topics.flatMap((topic) => topic.lagMs ?? [])
    const linkStatus = link.status()
    return {
      ...linkStatus,
      ...this.#progress.rate(lagEvents, { nowMs: clock.monotonicMs(), isUp: isUp(linkStatus.state) }),
      description: upstream.description,
      counters: { ...counters },
      lagEvents,
      lagBytes: topics.reduce((sum, topic) => sum + topic.lagBytes, 0),
      lagMs: lags.length === 0 ? null : Math.max(...lags),
      topics,
      wireBytes: { ...upstream.wireBytes }
    }
  }

  #lagOf(edgeTopic: string, upstreamTopic: string, { events, bytes, ageMs, isAgeAtLeast }: Lag): TopicLag {
    return {
      edgeTopic,
      upstreamTopic,
      lagEvents: events,
      lagBytes: bytes,
      lagMs: ageMs,
      isLagAtLeast: isAgeAtLeast,
      stoppedBecause: this.#options.stoppedBecause(edgeTopic, upstreamTopic)
    }
  }

  #sample(): Parameters<Progress['add']>[0] {
    const { deliveredEvents, deliveredBytes } = this.#options.counters
    const totalEvents = deliveredEvents + this.#options.sources.lagEvents
    return { atMs: this.#options.clock.monotonicMs(), deliveredEvents, deliveredBytes, totalEvents }
  }
}

// The edge partitions that are delivered: one Source for each partition of each edge topic that has a topic at the centre.
//
// Invariant: a partition keeps its Source for as long as the uplink runs, so what is confirmed and planned survives a new connection.
// Not for: where a source stands (source.ts), what the centre says of its topics (upstream-topics.ts).

import type { Clock } from '../io/clock.ts'
import type { Partition, Store } from '../log/contract.ts'
import { Arrivals } from './arrivals.ts'
import { Source } from './source.ts'

export interface SourcesOptions {
  readonly store: Store
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Edge topic → topic at the centre. */
  readonly topics: ReadonlyMap<string, string>
  /** Runs after every move of a high watermark or log start. */
  onAdvance(): void
}

/** What of one edge topic is not known to be at the centre. */
export interface Lag {
  readonly events: number
  readonly bytes: number
  /** null when nothing waits. */
  readonly ageMs: number | null
  readonly isAgeAtLeast: boolean
}

const NO_LAG: Lag = { events: 0, bytes: 0, ageMs: null, isAgeAtLeast: false }

export class Sources {
  readonly #options: SourcesOptions
  readonly #topics: Map<string, string>
  readonly #arrivals = new Map<Partition, Arrivals>()
  #list: readonly Source[] = []
  #unsubscribe: (() => void)[] = []

  constructor(options: SourcesOptions) {
    this.#options = options
    this.#topics = new Map(options.topics)
  }

  /** As of the last refresh. */
  get list(): readonly Source[] {
    return this.#list
  }

  /** Edge topic → topic at the centre, also of edge topics that do not exist here yet. */
  get topics(): ReadonlyMap<string, string> {
    return this.#topics
  }

  /** One more topic to deliver, from the next refresh on. */
  addTopic(edgeTopic: string, upstreamTopic: string): void {
    this.#topics.set(edgeTopic, upstreamTopic)
    this.#watchArrivals()
  }

  /** The topic was deleted here: one that is made anew has to be added again. */
  removeTopic(edgeTopic: string): void {
    this.#topics.delete(edgeTopic)
  }

  /** Takes the partitions that the store has now. */
  refresh(): void {
    const list: Source[] = []
    for (const [edgeTopic, upstreamTopic] of this.#topics) {
      for (const partition of this.#options.store.topics.get(edgeTopic)?.partitions ?? []) {
        list.push(this.#list.find((source) => source.partition === partition) ?? new Source(edgeTopic, upstreamTopic, partition))
      }
    }
    this.#list = list
    for (const [partition, arrivals] of this.#arrivals) {
      if (!partition.isDeleted) continue
      arrivals.close()
      this.#arrivals.delete(partition)
    }
    this.#watchArrivals()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#unsubscribe = list.map((source) => source.partition.onAdvance(() => this.#options.onAdvance()))
  }

  /** A topic or partition was made, or deleted, since the last refresh. */
  get isOutdated(): boolean {
    let count = 0
    for (const edgeTopic of this.#topics.keys()) count += this.#options.store.topics.get(edgeTopic)?.partitions.length ?? 0
    return count !== this.#list.length || this.#list.some(({ partition }) => partition.isDeleted)
  }

  /** Something may become deliverable without a call of onAdvance: a topic is made, a damaged partition can be read again. */
  get needsPoll(): boolean {
    return (
      [...this.#topics.keys()].some((topic) => !this.#options.store.topics.has(topic)) || this.#list.some((source) => source.hasUnplanned)
    )
  }

  /** Events that are durable here and not known to be at the centre. */
  get lagEvents(): number {
    return [...this.#list, ...this.#unlisted()].reduce((sum, source) => sum + source.lagEvents, 0)
  }

  /** By edge topic; also of partitions that were made since the last refresh, which may be long ago while the link is down. */
  lags(): ReadonlyMap<string, Lag> {
    const lags = new Map([...this.#topics.keys()].map((edgeTopic) => [edgeTopic, NO_LAG]))
    for (const source of [...this.#list, ...this.#unlisted()]) {
      const lag = lags.get(source.edgeTopic)
      if (lag && source.lagEvents > 0) lags.set(source.edgeTopic, this.#with(lag, source))
    }
    return lags
  }

  #with(lag: Lag, source: Source): Lag {
    const sum = { ...lag, events: lag.events + source.lagEvents, bytes: lag.bytes + source.lagBytes }
    const age = this.#arrivals.get(source.partition)?.ageOf(source.oldestOffset)
    return age && age.ageMs >= (lag.ageMs ?? 0) ? { ...sum, ageMs: age.ageMs, isAgeAtLeast: age.isAtLeast } : sum
  }

  /** Partitions that were made since the last refresh, as far as they were delivered. */
  #unlisted(): Source[] {
    if (!this.isOutdated) return []
    const listed = new Set(this.#list.map(({ partition }) => partition))
    const unlisted: Source[] = []
    for (const edgeTopic of this.#topics.keys()) {
      for (const partition of this.#options.store.topics.get(edgeTopic)?.partitions ?? []) {
        if (listed.has(partition)) continue
        const source = new Source(edgeTopic, edgeTopic, partition)
        source.reset(partition.deliveredOffset)
        unlisted.push(source)
      }
    }
    return unlisted
  }

  #watchArrivals(): void {
    const { store, clock } = this.#options
    for (const edgeTopic of this.#topics.keys()) {
      for (const partition of store.topics.get(edgeTopic)?.partitions ?? [])
        if (!this.#arrivals.has(partition)) this.#arrivals.set(partition, new Arrivals(partition, clock))
    }
  }

  /** No more calls of onAdvance. */
  close(): void {
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
    for (const arrivals of this.#arrivals.values()) arrivals.close()
  }
}

// The edge partitions that are delivered: one Source for each partition of each edge topic that has a topic at the centre.
//
// Invariant: a partition keeps its Source for as long as the uplink runs, so what is confirmed and planned survives a new connection.
// Not for: where a source stands (source.ts), what the centre says of its topics (upstream-topics.ts).

import { WadiError } from '../base/errors.ts'
import { DiskError } from '../io/disk.ts'
import type { Store } from '../log/contract.ts'
import { Source } from './source.ts'

export interface SourcesOptions {
  readonly store: Store
  /** Edge topic → topic at the centre. */
  readonly topics: ReadonlyMap<string, string>
  /** Runs after every move of a high watermark or log start. */
  onAdvance(): void
}

export class Sources {
  readonly #options: SourcesOptions
  readonly #topics: Map<string, string>
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
    this.close()
    this.#unsubscribe = list.map((source) => source.partition.onAdvance(() => this.#options.onAdvance()))
  }

  /** A topic or partition was made since the last refresh. */
  get isOutdated(): boolean {
    let count = 0
    for (const edgeTopic of this.#topics.keys()) count += this.#options.store.topics.get(edgeTopic)?.partitions.length ?? 0
    return count !== this.#list.length
  }

  /** Something may become deliverable without a call of onAdvance: a topic is made, a damaged partition can be read again. */
  get needsPoll(): boolean {
    return (
      [...this.#topics.keys()].some((topic) => !this.#options.store.topics.has(topic)) || this.#list.some((source) => source.hasUnplanned)
    )
  }

  /** Events that are durable here and not known to be at the centre. */
  get lagEvents(): number {
    return this.#list.reduce((sum, source) => sum + source.lagEvents, 0)
  }

  /** So that the status can say how old the oldest event is while the centre is away. What cannot be read is left out. */
  async noteOldest(): Promise<void> {
    for (const source of this.#list) {
      if (source.lagEvents === 0 || source.oldestTimestampMs !== null) continue
      try {
        await source.noteOldest()
      } catch (error) {
        if (!(error instanceof WadiError || error instanceof DiskError)) throw error
      }
    }
  }

  /** No more calls of onAdvance. */
  close(): void {
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
  }
}

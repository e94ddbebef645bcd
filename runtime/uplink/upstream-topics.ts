// The topics at the centre as it describes them, and those it refuses: a refused topic is stopped alone, and asked for again later.
// Not for: rights and creation at the cluster (adapters/kafka-upstream), what may be sent to a topic (planner.ts).

import type { Clock } from '../io/clock.ts'
import type { Store } from '../log/contract.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { UplinkSettings } from './settings.ts'
import type { Source } from './source.ts'
import { type Upstream, UpstreamFault, type UpstreamTopic } from './upstream.ts'

export interface UpstreamTopicsOptions {
  readonly store: Store
  readonly upstream: Upstream
  readonly clock: Clock
  readonly settings: Pick<UplinkSettings, 'createTopics' | 'refusedDelayMs'>
}

export class UpstreamTopics {
  readonly #options: UpstreamTopicsOptions
  /** Monotonic; null: the centre refused none. */
  #describeAgainAtMs: number | null = null

  constructor(options: UpstreamTopicsOptions) {
    this.#options = options
  }

  /** The last describe() left out a topic that the centre refused. */
  get hasRefused(): boolean {
    return this.#describeAgainAtMs !== null
  }

  /** A refused topic may be asked for again. */
  get isDue(): boolean {
    return this.#describeAgainAtMs !== null && this.#options.clock.monotonicMs() >= this.#describeAgainAtMs
  }

  /**
   * The topics of `sources` by name; refused ones are left out, and the last refusal is returned.
   * @throws UpstreamFault when none is left or the centre is not there
   */
  async describe(
    sources: readonly Source[]
  ): Promise<{ readonly found: Map<string, UpstreamTopic>; readonly refusal: UpstreamFault | null }> {
    const { upstream, clock, settings } = this.#options
    const counts = this.#wantedCounts(sources)
    const found = new Map<string, UpstreamTopic>()
    let refusal: UpstreamFault | null = null
    for (const count of new Set(counts.values())) {
      const names = [...counts].filter(([, wanted]) => wanted === count).map(([name]) => name)
      const createPartitionCount = settings.createTopics ? count : null
      for (const group of [names, ...names.map((name) => [name])]) {
        if (group.every((name) => found.has(name))) continue
        try {
          for (const topic of await upstream.describeTopics(group, { createPartitionCount })) found.set(topic.name, topic)
        } catch (error) {
          if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
          refusal = error
        }
      }
    }
    if (refusal && found.size === 0) throw refusal
    this.#describeAgainAtMs = refusal ? clock.monotonicMs() + settings.refusedDelayMs : null
    return { found, refusal }
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

// What was refused, by topic and reason. Bounded: Kafka clients and templates choose the names.

export interface RefusedTopic {
  readonly topic: string
  /** A code of docs/errors.md, or of Kafka. */
  readonly reason: string
  /** Since the start: events, or batches of Kafka clients; those that are sent again once for each try. */
  readonly count: number
}

const NAMES_MAX = 100
/** No topic has a longer name. */
const NAME_CHARS_MAX = 249

export class RefusedTopics {
  readonly #counts = new Map<string, RefusedTopic>()

  add(topicName: string, reason: string, events = 1): void {
    const topic = topicName.slice(0, NAME_CHARS_MAX)
    const key = `${reason} ${topic}`
    const known = this.#counts.get(key)
    if (!known && this.#counts.size >= NAMES_MAX) return
    this.#counts.set(key, { topic, reason, count: (known?.count ?? 0) + events })
  }

  /** Most first. */
  get list(): readonly RefusedTopic[] {
    return [...this.#counts.values()].sort((left, right) => right.count - left.count)
  }
}

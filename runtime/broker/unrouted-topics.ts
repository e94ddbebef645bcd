// MQTT topics that no route takes, counted by name. Bounded: devices choose the names.

export interface UnroutedTopic {
  readonly mqttTopic: string
  /** The last one that published to it; '' when it has no id. */
  readonly clientId: string
  /** Since the start; QoS 1 and 2 once for each try. */
  readonly events: number
}

const NAMES_MAX = 20

export class UnroutedTopics {
  readonly #topics = new Map<string, UnroutedTopic>()
  #otherEvents = 0

  /** @returns true for the first event of a topic that is counted by name */
  add(mqttTopic: string, clientId: string): boolean {
    const known = this.#topics.get(mqttTopic)
    if (!known && this.#topics.size >= NAMES_MAX) {
      this.#otherEvents++
      return false
    }
    this.#topics.set(mqttTopic, { mqttTopic, clientId, events: (known?.events ?? 0) + 1 })
    return !known
  }

  /** Most events first. */
  get list(): readonly UnroutedTopic[] {
    return [...this.#topics.values()].sort((left, right) => right.events - left.events)
  }

  /** Of topics that came when there was no room for more names. */
  get otherEvents(): number {
    return this.#otherEvents
  }
}

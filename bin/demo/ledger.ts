// The truth about the demo's events, kept outside of the gateway: what each sensor sent, what it was told, what arrived.
// An event whose PUBACK was cut off by the kill is "unknown": MQTT lets it be stored or not. Its sensor does not send it again under the
// same name, so it may arrive once or never - and every other event exactly once.

export interface Verdict {
  readonly sent: number
  readonly acknowledged: number
  readonly unknown: number
  /** Of the unknown ones: those that arrived. */
  readonly unknownDelivered: number
  readonly delivered: number
  /** Acknowledged and not delivered. */
  readonly lost: number
  /** Deliveries beyond the first of each event. */
  readonly duplicated: number
  /** Delivered, and nobody sent it. */
  readonly invented: number
  /** Delivered behind a later event of the same sensor. */
  readonly disordered: number
}

type State = 'sent' | 'acknowledged' | 'unknown'

export class Ledger {
  readonly #events = new Map<string, State>()
  readonly #deliveries = new Map<string, number>()
  readonly #lastOfSensor = new Map<string, number>()
  #acknowledged = 0
  #unknown = 0
  #invented = 0
  #disordered = 0
  #deliveredTotal = 0

  get sentCount(): number {
    return this.#events.size
  }

  get acknowledgedCount(): number {
    return this.#acknowledged
  }

  get deliveredCount(): number {
    return this.#deliveredTotal
  }

  /** Sent, neither acknowledged nor given up. */
  get unansweredCount(): number {
    return this.#events.size - this.#acknowledged - this.#unknown
  }

  sent(id: string): void {
    this.#events.set(id, 'sent')
  }

  acknowledged(id: string): void {
    if (this.#events.get(id) !== 'sent') return // an answer that raced the end of its connection
    this.#events.set(id, 'acknowledged')
    this.#acknowledged++
  }

  /** The connection ended before the answer came. */
  unknown(id: string): void {
    if (this.#events.get(id) !== 'sent') return
    this.#events.set(id, 'unknown')
    this.#unknown++
  }

  /** `sensor` and `sequence` are parts of the id; sequences of a sensor rise. */
  delivered(id: string, sensor: string, sequence: number): void {
    this.#deliveredTotal++
    if (!this.#events.has(id)) this.#invented++
    const count = (this.#deliveries.get(id) ?? 0) + 1
    this.#deliveries.set(id, count)
    if (count > 1) return // counted as a duplicate, not as a disorder too
    if (sequence < (this.#lastOfSensor.get(sensor) ?? -1)) this.#disordered++
    this.#lastOfSensor.set(sensor, Math.max(sequence, this.#lastOfSensor.get(sensor) ?? -1))
  }

  verdict(): Verdict {
    let lost = 0
    let unknownDelivered = 0
    for (const [id, state] of this.#events) {
      const isDelivered = this.#deliveries.has(id)
      if (state === 'acknowledged' && !isDelivered) lost++
      if (state !== 'acknowledged' && isDelivered) unknownDelivered++
    }
    let duplicated = 0
    for (const count of this.#deliveries.values()) duplicated += count - 1
    return {
      sent: this.#events.size,
      acknowledged: this.#acknowledged,
      unknown: this.#events.size - this.#acknowledged,
      unknownDelivered,
      delivered: this.#deliveredTotal,
      lost,
      duplicated,
      invented: this.#invented,
      disordered: this.#disordered
    }
  }
}

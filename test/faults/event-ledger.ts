// The truth about what devices sent, kept outside the data directory: which events were acknowledged, which have no answer ("unknown").
// An acknowledged event must be found exactly once; an unknown one at most once; nothing else may be found; order per device holds.

export interface Verdict {
  readonly sent: number
  readonly acked: number
  readonly unknown: number
  readonly read: number
  readonly lost: number
  readonly phantom: number
  readonly altered: number
  readonly reordered: number
  readonly duplicated: number
}

export interface ObservedEvent {
  readonly key: string
  readonly value: string
}

export class EventLedger {
  readonly #sent = new Map<string, 'unknown' | 'acked'>()
  #nextSequence = 0

  /** The ledger as it is now, on its own from here. */
  copy(): EventLedger {
    const copy = new EventLedger()
    for (const [payload, state] of this.#sent) copy.#sent.set(payload, state)
    copy.#nextSequence = this.#nextSequence
    return copy
  }

  /** A new event of a device: its payload, unique for ever. */
  create(device: string, padBytes = 0): string {
    const payload = JSON.stringify({ device, sequence: this.#nextSequence++, pad: 'p'.repeat(padBytes) })
    this.#sent.set(payload, 'unknown')
    return payload
  }

  acknowledge(payload: string): void {
    this.#sent.set(payload, 'acked')
  }

  get sentCount(): number {
    return this.#sent.size
  }

  get ackedCount(): number {
    let count = 0
    for (const state of this.#sent.values()) if (state === 'acked') count++
    return count
  }

  /** `mayLackOldest`: a quota has taken the oldest events of each device, so that only those after the first that is there can be lost. */
  judge(events: Iterable<ObservedEvent>, { mayLackOldest = false } = {}): Verdict {
    const seen = new Map<string, number>()
    const firstSequence = new Map<string, number>()
    const lastSequence = new Map<string, number>()
    let read = 0
    let phantom = 0
    let altered = 0
    let reordered = 0
    for (const { key, value } of events) {
      read++
      if (!this.#sent.has(value)) {
        phantom++
        continue
      }
      seen.set(value, (seen.get(value) ?? 0) + 1)
      const { device, sequence } = JSON.parse(value) as { device: string; sequence: number }
      if (device !== key) altered++
      firstSequence.set(device, Math.min(sequence, firstSequence.get(device) ?? Number.POSITIVE_INFINITY))
      if (sequence < (lastSequence.get(device) ?? -1)) reordered++
      lastSequence.set(device, Math.max(sequence, lastSequence.get(device) ?? -1))
    }
    let lost = 0
    let duplicated = 0
    for (const [payload, state] of this.#sent) {
      if (state !== 'acked' || seen.has(payload)) continue
      const { device, sequence } = JSON.parse(payload) as { device: string; sequence: number }
      if (!mayLackOldest || sequence > (firstSequence.get(device) ?? Number.POSITIVE_INFINITY)) lost++
    }
    for (const count of seen.values()) duplicated += count - 1
    const acked = this.ackedCount
    return { sent: this.#sent.size, acked, unknown: this.#sent.size - acked, read, lost, phantom, altered, reordered, duplicated }
  }
}

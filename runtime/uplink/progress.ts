// How fast events reach the centre and when it will have caught up: totals at the moments of the last minute.
// Not for: decisions.

const WINDOW_MS = 60_000
const SAMPLES_MAX = 240

interface Sample {
  readonly atMs: number
  readonly deliveredEvents: number
  readonly deliveredBytes: number
  /** All events there are: delivered or not. */
  readonly totalEvents: number
}

export interface Rate {
  readonly eventsPerSecond: number
  readonly bytesPerSecond: number
  /** null: nothing behind, or it does not get less. */
  readonly etaMs: number | null
}

export class Progress {
  #samples: Sample[] = []

  /** After every delivered transaction, and when an idle or lost link comes back (so that the pause does not count as speed). */
  add(sample: Sample): void {
    const last = this.#samples.at(-1)
    if (last && sample.atMs - last.atMs < WINDOW_MS / SAMPLES_MAX && this.#samples.length > 1) this.#samples.pop()
    this.#samples.push(sample)
    while (this.#samples.length > 2 && sample.atMs - (this.#samples[0] as Sample).atMs > WINDOW_MS) this.#samples.shift()
  }

  /** The link was lost: the rates before do not count for the time after. */
  restart(sample: Sample): void {
    this.#samples = [sample]
  }

  /** As of `nowMs` on the monotonic clock: what is idle gets slower, and nothing is known while the link is not up. */
  rate(lagEvents: number, { nowMs, isUp }: { nowMs: number; isUp: boolean }): Rate {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    const isOld = last !== undefined && nowMs - last.atMs > WINDOW_MS
    if (!isUp || !first || !last || last.atMs <= first.atMs || isOld) return { eventsPerSecond: 0, bytesPerSecond: 0, etaMs: null }
    const seconds = (Math.max(nowMs, last.atMs) - first.atMs) / 1000
    const eventsPerSecond = (last.deliveredEvents - first.deliveredEvents) / seconds
    const arrivingPerSecond = (last.totalEvents - first.totalEvents) / seconds
    const gain = eventsPerSecond - arrivingPerSecond
    return {
      eventsPerSecond,
      bytesPerSecond: (last.deliveredBytes - first.deliveredBytes) / seconds,
      etaMs: lagEvents > 0 && gain > 0 ? (lagEvents / gain) * 1000 : null
    }
  }
}

// Events per second over the last ten seconds, from a counter that only grows.

const WINDOW_MS = 10_000

export class RateMeter {
  readonly #samples: { atMs: number; count: number }[] = []

  /** Call about once a second. */
  sample(atMs: number, count: number): void {
    this.#samples.push({ atMs, count })
    while (this.#samples.length > 2 && atMs - (this.#samples[0]?.atMs ?? atMs) > WINDOW_MS) this.#samples.shift()
  }

  /** `count` is the counter now: what came since the last sample counts too. */
  perSecond(atMs: number, count: number): number {
    const first = this.#samples[0]
    if (!first || atMs - first.atMs < 1) return 0
    return ((count - first.count) * 1000) / (atMs - first.atMs)
  }
}

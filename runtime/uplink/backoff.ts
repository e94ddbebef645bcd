// How long to wait before the next try: exponential with full jitter, so that a thousand gateways do not come back in the same second.
// Not for: deciding whether to try again.

import type { Random } from '../io/random.ts'

export interface BackoffSettings {
  readonly firstMs: number
  readonly capMs: number
}

export class Backoff {
  readonly #settings: BackoffSettings
  readonly #random: Random
  #failures = 0

  constructor(settings: BackoffSettings, random: Random) {
    this.#settings = settings
    this.#random = random
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures
  }

  /** Counts a failure. The delay is uniform in [ceiling / 10, ceiling], the ceiling doubles from firstMs up to capMs. */
  nextDelayMs(): number {
    const { firstMs, capMs } = this.#settings
    const ceilingMs = Math.min(capMs, firstMs * 2 ** Math.min(this.#failures, 30))
    this.#failures++
    return ceilingMs * (0.1 + 0.9 * this.#random.fraction())
  }

  reset(): void {
    this.#failures = 0
  }
}

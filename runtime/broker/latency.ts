// Latencies as a small histogram: four buckets per doubling from 1/16 ms to 65 s, so a quantile is right within a fifth.

import type { Histogram } from '../base/metrics.ts'

const BUCKETS_PER_DOUBLING = 4
const SMALLEST_MS = 1 / 16
const BUCKET_COUNT = 20 * BUCKETS_PER_DOUBLING + 1

export class LatencyHistogram {
  readonly #counts = new Float64Array(BUCKET_COUNT)
  #count = 0
  #sumMs = 0
  #maxMs = 0

  get count(): number {
    return this.#count
  }

  get maxMs(): number {
    return this.#maxMs
  }

  /** `events` that took so long. */
  record(latencyMs: number, events = 1): void {
    const place = latencyMs <= SMALLEST_MS ? 0 : Math.ceil(Math.log2(latencyMs / SMALLEST_MS) * BUCKETS_PER_DOUBLING)
    const bucket = Math.min(BUCKET_COUNT - 1, place)
    this.#counts[bucket] = (this.#counts[bucket] as number) + events
    this.#count += events
    this.#sumMs += latencyMs * events
    if (latencyMs > this.#maxMs) this.#maxMs = latencyMs
  }

  /** One bound for each doubling, in seconds. */
  histogram(): Histogram {
    const buckets: { upperBound: number; count: number }[] = []
    let seen = 0
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      seen += this.#counts[bucket] as number
      if (bucket % BUCKETS_PER_DOUBLING === 0 && bucket < BUCKET_COUNT - 1)
        buckets.push({ upperBound: (SMALLEST_MS * 2 ** (bucket / BUCKETS_PER_DOUBLING)) / 1_000, count: seen })
    }
    buckets.push({ upperBound: Number.POSITIVE_INFINITY, count: seen })
    return { buckets, sum: this.#sumMs / 1_000 }
  }

  /** Upper bound of the bucket that holds the quantile (0 … 1), in ms; 0 when nothing was recorded. */
  quantileMs(quantile: number): number {
    const rank = Math.max(1, Math.ceil(quantile * this.#count))
    let seen = 0
    for (let bucket = 0; this.#count > 0 && bucket < BUCKET_COUNT; bucket++) {
      seen += this.#counts[bucket] as number
      if (seen >= rank) return Math.min(this.#maxMs, SMALLEST_MS * 2 ** (bucket / BUCKETS_PER_DOUBLING))
    }
    return this.#maxMs
  }
}

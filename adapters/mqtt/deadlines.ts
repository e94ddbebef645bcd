// Things that are due at a time, to the second: the ends of absent sessions, delayed wills. One timer for all, none while there is nothing.
// Not for: what must be exact, or is due within a second.

const TICK_MS = 1_000

export class Deadlines<T> {
  readonly #onDue: (item: T) => void
  readonly #buckets = new Map<number, Set<T>>()
  readonly #bucketOf = new Map<T, number>()
  #timer: NodeJS.Timeout | null = null
  #nextTick = 0

  constructor(onDue: (item: T) => void) {
    this.#onDue = onDue
  }

  get size(): number {
    return this.#bucketOf.size
  }

  /** Seconds from now, never early and at most two late. An earlier time of the item is forgotten. */
  set(item: T, seconds: number): void {
    this.delete(item)
    const tick = tickNow() + Math.max(0, seconds) + 1
    const bucket = this.#buckets.get(tick) ?? new Set()
    bucket.add(item)
    this.#buckets.set(tick, bucket)
    this.#bucketOf.set(item, tick)
    if (this.#timer !== null) return
    this.#nextTick = tickNow()
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#timer.unref()
  }

  delete(item: T): void {
    const tick = this.#bucketOf.get(item)
    if (tick === undefined) return
    this.#bucketOf.delete(item)
    const bucket = this.#buckets.get(tick)
    bucket?.delete(item)
    if (bucket?.size === 0) this.#buckets.delete(tick)
    if (this.#bucketOf.size === 0) this.close()
  }

  /** Forgets everything. */
  close(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
    this.#buckets.clear()
    this.#bucketOf.clear()
  }

  #tick(): void {
    for (const last = tickNow(); this.#nextTick <= last; this.#nextTick++) {
      for (const item of [...(this.#buckets.get(this.#nextTick) ?? [])]) {
        this.delete(item)
        this.#onDue(item)
      }
    }
  }
}

const tickNow = (): number => Math.floor(performance.now() / TICK_MS)

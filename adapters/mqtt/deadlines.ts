// Things that are due at a time: the ends of absent sessions, delayed wills. One timer for all, set to the earliest, none while there is nothing.
// Not for: what is due within a tenth of a second, or many thousand changes a second.

const TICK_MS = 100
/** Longer than that setTimeout takes for nothing. */
const TIMER_MS_MAX = 2 ** 31 - 1

export class Deadlines<T> {
  readonly #onDue: (item: T) => void
  /** By tick. */
  readonly #buckets = new Map<number, Set<T>>()
  readonly #tickOf = new Map<T, number>()
  #timer: NodeJS.Timeout | null = null
  #timerTick = Number.POSITIVE_INFINITY

  constructor(onDue: (item: T) => void) {
    this.#onDue = onDue
  }

  get size(): number {
    return this.#tickOf.size
  }

  /** Seconds from now; never early, and two ticks late at most. An earlier time of the item is forgotten. */
  set(item: T, seconds: number): void {
    this.delete(item)
    const tick = tickNow() + Math.ceil((seconds * 1_000) / TICK_MS) + 1
    const bucket = this.#buckets.get(tick) ?? new Set()
    bucket.add(item)
    this.#buckets.set(tick, bucket)
    this.#tickOf.set(item, tick)
    if (tick < this.#timerTick) this.#arm(tick)
  }

  delete(item: T): void {
    const tick = this.#tickOf.get(item)
    if (tick === undefined) return
    this.#tickOf.delete(item)
    const bucket = this.#buckets.get(tick)
    bucket?.delete(item)
    if (bucket?.size === 0) this.#buckets.delete(tick)
    if (this.#tickOf.size === 0) this.close()
  }

  /** Forgets everything. */
  close(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#timerTick = Number.POSITIVE_INFINITY
    this.#buckets.clear()
    this.#tickOf.clear()
  }

  #arm(tick: number): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timerTick = tick
    const waitMs = tick * TICK_MS - performance.now()
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(0, waitMs), TIMER_MS_MAX))
    this.#timer.unref()
  }

  #look(): void {
    const now = tickNow()
    const due = [...this.#buckets].filter(([tick]) => tick <= now).sort(([one], [other]) => one - other)
    for (const [tick, bucket] of due) {
      for (const item of [...bucket]) {
        if (this.#tickOf.get(item) !== tick) continue // put off meanwhile
        this.delete(item)
        this.#onDue(item)
      }
    }
    if (this.#buckets.size > 0) this.#arm(Math.min(...this.#buckets.keys()))
  }
}

const tickNow = (): number => Math.floor(performance.now() / TICK_MS)

// Simulated time: one queue of events ordered by (time, sequence). Nothing happens unless run, step or settle is called, and then
// one event at a time: after each, every promise that can go on has gone on (setImmediate), so a run depends on the seed alone.
// Not for: work that waits for real I/O or threads (use the simulated disk and codec).

// By name: process-time.ts takes over those that everybody sees.
import { setImmediate } from 'node:timers'
import type { Clock, Timer } from '../../runtime/io/clock.ts'

interface Event {
  readonly atMs: number
  readonly sequence: number
  callback: (() => void) | null
}

/** Everything that could still go on has gone on when this resolves. */
export function drainMicrotasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export class SimClock implements Clock {
  #nowMs = 0
  #wallOffsetMs: number
  #sequence = 0
  #live = 0
  readonly #heap: Event[] = []

  constructor(options: { wallStartMs?: number } = {}) {
    this.#wallOffsetMs = options.wallStartMs ?? 1_700_000_000_000
  }

  /** Timers that are set and not cancelled. */
  get pendingCount(): number {
    return this.#live
  }

  wallMs(): number {
    return Math.floor(this.#wallOffsetMs + this.#nowMs)
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  /** NTP arrives, or somebody sets the clock back. */
  jumpWall(deltaMs: number): void {
    this.#wallOffsetMs += deltaMs
  }

  after(delayMs: number, callback: () => void): Timer {
    const event: Event = { atMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, callback }
    this.#live++
    this.#push(event)
    return {
      cancel: () => {
        if (event.callback === null) return
        event.callback = null
        this.#live--
      }
    }
  }

  soon(callback: () => void): void {
    this.after(0, callback)
  }

  /** The clock of one process: its timers die with it. */
  process(): SimProcessClock {
    return new SimProcessClock(this)
  }

  /** Runs the next event. false when there is none (before `untilMs`). */
  async step(untilMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const event = this.#pop(untilMs)
    if (!event) return false
    this.#nowMs = event.atMs
    const callback = event.callback as () => void
    event.callback = null
    this.#live--
    callback()
    await drainMicrotasks()
    return true
  }

  /** Runs every event up to `untilMs` (absolute, monotonic); then it is that time. */
  async run(options: { untilMs: number }): Promise<void> {
    await drainMicrotasks()
    while (await this.step(options.untilMs));
    this.#nowMs = Math.max(this.#nowMs, options.untilMs)
  }

  /**
   * Runs until `promise` settles and gives its result.
   * @throws Error when no event is left, or `limitMs` of simulated time went by, and it is still pending
   */
  async settle<T>(promise: Promise<T>, options: { limitMs?: number } = {}): Promise<T> {
    const untilMs = this.#nowMs + (options.limitMs ?? 3_600_000)
    let isSettled = false
    const done = (): void => {
      isSettled = true
    }
    promise.then(done, done)
    await drainMicrotasks()
    while (!isSettled && (await this.step(untilMs)));
    if (!isSettled) throw new Error(`still pending at ${this.#nowMs} ms (limit ${untilMs} ms, ${this.#live} events left)`)
    return promise
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent] as Event)) break
      heap[at] = heap[parent] as Event
      at = parent
    }
    heap[at] = event
  }

  #pop(untilMs: number): Event | null {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (top.callback !== null && top.atMs > untilMs) return null
      this.#removeTop()
      if (top.callback !== null) return top
    }
    return null
  }

  #removeTop(): void {
    const heap = this.#heap
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
      if (!isBefore(heap[child] as Event, last)) break
      heap[at] = heap[child] as Event
      at = child
    }
    heap[at] = last
  }
}

/** A Clock that can be killed: no callback of it runs afterwards. */
export class SimProcessClock implements Clock {
  readonly #clock: SimClock
  readonly #timers = new Set<Timer>()
  #isDead = false

  constructor(clock: SimClock) {
    this.#clock = clock
  }

  get pendingCount(): number {
    return this.#timers.size
  }

  wallMs(): number {
    return this.#clock.wallMs()
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  after(delayMs: number, callback: () => void): Timer {
    if (this.#isDead) return { cancel: () => undefined }
    const inner = this.#clock.after(delayMs, () => {
      this.#timers.delete(timer)
      callback()
    })
    const timer: Timer = {
      cancel: () => {
        this.#timers.delete(timer)
        inner.cancel()
      }
    }
    this.#timers.add(timer)
    return timer
  }

  soon(callback: () => void): void {
    this.after(0, callback)
  }

  kill(): void {
    this.#isDead = true
    for (const timer of [...this.#timers]) timer.cancel()
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.sequence < right.sequence)
}

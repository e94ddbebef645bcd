// Time as a dependency. Only the monotonic clock drives timers; wall time is data, never a condition for order or durability.
// Real: node-clock.ts. Simulated: test/sim/sim-clock.ts.

export interface Timer {
  /** Fine to call twice, or after it fired. */
  cancel(): void
}

export interface Clock {
  /** Milliseconds since 1970 as the operating system believes them: may be wrong, may jump. */
  wallMs(): number
  /** Milliseconds since some fixed moment; never goes back. Fractions allowed. */
  monotonicMs(): number
  /** Runs `callback` once after at least `delayMs`. */
  after(delayMs: number, callback: () => void): Timer
  /** Runs `callback` once, as soon as what is already waiting in this turn of the loop has run (setImmediate). */
  soon(callback: () => void): void
}

/** Resolves after `delayMs`, or at once when `signal` aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = clock.after(delayMs, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}

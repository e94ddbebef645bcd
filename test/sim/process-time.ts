// The clocks and timers that Node gives to everybody (Date.now, performance.now, setTimeout, setInterval, setImmediate), as the process of a simulated
// life sees them: adapters use them as they are. They are taken over for the length of a run, in this thread only.
//
// Invariants: whatever a process has set ends with it; performance.now begins at 0 in each life. Not for: runtime/, which is handed its clock.

import type { Clock, Timer } from '../../runtime/io/clock.ts'
import type { SimClock } from './sim-clock.ts'

type Callback = (...values: unknown[]) => void

/** What setTimeout and setInterval return. */
class SimTimeout {
  timer: Timer | null = null

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }
}

export class ProcessTime {
  readonly #world: SimClock
  /** Of the process that lives; without one nothing that is set ever runs. */
  #life: Clock | null = null
  #startedMs = 0

  constructor(world: SimClock) {
    this.#world = world
  }

  /** From now on the process with this clock is the one that lives; null = none. */
  enter(life: Clock | null): void {
    this.#life = life
    this.#startedMs = this.#world.monotonicMs()
  }

  /** @returns what gives everything back */
  install(): () => void {
    const real = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate }
    const { now: dateNow } = Date
    const performanceNow = performance.now
    const later = (callback: Callback, delayMs: number, values: unknown[]): SimTimeout => {
      const handle = new SimTimeout()
      handle.timer = this.#life?.after(Math.max(1, delayMs || 0), () => callback(...values)) ?? null
      return handle
    }
    const clear = (handle: unknown): void => {
      if (handle instanceof SimTimeout) handle.timer?.cancel()
      else real.clearTimeout(handle as NodeJS.Timeout)
    }
    Object.assign(globalThis, {
      setTimeout: (callback: Callback, delayMs: number, ...values: unknown[]) => later(callback, delayMs, values),
      setInterval: (callback: Callback, delayMs: number, ...values: unknown[]) => this.#repeat(callback, delayMs, values),
      setImmediate: (callback: Callback, ...values: unknown[]) => {
        const handle = new SimTimeout()
        handle.timer = this.#life?.after(0, () => callback(...values)) ?? null
        return handle
      },
      clearTimeout: clear,
      clearInterval: clear,
      clearImmediate: clear
    })
    Date.now = () => this.#world.wallMs()
    performance.now = () => this.#world.monotonicMs() - this.#startedMs
    return () => {
      Object.assign(globalThis, real)
      Date.now = dateNow
      performance.now = performanceNow
    }
  }

  #repeat(callback: Callback, delayMs: number, values: unknown[]): SimTimeout {
    const handle = new SimTimeout()
    const next = (): void => {
      handle.timer =
        this.#life?.after(Math.max(1, delayMs), () => {
          next()
          callback(...values)
        }) ?? null
    }
    next()
    return handle
  }
}

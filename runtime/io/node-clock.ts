// The real clock.

import type { Clock, Timer } from './clock.ts'

export const nodeClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs: number, callback: () => void): Timer {
    const handle = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(handle) }
  },
  soon(callback: () => void): void {
    setImmediate(callback)
  }
}

// How long ago was that, by a wall clock that may be wrong? For expiry, where too late is fine and too early loses something.
//
// - A time that cannot be (before 2020: no clock was set; in the future: it was set wrongly) counts from the start of this process.
// - When the wall clock jumps, every age counts from the jump.
// Not for: timers (Clock.after).

import type { Clock } from '../io/clock.ts'

const SANE_MS = Date.UTC(2020, 0, 1)
const JUMP_MS = 3_600_000

export class Ages {
  readonly #clock: Clock
  #lastWallMs: number
  #lastMonotonicMs: number
  /** Nothing counts as older than this. */
  #floorMs: number
  readonly #startedMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedMs = clock.wallMs()
    this.#lastWallMs = this.#startedMs
    this.#lastMonotonicMs = clock.monotonicMs()
    this.#floorMs = 0
  }

  /** To be called before ages are asked for, and now and then between. */
  look(): void {
    const wallMs = this.#clock.wallMs()
    const monotonicMs = this.#clock.monotonicMs()
    const jumpMs = wallMs - this.#lastWallMs - (monotonicMs - this.#lastMonotonicMs)
    if (Math.abs(jumpMs) > JUMP_MS) this.#floorMs = wallMs
    this.#lastWallMs = wallMs
    this.#lastMonotonicMs = monotonicMs
  }

  /** null: nobody noted the time. */
  ageMs(timeMs: number | null): number {
    const isKnown = timeMs !== null && timeMs >= SANE_MS && timeMs <= this.#lastWallMs
    return this.#lastWallMs - Math.max(isKnown ? timeMs : this.#startedMs, this.#floorMs)
  }
}

// The space that V8 keeps for young objects grows to 16 MiB under load and is never given back to the machine. A gateway pays that only while
// many events come in, where it is worth a third of the speed (bench: ingest); not for delivering a backlog (bench: catch-up).
// Not for: code that embeds Wadi, whose heap is its own.

import { setFlagsFromString } from 'node:v8'

const LOOK_MS = 200
/** Below, objects that die later than in a space of 1 MiB cost little. */
const BUSY_EVENTS_PER_SECOND = 10_000

/** Of this process. The flag is V8's, read whenever the space could grow; Node 20 to 24 have it. */
export class YoungSpace {
  readonly #setFlag: (flag: string) => void
  #mayGrow: boolean | null = null
  #eventsBefore = 0

  constructor(setFlag: (flag: string) => void = setFlagsFromString) {
    this.#setFlag = setFlag
    this.#allow(false)
  }

  /** Looks five times a second at the count of events that came in. @returns stops that */
  follow(eventCount: () => number): () => void {
    const timer = setInterval(() => this.look(eventCount()), LOOK_MS)
    timer.unref()
    return () => clearInterval(timer)
  }

  /** LOOK_MS after the last look. */
  look(eventCount: number): void {
    this.#allow(eventCount - this.#eventsBefore > (BUSY_EVENTS_PER_SECOND * LOOK_MS) / 1_000)
    this.#eventsBefore = eventCount
  }

  #allow(mayGrow: boolean): void {
    if (mayGrow === this.#mayGrow) return
    this.#mayGrow = mayGrow
    this.#setFlag(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`)
  }
}

// When the events of one partition arrived here, for the age of what waits: by our clock. Their timestamps may be those of devices, whose clocks are off
// by years. Coarse and bounded: an age is right to a second, and to about a hundredth after a long wait.
// Not kept over restarts: of what was here before, only a lower bound is known.

import type { Clock } from '../io/clock.ts'
import type { Partition } from '../log/contract.ts'

const STEP_MS_MIN = 1_000
const ENTRIES_MAX = 256

/** Events from an offset on arrived then, or a little later. */
interface Arrival {
  readonly fromOffset: number
  readonly atMs: number
}

export interface Age {
  readonly ageMs: number
  /** The event was here before we looked: it is older than that. */
  readonly isAtLeast: boolean
}

export class Arrivals {
  readonly partition: Partition
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #first: Arrival
  readonly #unsubscribe: () => void
  /** Events below it have their entry. */
  #seenOffset: number
  #entries: Arrival[] = []
  /** Between entries; doubled when there are too many. */
  #stepMs = STEP_MS_MIN

  /** Looks from now on. */
  constructor(partition: Partition, clock: Pick<Clock, 'monotonicMs'>) {
    this.partition = partition
    this.#clock = clock
    this.#seenOffset = partition.highWatermark
    this.#first = { fromOffset: this.#seenOffset, atMs: clock.monotonicMs() }
    this.#unsubscribe = partition.onAdvance(() => this.#note())
  }

  /** Of an event that waits and is the oldest: what is known of older ones is forgotten. */
  ageOf(offset: number): Age {
    while (this.#entries[1] && this.#entries[1].fromOffset <= offset) this.#entries.shift()
    const [entry] = this.#entries
    const isAtLeast = offset < this.#first.fromOffset || entry === undefined || entry.fromOffset > offset
    return { ageMs: Math.max(0, this.#clock.monotonicMs() - (isAtLeast ? this.#first : entry).atMs), isAtLeast }
  }

  close(): void {
    this.#unsubscribe()
  }

  #note(): void {
    const { highWatermark } = this.partition
    if (highWatermark <= this.#seenOffset) return
    const atMs = this.#clock.monotonicMs()
    const last = this.#entries.at(-1)
    if (this.#entries.length <= 1) this.#stepMs = STEP_MS_MIN
    if (last === undefined || atMs - last.atMs >= this.#stepMs) this.#entries.push({ fromOffset: this.#seenOffset, atMs })
    this.#seenOffset = highWatermark
    if (this.#entries.length <= ENTRIES_MAX) return
    this.#entries = this.#entries.filter((_, index) => index % 2 === 0)
    this.#stepMs *= 2
  }
}

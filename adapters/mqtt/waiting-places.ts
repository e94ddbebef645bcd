// The messages that wait for a session by their places in the log, bounded in number; the first of them may be in memory.
//
// Invariant: what is in memory belongs to the first places, in their order, and is in the sums while it is.
// Not for: reading them (message-log.ts), when they leave (outbox.ts).

import type { Delivery, Message } from './message.ts'
import { PlaceQueue } from './place-queue.ts'
import type { StoredPlace } from './stored-session.ts'

/** null = there is nothing to send for its place. */
export type Loaded = { readonly message: Message; readonly delivery: Delivery } | null

export interface PlaceLimits {
  /** Places that may wait for one session, and for all. */
  readonly queuedPlacesPerClientMax: number
  readonly queuedPlacesMax: number
}

/** Of what is in memory. */
export interface MemorySums {
  /** Less than 0 takes away. */
  charge(bytes: number): void
}

/** Memory of a place that waits, when it is written down, as nearly all are; 16 for the first seconds. */
export const PLACE_BYTES = 8

/** Not to be changed. */
const NONE = Object.freeze([]) as unknown as Loaded[]

export class WaitingPlaces extends PlaceQueue {
  readonly #limits: PlaceLimits
  readonly #budget: { places: number }
  readonly #sums: MemorySums
  #loaded: Loaded[] = NONE

  constructor(limits: PlaceLimits, budget: { places: number }, sums: MemorySums, start: number) {
    super(start)
    this.#limits = limits
    this.#budget = budget
    this.#sums = sums
  }

  /** undefined: it has to be loaded. */
  get next(): Loaded | undefined {
    return this.#loaded[0]
  }

  /** All that wait are in memory. */
  get isLoaded(): boolean {
    return this.#loaded.length === this.length
  }

  /** For one more, and `more`. */
  hasRoom(more = 0): boolean {
    const { queuedPlacesPerClientMax, queuedPlacesMax } = this.#limits
    return this.length + more < queuedPlacesPerClientMax && this.#budget.places < queuedPlacesMax
  }

  /** @returns false when there is no room */
  add({ code, offset }: StoredPlace): boolean {
    if (!this.hasRoom()) return false
    this.push(code, offset)
    this.#budget.places++
    return true
  }

  /** Whatever the bounds are now. `found`: up to where all are written down; or codes and offsets in turn. */
  restore(found: number | Float64Array): void {
    if (typeof found === 'number') this.fillFromWritten(found)
    else this.fill(found)
    this.#budget.places += this.length
  }

  /** The message of the first place that is not in memory. */
  load(loaded: Loaded): void {
    if (this.#loaded === NONE) this.#loaded = [loaded]
    else this.#loaded.push(loaded)
    if (loaded) this.#sums.charge(loaded.message.bytes)
  }

  override unload(): void {
    for (const loaded of this.#loaded) if (loaded) this.#sums.charge(-loaded.message.bytes)
    this.#loaded = NONE
    super.unload()
  }

  /** The first `count`. */
  first(count: number): StoredPlace[] {
    const { start, end } = this
    const places: StoredPlace[] = []
    for (let number = start; number < Math.min(end, start + count); number++) places.push(this.#placeAt(number))
    return places
  }

  /** The first one, off the queue; it counts in the budget until giveBack(). */
  take(): { readonly place: StoredPlace; readonly loaded: Loaded } {
    const place = this.#placeAt(this.start)
    const loaded = (this.#loaded.length > 0 ? this.#loaded.shift() : null) ?? null
    this.shift()
    if (loaded) this.#sums.charge(-loaded.message.bytes)
    return { place, loaded }
  }

  /** A place that is not in the queue any more: it counts on, as what is in flight takes memory too. */
  hold(): void {
    this.#budget.places++
  }

  giveBack(): void {
    this.#budget.places--
  }

  override clear(): void {
    this.unload()
    this.#budget.places -= this.length
    super.clear()
  }

  #placeAt(number: number): StoredPlace {
    return { code: this.codeAt(number), offset: this.offsetAt(number) }
  }
}

// The messages that wait for a session by their places in the log, bounded in number; the first of them may be in memory.
//
// Invariant: what is in memory belongs to the first places, in their order, and is in the sums while it is.
// Not for: reading them (message-log.ts), when they leave (outbox.ts).

import type { Delivery, Message } from './message.ts'
import { PlaceQueue, type WrittenPlaces } from './place-queue.ts'
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

/** Not to be changed. */
const NONE = Object.freeze([]) as unknown as Loaded[]

export class WaitingPlaces {
  readonly #limits: PlaceLimits
  readonly #budget: { places: number }
  readonly #sums: MemorySums
  readonly #queue: PlaceQueue
  #loaded: Loaded[] = NONE

  constructor(limits: PlaceLimits, budget: { places: number }, sums: MemorySums, start: number) {
    this.#limits = limits
    this.#budget = budget
    this.#sums = sums
    this.#queue = new PlaceQueue(start)
  }

  get length(): number {
    return this.#queue.length
  }

  /** As it has to be written down. */
  get places(): Pick<PlaceQueue, 'start' | 'held' | 'end' | 'codeAt' | 'offsetAt' | 'letGo' | 'takeBack'> {
    return this.#queue
  }

  readsFrom(written: WrittenPlaces): void {
    this.#queue.readsFrom(written)
  }

  /** undefined: it has to be loaded. */
  get next(): Loaded | undefined {
    return this.#loaded[0]
  }

  /** All that wait are in memory. */
  get isLoaded(): boolean {
    return this.#loaded.length === this.#queue.length
  }

  /** For one more, and `more`. */
  hasRoom(more = 0): boolean {
    const { queuedPlacesPerClientMax, queuedPlacesMax } = this.#limits
    return this.#queue.length + more < queuedPlacesPerClientMax && this.#budget.places < queuedPlacesMax
  }

  /** @returns false when there is no room */
  add({ code, offset }: StoredPlace): boolean {
    if (!this.hasRoom()) return false
    this.#queue.push(code, offset)
    this.#budget.places++
    return true
  }

  /** Whatever the bounds are now. `found`: up to where all are written down; or codes and offsets in turn. */
  restore(found: number | Float64Array): void {
    if (typeof found === 'number') this.#queue.fillFromWritten(found)
    else this.#queue.fill(found)
    this.#budget.places += this.#queue.length
  }

  /** The message of the first place that is not in memory. */
  load(loaded: Loaded): void {
    if (this.#loaded === NONE) this.#loaded = [loaded]
    else this.#loaded.push(loaded)
    if (loaded) this.#sums.charge(loaded.message.bytes)
  }

  unload(): void {
    for (const loaded of this.#loaded) if (loaded) this.#sums.charge(-loaded.message.bytes)
    this.#loaded = NONE
    this.#queue.unload()
  }

  /** The first `count`. */
  first(count: number): StoredPlace[] {
    const { start, end } = this.#queue
    const places: StoredPlace[] = []
    for (let number = start; number < Math.min(end, start + count); number++) places.push(this.#placeAt(number))
    return places
  }

  /** The first one, off the queue; it counts in the budget until giveBack(). */
  take(): { readonly place: StoredPlace; readonly loaded: Loaded } {
    const place = this.#placeAt(this.#queue.start)
    const loaded = (this.#loaded.length > 0 ? this.#loaded.shift() : null) ?? null
    this.#queue.shift()
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

  clear(): void {
    this.unload()
    this.#budget.places -= this.#queue.length
    this.#queue.clear()
  }

  #placeAt(number: number): StoredPlace {
    return { code: this.#queue.codeAt(number), offset: this.#queue.offsetAt(number) }
  }
}

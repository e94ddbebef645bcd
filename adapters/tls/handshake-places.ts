// Whose handshake is made now, and who waits, unread: a handshake takes up to 90 KiB, a connection that waits next to nothing, so strangers who begin
// handshakes and never end them cost a bounded amount of memory and keep nobody out.
//
// Invariants: at most `max` are under way. A network that has two more under way than another that waits gives up its oldest at once; among equals the oldest
// gives way once it has had `graceMs`. Of those who wait, the network with the fewest under way is next, and in it who came last: its client is still there.
// Not for: sockets, deadlines (handshakes.ts).

export interface PlacesOptions<T> {
  readonly max: number
  readonly graceMs: number
  readonly nowMs: () => number
  readonly start: (one: T) => void
  /** `one` has no place any more. */
  readonly giveUp: (one: T) => void
  /** Calls back after so long, once: then it is looked again. */
  readonly after: (ms: number, look: () => void) => void
}

interface Running {
  readonly network: string
  readonly sinceMs: number
}

export class HandshakePlaces<T> {
  readonly #options: PlacesOptions<T>
  /** The oldest first. */
  readonly #running = new Map<T, Running>()
  readonly #countOf = new Map<string, number>()
  /** By network, who came last at the end; none is empty. */
  readonly #waiting = new Map<string, T[]>()
  #isLookingLater = false
  #isShifting = false

  constructor(options: PlacesOptions<T>) {
    this.#options = options
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** It is started in this call, or later, or never: leave() ends it in any case. */
  enter(one: T, network: string): void {
    const waiting = this.#waiting.get(network)
    if (waiting) waiting.push(one)
    else this.#waiting.set(network, [one])
    this.#shift()
  }

  /** Fine to call for one that has left. */
  leave(one: T, network: string): void {
    this.#stop(one)
    const waiting = this.#waiting.get(network)
    const at = waiting?.indexOf(one) ?? -1
    if (waiting && at >= 0) waiting.splice(at, 1)
    if (waiting?.length === 0) this.#waiting.delete(network)
    this.#shift()
  }

  /** Who gives up leaves meanwhile: the place is already somebody's. */
  #shift(): void {
    if (this.#isShifting) return
    this.#isShifting = true
    try {
      this.#startNext()
    } finally {
      this.#isShifting = false
    }
  }

  #startNext(): void {
    for (let network = this.#nextNetwork(); network !== null; network = this.#nextNetwork()) {
      if (this.#running.size >= this.#options.max && !this.#makeRoomFor(network)) return
      const waiting = this.#waiting.get(network)
      const next = waiting?.pop()
      if (waiting?.length === 0) this.#waiting.delete(network)
      if (next === undefined) return
      this.#running.set(next, { network, sinceMs: this.#options.nowMs() })
      this.#countOf.set(network, this.#count(network) + 1)
      this.#options.start(next)
    }
  }

  #count(network: string): number {
    return this.#countOf.get(network) ?? 0
  }

  /** null = nobody waits. */
  #nextNetwork(): string | null {
    let next: string | null = null
    for (const network of this.#waiting.keys()) if (next === null || this.#count(network) < this.#count(next)) next = network
    return next
  }

  /** @returns whether somebody gave way */
  #makeRoomFor(network: string): boolean {
    let [largest] = this.#countOf.keys()
    for (const other of this.#countOf.keys()) if (largest !== undefined && this.#count(other) > this.#count(largest)) largest = other
    if (largest !== undefined && this.#count(largest) >= this.#count(network) + 2) {
      const [oldest] = [...this.#running].find(([, running]) => running.network === largest) ?? []
      if (oldest !== undefined) return this.#giveUp(oldest)
    }
    const { graceMs, nowMs } = this.#options
    const [oldest] = this.#running
    if (!oldest) return false
    const restMs = oldest[1].sinceMs + graceMs - nowMs()
    if (restMs <= 0) return this.#giveUp(oldest[0])
    this.#lookAfter(restMs)
    return false
  }

  #giveUp(one: T): true {
    this.#stop(one)
    this.#options.giveUp(one)
    return true
  }

  #stop(one: T): void {
    const running = this.#running.get(one)
    if (!running) return
    this.#running.delete(one)
    const left = this.#count(running.network) - 1
    if (left > 0) this.#countOf.set(running.network, left)
    else this.#countOf.delete(running.network)
  }

  #lookAfter(ms: number): void {
    if (this.#isLookingLater) return
    this.#isLookingLater = true
    this.#options.after(ms, () => {
      this.#isLookingLater = false
      this.#shift()
    })
  }
}

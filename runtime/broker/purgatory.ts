// Fetches that wait for more bytes. Each keeps a running total of what is there for it: a commit adds what it brought to the totals of those that wait
// for its partitions, and whoever has enough then, or has nothing to wait for any more, is looked at once, when the whole commit has been told.
// Nothing is measured again at a commit, but where an open transaction held something back that now is free.
// Not for: what a fetch answers (fetch.ts), its time (its clock ends it).

import type { Partition } from '../log/contract.ts'

export interface WaitingPlace {
  readonly partition: Partition
  readonly isCommitted: boolean
  /** No more than this counts. */
  readonly bytesMax: number
  /** What is there for it, measured. */
  measure(): number
  /** It cannot be served (any more). */
  hasFault(): boolean
}

export class Purgatory {
  readonly #watches = new Map<Partition, Watch>()
  readonly #touched = new Set<Waiter>()
  /** Fetches that wait now. */
  waitingCount = 0

  /** `onReady` runs once, when the places have `bytesMin` bytes together or one of them has a fault. Returns the way out. */
  wait(places: readonly WaitingPlace[], bytesMin: number, onReady: () => void): () => void {
    const waiter = new Waiter(places, bytesMin)
    this.waitingCount++
    for (const entry of waiter.entries) this.#watch(entry.place.partition).entries.add(entry)
    const leave = (): void => {
      if (!waiter.isWaiting) return
      waiter.isWaiting = false
      this.waitingCount--
      this.#touched.delete(waiter)
      for (const entry of waiter.entries) this.#unwatch(entry)
    }
    waiter.onEnough = () => {
      leave()
      onReady()
    }
    return leave
  }

  #watch(partition: Partition): Watch {
    const known = this.#watches.get(partition)
    if (known) return known
    const watch = new Watch(partition, (waiter) => this.#touch(waiter))
    this.#watches.set(partition, watch)
    return watch
  }

  #unwatch(entry: Entry): void {
    const { partition } = entry.place
    const watch = this.#watches.get(partition)
    watch?.entries.delete(entry)
    if (watch?.entries.size !== 0) return
    watch.end()
    this.#watches.delete(partition)
  }

  /** A commit tells its partitions in one go: what follows that sees all of them. */
  #touch(waiter: Waiter): void {
    if (this.#touched.size === 0) queueMicrotask(() => this.#look())
    this.#touched.add(waiter)
  }

  #look(): void {
    const touched = [...this.#touched]
    this.#touched.clear()
    for (const waiter of touched) if (waiter.isWaiting) waiter.look()
  }
}

/** A place of a fetch, with what is there for it. */
class Entry {
  readonly place: WaitingPlace
  readonly waiter: Waiter
  #bytes = 0

  constructor(place: WaitingPlace, waiter: Waiter) {
    this.place = place
    this.waiter = waiter
    this.measure()
  }

  add(bytes: number): void {
    this.#become(this.#bytes + bytes)
  }

  measure(): void {
    this.#become(this.place.measure())
  }

  #become(bytes: number): void {
    const { bytesMax } = this.place
    this.waiter.bytes += Math.min(bytes, bytesMax) - Math.min(this.#bytes, bytesMax)
    this.#bytes = bytes
  }
}

class Waiter {
  readonly entries: readonly Entry[]
  readonly #bytesMin: number
  bytes = 0
  isWaiting = true
  onEnough: () => void = () => undefined

  constructor(places: readonly WaitingPlace[], bytesMin: number) {
    this.#bytesMin = bytesMin
    this.entries = places.map((place) => new Entry(place, this))
  }

  get hasEnough(): boolean {
    return this.bytes >= this.#bytesMin
  }

  /** Measured once more: what was compressed meanwhile is less than what was added. */
  look(): void {
    const isFaulty = this.entries.some(({ place }) => place.hasFault())
    if (!isFaulty) for (const entry of this.entries) entry.measure()
    if (isFaulty || this.hasEnough) this.onEnough()
  }
}

/** One partition that somebody waits for. */
class Watch {
  readonly entries = new Set<Entry>()
  readonly end: () => void
  readonly #partition: Partition
  readonly #touch: (waiter: Waiter) => void
  #appendedBytes: number
  #logStartOffset: number
  #stableOffset: number
  #isAllStable: boolean

  constructor(partition: Partition, touch: (waiter: Waiter) => void) {
    this.#partition = partition
    this.#touch = touch
    const { appendedBytes, logStartOffset, lastStableOffset, highWatermark } = partition
    this.#appendedBytes = appendedBytes
    this.#logStartOffset = logStartOffset
    this.#stableOffset = lastStableOffset
    this.#isAllStable = lastStableOffset === highWatermark
    this.end = partition.onAdvance(() => this.#advance())
  }

  #advance(): void {
    const { appendedBytes, logStartOffset, lastStableOffset, highWatermark, isDeleted } = this.#partition
    const addedBytes = appendedBytes - this.#appendedBytes
    const mayHaveFaults = isDeleted || logStartOffset !== this.#logStartOffset
    const isStableMoved = lastStableOffset !== this.#stableOffset
    const wasAllStable = this.#isAllStable
    this.#appendedBytes = appendedBytes
    this.#logStartOffset = logStartOffset
    this.#stableOffset = lastStableOffset
    this.#isAllStable = lastStableOffset === highWatermark
    for (const entry of this.entries) {
      const { place, waiter } = entry
      if (!place.isCommitted || (wasAllStable && this.#isAllStable)) entry.add(addedBytes)
      else if (isStableMoved) entry.measure()
      if (waiter.hasEnough || (mayHaveFaults && place.hasFault())) this.#touch(waiter)
    }
  }
}

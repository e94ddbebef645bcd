// Bytes that all connections together may hold, of requests (being read, waiting behind another, being carried out) or of answers (being
// made, not yet read by the client).
// Invariants: who waits is served in the order of asking; a request larger than the whole budget is alone, and so is not stuck;
// what was granted is given back exactly once (connection.ts does).
// Not for: small requests and answers, for which each connection has some bytes of its own (connection.ts).

interface Waiter {
  readonly bytes: number
  readonly onGranted: () => void
}

export class FrameBudget {
  readonly bytesMax: number
  #usedBytes = 0
  #waitCount = 0
  #waiting: Waiter[] = []

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Nobody holds them, and nobody waits. */
  get freeBytes(): number {
    return this.#waiting.length > 0 ? 0 : Math.max(0, this.bytesMax - this.#usedBytes)
  }

  /** Who waits now. */
  get waitingCount(): number {
    return this.#waiting.length
  }

  /** Who ever had to wait. */
  get waitCount(): number {
    return this.#waitCount
  }

  /** Takes `bytes` and says true, when there is room and nobody waits. */
  take(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#hasRoomFor(bytes)) return false
    this.#usedBytes += bytes
    return true
  }

  /** Takes them later: `onGranted` runs once they are taken. Returns the way out of the queue. */
  wait(bytes: number, onGranted: () => void): () => void {
    const waiter = { bytes, onGranted }
    this.#waiting.push(waiter)
    this.#waitCount++
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== waiter)
      this.#grant()
    }
  }

  /** Takes what is in memory already: there may be more than bytesMax for a while, and nobody is let in meanwhile. */
  force(bytes: number): void {
    this.#usedBytes += bytes
  }

  giveBack(bytes: number): void {
    if (bytes === 0) return
    this.#usedBytes -= bytes
    this.#grant()
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.bytesMax
  }

  #grant(): void {
    for (let next = this.#waiting[0]; next && this.#hasRoomFor(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#usedBytes += next.bytes
      next.onGranted()
    }
  }
}

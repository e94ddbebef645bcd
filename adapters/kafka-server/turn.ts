// How long one connection may go on before others are looked at: what one client has sent ahead does not hold up the rest.
// Breaths are the same within one large request (breaths.ts).

const TURN_MS = 5

export class Turn {
  #sinceMs: number | null = null

  /** Too much was done since the thread went round last. */
  get isOver(): boolean {
    if (this.#sinceMs !== null) return performance.now() - this.#sinceMs > TURN_MS
    this.#sinceMs = performance.now()
    setImmediate(() => {
      this.#sinceMs = null
    })
    return false
  }

  /** When everybody else has been looked at. */
  next(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }
}

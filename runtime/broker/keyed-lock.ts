// One piece of asynchronous work per key at a time, in the order of the calls. Not re-entrant.

export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()

  /** Runs `work` after everything that asked for `key` before; its result or rejection is passed on. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const result = before.then(work)
    const tail = result.then(noop, noop)
    this.#tails.set(key, tail)
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })
    return result
  }

  /** Something runs or waits for `key`. */
  isBusy(key: string): boolean {
    return this.#tails.has(key)
  }
}

function noop(): void {}

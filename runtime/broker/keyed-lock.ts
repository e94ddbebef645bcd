// Asynchronous work by key: alone, or beside others that may go on at the same time. In the order of the calls: who wants to be alone waits for
// all before, and all behind wait for him. Not re-entrant.

interface Held {
  /** Pieces of work that go on now; one when it is alone. */
  count: number
  isAlone: boolean
  readonly waiting: { readonly isAlone: boolean; readonly start: () => void }[]
}

export class KeyedLock {
  readonly #held = new Map<string, Held>()

  /** Runs `work` after everything that asked for `key` before, and nothing beside it; its result or rejection is passed on. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#enter(key, true, work)
  }

  /** Runs `work` beside other shared work: at once, before this returns, when nobody is alone or waits to be. */
  runShared<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#enter(key, false, work)
  }

  /** Something runs or waits for `key`. */
  isBusy(key: string): boolean {
    return this.#held.has(key)
  }

  #enter<T>(key: string, isAlone: boolean, work: () => Promise<T>): Promise<T> {
    let held = this.#held.get(key)
    if (!held) this.#held.set(key, (held = { count: 0, isAlone: false, waiting: [] }))
    if (held.count === 0 || (!isAlone && !held.isAlone && held.waiting.length === 0)) return this.#start(key, held, isAlone, work)
    const { waiting } = held
    return new Promise((resolve) => {
      waiting.push({ isAlone, start: () => resolve(this.#start(key, held, isAlone, work)) })
    })
  }

  async #start<T>(key: string, held: Held, isAlone: boolean, work: () => Promise<T>): Promise<T> {
    held.count++
    held.isAlone = isAlone
    try {
      return await work()
    } finally {
      held.count--
      this.#next(key, held)
    }
  }

  #next(key: string, held: Held): void {
    for (let next = held.waiting[0]; next && (held.count === 0 || !(next.isAlone || held.isAlone)); next = held.waiting[0]) {
      held.waiting.shift()
      next.start()
    }
    if (held.count === 0) this.#held.delete(key)
  }
}

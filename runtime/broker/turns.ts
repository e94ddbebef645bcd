// Work that takes its time first and then has to go on in the order in which it was asked for, per key.
// Not for: holding the others back while the work itself is done (keyed-lock.ts).

export class Turns {
  readonly #tails = new Map<string, Promise<void>>()

  /**
   * Resolves when `ready` has resolved and everybody who asked for one of the keys before has had their turn.
   * null: at once, there is nothing to wait for.
   */
  take(keys: ReadonlySet<string>, ready: Promise<unknown> | null): Promise<void> | null {
    const before = [...keys].flatMap((key) => this.#tails.get(key) ?? [])
    if (ready === null && before.length === 0) return null
    const turn = Promise.all([ready, ...before]).then(noop)
    const tail = turn.catch(noop)
    for (const key of keys) this.#tails.set(key, tail)
    void tail.then(() => {
      for (const key of keys) if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })
    return turn
  }
}

function noop(): void {}

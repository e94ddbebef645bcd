// Tests that wait for something to be true, which is looked at whenever something has come.

const GIVE_UP_MS = 10_000

export class Waiting {
  #watchers: (() => void)[] = []

  /** Fails after ten seconds, with what had come until then. */
  until(isTrue: () => boolean, { what = 'the condition', received }: { what?: string | undefined; received: () => string }): Promise<void> {
    return new Promise((resolve, reject) => {
      const watch = (): void => {
        if (!isTrue()) return
        clearTimeout(timer)
        this.#watchers = this.#watchers.filter((other) => other !== watch)
        resolve()
      }
      const timer = setTimeout(() => reject(new Error(`${what} did not come; received ${received()}`)), GIVE_UP_MS)
      this.#watchers.push(watch)
      watch()
    })
  }

  /** Something has come. */
  look(): void {
    for (const watch of this.#watchers) watch()
  }
}

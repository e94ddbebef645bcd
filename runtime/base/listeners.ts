// Who asked to be told of something. All of them are told, also when one of them throws.

export class Listeners<T> {
  readonly #listeners = new Set<(value: T) => void>()
  readonly #onProgramError: (error: unknown) => void

  /** `onProgramError`: the first thing that a listener threw, when all have been told. */
  constructor(onProgramError: (error: unknown) => void) {
    this.#onProgramError = onProgramError
  }

  /** @returns what ends it */
  add(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(value: T): void {
    const failures: unknown[] = []
    for (const listener of this.#listeners) {
      try {
        listener(value)
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) this.#onProgramError(failures[0])
  }
}

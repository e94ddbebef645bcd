// What has to be undone on every way out (unmount, detach, kill, remove), last done first; also when a signal ends the run.
// A step that fails is told on stderr and the others still run.

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const SIGNAL_EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
/** What was under way when a signal came sees its files and processes go; it may take this long to notice. */
const NOTICES_WITHIN_MS = 5_000

interface Step {
  readonly what: string
  readonly undo: () => Promise<unknown>
}

export class UndoStack {
  readonly #parent: UndoStack | null
  #steps: Step[] = []
  #isInterrupted = false

  constructor(parent: UndoStack | null = null) {
    this.#parent = parent
  }

  get isInterrupted(): boolean {
    return this.#isInterrupted || this.#parent?.isInterrupted === true
  }

  /**
   * Remembers `undo`. The result takes it back: undoes it now, once.
   * @throws Error after a signal, so that the work ends; what was done is undone all the same
   */
  push(what: string, undo: () => Promise<unknown>): () => Promise<void> {
    const step = { what, undo }
    this.#steps.push(step)
    if (this.isInterrupted) throw new Error('interrupted')
    return async () => {
      const at = this.#steps.indexOf(step)
      if (at < 0) return
      this.#steps.splice(at, 1)
      await undo()
    }
  }

  /** A stack for a part of the work: undone as one step of this one, or by itself before. */
  nested(what: string): { undo: UndoStack; unwind: () => Promise<void> } {
    const undo = new UndoStack(this)
    return { undo, unwind: this.push(what, () => undo.unwind()) }
  }

  async unwind(): Promise<void> {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step.undo()
      } catch (error) {
        console.error(`could not ${step.what}: ${(error as Error).message}`)
      }
    }
  }

  /** Runs `work` and undoes everything afterwards. Ctrl-C and its relatives undo everything, then end the process. */
  async around<T>(work: () => Promise<T>): Promise<T> {
    const running = Promise.resolve().then(work)
    const handlers = SIGNALS.map((signal) => ({ signal, handler: () => void this.#interrupt(signal, running) }))
    for (const { signal, handler } of handlers) process.on(signal, handler)
    try {
      return await running
    } catch (error) {
      if (this.isInterrupted) return await new Promise<never>(() => undefined) // #interrupt ends the process
      throw error
    } finally {
      await this.unwind()
      for (const { signal, handler } of handlers) process.off(signal, handler)
    }
  }

  async #interrupt(signal: (typeof SIGNALS)[number], running: Promise<unknown>): Promise<void> {
    if (this.#isInterrupted) return void console.error(`${signal}: still tidying up`)
    this.#isInterrupted = true
    console.error(`${signal}: tidying up`)
    await this.unwind()
    const noticed = running.then(
      () => undefined,
      () => undefined
    )
    await Promise.race([noticed, new Promise((resolve) => setTimeout(resolve, NOTICES_WITHIN_MS))])
    await this.unwind() // what was done in the meantime
    process.exit(SIGNAL_EXIT_CODES[signal])
  }
}

// Another process of this same program: started, watched, killed. Its last lines are kept for when something goes wrong.
// It is in a process group of its own (Ctrl-C is the demo's to handle) and ends by itself when the demo is gone (the channel closes).

import { type ChildProcess, spawn } from 'node:child_process'

const LINES_KEPT = 20

export class Child {
  readonly name: string
  readonly #process: ChildProcess
  readonly #lines: string[] = []
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  #isExited = false

  /** `args` are a command line of ours: ["run", "-c", FILE]. */
  constructor(name: string, args: readonly string[]) {
    this.name = name
    const script = process.argv[1] ?? ''
    this.#process = spawn(process.execPath, [...process.execArgv, script, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true
    })
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#keep(error.message)
        this.#isExited = true
        resolve({ code: null, signal: null })
      })
      this.#process.once('exit', (code, signal) => {
        this.#isExited = true
        resolve({ code, signal })
      })
    })
    for (const stream of [this.#process.stdout, this.#process.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => this.#keep(text))
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get isExited(): boolean {
    return this.#isExited
  }

  /** What it said last. */
  get lastLines(): readonly string[] {
    return this.#lines
  }

  /** First message of the child that is an object with `key`, as sent by process.send. */
  message(key: string, withinMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle(() => reject(this.failure(`said nothing within ${withinMs} ms`))), withinMs)
      const onMessage = (message: unknown): void => {
        if (typeof message === 'object' && message !== null && key in message)
          settle(() => resolve((message as Record<string, unknown>)[key]))
      }
      const onExit = (): void => settle(() => reject(this.failure('ended')))
      const settle = (then: () => void): void => {
        clearTimeout(timer)
        this.#process.off('message', onMessage).off('exit', onExit)
        then()
      }
      this.#process.on('message', onMessage).once('exit', onExit)
    })
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#isExited) this.#process.kill(signal)
  }

  /** SIGTERM, and SIGKILL when that takes too long. */
  async stop(withinMs: number): Promise<void> {
    this.kill('SIGTERM')
    const timer = setTimeout(() => this.kill('SIGKILL'), withinMs)
    await this.exited
    clearTimeout(timer)
  }

  failure(what: string): Error {
    return new Error(`the ${this.name} ${what}; its last words:\n${this.#lines.join('\n') || '(none)'}`)
  }

  #keep(text: string): void {
    this.#lines.push(...text.split('\n').filter((line) => line.trim() !== ''))
    this.#lines.splice(0, Math.max(0, this.#lines.length - LINES_KEPT))
  }
}

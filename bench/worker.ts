// Worker processes of benchmarks: a load generator or a server of its own process, spoken to by messages, never left behind.

import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { type Build, ownBuild } from './build.ts'

const MESSAGE_TIMEOUT_MS = 600_000

export interface WorkerOptions {
  /** Default: ours. */
  readonly build?: Build
  readonly nodeFlags?: readonly string[]
}

export class BenchWorker<Message> {
  readonly #child: ChildProcess
  readonly #inbox: Message[] = []
  #wake: (() => void) | null = null
  #exit: string | null = null

  /** @param file name beside this file, as compiled: `x.worker.js`; in `build` when there is one */
  constructor(file: string, args: readonly string[], options: WorkerOptions = {}) {
    const path = join((options.build ?? ownBuild).dist, 'bench', file)
    this.#child = fork(path, [...args], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [...(options.nodeFlags ?? [])] })
    this.#child.on('message', (message: Message) => {
      this.#inbox.push(message)
      this.#wake?.()
    })
    this.#child.on('exit', (code, signal) => {
      this.#exit = `${file} ended (${signal ?? code})`
      this.#wake?.()
    })
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** The next message. @throws Error when the worker has ended, or says nothing for ten minutes */
  async next(): Promise<Message> {
    if (this.#inbox.length === 0 && this.#exit === null) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, MESSAGE_TIMEOUT_MS)
        this.#wake = (): void => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#wake = null
    }
    const message = this.#inbox.shift()
    if (message === undefined) throw new Error(this.#exit ?? 'a worker of a benchmark said nothing for ten minutes')
    return message
  }

  send(message: object): void {
    this.#child.send(message)
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#exit !== null) return
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await gone
  }
}

/** For the worker's side: one message to the bench. */
export function tell(message: object): void {
  process.send?.(message)
}

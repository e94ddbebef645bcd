// A Kafka client that we did not write as a process that may run for long: its lines while it runs, and how it ended. Not for: starting Kafka's own tools
// (kafka-cluster.ts), tools that end by themselves (KafkaCluster.runTool).

import { type ChildProcess, spawn } from 'node:child_process'

const ERROR_LINES = 30

export class ClientProcess {
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #errors: string[] = []
  /** Exit code; null = a signal ended it. */
  readonly ended: Promise<number | null>

  /** Of a child with pipes. */
  constructor(child: ChildProcess) {
    this.#child = child
    collectLines(child.stdout, this.lines)
    collectLines(child.stderr, this.#errors, ERROR_LINES)
    child.stdin?.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => this.#errors.push(String(error)))
      child.once('close', resolve)
    })
  }

  /** Killed when this process ends. */
  static run(command: string, args: readonly string[]): ClientProcess {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('close', () => process.off('exit', kill))
    return new ClientProcess(child)
  }

  get lastErrors(): string {
    return this.#errors.join('\n')
  }

  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  endInput(): void {
    this.#child.stdin?.end()
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child.kill(signal)
    await this.ended
  }
}

function collectLines(stream: NodeJS.ReadableStream | null, lines: string[], keepMax = Number.POSITIVE_INFINITY): void {
  let rest = ''
  stream?.setEncoding('utf8').on('data', (text: string) => {
    const pieces = (rest + text).split('\n')
    rest = pieces.pop() ?? ''
    lines.push(...pieces)
    lines.splice(0, Math.max(0, lines.length - keepMax))
  })
}

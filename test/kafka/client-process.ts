// A Kafka client that we did not write as a process of its own, which may run for long: its lines while it runs, and how it ended. Not for: brokers
// (kafka-cluster.ts).

import { type ChildProcess, spawn } from 'node:child_process'

const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

const JVM = ['-Xmx96m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
const ERROR_LINES = 30

export class ClientProcess {
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #errors: string[] = []
  readonly ended: Promise<number | null>

  private constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    running.add(child)
    collectLines(child.stdout, this.lines)
    collectLines(child.stderr, this.#errors, ERROR_LINES)
    child.stdin?.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => this.#errors.push(String(error)))
      child.once('close', (code) => {
        running.delete(child)
        resolve(code)
      })
    })
  }

  /** @param classPath of resolveKafka() */
  static java(classPath: string, mainClass: string, args: readonly string[]): ClientProcess {
    return new ClientProcess('java', [...JVM, '-cp', classPath, mainClass, ...args])
  }

  static command(command: string, args: readonly string[]): ClientProcess {
    return new ClientProcess(command, args)
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

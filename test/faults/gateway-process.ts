// The real gateway in a process of its own: started, killed, started again on the same directory and port.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const READY_WITHIN_MS = 20_000
const ENDED_WITHIN_MS = 15_000
const LINES_KEPT = 40

export interface GatewayOptions {
  readonly upstreamBrokers?: readonly string[]
  readonly partitions?: number
  /** Further YAML, at the top level. */
  readonly extra?: string
  /** A file of mutations/ that breaks the gateway: what the rig must notice. Of these only the syncs can be taken from the bundle. */
  readonly mutation?:
    | 'ack-early'
    | 'produce-acked-early'
    | 'position-forgotten'
    | 'syncs-removed'
    | 'segment-syncs-removed'
    | 'qos2-forgotten'
    | 'kafka-unbounded'
  /** The whole wadi.yaml instead of the usual one. */
  readonly config?: (place: { readonly port: number; readonly data: string }) => string
  /** The data directory; without it one that goes with the process. */
  readonly dataDirectory?: string
  /** Runs what ships (dist/wadi.mjs) in a process group of its own, which Ctrl-C does not reach. */
  readonly isShipped?: boolean
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', () => resolve()))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

export class GatewayProcess {
  readonly directory: string
  readonly port: number
  readonly #configFile: string
  readonly dataDirectory: string
  readonly #nodeArguments: readonly string[]
  readonly #isShipped: boolean
  #process: ChildProcess | null = null
  readonly #lines: string[] = []

  private constructor(directory: string, port: number, { mutation, dataDirectory, isShipped = false }: GatewayOptions) {
    this.directory = directory
    this.dataDirectory = dataDirectory ?? join(directory, 'data')
    this.port = port
    this.#configFile = join(directory, 'wadi.yaml')
    this.#isShipped = isShipped
    this.#nodeArguments = mutation === undefined ? [] : ['--import', new URL(`mutations/${mutation}.js`, import.meta.url).href]
  }

  static async create(options: GatewayOptions = {}): Promise<GatewayProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'wadi-test-'))
    const port = await freePort()
    const gateway = new GatewayProcess(directory, port, options)
    const upstream = options.upstreamBrokers
      ? `upstream:\n  brokers: [${options.upstreamBrokers.join(', ')}]\n  topics: { telemetry: { to: telemetry } }\n  compression: gzip\n`
      : ''
    await writeFile(
      gateway.#configFile,
      options.config?.({ port, data: gateway.dataDirectory }) ??
        `gateway: { id: test-gateway, data: ${gateway.dataDirectory} }
storage: { journal: { files: 2, file_size: 4MiB }, seal: { bytes: 64KiB, age: 1s }, segment_bytes: 1MiB }
mqtt: [{ listen: "127.0.0.1:${port}" }]
topics: { telemetry: { partitions: ${options.partitions ?? 3} } }
routes: [{ name: telemetry, filter: plant/+site/+device/#metric, topic: telemetry, key: "{device}" }]
${upstream}${options.extra ?? ''}`
    )
    return gateway
  }

  get lastLines(): readonly string[] {
    return this.#lines
  }

  get isRunning(): boolean {
    return this.#process !== null
  }

  async start(): Promise<void> {
    const script = new URL(this.#isShipped ? '../../wadi.mjs' : '../../bin/wadi.js', import.meta.url).pathname
    const child = spawn(process.execPath, [...this.#nodeArguments, script, 'run', '-c', this.#configFile], {
      stdio: this.#isShipped ? ['ignore', 'ignore', 'pipe', 'ipc'] : ['ignore', 'ignore', 'pipe'], // it ends when the channel does
      detached: this.#isShipped
    })
    this.#process = child
    child.once('exit', () => {
      if (this.#process === child) this.#process = null
    })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#failure(`not ready within ${READY_WITHIN_MS} ms`)), READY_WITHIN_MS)
      child.once('exit', (code, signal) => {
        clearTimeout(timer)
        reject(this.#failure(`ended with ${code ?? signal} before it was ready`))
      })
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        this.#lines.push(...text.split('\n').filter((line) => line !== ''))
        this.#lines.splice(0, Math.max(0, this.#lines.length - LINES_KEPT))
        if (!text.includes('"ready: ')) return
        clearTimeout(timer)
        resolve()
      })
    })
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    if (!child) return
    const ended = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL')
        reject(this.#failure(`did not end within ${ENDED_WITHIN_MS} ms of ${signal}`))
      }, ENDED_WITHIN_MS)
      child.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    child.kill(signal)
    await ended
  }

  async remove(): Promise<void> {
    await this.kill()
    await rm(this.directory, { recursive: true, force: true })
  }

  #failure(what: string): Error {
    return new Error(`the gateway ${what}; its last lines:\n${this.#lines.join('\n')}`)
  }
}

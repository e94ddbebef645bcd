// The product itself as a process: `wadi run` on a directory of the bench's, on a free loopback port, never left behind.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Build, ownBuild } from './build.ts'
import { answers, cpuMsOf, residentBytesOf } from './process-facts.ts'

const READY_WITHIN_MS = 60_000
const POLL_MS = 5

export interface GatewayOptions {
  /** For data and configuration. */
  readonly directory: string
  /** gateway.id; a directory of its own needs a name of its own at the centre. */
  readonly id?: string
  /** host:port of a Kafka broker; without it nothing is delivered. */
  readonly upstream?: string
  /** Default: ours. */
  readonly build?: Build
  /** For memoryAfterCollection(). */
  readonly isProbed?: boolean
  /** It listens for Kafka clients too. */
  readonly hasKafka?: boolean
  /** Files: the MQTT listener has TLS. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
}

export interface ProcessMemory {
  readonly heapBytes: number
  readonly residentBytes: number
}

export class GatewayProcess {
  readonly port: number
  /** host:port for Kafka clients, with hasKafka. */
  readonly kafka: string
  readonly #child: ChildProcess
  #said = ''
  #exit: string | null = null

  private constructor(child: ChildProcess, { port, kafkaPort }: Ports) {
    this.port = port
    this.kafka = `127.0.0.1:${kafkaPort}`
    this.#child = child
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString()).slice(-4_000)
    })
    child.on('exit', (code, signal) => {
      this.#exit = `${signal ?? code}`
    })
  }

  /** Resolves when the MQTT listener takes connections. @throws Error with what the gateway said when it does not come up */
  static async start(options: GatewayOptions): Promise<GatewayProcess> {
    const ports = { port: await freePort(), kafkaPort: options.hasKafka ? await freePort() : null }
    const { port } = ports
    const file = join(options.directory, 'wadi.yaml')
    writeFileSync(file, JSON.stringify(configFor(options, ports)))
    const { build = ownBuild, isProbed = false } = options
    const probe = isProbed ? ['--expose-gc', '--import', pathToFileURL(join(ownBuild.dist, 'bench/heap-probe.worker.js')).href] : []
    const child = spawn(process.execPath, [...probe, entryPath(build), 'run', '-c', file, '--json'], {
      stdio: isProbed ? ['ignore', 'ignore', 'pipe', 'ipc'] : ['ignore', 'ignore', 'pipe']
    })
    const gateway = new GatewayProcess(child, ports)
    const giveUpMs = performance.now() + READY_WITHIN_MS
    while (!(await answers(port))) {
      if (gateway.#exit === null && performance.now() < giveUpMs) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      else {
        await gateway.kill()
        throw new Error(`the gateway did not come up (${gateway.#exit ?? 'no answer'}): ${gateway.#said}`)
      }
    }
    return gateway
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  residentBytes(): number {
    return residentBytesOf(this.pid)
  }

  cpuMs(): number {
    return cpuMsOf(this.pid)
  }

  /** Only with isProbed. */
  memoryAfterCollection(): Promise<ProcessMemory> {
    return new Promise((resolve) => {
      this.#child.once('message', (memory: ProcessMemory) => resolve(memory))
      this.#child.send({})
    })
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** A clean stop: everything lies in segments then. */
  stop(): Promise<void> {
    return this.#end('SIGTERM')
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#exit !== null) return
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill(signal)
    await gone
  }
}

interface Ports {
  readonly port: number
  readonly kafkaPort: number | null
}

/** What ships, where it was built; else the same from single files. */
function entryPath({ dist }: Build): string {
  const bundle = join(dist, 'wadi.mjs')
  return existsSync(bundle) ? bundle : join(dist, 'bin/wadi.js')
}

function configFor({ directory, id = 'bench', upstream, tls }: GatewayOptions, { port, kafkaPort }: Ports): object {
  return {
    gateway: { id, data: join(directory, 'data') },
    mqtt: [{ listen: `127.0.0.1:${port}`, ...(tls && { tls }) }],
    topics: { readings: { partitions: 4 } },
    routes: [{ filter: 'bench/+client/#rest', topic: 'readings', key: '{client}' }],
    ...(kafkaPort !== null && { kafka: { listen: `127.0.0.1:${kafkaPort}` } }),
    ...(upstream !== undefined && { upstream: { brokers: [upstream] } })
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

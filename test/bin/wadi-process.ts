// `wadi` as a real process for tests: started, listened to, ended with the test.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import mqtt, { type MqttClient } from 'mqtt'
import type { Test } from 'tap'

const WADI = fileURLToPath(new URL('../../bin/wadi.js', import.meta.url))
const WAIT_MS = 20_000

export interface Outcome {
  code: number | null
  /** What ended it, when it did not end by itself. */
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface ProcessOptions {
  readonly cwd?: string
  readonly ipc?: boolean
  /** Loaded before it: a file of test/faults/mutations, without its ending. */
  readonly mutation?: string
  readonly environment?: Readonly<Record<string, string>>
  /** File descriptors that it may have. */
  readonly filesMax?: number
}

export class Process {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly exited: Promise<Outcome>

  constructor(test: Test, args: readonly string[], options: ProcessOptions = {}) {
    const { mutation, environment = {} } = options
    const imports = mutation === undefined ? [] : ['--import', new URL(`../faults/mutations/${mutation}.js`, import.meta.url).href]
    const words = [process.execPath, ...imports, WADI, ...args]
    const { filesMax } = options
    const [command = '', ...rest] = filesMax === undefined ? words : ['sh', '-c', `ulimit -n ${filesMax} && exec "$0" "$@"`, ...words]
    this.child = spawn(command, rest, {
      stdio: options.ipc ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd })
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.exited = new Promise((resolve) =>
      this.child.once(options.ipc ? 'exit' : 'close', (code, signal) => resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }))
    )
    test.teardown(async () => {
      this.child.kill('SIGKILL')
      await this.exited
    })
  }

  /** Waits until `find` sees something in what was printed. */
  async until<T>(find: (process: Process) => T | null | undefined): Promise<T> {
    const endMs = performance.now() + WAIT_MS
    for (;;) {
      const found = find(this)
      if (found !== null && found !== undefined) return found
      if (this.child.exitCode !== null || this.child.signalCode !== null || performance.now() > endMs)
        throw new Error(`not seen: exit ${this.child.exitCode}\n${this.stdout}\n${this.stderr}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

export const wadi = (test: Test, ...args: string[]): Promise<Outcome> => new Process(test, args).exited

export async function temporary(test: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'wadi-cli-'))
  test.teardown(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }))
  return directory
}

export const gatewayFile = (more: object = {}): string =>
  JSON.stringify({
    gateway: { id: 'cli-test', data: 'data' },
    storage: { journal: { file_size: '4MiB' } },
    mqtt: [{ listen: '127.0.0.1:0' }],
    topics: { telemetry: { partitions: 2 } },
    routes: [{ filter: 'plant/+device/#metric', topic: 'telemetry', key: '{device}' }],
    ...more
  })

export interface Running {
  readonly process: Process
  readonly port: number
  readonly data: string
}

export async function startGateway(test: Test, directory: string, more: object = {}, options: ProcessOptions = {}): Promise<Running> {
  const file = join(directory, 'wadi.yaml')
  await writeFile(file, gatewayFile(more))
  const process = new Process(test, ['run', '-c', file], options)
  const port = await process.until(({ stderr }) => /"message":"ready: MQTT on 127\.0\.0\.1:(\d+)/.exec(stderr)?.[1])
  return { process, port: Number(port), data: join(directory, 'data') }
}

export async function connect(test: Test, port: number): Promise<MqttClient> {
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port, protocolVersion: 4, reconnectPeriod: 0, connectTimeout: WAIT_MS })
  client.on('error', () => undefined)
  test.teardown(() => client.end(true))
  return client
}

export async function publish(client: MqttClient, count: number, from = 0): Promise<void> {
  const publishes = Array.from({ length: count }, (_, index) =>
    client.publishAsync(`plant/press-${index % 3}/temp`, JSON.stringify({ n: from + index }), { qos: 1 })
  )
  await Promise.all(publishes)
}

export const valuesOf = (lines: string): number[] =>
  lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(JSON.parse(line).value).n)
    .sort((left, right) => left - right)

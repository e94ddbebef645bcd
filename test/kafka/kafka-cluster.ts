// A real Apache Kafka on this machine: one or three brokers (KRaft, combined roles) on free loopback ports in a temporary directory.
//
// Each broker has two doors for clients: PLAINTEXT, whose advertised port may be that of a proxy, and INTERNAL, which the brokers use
// among themselves and which `directBootstrap` names for whoever has to see the truth past the proxies.
// Everything that can take time has a deadline; no JVM outlives the process that started it.

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ClientProcess } from './client-process.ts'
import { resolveKafka } from './kafka-install.ts'

const START_TIMEOUT_MS = 90_000
const STOP_TIMEOUT_MS = 20_000
const TOOL_TIMEOUT_MS = 60_000
const READY_LINE = 'Kafka Server started'
const BROKER_JVM = ['-Xms256m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
const TOOL_JVM = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
const TOPIC_PARTITIONS = 4

export interface KafkaClusterOptions {
  readonly brokerCount?: 1 | 3
  /** Called with the real ports before anything starts; returns the ports clients are told (of proxies, for example). */
  readonly advertise?: (ports: readonly number[]) => Promise<readonly number[]>
  /** Further broker settings, over ours. */
  readonly config?: Readonly<Record<string, string>>
}

export interface ToolResult {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Broker {
  readonly nodeId: number
  readonly clientPort: number
  readonly advertisedPort: number
  readonly internalPort: number
  readonly controllerPort: number
  readonly directory: string
  process: ChildProcess | null
}

const running = new Set<ChildProcess>()

function killAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

process.on('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll()
    process.exit(1)
  })
}

/** Kills the JVM when the pipe from us breaks, which it does even at our SIGKILL: then no handler of ours runs. */
function watch(child: ChildProcess): ChildProcess {
  const watchdog = spawn('sh', ['-c', 'read line; kill -9 "$1"', 'watchdog', String(child.pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore']
  })
  watchdog.stdin?.on('error', () => undefined)
  watchdog.unref()
  return watchdog
}

/** @throws Error when Java or Maven is missing, or a broker is not up in time (with the end of its log) */
export async function startKafkaCluster(options: KafkaClusterOptions = {}): Promise<KafkaCluster> {
  const classPath = await resolveKafka()
  const directory = await mkdtemp(join(tmpdir(), 'wadi-kafka-'))
  const cluster = new KafkaCluster(classPath, directory, await planBrokers(directory, options))
  try {
    await cluster.begin(options.config ?? {})
    return cluster
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

/** Kafka's own tools, for a cluster that somebody else runs. stop() it, as one with brokers. @throws Error when Java or Maven is missing */
export async function kafkaTools(): Promise<KafkaCluster> {
  const tools = new KafkaCluster(await resolveKafka(), await mkdtemp(join(tmpdir(), 'wadi-kafka-tools-')), [])
  await tools.begin({})
  return tools
}

async function planBrokers(directory: string, { brokerCount = 1, advertise }: KafkaClusterOptions): Promise<Broker[]> {
  const ports = await freePorts(brokerCount * 3)
  const clientPorts = ports.slice(0, brokerCount)
  const advertisedPorts = advertise ? await advertise(clientPorts) : clientPorts
  return clientPorts.map((clientPort, index) => ({
    nodeId: index + 1,
    clientPort,
    advertisedPort: advertisedPorts[index] ?? clientPort,
    internalPort: ports[brokerCount + index]!,
    controllerPort: ports[2 * brokerCount + index]!,
    directory: join(directory, `broker-${index + 1}`),
    process: null
  }))
}

/** All are bound at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer()
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => resolve(server))
        })
    )
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

export class KafkaCluster {
  readonly directory: string
  readonly #classPath: string
  readonly #brokers: readonly Broker[]

  constructor(classPath: string, directory: string, brokers: readonly Broker[]) {
    this.#classPath = classPath
    this.directory = directory
    this.#brokers = brokers
  }

  /** host:port of every broker as clients are told: proxies, when there are any. */
  get brokers(): readonly string[] {
    return this.#brokers.map((broker) => `127.0.0.1:${broker.advertisedPort}`)
  }

  /** The same as one string. */
  get bootstrap(): string {
    return this.brokers.join(',')
  }

  /** Past all proxies. */
  get directBrokers(): readonly string[] {
    return this.#brokers.map((broker) => `127.0.0.1:${broker.internalPort}`)
  }

  get directBootstrap(): string {
    return this.directBrokers.join(',')
  }

  async begin(config: Readonly<Record<string, string>>): Promise<void> {
    // A zero first byte: an id that begins with "-" would be taken for an option.
    const clusterId = Buffer.concat([Buffer.alloc(1), randomBytes(15)]).toString('base64url')
    await writeFile(join(this.directory, 'log4j2.properties'), LOG4J)
    for (const broker of this.#brokers) {
      await writeFile(this.#propertiesFile(broker), this.#properties(broker, config))
      const { exitCode, stdout, stderr } = await this.runTool('kafka.tools.StorageTool', [
        'format',
        '-t',
        clusterId,
        '-c',
        this.#propertiesFile(broker)
      ])
      if (exitCode !== 0) throw new Error(`format of broker ${broker.nodeId} failed: ${stdout}${stderr}`)
    }
    await Promise.all(this.#brokers.map((broker) => this.#start(broker)))
  }

  /** SIGKILL: what a power cut does, as far as Kafka can tell. `index` from 0. */
  async kill(index: number): Promise<void> {
    const broker = this.#broker(index)
    const child = broker.process
    broker.process = null
    if (child) await end(child, 'SIGKILL')
  }

  /** Starts a broker that was killed; resolves when it is up. */
  async restart(index: number): Promise<void> {
    const broker = this.#broker(index)
    if (broker.process) await this.kill(index)
    await this.#start(broker)
  }

  /** Ends all brokers and removes their data. Fine to call twice. */
  async stop(): Promise<void> {
    await Promise.all(this.#brokers.map((_, index) => this.kill(index)))
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }

  /** Runs one of Kafka's own tools, `kafka.tools.StorageTool` or `org.apache.kafka.tools.…`; after the timeout it is killed (exitCode null). */
  async runTool(
    mainClass: string,
    args: readonly string[],
    { input = '', timeoutMs = TOOL_TIMEOUT_MS, jvm = TOOL_JVM }: { input?: string; timeoutMs?: number; jvm?: readonly string[] } = {}
  ): Promise<ToolResult> {
    const child = this.#spawn([...jvm, '-cp', this.#classPath, mainClass, ...args])
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve))
    clearTimeout(timer)
    return { exitCode, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }
  }

  /** As runTool(), of one that runs until it is ended. */
  startTool(mainClass: string, args: readonly string[]): ClientProcess {
    return new ClientProcess(this.#spawn([...TOOL_JVM, '-cp', this.#classPath, mainClass, ...args]))
  }

  #broker(index: number): Broker {
    const broker = this.#brokers[index]
    if (!broker) throw new Error(`no broker ${index}, there are ${this.#brokers.length}`)
    return broker
  }

  #propertiesFile(broker: Broker): string {
    return join(this.directory, `broker-${broker.nodeId}.properties`)
  }

  #properties(broker: Broker, config: Readonly<Record<string, string>>): string {
    const replicas = String(this.#brokers.length)
    const inSync = String(Math.max(1, this.#brokers.length - 1))
    const settings = {
      'process.roles': 'broker,controller',
      'node.id': String(broker.nodeId),
      'controller.quorum.voters': this.#brokers.map(({ nodeId, controllerPort }) => `${nodeId}@127.0.0.1:${controllerPort}`).join(','),
      listeners: `PLAINTEXT://127.0.0.1:${broker.clientPort},INTERNAL://127.0.0.1:${broker.internalPort},CONTROLLER://127.0.0.1:${broker.controllerPort}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${broker.advertisedPort},INTERNAL://127.0.0.1:${broker.internalPort}`,
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT',
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'INTERNAL',
      'log.dirs': broker.directory,
      'num.partitions': String(TOPIC_PARTITIONS),
      'default.replication.factor': replicas,
      'min.insync.replicas': inSync,
      'offsets.topic.replication.factor': replicas,
      'offsets.topic.num.partitions': String(TOPIC_PARTITIONS),
      'transaction.state.log.replication.factor': replicas,
      'transaction.state.log.min.isr': inSync,
      'transaction.state.log.num.partitions': String(TOPIC_PARTITIONS),
      'share.coordinator.state.topic.replication.factor': replicas,
      'share.coordinator.state.topic.min.isr': inSync,
      'group.initial.rebalance.delay.ms': '0',
      'auto.create.topics.enable': 'false',
      ...config
    }
    return Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('')
  }

  #spawn(args: readonly string[]): ChildProcess {
    const log4j = `-Dlog4j2.configurationFile=${join(this.directory, 'log4j2.properties')}`
    const child = spawn('java', [log4j, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    running.add(child)
    const watchdog = watch(child)
    child.once('close', () => {
      running.delete(child)
      watchdog.kill('SIGKILL')
    })
    return child
  }

  async #start(broker: Broker): Promise<void> {
    const child = this.#spawn([...BROKER_JVM, '-cp', this.#classPath, 'kafka.Kafka', this.#propertiesFile(broker)])
    broker.process = child
    const logFile = join(this.directory, `broker-${broker.nodeId}.log`)
    const log = createWriteStream(logFile, { flags: 'a' })
    let isReady = false
    let tail = ''
    const onOutput = (chunk: Buffer): void => {
      log.write(chunk)
      tail = (tail + chunk.toString()).slice(-4096)
      isReady ||= tail.includes(READY_LINE)
    }
    child.stdout?.on('data', onOutput)
    child.stderr?.on('data', onOutput)
    child.once('close', () => log.end())
    for (const end = Date.now() + START_TIMEOUT_MS; !isReady; await delay(50)) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > end) {
        const story = await readFile(logFile, 'utf8').catch(() => tail)
        throw new Error(`broker ${broker.nodeId} did not start within ${START_TIMEOUT_MS} ms: …${story.slice(-4096)}`)
      }
    }
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.kill(signal)
  const stopped = new AbortController()
  await Promise.race([ended, delay(STOP_TIMEOUT_MS, undefined, { signal: stopped.signal }).catch(() => undefined)])
  stopped.abort()
}

const LOG4J = `status=error
appender.console.type=Console
appender.console.name=console
appender.console.target=SYSTEM_ERR
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
`

// The demo, told in five acts. Everything it prints is measured: the processes are real, the kill is SIGKILL, the ledger is kept here,
// outside of the gateway's directory, and delivery is counted by a client that knows nothing of us.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { askControl } from '../../adapters/control/control-client.ts'
import type { Address } from '../../gateway/config/address.ts'
import { formatCount, formatDuration } from '../../gateway/config/units.ts'
import type { StatusReport } from '../../gateway/status-report.ts'
import { formatBytes } from '../../runtime/base/byte-text.ts'
import { EXIT } from '../exit-code.ts'
import { formatProgress } from '../progress.ts'
import { print } from '../terminal.ts'
import { Child } from './child.ts'
import { ClusterLink } from './cluster-link.ts'
import { type IndependentConsumer, openConsumer } from './consumer.ts'
import { Ledger } from './ledger.ts'
import { isPerfect, ledgerText } from './ledger-text.ts'
import { readEventId, Sensors } from './sensors.ts'
import { View } from './view.ts'

export interface DemoOptions {
  readonly upstream: Address | null
  readonly qos: 1 | 2
  readonly isFast: boolean
  readonly isJson: boolean
  readonly signal: AbortSignal
}

const SENSOR_COUNT = 20
const EVENTS_PER_SECOND = 2000
/** A slow LTE uplink: 1 Mbit/s. */
const LINK_BYTES_PER_SECOND = 125_000
const READY_WITHIN_MS = 15_000
const CATCH_UP_WITHIN_MS = 60_000
const AUDIT_WITHIN_MS = 30_000
const EDGE_TOPIC = 'telemetry'

class Interrupted extends Error {}

/** Returns the exit code. Whatever happens, nothing is left: no process, no file. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const stage = new Stage(options)
  try {
    return await stage.play()
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    stage.view.heading('interrupted; cleaning up')
    return EXIT.interrupted
  } finally {
    await stage.strike()
  }
}

class Stage {
  readonly view = new View()
  readonly #options: DemoOptions
  readonly #ledger = new Ledger()
  readonly #topic = `wadi-demo-${process.pid}`
  #directory = ''
  #centre: Child | null = null
  #gateway: Child | null = null
  #link: ClusterLink | null = null
  #centreAddress: Address = { host: '127.0.0.1', port: 0 }
  #sensors: Sensors | null = null
  #mqttPort = 0
  #linkWords = 'up'
  #status: StatusReport | null = null
  #deliveredBefore = 0

  constructor(options: DemoOptions) {
    this.#options = options
  }

  async play(): Promise<number> {
    const seconds = (normal: number): number => (this.#options.isFast ? normal / 3 : normal) * 1000
    await this.#setUp()

    this.view.heading(
      `1. ${SENSOR_COUNT} sensors publish over MQTT (QoS ${this.#options.qos}); the uplink delivers over a link of 1 Mbit/s`
    )
    await this.#watch(seconds(7))
    this.view.settle()

    this.view.heading('2. The link goes down. Events pile up on the disk; every acknowledgement still means: survives a power cut')
    this.#link?.cut()
    this.#linkWords = 'DOWN'
    await this.#watch(seconds(6))
    this.view.settle()

    await this.#killAndRestart()
    await this.#watch(seconds(5))
    this.view.settle()

    await this.#catchUp(seconds(3))
    return this.#audit()
  }

  async #setUp(): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), 'wadi-demo-'))
    let centre = this.#options.upstream
    if (!centre) {
      this.#centre = new Child('centre', ['_centre', '--data', join(this.#directory, 'centre')])
      centre = (await this.#centre.message('address', READY_WITHIN_MS)) as Address
    }
    this.#centreAddress = centre
    this.#link = await ClusterLink.open(centre, { bytesPerSecond: LINK_BYTES_PER_SECOND })
    await this.#startGateway()
    const { connect } = await import('./client.ts')
    this.#sensors = new Sensors({
      connect,
      port: this.#mqttPort,
      count: SENSOR_COUNT,
      eventsPerSecond: EVENTS_PER_SECOND,
      qos: this.#options.qos,
      ledger: this.#ledger
    })
    this.view.heading('Wadi demo')
    this.view.detail(`gateway  process ${this.#gateway?.pid}, MQTT on 127.0.0.1:${this.#mqttPort}, data in ${this.#directory}`)
    this.view.detail(
      `centre   ${this.#centre ? `process ${this.#centre.pid}, embedded,` : 'your cluster'} ${centre.host}:${centre.port}, topic ${this.#topic}`
    )
    this.#sensors.start()
  }

  get #dataDirectory(): string {
    return join(this.#directory, 'gateway')
  }

  /** Resolves when it answers on its control socket. */
  async #startGateway(): Promise<StatusReport> {
    const file = join(this.#directory, 'wadi.yaml')
    await writeFile(file, JSON.stringify(this.#gatewayConfig(), null, 2))
    this.#gateway = new Child('gateway', ['run', '-c', file, '--json'])
    const status = await this.#until(READY_WITHIN_MS, () => this.#askStatus())
    if (!status) throw this.#gateway.failure(`was not ready within ${READY_WITHIN_MS} ms`)
    this.#mqttPort = Number(/:(\d+)$/.exec(status.ingest.listeners[0] ?? '')?.[1] ?? 0)
    return status
  }

  #gatewayConfig(): object {
    return {
      gateway: { id: this.#topic, data: this.#dataDirectory },
      storage: { journal: { file_size: '8MiB' } },
      mqtt: [{ listen: `127.0.0.1:${this.#mqttPort}` }],
      topics: { [EDGE_TOPIC]: { partitions: 4 } },
      routes: [
        {
          name: 'telemetry',
          filter: 'plant/+line/+device/#metric',
          topic: EDGE_TOPIC,
          key: '{line}/{device}',
          headers: { metric: '{metric}' }
        }
      ],
      upstream: {
        brokers: [`127.0.0.1:${this.#link?.address.port}`],
        topics: { [EDGE_TOPIC]: { to: this.#topic } },
        transaction_bytes: '512KiB'
      }
    }
  }

  async #askStatus(): Promise<StatusReport | null> {
    if (this.#gateway?.isExited) return null
    const signal = AbortSignal.timeout(2000)
    this.#status = (await askControl(this.#dataDirectory, { command: 'status' }, { signal }).catch(() => null)) as StatusReport | null
    return this.#status
  }

  /** The live line for a while. */
  async #watch(durationMs: number): Promise<void> {
    const endMs = performance.now() + durationMs
    await this.#until(durationMs + 5000, async () => {
      await this.#askStatus()
      this.view.live(() => this.#liveText())
      return performance.now() >= endMs ? true : null
    })
  }

  #liveText(): string {
    const topic = this.#status?.topics.find(({ name }) => name === EDGE_TOPIC)
    const uplink = this.#status?.uplink
    const parts = [
      `sent ${formatCount(this.#ledger.sentCount)}`,
      `acknowledged ${formatCount(this.#ledger.acknowledgedCount)}`,
      `delivered ${formatCount(this.#deliveredBefore + (uplink?.deliveredEvents ?? 0))}`,
      `waiting ${formatCount(topic?.lagEvents ?? 0)}${topic?.lagBytes ? ` (${formatBytes(topic.lagBytes)})` : ''}`,
      `link ${this.#linkWords}`
    ]
    return parts.join('   ')
  }

  async #killAndRestart(): Promise<void> {
    const gateway = this.#gateway
    if (!gateway) return
    await this.#askStatus()
    this.#deliveredBefore += this.#status?.uplink?.deliveredEvents ?? 0
    this.view.heading(`3. kill -9 ${gateway.pid}: the gateway dies in the middle of it, and is started again`)
    gateway.kill('SIGKILL')
    const { unansweredCount } = this.#ledger
    await gateway.exited
    this.view.detail(`${formatCount(unansweredCount)} events were on their way and without an answer at that moment`)
    const startedAtMs = performance.now()
    const status = await this.#startGateway()
    const { recovery, lostEvents } = status.storage
    this.view.detail(
      `ready again after ${formatDuration(performance.now() - startedAtMs)} (recovery ${formatDuration(recovery.durationMs)}), process ${this.#gateway?.pid}`
    )
    this.view.detail(`recovery read ${formatCount(recovery.replayedEvents)} events back from the journal; lost ${lostEvents}`)
    for (const finding of recovery.findings) this.view.detail(`recovery: ${finding}`)
  }

  async #catchUp(stillPublishingMs: number): Promise<void> {
    await this.#askStatus()
    const backlog = this.#lagEvents()
    this.view.heading(`4. The link is back: ${formatCount(backlog)} events wait, and sensors go on`)
    this.#link?.restore()
    this.#linkWords = 'up'
    const startedAtMs = performance.now()
    const deliveredAtStart = this.#status?.uplink?.deliveredEvents ?? 0
    let stopping: Promise<void> | null = null
    let isStopped = false
    const isDone = await this.#until(CATCH_UP_WITHIN_MS, async () => {
      if (performance.now() - startedAtMs >= stillPublishingMs)
        stopping ??= this.#sensors?.stop().then(() => void (isStopped = true)) ?? null
      if (!(await this.#askStatus())) return null
      const lag = this.#lagEvents()
      const done = (this.#status?.uplink?.deliveredEvents ?? 0) - deliveredAtStart
      const rate = this.#status?.uplink?.eventsPerSecond ?? 0
      this.view.live(() => formatProgress('catch-up', 'events', { done, total: done + lag }, rate))
      return isStopped && lag === 0 ? true : null
    })
    await stopping
    this.view.settle()
    if (!isDone) throw new Error(`the backlog was not delivered within ${CATCH_UP_WITHIN_MS} ms: ${JSON.stringify(this.#status?.uplink)}`)
    const seconds = (performance.now() - startedAtMs) / 1000
    this.view.detail(
      `caught up after ${seconds.toFixed(1)} s; ${formatBytes(this.#link?.carriedBytes ?? 0)} went over the link for ${formatCount(this.#ledger.sentCount)} events`
    )
  }

  #lagEvents(): number {
    return this.#status?.topics.find(({ name }) => name === EDGE_TOPIC)?.lagEvents ?? 0
  }

  async #audit(): Promise<number> {
    const status = await this.#askStatus()
    const stored = status?.topics.find(({ name }) => name === EDGE_TOPIC)?.events ?? 0
    const consumer = await openConsumer(this.#centreAddress, this.#topic)
    this.view.heading(
      `5. The ledger: what sensors sent, against what ${consumer ? `an independent client (${consumer.name})` : 'the uplink'} finds at the centre`
    )
    if (!consumer) {
      this.view.detail('kafkajs is not installed here, so nobody independent can count; run the demo from a checkout for that')
      await print(
        `${JSON.stringify({ sent: this.#ledger.sentCount, acknowledged: this.#ledger.acknowledgedCount, stored, uplink: status?.uplink })}\n`
      )
      return EXIT.ok
    }
    const onRecord = (value: Uint8Array | null): void => {
      const event = readEventId(value)
      this.#ledger.delivered(event?.id ?? 'unreadable', event?.sensor ?? '', event?.sequence ?? 0)
    }
    await consumer.readAll({
      expected: stored,
      withinMs: AUDIT_WITHIN_MS,
      onRecord,
      onProgress: (done) => this.view.live(() => formatProgress('reading', 'events', { done, total: stored }, 0))
    })
    this.view.settle()
    if (this.#options.upstream) await this.#cleanUpCluster(consumer)
    const verdict = this.#ledger.verdict()
    await print(this.#options.isJson ? `${JSON.stringify({ ...verdict, stored })}\n` : ledgerText(verdict, stored))
    return isPerfect(verdict, stored) ? EXIT.ok : EXIT.no
  }

  /** The gateway's group can go only when the gateway is gone. */
  async #cleanUpCluster(consumer: IndependentConsumer): Promise<void> {
    await this.#gateway?.stop(10_000)
    const failed = await consumer.cleanUp([`wadi.${this.#topic}`]).then(
      () => null,
      (error: unknown) => error
    )
    if (failed)
      this.view.detail(
        `your cluster kept something of topic or groups ${this.#topic}: ${failed instanceof Error ? failed.message : failed}`
      )
  }

  /** Asks until there is an answer, the time is up (null), or the user interrupts. */
  async #until<T>(withinMs: number, ask: () => Promise<T | null>): Promise<T | null> {
    const endMs = performance.now() + withinMs
    for (;;) {
      if (this.#options.signal.aborted) throw new Interrupted()
      if (this.#centre?.isExited) throw this.#centre.failure('ended by itself')
      const answer = await ask()
      if (answer !== null) return answer
      if (this.#gateway?.isExited) throw this.#gateway.failure('ended by itself')
      if (performance.now() > endMs) return null
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** Ends every process and removes every file. */
  async strike(): Promise<void> {
    this.#sensors?.abandon()
    await this.#link?.close()
    this.#gateway?.kill('SIGKILL')
    this.#centre?.kill('SIGKILL')
    await Promise.all([this.#gateway?.exited, this.#centre?.exited])
    if (this.#directory !== '') await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

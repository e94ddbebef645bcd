// A world of MQTT clients around the real broker over the real log store, on a simulated disk, clock and network, from one seed: persistent and clean sessions,
// versions 3.1.1 and 5, each client publishes and subscribes. Lives of the gateway end with a kill (the page cache stays), a power cut (it does not) or a stop, and begin
// again on the same disk. At the end all is well for a while, everybody connects and acknowledges everything; then what the wire said is judged.
//
// Parts: subscriber-client.ts (one client), subscriber-ledger.ts (who had to be sent what), subscriber-presence.ts (who had to have a session).
// Not for: packets that are wrong (test/mqtt), the uplink (world.ts).

import { createMqttBroker, type MqttBroker } from '../../adapters/mqtt/mqtt-broker.ts'
import { payloadDecoders } from '../../adapters/mqtt/payload.ts'
import { Ingest } from '../../runtime/broker/ingest.ts'
import { PublishLane, type PublishLaneOptions } from '../../runtime/broker/publish-lane.ts'
import { compileRoutes, type RouteConfig } from '../../runtime/broker/routes.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { StoredRecord } from '../../runtime/core/record.ts'
import { readBatchRecords } from '../../runtime/log/batch-codec.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { KIB, type StorageSettings } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { smallSettings, textOf } from '../helpers/sim-store.ts'
import { Prng } from './prng.ts'
import { ProcessTime } from './process-time.ts'
import { SimClock, type SimProcessClock } from './sim-clock.ts'
import { simCodec } from './sim-codec.ts'
import { SimListener } from './sim-connection.ts'
import { noFaults, SimDisk } from './sim-disk.ts'
import { type AckMode, type ClientWorld, SubscriberClient, UNENDING_SECONDS } from './subscriber-client.ts'
import { type Qos, SubscriberLedger } from './subscriber-ledger.ts'
import { SessionPresence } from './subscriber-presence.ts'

/** What a canary breaks, for the rest of the thread. */
export interface SubscriberMutation {
  install(): void
}

const ROUTES: RouteConfig[] = [
  { name: 'a', filter: 'a/#rest', topic: 'ta', key: '{rest}' },
  { name: 'b', filter: 'b/#rest', topic: 'tb', key: null },
  { name: 'n', filter: 'n/+dev', topic: 'n-{dev}', key: null }
]
const TOPICS = ['a/1', 'a/1', 'a/2', 'a/3/x', 'b/1', 'b/1', 'b/2', 'n/1', 'n/2', 'u/1']
const FILTERS = ['#', 'a/#', 'a/1', 'a/+', 'b/#', 'b/1', '+/1', 'n/+', 'u/#', '+/#']
const SOFT_MS = 9_000

export class SubscriberWorld implements ClientWorld {
  readonly clock = new SimClock()
  readonly ledger = new SubscriberLedger()
  readonly reached = new Map<string, number>()
  listener: SimListener | null = null
  life = 0
  servesSinceMs = 0
  readonly #prng: Prng
  readonly #disk: SimDisk
  readonly #time: ProcessTime
  readonly #clients: SubscriberClient[]
  readonly #settings: Partial<StorageSettings>
  #store: LogStore | null = null
  #broker: MqttBroker | null = null
  #process: SimProcessClock | null = null
  /** What earlier lives dropped. */
  #dropped = 0
  #faultyUntilMs = Number.NEGATIVE_INFINITY
  /** PUBLISHes go by the fast lane where they can. */
  readonly #isLaneOpen: boolean

  constructor(seed: number) {
    this.#prng = new Prng(seed ^ 0x5e55)
    this.#isLaneOpen = new Prng(seed ^ 0x1a9e).chance(60)
    const prng = this.#prng
    const delayMs = prng.pick([
      { min: 0.02, max: 0.3 },
      { min: 0.05, max: 3 },
      { min: 2, max: 12 }
    ])
    this.#disk = new SimDisk({ clock: this.clock, prng: prng.fork(), delayMs })
    this.#time = new ProcessTime(this.clock)
    this.#settings = {
      ...smallSettings,
      lingerMs: prng.pick([0, 2, 5]),
      journalFileBytes: prng.pick([64, 256]) * KIB,
      checkpointAgeMs: prng.pick([2_000, 20_000]),
      freeBytesMin: 0
    }
    this.#clients = Array.from({ length: prng.between(3, 5) }, (_, index) => this.#newClient(index))
  }

  #newClient(index: number): SubscriberClient {
    const prng = this.#prng.fork()
    const version = prng.pick([4, 5] as const)
    return new SubscriberClient(this, {
      ...{ id: `c${index}`, version, prng, presence: new SessionPresence() },
      isKept: index === 0 || prng.chance(75),
      expirySeconds: version === 4 ? UNENDING_SECONDS : prng.pick([3, 30, UNENDING_SECONDS]),
      receiveMaximum: version === 4 ? 65_535 : prng.pick([1, 2, 3, 20, 65_535])
    })
  }

  get isFaulty(): boolean {
    return this.clock.monotonicMs() < this.#faultyUntilMs
  }

  reach(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }

  async run(): Promise<void> {
    const giveBack = this.#time.install()
    const onUnhandled = (error: unknown): void => this.ledger.violate(`unhandled: ${error instanceof Error ? error.stack : String(error)}`)
    process.on('unhandledRejection', onUnhandled)
    try {
      await this.#live()
      await this.#calm()
    } catch (error) {
      this.ledger.violate(`the run ended with ${error instanceof Error ? error.stack : String(error)}`)
    } finally {
      process.off('unhandledRejection', onUnhandled)
      this.#process?.kill()
      giveBack()
    }
  }

  // --- the gateway

  async #start(): Promise<void> {
    const process = this.clock.process()
    this.#process = process
    this.#time.enter(process)
    this.life++
    const core = coreOfLife()
    const store = await this.clock.settle(
      LogStore.open({
        ...{
          disk: this.#disk,
          clock: process,
          random: this.#prng.fork(),
          core,
          codec: simCodec,
          directory: '/data',
          settings: this.#settings
        }
      })
    )
    this.#store = store
    for (const [name, partitionCount] of [
      ['ta', 2],
      ['tb', 1],
      ['dead', 1]
    ] as const) {
      if (!store.topics.has(name)) await this.clock.settle(store.createTopic(name, { partitionCount, codec: 'none', isForwarded: false }))
    }
    const { table } = compileRoutes({ routes: ROUTES, unmatched: { action: 'drop' }, deadLetter: 'dead' }, payloadDecoders)
    const createTopic = (name: string): ReturnType<LogStore['createTopic']> =>
      store.createTopic(name, { codec: 'none', isForwarded: false })
    const ingest = new Ingest({ store, core, clock: process, table, createTopic })
    const lane = this.#isLaneOpen ? this.#openLane(store, { core, ingest, clock: process }) : undefined
    const broker = createMqttBroker({
      ...{ ingest, store, core, codec: simCodec, lane },
      onDamage: (error) => this.ledger.violate(`damage: ${error.message}`)
    })
    await this.clock.settle(broker.start())
    this.#broker = broker
    const listener = new SimListener({})
    broker.addListener(listener.asListener())
    this.listener = listener
    this.servesSinceMs = this.clock.monotonicMs()
    this.reach('starts')
  }

  #openLane({ lane }: LogStore, parts: Pick<PublishLaneOptions, 'core' | 'ingest' | 'clock'>): PublishLane {
    const end = lane.end.bind(lane)
    lane.end = (done) => {
      this.reach('walks of the fast lane')
      end(done)
    }
    return new PublishLane({ ...parts, appends: lane, random: this.#prng.fork() })
  }

  #crash(kind: 'kill' | 'power'): void {
    this.#process?.kill()
    this.#time.enter(null)
    this.#gone(kind)
    if (kind === 'kill') this.#disk.crash()
    else this.#disk.powerCut()
    this.reach(kind)
  }

  /** Its clients hear of it; what it counted is noted. */
  #gone(kind: 'kill' | 'power'): void {
    this.#noteDropped()
    this.#disarm()
    this.listener = null
    this.#broker = null
    this.#store = null
    this.ledger.next()
    for (const client of this.#clients) client.gatewayDied(kind)
  }

  /** Wills that were taken back long enough ago are not sent by a later life. */
  #disarm(): void {
    const nowMs = this.clock.monotonicMs()
    for (const { wills } of this.#clients) {
      for (const will of wills) {
        if (will.disarmedLife === this.life && nowMs - will.disarmedMs > 1_500 && !this.isFaulty) will.expected = 'never'
      }
    }
  }

  #noteDropped(): void {
    const metrics = this.#broker?.metrics
    this.#dropped += (metrics?.offlineDropped ?? 0) + (metrics?.deliveriesDropped ?? 0)
  }

  async #stop(): Promise<void> {
    const [broker, store] = [this.#broker, this.#store]
    if (!broker || !store) return
    await this.clock.settle(broker.close())
    await this.clock.settle(store.close().catch(() => undefined))
    this.#process?.kill()
    this.#time.enter(null)
    this.#gone('kill')
    this.reach('stop')
  }

  // --- life

  async #live(): Promise<void> {
    const prng = this.#prng
    await this.#start()
    const endChance = prng.pick([1, 3, 6])
    const steps = prng.between(25, 80)
    for (let step = 0; step < steps; step++) {
      await this.#pass()
      if (this.#store?.failure) await this.#end('kill')
      else if (prng.chance(endChance)) await this.#end(prng.pick(['kill', 'power', 'stop'] as const))
      if (prng.chance(0.6)) this.#breakDisk()
      this.#act(prng.pick(this.#clients))
    }
  }

  /** Mostly a moment, sometimes long enough that queues are written down, or sessions expire. */
  async #pass(): Promise<void> {
    const prng = this.#prng
    const kind = prng.below(100)
    await this.#run(kind < 70 ? prng.fraction() * 8 : kind < 95 ? prng.between(10, 300) : prng.between(1_000, 9_000))
  }

  #run(durationMs: number): Promise<void> {
    return this.clock.run({ untilMs: this.clock.monotonicMs() + durationMs })
  }

  async #end(how: 'kill' | 'power' | 'stop'): Promise<void> {
    if (how === 'stop') await this.#stop()
    else this.#crash(how)
    if (this.#prng.chance(50)) await this.#run(this.#prng.pick([5, 500, 4_000]))
    this.#disk.heal()
    await this.#start()
  }

  #breakDisk(): void {
    const prng = this.#prng
    const durationMs = prng.between(200, 3_000)
    this.#faultyUntilMs = this.clock.monotonicMs() + durationMs + SOFT_MS
    if (prng.chance(60)) {
      this.reach('full disk')
      this.#disk.capacityBytes = this.#disk.usedBytes + prng.below(4) * KIB
    } else {
      this.reach('disk errors')
      this.#disk.faults = { ...noFaults, readErrorPercent: 50, writeErrorPercent: prng.pick([0, 0, 5]) }
    }
    this.clock.after(durationMs, () => this.#disk.heal())
  }

  #act(client: SubscriberClient): void {
    const prng = this.#prng
    if (client.link === null) return this.#connect(client)
    if (!client.isConnected) {
      if (prng.chance(5)) this.#connect(client)
      return
    }
    const kind = prng.below(100)
    if (kind < 3) this.#connect(client)
    else if (kind < 8) client.cut(prng.pick(['end', 'reset', 'vanish'] as const))
    else if (kind < 11) client.disconnect(client.isKept && prng.chance(30) ? prng.pick([0, 3, 30]) : null)
    else if (kind < 26) this.#subscribe(client)
    else if (kind < 31) client.unsubscribe(prng.pick(FILTERS))
    else for (let count = prng.pick([1, 1, 2, 5, 12]); count > 0; count--) this.#publish(client)
  }

  #connect(client: SubscriberClient): void {
    const prng = this.#prng
    const hasWill = prng.chance(30)
    const willTopic = hasWill
      ? { topic: prng.pick(['a/1', 'b/1', `a/r${client.id}`]), qos: prng.below(3) as Qos, retain: prng.chance(30) }
      : null
    const ackMode = prng.pick(['prompt', 'prompt', 'prompt', 'late', 'never', 'not-complete'] as const) satisfies AckMode
    this.reach(`acknowledges ${ackMode}`)
    const isClean = prng.chance(7)
    if (isClean && client.isKept) this.reach('clean start')
    client.connect({ isClean, ackMode, willTopic })
  }

  #subscribe(client: SubscriberClient): void {
    const prng = this.#prng
    const filter = prng.pick(FILTERS)
    this.reach('subscribe')
    client.subscribe(filter, {
      qos: prng.pick([0, 1, 1, 2, 2] as const),
      noLocal: prng.chance(20),
      retainAsPublished: prng.chance(20),
      retainHandling: prng.below(3),
      id: prng.chance(30) ? prng.between(1, 300) : null
    })
  }

  #publish(client: SubscriberClient): void {
    const prng = this.#prng
    if (client.openCount >= 15) return
    const isRetained = prng.chance(15)
    const topic = isRetained ? `${prng.pick(['a', 'b', 'u'])}/r${client.id}` : prng.pick(TOPICS)
    client.publish(topic, prng.pick([0, 1, 1, 2, 2] as const), isRetained, isRetained && prng.chance(25))
  }

  // --- the end

  async #calm(): Promise<void> {
    const prng = this.#prng
    this.#disk.heal()
    if (prng.chance(40) || this.#store?.failure) await this.#end(prng.pick(['kill', 'power', 'stop'] as const))
    for (let turn = 0, quiet = 0; turn < 600 && quiet < 5; turn++) {
      for (const client of this.#clients) {
        if (client.link?.ackMode !== 'prompt' && client.link) client.disconnect(null)
        if (client.link?.ackMode !== 'prompt' || client.link.isEnding) {
          if (turn % 4 === 3 || client.link === null) client.connect({ isClean: false, ackMode: 'prompt', willTopic: null })
        }
      }
      const before = this.ledger.moment
      await this.#run(500)
      const isIdle = this.#clients.every((client) => client.isConnected && !client.isBusy)
      quiet =
        isIdle && this.ledger.moment - before <= this.#clients.length * 2 && (this.#broker?.metrics.queuedPlaces ?? 0) === 0 ? quiet + 1 : 0
      if (turn === 599)
        this.ledger.violate(
          `no end: ${JSON.stringify(this.#clients.map(({ id, isConnected, openCount }) => ({ id, isConnected, openCount })))}`
        )
    }
    await this.#judge()
  }

  async #judge(): Promise<void> {
    this.#noteDropped()
    this.#disarm()
    if (this.#dropped > 0) this.reach('dropped')
    else for (const { epoch } of this.#clients) this.ledger.judge(epoch, this.life)
    await this.#lookAtRetained()
    if (!this.#store) return
    const counts = new Map<string, number>()
    const count = (text: string): unknown => counts.set(text, (counts.get(text) ?? 0) + 1)
    for (const { partitions } of this.#store.topics.values()) {
      for (const partition of partitions) {
        for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
          const { batches, nextOffset } = await this.clock.settle(partition.read(offset, { bytesMax: 64 * KIB }))
          for (const { bytes } of batches)
            for (const record of await this.#recordsOf(bytes)) if (record.offset >= offset) count(textOf(record))
          offset = nextOffset
        }
      }
    }
    this.#judgeLog(counts)
  }

  async #lookAtRetained(): Promise<void> {
    const prng = this.#prng.fork()
    const presence = new SessionPresence()
    const reader = new SubscriberClient(this, {
      id: 'reader',
      version: 5,
      isKept: false,
      expirySeconds: 0,
      receiveMaximum: 65_535,
      prng,
      presence
    })
    reader.connect({ isClean: true, ackMode: 'prompt', willTopic: null })
    await this.#run(1_000)
    reader.subscribe('#', { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, id: null })
    await this.#run(1_000)
    this.ledger.judgeRetained(reader.retained)
    this.reached.set('retained values', reader.retained.size)
    reader.cut('end')
    await this.#run(100)
  }

  async #recordsOf(bytes: Uint8Array): Promise<readonly StoredRecord[]> {
    return (await this.clock.settle(readBatchRecords(coreOfLife(), simCodec, bytes))) ?? []
  }

  #judgeLog(counts: ReadonlyMap<string, number>): void {
    for (const { id, qos, fate, isUnstored, isWill, isEmpty, isUncertain } of this.ledger.messages.values()) {
      const count = counts.get(id) ?? 0
      if (isUnstored || isWill || isEmpty) continue
      if (fate === 'acked' && count === 0) this.ledger.violate(`${id} was acknowledged and is not in the log`)
      if (qos === 2 && count > 1 && !isUncertain) this.ledger.violate(`${id}, QoS 2, is ${count} times in the log`)
    }
    for (const { wills, link, id: clientId } of this.#clients) {
      for (const will of wills) {
        const { message } = will
        const count = counts.get(message.id) ?? 0
        const expected = will === link?.will ? 'never' : will.expected
        this.reach(`will ${expected}`)
        if (count > 1) this.ledger.violate(`the will ${message.id} of ${clientId} is ${count} times in the log`)
        if (count === 0 && expected === 'once') this.ledger.violate(`the will ${message.id} of ${clientId} was not sent`)
        if (count > 0 && expected === 'never')
          this.ledger.violate(`the will ${message.id} of ${clientId} was sent, though it was taken back`)
      }
    }
  }
}

/** One for all: making one takes longer than a life. A commit of a life that fell may still hold it. */
let sharedCore: Core | null = null
function coreOfLife(): Core {
  sharedCore ??= loadTestCore()
  try {
    sharedCore.commit.release()
  } catch {
    // Nothing was held.
  }
  return sharedCore
}

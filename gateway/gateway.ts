// The composition root: takes or builds the edges, wires store → ingest → MQTT → uplink → Kafka → control socket, and closes in reverse.
// The only place that knows which implementation stands behind an interface.
// Invariants: whatever fails while opening, what was opened before is closed again; nothing is printed, no signal is handled and no flag of the
// process is set here.

import { ADMIN_SOCKET } from '../adapters/control/control-path.ts'
import type { ControlHandler } from '../adapters/control/control-server.ts'
import { registerKafka } from '../adapters/kafka-server/kafka-metrics.ts'
import type { KafkaListener } from '../adapters/kafka-server/listener.ts'
import { KafkaUpstream } from '../adapters/kafka-upstream/kafka-upstream.ts'
import { Listener } from '../adapters/mqtt/listener.ts'
import { createMqttBroker, type MqttBroker } from '../adapters/mqtt/mqtt-broker.ts'
import { registerMqtt } from '../adapters/mqtt/mqtt-metrics.ts'
import { payloadDecoders } from '../adapters/mqtt/payload.ts'
import { registerTls } from '../adapters/tls/tls-metrics.ts'
import { WadiError } from '../runtime/base/errors.ts'
import { Metrics } from '../runtime/base/metrics.ts'
import { registerAppends } from '../runtime/broker/append-metrics.ts'
import type { RefusedBatch } from '../runtime/broker/appends.ts'
import { type Broker, openBroker } from '../runtime/broker/broker.ts'
import { Ingest } from '../runtime/broker/ingest.ts'
import { registerIngest } from '../runtime/broker/ingest-metrics.ts'
import { PublishLane } from '../runtime/broker/publish-lane.ts'
import { RefusedTopics } from '../runtime/broker/refused-topics.ts'
import { compileRoutes } from '../runtime/broker/routes.ts'
import type { TopicRules } from '../runtime/broker/topics.ts'
import { DiskError } from '../runtime/io/disk.ts'
import type { DeleteOptions, Store, Topic, TopicConfig } from '../runtime/log/contract.ts'
import { LogStore } from '../runtime/log/log-store.ts'
import type { StorageSettings } from '../runtime/log/settings.ts'
import { asStoreError } from '../runtime/log/store-errors.ts'
import { registerStore } from '../runtime/log/store-metrics.ts'
import { isUp } from '../runtime/uplink/link-state.ts'
import { Uplink, type UplinkStatus } from '../runtime/uplink/uplink.ts'
import { registerUplink } from '../runtime/uplink/uplink-metrics.ts'
import { type Address, formatAddress } from './config/address.ts'
import { routesConfigOf } from './config/routes-config.ts'
import type { Config, KafkaSection, MqttLimitsSection, UpstreamSection } from './config/schema.ts'
import { KAFKA_TLS_KEY, mqttTlsKey } from './config/tls-config.ts'
import { formatCount, formatDuration } from './config/units.ts'
import type { Gateway, RecordsOptions } from './contract.ts'
import { openControlDoor } from './control-door.ts'
import { DroppedLog } from './dropped-log.ts'
import { type Edges, openEdges } from './edges.ts'
import { lackOfRoom } from './journal-room.ts'
import { brokerSettingsOf, createKafka, fullLog, refusalLog, topicChangesLog, topicRulesOf } from './kafka.ts'
import type { Log } from './log.ts'
import { metricsText } from './metrics-text.ts'
import { brokerLimits } from './mqtt-limits.ts'
import { mqttLog } from './mqtt-log.ts'
import { NotRetainedLog } from './not-retained-log.ts'
import { lackOfOpenFiles, watchOpenFiles } from './open-files.ts'
import { registerProcess } from './process-metrics.ts'
import { SessionDesk } from './session-desk.ts'
import { recoveryFindings, StatusReporter } from './status-reporter.ts'
import type { PlacedRecord } from './tail-cursor.ts'
import { feedTail, type TailSource, tailItems } from './tail-feed.ts'
import { readTailRequest } from './tail-request.ts'
import { takeoverLog } from './takeover-log.ts'
import { TlsDoors } from './tls-doors.ts'
import { deliveredTopics, partitionWords, placeOfTopic, TopicsSetup, type TopicsSetupOptions, topicConfigOf } from './topics-setup.ts'
import { VERSION } from './version.ts'

/** Of the ten seconds that a stop may take: what the uplink may use to end a transaction. */
const UPLINK_CLOSE_MS = 2_500
/** The cluster ends a transaction of ours after that long; consumers there may wait for it. */
const TRANSACTION_TIMEOUT_MS = 60_000

/** How often the store is asked whether it has failed. It refuses by itself from then on; this is for saying so. */
const FAILURE_SEEN_MS = 250

/** Things to close, in the reverse order of their opening. */
class Closers {
  readonly #steps: (() => Promise<void>)[] = []

  add(step: () => Promise<void>): void {
    this.#steps.push(step)
  }

  /** Every step runs, whatever those before it did; the first error is thrown at the end. */
  async close(): Promise<void> {
    const errors: unknown[] = []
    for (const step of this.#steps.splice(0).reverse()) await step().catch((error: unknown) => errors.push(error))
    if (errors.length > 0) throw errors[0]
  }
}

export interface GatewayOptions {
  /** Default: this machine's. */
  readonly edges?: Edges
  /** Default: nothing is said. */
  readonly log?: Log
  /** While the journal is replayed, which may take seconds; null = done. Units: bytes. */
  readonly onRecovery?: (progress: { done: number; total: number } | null) => void
  /** Called once when storage has failed for good and MQTT takes no events any more. */
  readonly fatal?: (error: WadiError) => void
}

/**
 * Opens what `config` says: several may live in one process, each with a data directory, an id and addresses of its own.
 * @throws WadiError when the data directory, an address, a certificate or the control socket cannot be had; then nothing stays open
 */
export async function openGateway(config: Config, options: GatewayOptions = {}): Promise<Gateway> {
  const closers = new Closers()
  try {
    return await wire(config, options, closers)
  } catch (error) {
    await closers.close().catch(() => undefined)
    throw error
  }
}

async function wire(config: Config, options: GatewayOptions, closers: Closers): Promise<Gateway> {
  const { edges = openEdges(), log = () => undefined, onRecovery = () => undefined, fatal = () => undefined } = options
  const { tls, listeners, kafka } = await bindDoors(config, edges, log, closers)
  const lack = await lackOfRoom(config, edges.disk)
  if (lack !== null) log('warn', `the disk of ${config.gateway.data} has too little room: ${lack}`)
  const openFiles = lackOfOpenFiles(config)
  if (openFiles !== null) log('warn', openFiles)
  const stopWatching = watchOpenFiles(log)
  closers.add(async () => stopWatching())
  const store = await openStore(config, { edges, log, onRecovery })
  closers.add(() => store.close())

  // Also without a listener: an open transaction that a client left in this directory has to end.
  let uplink: GrowingUplink | null = null
  store.onTopicDeleted(({ name, partitions }) => {
    uplink?.remove(name)
    log('info', `deleted topic ${name} with ${partitionWords(partitions.length)}`, { topic: name })
  })
  const refusedBatches = new RefusedTopics()
  const { table } = compileRoutes(routesConfigOf(config), payloadDecoders)
  const names = [...config.topics.keys(), ...table.topicNames]
  const topicRules = rulesOf(config, store, { log, claimed: names, onChanged: ({ name }) => uplink?.add(name) })
  const broker = openGatewayBroker(config, { store, edges, log }, { topicRules, refusedBatches })
  closers.add(async () => broker.close())

  const makeTopic = (name: string, topicConfig: TopicConfig): Promise<Topic> => broker.topics.ensureOwn(name, topicConfig)
  const topicsSetup = await setUpTopics({ ...edges, store, config, names, log, makeTopic }, closers)
  if (config.upstream) uplink = openUplink(config, config.upstream, { store, edges, log })
  closers.add(async () => uplink?.close({ deadlineMs: UPLINK_CLOSE_MS }))
  const createTopic = topicMaker(config, { store, log, makeTopic })
  const ingest = new Ingest({ store, core: edges.core, clock: edges.clock, table, createTopic, onUnrouted: unroutedLog(log) })
  uplink?.start()

  const mqtt = await openMqtt(listeners, { ingest, store, edges, log, limits: config.mqtt_limits }, closers)
  closers.add(() => mqtt.close())
  if (kafka) serveKafka(kafka, { broker, store, edges }, closers)

  watchStore(store, closers, (failure) => {
    log('error', failure.message, failure.facts)
    void mqtt.close() // devices keep what they have; what is in flight has been refused
    fatal(failure)
  })
  const metrics = registered({ config, edges, tls, store, broker, refusedBatches, ingest, mqtt, kafka, uplink })
  const reporter = new StatusReporter({ config, metrics, store, topicsSetup, edges, tls, ingest, mqtt, kafka, refusedBatches, uplink })
  closers.add(() => Promise.resolve(reporter.close()))
  const source = { store, ...edges }
  const desk = new SessionDesk(mqtt, log)
  await openDoors(config, { reporter, metrics, source, desk, log }, closers)

  const addresses = { mqtt: mqtt.addresses.map(formatAddress), kafka: kafka && formatAddress(kafka.address) }
  sayReady(addresses, config.gateway.data, log)
  return {
    addresses,
    get failure() {
      return store.failure
    },
    get storedEvents() {
      return ingest.metrics.stored
    },
    status: () => reporter.report(),
    metrics: () => metrics.collect(),
    records: (topicNames, options) => recordsOf(source, topicNames, options),
    deleteTopic: (name, options) => deleteTopic(config, store, name, options),
    sessions: (query) => desk.list(query),
    session: (clientId) => desk.describe(clientId),
    endSession: (clientId) => desk.end(clientId),
    reloadCertificates: () => tls.look({ isAsked: true }),
    close: () => closers.close()
  }
}

interface Answering {
  readonly reporter: StatusReporter
  readonly metrics: Metrics
  readonly source: TailSource
  readonly desk: SessionDesk
  readonly log: Log
}

/** The control sockets: one for looking, one for changing. */
async function openDoors(config: Config, { reporter, metrics, source, desk, log }: Answering, closers: Closers): Promise<void> {
  const handlers: Record<string, ControlHandler> = {
    status: async ({ send }) => void (await send(await reporter.report())),
    metrics: async ({ send }) => void (await send({ text: metricsText(metrics.collect()) })),
    tail: ({ parameters, signal, send }) => feedTail(source, readTailRequest(parameters), { signal, send }),
    ...desk.lookHandlers
  }
  const control = await openControlDoor(config, handlers, { log })
  closers.add(() => control.close())
  const admin = await openControlDoor(config, desk.changeHandlers, { log, socket: ADMIN_SOCKET })
  closers.add(() => admin.close())
}

interface Counting {
  readonly config: Config
  readonly edges: Edges
  readonly tls: TlsDoors
  readonly store: LogStore
  readonly broker: Broker
  readonly refusedBatches: RefusedTopics
  readonly ingest: Ingest
  readonly mqtt: MqttBroker
  readonly kafka: KafkaListener | null
  readonly uplink: GrowingUplink | null
}

/** The registry of this gateway: every part says beside itself what it counts. */
function registered({ config, edges, tls, store, broker, refusedBatches, ingest, mqtt, kafka, uplink }: Counting): Metrics {
  const metrics = new Metrics()
  registerProcess(metrics, { id: config.gateway.id, startedMs: edges.clock.wallMs() })
  registerStore(metrics, store)
  registerAppends(metrics, broker.appends, refusedBatches)
  registerIngest(metrics, ingest)
  registerMqtt(metrics, mqtt)
  if (kafka) registerKafka(metrics, kafka)
  if (tls.counts.length > 0) registerTls(metrics, () => tls.counts)
  if (uplink) registerUplink(metrics, uplink)
  return metrics
}

/** For templates of routes. */
function topicMaker(
  config: Config,
  { store, log, makeTopic }: { store: Store; log: Log; makeTopic(name: string, topicConfig: TopicConfig): Promise<Topic> }
): (name: string) => Promise<Topic> {
  return async (name) => {
    const isNew = !store.topics.has(name)
    const topic = await makeTopic(name, topicConfigOf(config, name))
    if (isNew) log('info', `made topic ${name} with ${partitionWords(topic.partitions.length)}, for an event of a route`, { topic: name })
    return topic
  }
}

function rulesOf(
  config: Config,
  store: Store,
  { log, claimed, onChanged }: { log: Log; claimed: readonly string[]; onChanged(topic: Topic): void }
): TopicRules {
  const told = topicChangesLog(log)
  return topicRulesOf(config, store, {
    ...told,
    claimed,
    onCreated(topic, maker) {
      onChanged(topic)
      told.onCreated(topic, maker)
    },
    onAltered(topic, words) {
      onChanged(topic) // it may have more partitions, which nobody watches yet
      told.onAltered(topic, words)
    }
  })
}

function sayReady(addresses: Gateway['addresses'], data: string, log: Log): void {
  const doors = `MQTT on ${addresses.mqtt.join(', ') || 'no address'}${addresses.kafka ? `, Kafka on ${addresses.kafka}` : ''}`
  log('info', `ready: ${doors}, data in ${data}`, { ...addresses, data })
}

function openGatewayBroker(
  config: Config,
  { store, edges, log }: Inside,
  { topicRules, refusedBatches }: { topicRules: TopicRules; refusedBatches: RefusedTopics }
): Broker {
  const tellRefusal = refusalLog(log)
  const onRefused = (refusal: RefusedBatch): void => {
    refusedBatches.add(refusal.topicName, refusal.fault)
    tellRefusal(refusal)
  }
  return openBroker({ ...edges, store, settings: brokerSettingsOf(config), topicRules, onRefused, onFull: fullLog(log) })
}

async function setUpTopics(options: TopicsSetupOptions, closers: Closers): Promise<TopicsSetup> {
  const setup = new TopicsSetup(options)
  closers.add(async () => setup.stop())
  await setup.run()
  return setup
}

function serveKafka(
  kafka: KafkaListener,
  { broker, store, edges }: { broker: Broker; store: Store; edges: Edges },
  closers: Closers
): void {
  kafka.open({ broker, clusterId: store.logId, release: (block) => edges.codec.release(block) })
  closers.add(async () => {
    await kafka.close()
    broker.close() // answers what waits
    await kafka.settled()
  })
}

function watchStore(store: LogStore, closers: Closers, onFailure: (failure: WadiError) => void): void {
  const timer = setInterval(() => {
    if (!store.failure) return
    clearInterval(timer)
    onFailure(store.failure)
  }, FAILURE_SEEN_MS)
  timer.unref()
  closers.add(async () => clearInterval(timer))
}

async function openStore(
  config: Config,
  { edges, log, onRecovery }: { edges: Edges; log: Log; onRecovery: NonNullable<GatewayOptions['onRecovery']> }
): Promise<LogStore> {
  const store = await LogStore.open({
    ...edges,
    directory: config.gateway.data,
    settings: storageSettings(config),
    onProgress: ({ done, total }) => onRecovery({ done, total })
  }).finally(() => onRecovery(null))
  const { report } = store
  if (report.wasUnclean) {
    const words = `recovered after an unclean stop in ${formatDuration(report.durationMs)}: ${formatCount(report.replayedRecords)} events from the journal`
    log('info', words, { replayedRecords: report.replayedRecords, durationMs: report.durationMs })
  }
  for (const finding of recoveryFindings(report)) log('warn', finding)
  store.onDropped(({ topicName, partitionIndex, startOffset, endOffset, reason, isDelivered }) => {
    const isDamage = reason === 'damage' || reason === 'hole'
    if (isDelivered && !isDamage) return
    const what = isDelivered ? 'are damaged, the centre has them: readers pass over them' : 'are gone before they were delivered'
    const words = `${topicName}-${partitionIndex}: offsets ${startOffset} to ${endOffset - 1} ${what} (${reason})`
    log('warn', words, { topic: topicName, partition: partitionIndex, startOffset, endOffset, reason })
  })
  return store
}

function storageSettings({ storage, kafka }: Config): Partial<StorageSettings> {
  return {
    // What the gateway compresses is read by its own Kafka clients too, and not all of them know zstd.
    ...(kafka && { defaultCodec: 'gzip' }),
    journalFileCount: storage.journal.files,
    journalFileBytes: Math.ceil(storage.journal.file_size / 4096) * 4096,
    lingerMs: storage.linger,
    sealBytes: storage.seal.bytes,
    sealAgeMs: storage.seal.age,
    segmentBytes: storage.segment_bytes,
    quotaBytes: storage.quota
  }
}

interface Inside {
  readonly store: LogStore
  readonly edges: Edges
  readonly log: Log
}

interface Doors {
  readonly tls: TlsDoors
  readonly listeners: readonly Listener[]
  readonly kafka: KafkaListener | null
}

/** Before anything is written: an address that is taken, or a certificate that cannot be used, changes nothing. */
async function bindDoors(config: Config, edges: Edges, log: Log, closers: Closers): Promise<Doors> {
  const tls = await TlsDoors.open(config, { log, clock: edges.clock })
  closers.add(async () => tls.close())
  const listeners = await bindListeners(config, tls, edges, closers)
  if (!config.kafka) return { tls, listeners, kafka: null }
  const kafka = createKafka(config.kafka, tls.handshakesOf(KAFKA_TLS_KEY), log)
  return { tls, listeners, kafka: await bindKafka(kafka, config, edges, closers) }
}

async function bindListeners(config: Config, tls: TlsDoors, edges: Edges, closers: Closers): Promise<Listener[]> {
  const listeners: Listener[] = []
  for (const [index, { listen, limits }] of config.mqtt.entries()) {
    const { host, port } = listen
    const { packet: packetBytesMax, connections: connectionsMax, connections_per_address: connectionsPerAddressMax } = limits
    const handshakes = tls.handshakesOf(mqttTlsKey(index))
    const listener = new Listener({ host, port, handshakes, limits: { packetBytesMax, connectionsMax, connectionsPerAddressMax } })
    await bindDoor(listener, { listen, name: 'MQTT', key: 'mqtt[].listen' }, config, edges)
    closers.add(async () => listener.stopAccepting())
    listeners.push(listener)
  }
  return listeners
}

async function bindKafka(listener: KafkaListener, config: Config, edges: Edges, closers: Closers): Promise<KafkaListener> {
  const { listen } = config.kafka as KafkaSection
  await bindDoor(listener, { listen, name: 'Kafka', key: 'kafka.listen' }, config, edges)
  closers.add(() => listener.close())
  return listener
}

interface Door {
  readonly listen: Address
  readonly name: string
  /** Of the configuration. */
  readonly key: string
}

/** @throws WadiError WADI_UNAVAILABLE, WADI_DATA_DIR_LOCKED */
async function bindDoor(listener: { bind(): Promise<void> }, door: Door, config: Config, edges: Edges): Promise<void> {
  try {
    await listener.bind()
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') await throwWhenOpenElsewhere(config.gateway.data, edges)
    throw addressUnavailable(door, cause as NodeJS.ErrnoException)
  }
}

/** The same gateway, started twice, is what most often holds the address. @throws WadiError WADI_DATA_DIR_LOCKED */
async function throwWhenOpenElsewhere(directory: string, { disk }: Edges): Promise<void> {
  try {
    await (await disk.lock(directory)).release()
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ELOCKED') throw asStoreError(error, directory)
    // No directory yet, or one that cannot be used: the address is what there is to tell.
  }
}

function addressUnavailable({ listen, name, key }: Door, cause: NodeJS.ErrnoException): WadiError {
  const { code = String(cause) } = cause
  return new WadiError('WADI_UNAVAILABLE', {
    happened: `${name} cannot listen on ${formatAddress(listen)} (${code}).`,
    kept: 'Nothing was written; what is stored is untouched.',
    next: code === 'EADDRINUSE' ? `Another program has this port: stop it, or choose another in ${key}.` : `Check ${key}.`,
    cause
  })
}

/** Rejected events end their connection, which is told each time (onEvent). */
function unroutedLog(log: Log): NonNullable<ConstructorParameters<typeof Ingest>[0]['onUnrouted']> {
  return (mqttTopic, clientId, action) => {
    if (action === 'reject') return
    const words = `no route takes the MQTT topic ${JSON.stringify(mqttTopic)} of ${clientId || 'a client without id'}: its events are dropped (unmatched)`
    log('warn', words, { mqttTopic, clientId })
  }
}

async function openMqtt(
  listeners: readonly Listener[],
  { ingest, store, edges, log, limits }: Inside & { ingest: Ingest; limits: MqttLimitsSection },
  closers: Closers
): Promise<MqttBroker> {
  const dropped = new DroppedLog(log)
  const notRetained = new NotRetainedLog(log)
  closers.add(async () => {
    dropped.close() // after the broker
    notRetained.close()
  })
  const broker = createMqttBroker({
    ingest,
    store,
    core: edges.core,
    codec: edges.codec,
    lane: new PublishLane({ ...edges, appends: store.lane, ingest }),
    limits: brokerLimits(limits),
    version: VERSION,
    onEvent: mqttLog(log),
    onTakeover: takeoverLog(log),
    onNotRetained: (message) => notRetained.note(message),
    onDrop: (clientId, why) => dropped.note(clientId, why),
    onDamage: ({ story }) => log('warn', `${story.happened} It is left out.`, story.facts)
  })
  await broker.start()
  for (const listener of listeners) broker.addListener(listener)
  return broker
}

/** The uplink, and a way to let it know of a topic that a route makes later. */
interface GrowingUplink {
  start(): void
  add(topicName: string): void
  remove(topicName: string): void
  status(): UplinkStatus
  close(options: { deadlineMs: number }): Promise<void>
}

function openUplink(config: Config, section: UpstreamSection, { store, edges, log }: Inside): GrowingUplink {
  const topics = deliveredTopics(config, store.topics.keys())
  const upstream = new KafkaUpstream({
    brokers: section.brokers.map(formatAddress),
    transactionalId: `wadi.${config.gateway.id}`,
    groupId: `wadi.${config.gateway.id}`,
    clientId: `wadi-${config.gateway.id}`,
    transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
    clock: edges.clock
  })
  const uplink = new Uplink({
    ...edges,
    store,
    upstream,
    settings: {
      topics,
      gatewayId: config.gateway.id,
      compression: section.compression,
      transactionBytesMax: section.transaction_bytes,
      lingerMs: section.linger,
      createTopics: section.create_topics,
      deadLetterTopic: config.dead_letter.topic
    }
  })
  uplink.onNotice(({ kind, text, facts }) => log(kind === 'let-in' ? 'info' : 'warn', text, { kind, ...facts }))
  let told = ''
  uplink.onStatus(({ state, lastError }) => {
    if (state === 'closed') return // we stop
    const words = lastError ? `uplink ${state}: ${lastError}` : `uplink ${state}`
    const summary = isUp(state) ? 'up' : words
    if (summary !== told && state !== 'connecting') log(isUp(state) ? 'info' : 'warn', isUp(state) ? 'uplink up' : words)
    if (state !== 'connecting') told = summary
  })
  return {
    start: () => uplink.start(),
    add: (topicName) => {
      for (const [edgeTopic, target] of deliveredTopics(config, [topicName])) uplink.addTopic(edgeTopic, target)
    },
    remove: (topicName) => uplink.removeTopic(topicName),
    status: () => uplink.status(),
    close: (options) => uplink.close(options)
  }
}

async function deleteTopic(
  config: Config,
  store: Store,
  name: string,
  { undelivered = 'refuse' }: Partial<DeleteOptions> = {}
): Promise<void> {
  const place = placeOfTopic(config, name)
  if (place !== null) throw topicInUse(name, place)
  await store.deleteTopic(name, { undelivered })
}

function topicInUse(name: string, place: string): WadiError {
  return new WadiError('WADI_TOPIC_IN_USE', {
    happened: `Topic ${name} cannot be deleted: ${place} of the configuration names it.`,
    kept: 'Nothing was deleted.',
    next: 'Take it out of the configuration first; the next start would make it again.',
    facts: { topic: name, place }
  })
}

async function* recordsOf(
  source: TailSource,
  patterns: readonly string[],
  { from = 'end', follow: isFollowing = true, signal = new AbortController().signal, onMissing = () => {} }: RecordsOptions = {}
): AsyncGenerator<PlacedRecord, void, void> {
  const begin = { from: from === 'start' ? 'beginning' : 'end' } as const
  for await (const item of tailItems(source, { patterns, begin, sinceMs: null, untilMs: null, isFollowing }, signal)) {
    if ('placed' in item) yield item.placed
    else onMissing(item.missing)
  }
}

// MQTT for devices: aedes for sessions, subscriptions, wills and retained messages; our gate in front of it, our log behind it. One
// broker, however many listeners: one QoS 2 memory, one store of sessions; a client id is connected once, over whichever listener.
//
//   listener → socket → gate (bytes) → aedes (packets) → authorizePublish → ingest → append, sync → PUBACK / PUBREC → local subscribers
//
// aedes 1.2.0 acknowledges before it stores; authorizePublish is the one hook it waits for before that, so the append and its sync
// happen inside. An error there closes the connection without an acknowledgement and the device sends again.
//
// Invariants: no PUBACK and no PUBREC before the sync; they leave in the order of the PUBLISHes; a refused event (QoS 1, 2) closes
// its connection and no other; local subscribers see a message after its commit and are never waited for.
// Nothing a client sends is kept for, or sent to, another client unchecked: aedes' serializer throws on what it does not know, and
// the connection that then closes is the receiver's. Topics are checked by the gate, wills in #checkConnect, flags in #takePublish.
// Not for: routing and partitions (runtime/broker), transports (listener.ts), users (their place: authenticate below).

import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { Aedes, type AuthenticateError, type Client, type ConnectPacket, type PublishPacket, type Subscription } from 'aedes'
import { writeToStream } from 'mqtt-packet'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { Ingest } from '../../runtime/broker/ingest.ts'
import { hasControlCharacter } from '../../runtime/broker/route-filter.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { Store } from '../../runtime/log/contract.ts'
import { type AckCallback, AckQueue, type PendingAck } from './ack-queue.ts'
import { type Brake, Gate, guardSocket } from './gate.ts'
import { type BrokerLimits, defaultMqttLimits, type ListenerLimits } from './limits.ts'
import type { Listener } from './listener.ts'
import { LocalDelivery } from './local-delivery.ts'
import { waitForConnect, waitForKeepAlive } from './patience.ts'
import { Qos2Memory } from './qos2-memory.ts'
import { type CloseReason, closeReasonOf, GateFault } from './reasons.ts'
import { type Persistence, type SessionClient, SessionStore } from './session-store.ts'
import { joinSmallWrites } from './small-writes.ts'
import { keepOnePerClientId, type Registry } from './takeover.ts'

export interface MqttEvent {
  readonly kind: 'closed'
  readonly reason: CloseReason
  /** Words for a log; may hold shortened text from outside. */
  readonly detail: string
  readonly clientId: string | null
  readonly remoteAddress: string
}

/** Live counters since the start. */
export interface MqttMetrics {
  readonly connections: number
  readonly acceptedConnections: number
  /** Connections that we closed, or that failed, by reason. */
  readonly closed: ReadonlyMap<CloseReason, number>
  /** QoS 0 messages that storage refused. */
  readonly qos0Lost: number
  readonly qos2Remembered: number
  readonly qos2Repeats: number
  readonly qos2GivenUp: number
  readonly deliveriesDropped: number
  readonly offlineDropped: number
  readonly retainedRefused: number
}

export interface MqttBrokerOptions {
  readonly ingest: Ingest
  readonly store: Pick<Store, 'commit' | 'listState' | 'getState'>
  readonly core: Pick<Core, 'crc32c'>
  readonly limits?: Partial<BrokerLimits>
  readonly onEvent?: (event: MqttEvent) => void
}

export interface MqttBroker {
  /** Before the first listener is added. */
  start(): Promise<void>
  /** Takes what connects to a bound listener from now on, and what it holds. */
  addListener(listener: Listener): void
  /** Accepts and reads no more, lets what is in flight be acknowledged (bounded), then ends all connections. */
  close(): Promise<void>
  /** Where its listeners listen now. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  readonly metrics: MqttMetrics
}

const DRAIN_MS_MAX = 5_000
const GOODBYE_MS_MAX = 500
/** Before a connection is closed because of a refused packet: what is acknowledged leaves first. */
const ACKS_LEAVE_MS = 20
const ACKS_LEAVE_MS_MAX = 1_000
const DETAIL_CHARACTERS_MAX = 200
const QUEUED_BEFORE_CONNACK_MAX = 1_000
const FILTER_CHARACTERS_MAX = 1_024
const IDENTIFIER_REJECTED = 2

// Headers are built in place: the table of all 65,536 numbers takes 12 MB of resident memory (72 MiB with it, 60 without, after the first packet).
writeToStream.cacheNumbers = false

export function createMqttBroker(options: MqttBrokerOptions): MqttBroker {
  return new AedesBroker(options)
}

/** What is known of a connection beside its session. */
interface Connection {
  readonly limits: ListenerLimits
  /** A closed socket no longer tells. */
  readonly remoteAddress: string
  /** The brake keeps its bytes in the socket. */
  readonly isHeld: () => boolean
}

class AedesBroker implements MqttBroker {
  readonly #ingest: Ingest
  readonly #limits: BrokerLimits
  readonly #onEvent: (event: MqttEvent) => void
  readonly #listeners: Listener[] = []
  readonly #delivery: LocalDelivery
  readonly #qos2: Qos2Memory
  readonly #sessions: SessionStore
  readonly #brake: Brake
  readonly #aedes: Aedes
  #closing: Promise<void> | null = null
  #qos0Lost = 0
  readonly #closed = new Map<CloseReason, number>()
  readonly #counted = new WeakSet<Client>()
  /** By socket. */
  readonly #connections = new WeakMap<object, Connection>()
  readonly #ackQueues = new WeakMap<Client, AckQueue>()
  /** Of connections whose CONNECT must be refused: why. */
  readonly #refusedConnects = new WeakMap<Client, CloseReason>()
  readonly #repeats = new WeakSet<object>()
  /** Neither stored nor to be delivered. */
  readonly #lost = new WeakSet<object>()
  #pendingCount = 0

  constructor({ ingest, store, core, limits, onEvent = () => {} }: MqttBrokerOptions) {
    this.#ingest = ingest
    this.#limits = { ...defaultMqttLimits, ...limits }
    this.#onEvent = onEvent
    const { outboundBytesMax, qos2PerClientMax, qos2TotalMax } = this.#limits
    this.#delivery = new LocalDelivery({ outboundBytesMax })
    this.#aedes = this.#createAedes()
    const clients = (this.#aedes as unknown as { clients: Record<string, unknown> }).clients
    const isConnected = (clientId: string): boolean => clients[clientId] !== undefined
    this.#qos2 = new Qos2Memory({ store, core, perClientMax: qos2PerClientMax, totalMax: qos2TotalMax, isConnected })
    this.#sessions = new SessionStore({
      limits: this.#limits,
      qos2: this.#qos2,
      isFilterAllowed,
      isRepeat: (packet) => this.#repeats.has(packet)
    })
    this.#brake = this.#createBrake()
  }

  get addresses(): { host: string; port: number }[] {
    return this.#listeners.flatMap(({ address }) => address ?? [])
  }

  get metrics(): MqttMetrics {
    return {
      connections: this.#listeners.reduce((sum, { sockets }) => sum + sockets.size, 0),
      acceptedConnections: this.#listeners.reduce((sum, { acceptedCount }) => sum + acceptedCount, 0),
      closed: this.#closed,
      qos0Lost: this.#qos0Lost,
      qos2Remembered: this.#qos2.rememberedCount,
      qos2Repeats: this.#qos2.repeatCount,
      qos2GivenUp: this.#qos2.givenUpCount,
      deliveriesDropped: this.#delivery.droppedCount,
      ...this.#sessions.metrics
    }
  }

  async start(): Promise<void> {
    await this.#aedes.listen()
    this.#sessions.install((this.#aedes as unknown as { persistence: Persistence }).persistence)
  }

  addListener(listener: Listener): void {
    this.#listeners.push(listener)
    listener.open({
      onConnection: (socket, limits) => this.#onConnection(socket, limits),
      onRefused: (remoteAddress, { connectionsMax }) =>
        this.#countClosed('connections-full', { detail: `more than ${connectionsMax}`, clientId: null, remoteAddress })
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    for (const listener of this.#listeners) listener.stopAccepting()
    await waitUntil(() => this.#pendingCount === 0, DRAIN_MS_MAX)
    for (const socket of this.#sockets()) socket.end()
    await waitUntil(() => this.#haveAllLeft(), GOODBYE_MS_MAX)
    await new Promise<void>((resolve) => this.#aedes.close(resolve))
    for (const socket of this.#sockets()) socket.destroy()
    await waitUntil(() => this.#pendingCount === 0, DRAIN_MS_MAX)
  }

  #sockets(): Socket[] {
    return this.#listeners.flatMap(({ sockets }) => [...sockets])
  }

  /** The brake discards what is read now; reading lets the end of the peer be seen. */
  #haveAllLeft(): boolean {
    const sockets = this.#sockets()
    for (const socket of sockets) socket.read()
    return sockets.length === 0
  }

  #createAedes(): Aedes {
    const { connectTimeoutMs, drainTimeoutMs, qos2PerClientMax } = this.#limits
    const aedes = new Aedes({
      mq: this.#delivery,
      connectTimeout: connectTimeoutMs,
      drainTimeout: drainTimeoutMs,
      queueLimit: QUEUED_BEFORE_CONNACK_MAX,
      maxInflightInbound: qos2PerClientMax,
      preConnect: (client, packet, callback) => this.#checkConnect(client, packet, callback),
      authenticate: (client, _username, _password, callback) => this.#authenticate(client, callback),
      authorizePublish: (client, packet, callback) => this.#takePublish(client, packet, callback),
      authorizeSubscribe: (client, subscription, callback) =>
        callback(null, this.#maySubscribe(client, subscription) ? subscription : null),
      // Topics under $ are the session layer's own business.
      authorizeForward: (_client, packet) => (packet.topic.startsWith('$') ? null : packet)
    })
    aedes.on('client', (client) => waitForKeepAlive(client, this.#connections.get(client.conn)?.isHeld ?? (() => false)))
    aedes.on('clientError', (client, error) => this.#onFailed(client, error))
    aedes.on('connectionError', (client, error) => this.#onFailed(client, error))
    // Raised when a will of a vanished session cannot be stored: it is counted by ingest.
    ;(aedes as unknown as EventEmitter).on('error', () => {})
    keepOnePerClientId(aedes as unknown as Registry)
    const publish = aedes.publish.bind(aedes) as (packet: PublishPacket, client: unknown, done: unknown) => void
    const publishStored = (packet: PublishPacket, client: unknown, done: () => void): void => {
      if (this.#lost.has(packet)) setImmediate(done)
      else if (this.#isForNobody(packet)) done()
      else publish(packet, client, done)
    }
    aedes.publish = publishStored as unknown as Aedes['publish']
    return aedes
  }

  /** Mostly nobody subscribes on a gateway; asking for each packet and each subscriber's queue would be a tenth of the time. */
  #isForNobody(packet: PublishPacket): boolean {
    return !packet.retain && !packet.topic.startsWith('$') && !this.#delivery.hasListeners && !this.#sessions.hasSubscribers
  }

  #createBrake(): Brake {
    const ingest = this.#ingest
    const position = (): Brake['position'] => (this.#closing ? 'discard' : ingest.isCrowded ? 'wait' : 'go')
    return {
      get position() {
        return position()
      },
      get readBytesMax() {
        return ingest.readBytesMax
      },
      onceRelieved: (callback) => ingest.onceRelieved(callback)
    }
  }

  #onConnection(socket: Socket, limits: ListenerLimits): void {
    const guarded = guardSocket(socket, new Gate(limits), this.#brake)
    joinSmallWrites(socket)
    const isHeld = (): boolean => guarded.isHeld
    this.#connections.set(socket, { limits, remoteAddress: socket.remoteAddress ?? '', isHeld })
    waitForConnect(this.#aedes.handle(socket), this.#limits.connectTimeoutMs, isHeld)
  }

  #checkConnect(client: Client, packet: ConnectPacket, callback: (error: Error | null, success: boolean) => void): void {
    const { clientId, will } = packet
    const isTooLong = Buffer.byteLength(clientId) > this.#limits.clientIdBytesMax
    if ((clientId === '' && packet.clean === false) || isTooLong || isUnprintable(clientId)) this.#refusedConnects.set(client, 'client-id')
    const { limits = defaultMqttLimits } = this.#connections.get(client.conn) ?? {}
    const fault = will ? willFault(will as unknown as Will, limits) : null
    if (fault) callback(new GateFault('will', fault), false)
    else callback(null, true)
  }

  /** Users come later; here is where they are checked. */
  #authenticate(client: Client, callback: (error: AuthenticateError | null, success: boolean | null) => void): void {
    const reason = this.#refusedConnects.get(client)
    if (reason === undefined) return callback(null, true)
    callback(Object.assign(new GateFault(reason, 'empty, too long, or not printable'), { returnCode: IDENTIFIER_REJECTED }), null)
  }

  #maySubscribe(client: Client, { topic }: Subscription): boolean {
    if (!isFilterAllowed(topic) || !this.#sessions.maySubscribe(client as unknown as SessionClient)) return false
    const { subscriptions } = client as unknown as { subscriptions: Record<string, unknown> }
    return Object.keys(subscriptions).length < this.#limits.subscriptionsPerClientMax || subscriptions[topic] !== undefined
  }

  #takePublish(client: Client | null, packet: PublishPacket, callback: AckCallback): void {
    if (packet.topic.startsWith('$')) return callback(new GateFault('topic-reserved', packet.topic.slice(0, DETAIL_CHARACTERS_MAX)))
    // A will has no packet id and, after a crash of another kind, no client.
    if (client === null || packet.cmd !== 'publish') return this.#takeWill(client, packet, callback)
    packet.dup = false // says that this PUBLISH is a repeat, nothing about those we send (MQTT-3.3.1-3)
    const queue = this.#queueOf(client)
    if (queue.isClosing) return
    this.#pendingCount++
    const ack = queue.add(callback)
    if (packet.qos === 2) this.#takeOnce(client, packet, ack)
    else this.#store(client, packet, ack)
    ack.isInside = false
  }

  /** QoS 0 and 1. A QoS 0 message that storage refuses is lost, as QoS 0 says, and counted; its connection stays. */
  #store(client: Client, packet: PublishPacket, ack: PendingAck): void {
    const event = { mqttTopic: packet.topic, clientId: client.id, payload: packet.payload as Uint8Array, qos: packet.qos }
    this.#ingest.accept(event, (error) => {
      if (error === null || packet.qos > 0 || isRefusedByRule(error)) return this.#settle(ack, error)
      this.#qos0Lost++
      this.#lost.add(packet)
      this.#settle(ack, null)
    })
  }

  #takeOnce(client: Client, packet: PublishPacket, ack: PendingAck): void {
    const payload = packet.payload as Uint8Array
    const known = this.#qos2.begin(client, { packetId: packet.messageId ?? 0, mqttTopic: packet.topic, payload })
    if (known.kind === 'full') return this.#settle(ack, new GateFault('qos2-window', 'too many packets without PUBREL'))
    if (known.kind === 'later') {
      return known.whenSettled(() => (isClosed(client) ? this.#settle(ack, connectionClosed()) : this.#takeOnce(client, packet, ack)))
    }
    if (known.kind === 'repeat') {
      this.#repeats.add(packet)
      return known.whenDone((error) => this.#settle(ack, error))
    }
    const event = { mqttTopic: packet.topic, clientId: client.id, payload, qos: 2 as const, state: known.state }
    this.#ingest.accept(event, (error, isStored) => {
      known.settle(error, isStored)
      this.#settle(ack, error)
    })
  }

  #settle(ack: PendingAck, error: Error | null): void {
    this.#pendingCount--
    ack.settle(error)
  }

  #takeWill(client: Client | null, will: PublishPacket, callback: AckCallback): void {
    const clientId = client?.id ?? (will as { clientId?: string }).clientId ?? ''
    const payload = typeof will.payload === 'string' ? Buffer.from(will.payload) : will.payload
    this.#pendingCount++
    this.#ingest.accept({ mqttTopic: will.topic, clientId, payload, qos: will.qos }, (error) => {
      this.#pendingCount--
      setImmediate(callback, error)
    })
  }

  #queueOf(client: Client): AckQueue {
    const known = this.#ackQueues.get(client)
    if (known) return known
    const queue = new AckQueue((then) => whenWritten(client.conn as Socket, then))
    this.#ackQueues.set(client, queue)
    return queue
  }

  #onFailed(client: Client, error: Error): void {
    if (this.#counted.has(client)) return
    this.#counted.add(client)
    const { remoteAddress = '' } = this.#connections.get(client.conn) ?? {}
    this.#countClosed(closeReasonOf(error), { detail: error.message, clientId: client.id ?? null, remoteAddress })
  }

  #countClosed(reason: CloseReason, { detail, clientId, remoteAddress }: Omit<MqttEvent, 'kind' | 'reason'>): void {
    this.#closed.set(reason, (this.#closed.get(reason) ?? 0) + 1)
    this.#onEvent({ kind: 'closed', reason, detail: detail.slice(0, DETAIL_CHARACTERS_MAX), clientId, remoteAddress })
  }
}

const isClosed = (client: Client): boolean => (client as unknown as { closed: boolean }).closed
const connectionClosed = (): Error => new Error('connection closed')

/** By the configuration or the size of the event: sending it again would not help. */
function isRefusedByRule(error: WadiError): boolean {
  return error.code === 'WADI_RECORD_INVALID' || error.code === 'WADI_RECORD_TOO_LARGE'
}

/** U+FFFD stands for bytes that were not UTF-8: two such ids would be taken for one. */
function isUnprintable(text: string): boolean {
  return hasControlCharacter(text) || text.includes('\ufffd')
}

interface Will {
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly qos: number
}

/** The parser takes QoS 3. */
function willFault({ topic, payload, qos }: Will, { mqttTopicBytesMax, willBytesMax }: ListenerLimits): string | null {
  if (qos > 2) return 'QoS 3 (MQTT-3.1.2-14)'
  if (!isTopicName(topic) || Buffer.byteLength(topic) > mqttTopicBytesMax) return 'its topic'
  return payload.length > willBytesMax ? 'its size' : null
}

function isTopicName(topic: string): boolean {
  return topic !== '' && !topic.startsWith('$') && !/[+#]/.test(topic) && !isUnprintable(topic)
}

/** $share and $SYS are not offered; a filter that is too long is nobody's. */
function isFilterAllowed(filter: string): boolean {
  return filter.length <= FILTER_CHARACTERS_MAX && !filter.startsWith('$') && !isUnprintable(filter)
}

/** What was handed to the socket has left it. A PUBREC is handed over a few turns of the loop after its packet is settled. */
function whenWritten(socket: Socket, then: () => void): void {
  const startedMs = performance.now()
  const isDone = (): boolean => socket.destroyed || (socket.writableLength === 0 && performance.now() - startedMs >= ACKS_LEAVE_MS)
  void waitUntil(isDone, ACKS_LEAVE_MS_MAX).then(then)
}

/** Looks every few milliseconds; gives up after `waitMsMax`. */
function waitUntil(isTrue: () => boolean, waitMsMax: number): Promise<void> {
  return new Promise((resolve) => {
    const startedMs = performance.now()
    const look = (): void => {
      if (isTrue() || performance.now() - startedMs > waitMsMax) resolve()
      else setTimeout(look, 5)
    }
    look()
  })
}

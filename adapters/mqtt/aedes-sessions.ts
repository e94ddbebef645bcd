// The session layer that is used: aedes, with our bounds around its persistence, our QoS 2 memory and our local delivery.
//
// aedes 1.2.0 acknowledges before it stores; authorizePublish is the one hook it waits for before that, so the append and its sync happen
// inside. An error there closes the connection without an acknowledgement and the device sends again.
//
// Nothing that a client sends is kept for, or sent to, another client unchecked: aedes' serializer throws on what it does not know, and
// the connection that then closes is the receiver's. So DUP is taken away here; topics are checked by the gate, wills by checkConnect.
// Not for: fields of aedes that are not documented (aedes-insides.ts).

import { Aedes, type AuthenticateError, type Client, type ConnectPacket, type PublishPacket } from 'aedes'
import {
  buildNumbersInPlace,
  clientIdOfWill,
  extendConnectTimeout,
  extendKeepAlive,
  interceptPublish,
  isConnected,
  isWill,
  keepOnePerClientId,
  onBrokerError,
  persistenceOf,
  reasonOfAedesError
} from './aedes-insides.ts'
import { GrantedFilters } from './granted-filters.ts'
import type { BrokerLimits } from './limits.ts'
import { LocalDelivery } from './local-delivery.ts'
import { isReserved } from './name-rules.ts'
import { Qos2Memory } from './qos2-memory.ts'
import { closeDetailOf, closeReasonOf, GateFault } from './reasons.ts'
import type {
  Connection,
  ConnectRefusal,
  PublishDone,
  SessionHandlers,
  SessionLayer,
  SessionLayerMetrics,
  SessionLayerOptions
} from './session-layer.ts'
import { SessionStore } from './session-store.ts'
import { versionWords } from './wire-read.ts'

const QUEUED_BEFORE_CONNACK_MAX = 1_000

buildNumbersInPlace()

export function createAedesSessions(options: SessionLayerOptions): SessionLayer {
  return new AedesSessions(options)
}

class AedesSessions implements SessionLayer {
  readonly qos2: Qos2Memory
  readonly #limits: BrokerLimits
  readonly #handlers: SessionHandlers
  readonly #delivery: LocalDelivery
  readonly #store: SessionStore
  readonly #aedes: Aedes
  /** By socket. */
  readonly #connections = new WeakMap<object, Connection>()
  /** Of connections whose CONNECT is answered with a refusal. */
  readonly #refusals = new WeakMap<Client, ConnectRefusal>()
  /** Of connections that have sent CONNECT: aedes keeps neither when it refuses them. */
  readonly #connects = new WeakMap<Client, { readonly version: number; readonly clientId: string }>()
  readonly #granted: GrantedFilters
  readonly #failed = new WeakSet<Client>()

  constructor({ limits, store, core, handlers }: SessionLayerOptions) {
    this.#limits = limits
    this.#handlers = handlers
    this.#granted = new GrantedFilters(limits.subscriptionsPerClientMax)
    const { outboundBytesMax, qos2PerClientMax, qos2TotalMax } = limits
    this.#delivery = new LocalDelivery({ outboundBytesMax })
    const aedes = this.#createAedes()
    this.#aedes = aedes
    this.qos2 = new Qos2Memory({
      store,
      core,
      perClientMax: qos2PerClientMax,
      totalMax: qos2TotalMax,
      isConnected: (clientId) => isConnected(aedes, clientId)
    })
    this.#store = new SessionStore({
      limits,
      qos2: this.qos2,
      isGranted: (client, filter) => this.#granted.has(client, filter),
      isRepeat: (packet) => handlers.isRepeat(packet)
    })
  }

  get metrics(): SessionLayerMetrics {
    return {
      qos2Remembered: this.qos2.rememberedCount,
      qos2Repeats: this.qos2.repeatCount,
      qos2GivenUp: this.qos2.givenUpCount,
      deliveriesDropped: this.#delivery.droppedCount,
      ...this.#store.metrics
    }
  }

  async start(): Promise<void> {
    await this.#aedes.listen()
    this.#store.install(persistenceOf(this.#aedes))
  }

  accept(connection: Connection): void {
    this.#connections.set(connection.socket, connection)
    extendConnectTimeout(this.#aedes.handle(connection.socket), this.#limits.connectTimeoutMs, connection.isPaused)
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#aedes.close(resolve))
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
      authenticate: (client, userName, password, callback) => this.#authenticate(client, { userName, password }, callback),
      authorizePublish: (client, packet, callback) => this.#takePublish(client, packet, callback),
      authorizeSubscribe: (client, subscription, callback) => callback(null, this.#grant(client, subscription.topic) ? subscription : null),
      authorizeForward: (_client, packet) => (isReserved(packet.topic) ? null : packet)
    })
    aedes.on('client', (client) => extendKeepAlive(client, this.#connectionOf(client).isPaused))
    aedes.on('clientError', (client, error) => this.#fail(client, error))
    aedes.on('connectionError', (client, error) => this.#fail(client, error))
    aedes.on('unsubscribe', (filters, client) => this.#granted.release(client, filters))
    onBrokerError(aedes, () => {}) // a will that cannot be stored: ingest has counted it
    keepOnePerClientId(aedes, (client, holder) =>
      this.#handlers.takenOver(this.#connectionOf(client), this.#connectionOf(holder), client.id)
    )
    interceptPublish(aedes, (packet, done) => this.#skipDelivery(packet, done))
    return aedes
  }

  #connectionOf(client: Client): Connection {
    return this.#connections.get(client.conn) as Connection
  }

  #checkConnect(client: Client, packet: ConnectPacket, callback: (error: Error | null, success: boolean) => void): void {
    this.#connects.set(client, { version: packet.protocolVersion ?? 0, clientId: packet.clientId })
    const refusal = this.#handlers.checkConnect(this.#connectionOf(client), packet)
    if (refusal?.returnCode === null) return callback(refusal.error, false)
    if (refusal) this.#refusals.set(client, refusal) // aedes can answer with CONNACK from `authenticate` on
    callback(null, true)
  }

  #authenticate(
    client: Client,
    { userName, password }: { userName?: string | undefined; password?: Uint8Array | undefined },
    callback: (error: AuthenticateError | null, success: boolean | null) => void
  ): void {
    const answer = (refusal: ConnectRefusal | null): void => {
      if (refusal === null) callback(null, true)
      else callback(Object.assign(refusal.error, { returnCode: refusal.returnCode ?? 5 }), null)
    }
    const refusal = this.#refusals.get(client)
    if (refusal) answer(refusal)
    else {
      const credentials = { userName: userName ?? null, password: password ?? null }
      this.#handlers.authenticate(client, this.#connectionOf(client), credentials, answer)
    }
  }

  /** Rights before room: a filter that nobody may have takes none. */
  #grant(client: Client, filter: string): boolean {
    if (!this.#handlers.maySubscribe(client, filter) || !this.#granted.grant(client, filter)) return false
    if (this.#store.admit(client)) return true
    this.#granted.release(client, [filter])
    return false
  }

  #takePublish(client: Client | null, packet: PublishPacket, callback: PublishDone): void {
    if (client === null || isWill(client, packet)) {
      return this.#handlers.publishWill(client, clientIdOfWill(client, packet), packet, callback)
    }
    packet.dup = false // it says that this PUBLISH is a repeat, and nothing about those that are sent on (MQTT-3.3.1-3)
    this.#handlers.publish(client, packet, callback)
  }

  /** Mostly nobody subscribes on a gateway; asking for each packet and each subscriber's queue would be a tenth of the time of ingest. */
  #skipDelivery(packet: PublishPacket, done: () => void): boolean {
    if (this.#handlers.isLost(packet)) setImmediate(done)
    else if (!packet.retain && !isReserved(packet.topic) && !this.#delivery.hasListeners && !this.#store.hasSubscribers) done()
    else return false
    return true
  }

  #fail(client: Client, error: Error): void {
    if (this.#failed.has(client)) return
    this.#failed.add(client)
    const connect = this.#connects.get(client)
    const clientId = connect?.clientId || (error instanceof GateFault && error.clientId) || null
    const ours = closeReasonOf(error)
    const reason = ours ?? reasonOfAedesError(error)
    const detail =
      reason === 'protocol-version' && !ours
        ? versionWords(connect?.version ?? 0)
        : ours || reason === 'protocol'
          ? closeDetailOf(error)
          : ''
    this.#handlers.failed(this.#connectionOf(client), clientId, reason, detail)
  }
}

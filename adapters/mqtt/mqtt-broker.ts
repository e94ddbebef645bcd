// The MQTT broker: listeners in front, sessions behind them, rights and durable storage between. One broker, however many listeners: one
// session layer, one QoS 2 memory; a client id is connected once, over whichever listener.
//
//   listener → client-connection.ts (packets) → mqtt-sessions.ts → publish-intake.ts → ingest → append, sync → PUBACK / PUBREC → local subscribers
//
// Invariants: no PUBACK and no PUBREC before the sync; they leave in the order of the PUBLISHes; a refused event (QoS 1, 2) closes
// its connection, or is answered with its reason (MQTT 5), and harms no other; local subscribers see a message after its commit and are never waited for.
// Not for: routing and partitions (runtime/broker), transports (listener.ts), packets (the session layer), rights (authorizer.ts).

import type { Socket } from 'node:net'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { Ingest } from '../../runtime/broker/ingest.ts'
import type { PublishLane } from '../../runtime/broker/publish-lane.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { BlockCodec } from '../../runtime/io/codec.ts'
import type { Store } from '../../runtime/log/contract.ts'
import { type Authorizer, type ClientIdentity, type ConnectDecision, everybody } from './authorizer.ts'
import type { DropReason } from './drop-reason.ts'
import { type BrokerLimits, defaultMqttLimits, type ListenerLimits } from './limits.ts'
import type { Listener } from './listener.ts'
import { createMqttSessions } from './mqtt-sessions.ts'
import { filterRefusal, isBridgeNotification, isClientIdAllowed, willFault } from './name-rules.ts'
import { type ConnectPacket, ReasonCode } from './packets.ts'
import { PublishIntake } from './publish-intake.ts'
import { type CloseReason, closeDetailOf, closeReasonOf, GateFault } from './reasons.ts'
import type {
  Connection,
  Credentials,
  ReadPause,
  Session,
  SessionHandlers,
  SessionLayer,
  SessionLayerFactory,
  SessionLayerMetrics
} from './session-layer.ts'
import type { Transport } from './socket-input.ts'
import { waitUntil } from './wait-until.ts'

export interface MqttEvent {
  /** A connection was closed, or a message of a connection that stays was refused, or a filter was. */
  readonly kind: 'closed' | 'refused' | 'not-subscribed'
  readonly reason: CloseReason | 'subscriptions-full'
  /** Words for a log; may hold shortened text from outside. */
  readonly detail: string
  readonly clientId: string | null
  readonly remoteAddress: string
}

/** A client id was connected, and another connection came with it: one device that came back, or two that have the same id. */
export interface Takeover {
  readonly clientId: string
  readonly remoteAddress: string
  readonly previousAddress: string
}

/** A message was stored and handed on, and there was no room to retain it. */
export interface NotRetained {
  readonly clientId: string
  /** null = it is the will of a client that is gone. */
  readonly remoteAddress: string | null
  readonly topic: string
  /** Which bound it met, in words. */
  readonly why: string
}

/** Live counters since the start. */
export interface MqttMetrics extends SessionLayerMetrics {
  readonly connections: number
  readonly acceptedConnections: number
  /** Connections that we closed, or that failed, by reason. */
  readonly closed: ReadonlyMap<CloseReason, number>
  /** QoS 0 messages that storage refused. */
  readonly qos0Lost: number
  /** Filters that were refused to clients. */
  readonly subscriptionsRefused: number
}

export interface MqttBrokerOptions {
  readonly ingest: Ingest
  readonly store: Pick<Store, 'commit' | 'submit' | 'listState' | 'getState' | 'topics'>
  readonly core: Core
  readonly codec: BlockCodec
  readonly limits?: Partial<BrokerLimits>
  /** Without one everybody may do everything. */
  readonly authorizer?: Authorizer
  /** The fast lane of ingest. It is not used with an authorizer that does not say when it changes. */
  readonly lane?: PublishLane | undefined
  /** Of the product, for $SYS. */
  readonly version?: string
  /** Without one it is mqtt-sessions.ts. */
  readonly createSessions?: SessionLayerFactory
  readonly onEvent?: (event: MqttEvent) => void
  readonly onTakeover?: (takeover: Takeover) => void
  /** Perhaps very often. */
  readonly onNotRetained?: (message: NotRetained) => void
  /** A message for a subscriber was dropped: perhaps very often. */
  readonly onDrop?: (clientId: string, why: DropReason) => void
  /** A retained message or will of the durable state that cannot be read at the start: it is left out. */
  readonly onDamage?: (error: WadiError) => void
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
  /** For who looks at them from outside, or ends one. */
  readonly sessions: Pick<SessionLayer, 'list' | 'find' | 'end'>
}

const DRAIN_MS_MAX = 5_000
const GOODBYE_MS_MAX = 500
const DETAIL_CHARACTERS_MAX = 200
/** Of a filter in a detail. */
const FILTER_CHARACTERS_MAX = 100

/** By the code of SUBACK; all others are wrong filters. */
const SUBSCRIBE_REFUSALS = new Map<number, MqttEvent['reason']>([
  [ReasonCode.quotaExceeded, 'subscriptions-full'],
  [ReasonCode.notAuthorized, 'not-authorized'],
  [ReasonCode.unspecified, 'storage']
])

/** CONNACK and reason of each refusal. */
const CONNECT_REFUSALS = {
  unavailable: { reasonCode: ReasonCode.serverUnavailable, reason: 'authorizer-unavailable' },
  'bad-credentials': { reasonCode: ReasonCode.badCredentials, reason: 'bad-credentials' },
  'not-authorized': { reasonCode: ReasonCode.notAuthorized, reason: 'not-authorized' }
} as const

export function createMqttBroker(options: MqttBrokerOptions): MqttBroker {
  return new Broker(options)
}

class Broker implements MqttBroker {
  readonly #authorizer: Authorizer
  readonly #limits: BrokerLimits
  readonly #onEvent: (event: MqttEvent) => void
  readonly #onTakeover: (takeover: Takeover) => void
  readonly #onNotRetained: (message: NotRetained) => void
  readonly #onDrop: (clientId: string, why: DropReason) => void
  /** Connections whose CONNECT has no client id. */
  readonly #nameless = new WeakSet<Connection>()
  readonly #listeners: Listener[] = []
  readonly #sessions: SessionLayer
  readonly #intake: PublishIntake
  readonly #readPause: ReadPause
  readonly #identities = new WeakMap<Session, ClientIdentity>()
  readonly #closed = new Map<CloseReason, number>()
  #subscriptionsRefused = 0
  #closing: Promise<void> | null = null

  constructor(options: MqttBrokerOptions) {
    const { ingest, store, core, codec, limits, authorizer = everybody, createSessions = createMqttSessions, version = '' } = options
    const { onEvent = () => {}, onTakeover = () => {}, onNotRetained = () => {}, onDrop = () => {}, onDamage = () => {} } = options
    this.#authorizer = authorizer
    this.#limits = { ...defaultMqttLimits, ...limits }
    this.#onEvent = onEvent
    this.#onTakeover = onTakeover
    this.#onNotRetained = onNotRetained
    this.#onDrop = onDrop
    const lane = authorizer.onChange && options.lane ? options.lane : null
    if (lane) authorizer.onChange?.(() => lane.forget())
    this.#sessions = createSessions({
      limits: this.#limits,
      store,
      core,
      codec,
      version,
      onDamage,
      handlers: this.#createHandlers(ingest, lane)
    })
    const identityOf = (session: Session): ClientIdentity => this.#identityOf(session)
    this.#intake = new PublishIntake({
      ingest,
      store,
      authorizer,
      qos2: this.#sessions.qos2,
      identityOf,
      onStored: (place) => this.#sessions.stored(place)
    })
    this.#readPause = this.#createReadPause(ingest)
  }

  get addresses(): { host: string; port: number }[] {
    return this.#listeners.flatMap(({ address }) => address ?? [])
  }

  get metrics(): MqttMetrics {
    return {
      connections: this.#listeners.reduce((sum, { openCount }) => sum + openCount, 0),
      acceptedConnections: this.#listeners.reduce((sum, { acceptedCount }) => sum + acceptedCount, 0),
      closed: this.#closed,
      qos0Lost: this.#intake.lostCount,
      subscriptionsRefused: this.#subscriptionsRefused,
      ...this.#sessions.metrics
    }
  }

  get sessions(): Pick<SessionLayer, 'list' | 'find' | 'end'> {
    return this.#sessions
  }

  start(): Promise<void> {
    return this.#sessions.start()
  }

  addListener(listener: Listener): void {
    this.#listeners.push(listener)
    const address = listener.address ?? { host: '', port: 0 }
    listener.open({
      onConnection: (transport, limits, certificateSubject) =>
        this.#onConnection(transport, limits, { listener: address, certificateSubject }),
      onRefused: (remoteAddress, why) => this.#countClosed('connections-full', { detail: why, clientId: null, remoteAddress })
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    for (const listener of this.#listeners) listener.stopAccepting()
    await waitUntil(() => this.#intake.pendingCount === 0, DRAIN_MS_MAX)
    this.#sessions.endConnections()
    await waitUntil(() => this.#sockets().length === 0, GOODBYE_MS_MAX)
    for (const socket of this.#sockets()) socket.destroy()
    await waitUntil(() => this.#sockets().length === 0 && this.#intake.pendingCount === 0, DRAIN_MS_MAX)
    await this.#sessions.close()
  }

  #sockets(): Socket[] {
    return this.#listeners.flatMap(({ sockets }) => [...sockets])
  }

  #createReadPause(ingest: Ingest): ReadPause {
    const stateNow = (): ReadPause['state'] => (this.#closing ? 'discard' : ingest.isOverloaded ? 'wait' : 'read')
    return {
      get state() {
        return stateNow()
      },
      get readBytesMax() {
        return ingest.readBytesMax
      },
      onceReadable: (callback) => ingest.onceReadable(callback)
    }
  }

  #createHandlers(ingest: Ingest, lane: PublishLane | null): SessionHandlers {
    return {
      lane: lane && {
        lane,
        clientIdOf: (session) => this.#intake.clientIdOf(session),
        mayPublish: (session, topic) => this.#intake.mayPublishByLane(session, topic),
        isClosing: (session) => this.#intake.isClosing(session),
        take: (session, events, done) => this.#intake.takeByLane(session, events, done)
      },
      checkConnect: (connection, request) => this.#checkConnect(connection, request),
      authenticate: (session, connection, credentials, answer) => this.#authenticate(session, connection, credentials, answer),
      publish: (session, packet, done) => this.#intake.take(session, packet, done),
      publishWill: (session, clientId, will, done) => this.#intake.takeWill(session, clientId, will, done),
      subscribeRefusal: (session, filter) => this.#subscribeRefusal(session, filter),
      routeHeadersOf: (mqttTopic) => ingest.routeHeadersOf(mqttTopic),
      mayHoldMessages: (topicName) => ingest.mayStoreIn(topicName),
      receivedMessages: () => ingest.metrics.received,
      takenOver: ({ remoteAddress }, { remoteAddress: previousAddress }, clientId) =>
        this.#onTakeover({ clientId, remoteAddress, previousAddress }),
      refused: ({ remoteAddress }, clientId, error, reasonCode) =>
        this.#tell('refused', closeReasonOf(error) ?? 'protocol', {
          detail: `${codeWords(reasonCode)}, ${closeDetailOf(error)}`,
          clientId,
          remoteAddress
        }),
      dropped: (clientId, why) => this.#onDrop(clientId, why),
      notRetained: (clientId, remoteAddress, topic, why) => this.#onNotRetained({ clientId, remoteAddress, topic, why }),
      subscribed: ({ remoteAddress }, clientId, filters, codes) => {
        for (const [code, refused] of refusedByCode(filters, codes)) this.#onNotSubscribed(refused, code, { clientId, remoteAddress })
      },
      failed: ({ remoteAddress }, clientId, reason, detail) => this.#countClosed(reason, { detail, clientId, remoteAddress })
    }
  }

  #onConnection({ socket, input }: Transport, limits: ListenerLimits, from: Pick<Connection, 'listener' | 'certificateSubject'>): void {
    const remoteAddress = socket.remoteAddress ?? ''
    this.#sessions.accept({ socket, input, limits, ...from, remoteAddress, pause: this.#readPause })
  }

  #checkConnect(connection: Connection, { clientId, isClean, version, will }: ConnectPacket): GateFault | null {
    if (clientId === '') this.#nameless.add(connection)
    const fault = will && !isBridgeNotification(will.topic) ? willFault(will, connection.limits) : null
    if (fault) return fault
    if (isClientIdAllowed(clientId, isClean || version === 5, this.#limits.clientIdBytesMax)) return null
    return new GateFault('client-id', 'empty, too long, or not printable', { reasonCode: ReasonCode.clientIdNotValid })
  }

  #subscribeRefusal(session: Session, filter: string): number | null {
    return filterRefusal(filter) ?? (this.#maySubscribe(session, filter) ? null : ReasonCode.notAuthorized)
  }

  /** One that throws, which it must not, refuses. */
  #maySubscribe(session: Session, filter: string): boolean {
    try {
      return this.#authorizer.maySubscribe(this.#identityOf(session), filter)
    } catch {
      return false
    }
  }

  #authenticate(
    session: Session,
    connection: Connection,
    { userName, password }: Credentials,
    answer: (refusal: GateFault | null) => void
  ): void {
    const { listener, remoteAddress, certificateSubject } = connection
    const isNamed = !this.#nameless.has(connection)
    const client: ClientIdentity = { clientId: session.id, isNamed, userName, remoteAddress, certificateSubject, listener }
    this.#identities.set(session, client)
    const decide = (decision: ConnectDecision): void => answer(decision === 'allowed' ? null : refusalOf(decision, client))
    const decision = this.#authorizer.connect(client, password)
    if (typeof decision === 'string') decide(decision)
    else decision.then(decide, () => decide('unavailable'))
  }

  /** Of a session that was authenticated. */
  #identityOf(session: Session): ClientIdentity {
    return this.#identities.get(session) as ClientIdentity
  }

  #onNotSubscribed(filters: readonly string[], reasonCode: number, who: Pick<MqttEvent, 'clientId' | 'remoteAddress'>): void {
    this.#subscriptionsRefused += filters.length
    const reason = SUBSCRIBE_REFUSALS.get(reasonCode) ?? 'filter'
    const more = filters.length > 1 ? ` and ${filters.length - 1} more` : ''
    const key = reason === 'subscriptions-full' ? ' (mqtt_limits.subscriptions, mqtt_limits.sessions)' : ''
    const filter = JSON.stringify(filters[0]?.slice(0, FILTER_CHARACTERS_MAX))
    this.#tell('not-subscribed', reason, { detail: `${filter}${more}${key}`, ...who })
  }

  #countClosed(reason: CloseReason, { detail, clientId, remoteAddress }: Omit<MqttEvent, 'kind' | 'reason'>): void {
    this.#closed.set(reason, (this.#closed.get(reason) ?? 0) + 1)
    this.#tell('closed', reason, { detail, clientId, remoteAddress })
  }

  #tell(kind: MqttEvent['kind'], reason: MqttEvent['reason'], { detail, ...who }: Omit<MqttEvent, 'kind' | 'reason'>): void {
    this.#onEvent({ kind, reason, detail: detail.slice(0, DETAIL_CHARACTERS_MAX), ...who })
  }
}

function refusedByCode(filters: readonly string[], codes: readonly number[]): Map<number, string[]> {
  const refused = new Map<number, string[]>()
  for (const [index, filter] of filters.entries()) {
    const code = codes[index] as number
    if (code < 0x80) continue
    const others = refused.get(code)
    if (others) others.push(filter)
    else refused.set(code, [filter])
  }
  return refused
}

function refusalOf(decision: Exclude<ConnectDecision, 'allowed'>, { userName }: ClientIdentity): GateFault {
  const { reasonCode, reason } = CONNECT_REFUSALS[decision]
  const who = userName === null ? 'no user name' : `user ${JSON.stringify(userName.slice(0, DETAIL_CHARACTERS_MAX))}`
  return new GateFault(reason, who, { reasonCode })
}

const codeWords = (reasonCode: number): string => `0x${reasonCode.toString(16)}`

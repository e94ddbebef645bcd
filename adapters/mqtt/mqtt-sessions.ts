// The session layer that is used: MQTT 3.1, 3.1.1 and 5 over the same sessions. Packets of connected clients in, answers and deliveries out.
//
//   PUBLISH → handlers.publish (rights, append, sync; a retained message is part of the commit) → PUBACK / PUBREC, then everybody whose filter matches
//
// Invariants:
//   S1  A client id is connected once: whoever comes later closes the connection that holds it, before anything of the session is used.
//   S2  Subscribers hear of a message after its commit, in the order of the commits, and are never waited for.
//   S3  Nothing behind CONNECT is looked at before CONNACK has been written.
// Not for: bytes and time limits (client-connection.ts), storage and rights (the handlers), what waits for one session (outbox.ts).

import { randomUUID } from 'node:crypto'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange } from '../../runtime/log/contract.ts'
import { ClientConnection } from './client-connection.ts'
import { ClientSession, type Subscription } from './client-session.ts'
import { ConnectedClient } from './connected-client.ts'
import { Deadlines } from './deadlines.ts'
import type { BrokerLimits } from './limits.ts'
import { Message, type MessageFields } from './message.ts'
import { isReserved, levelsOf } from './name-rules.ts'
import { type Delivery, Outbox, type QueueBudget } from './outbox.ts'
import type { Unfinished } from './packet-reader.ts'
import {
  type AckPacket,
  type ClientPacket,
  type ConnectPacket,
  type DisconnectPacket,
  type PublishPacket,
  type Qos,
  ReasonCode,
  SESSION_NEVER_EXPIRES,
  type SubscribePacket,
  type SubscriptionRequest,
  type UnsubscribePacket
} from './packets.ts'
import { isRefusedByRule, publishRefusal } from './publish-refusal.ts'
import { Qos2Memory } from './qos2-memory.ts'
import { GateFault } from './reasons.ts'
import { RetainedMessages } from './retained-messages.ts'
import { RetainedTurns } from './retained-turns.ts'
import type { Connection, SessionHandlers, SessionLayer, SessionLayerMetrics, SessionLayerOptions } from './session-layer.ts'
import { systemTopics } from './system-topics.ts'
import { FilterTree, TopicTree } from './topic-tree.ts'
import { type DueWill, type SendWill, Wills } from './wills.ts'
import { connackPacket, pingrespPacket, subackPacket, unsubackPacket } from './wire-write.ts'

const TOPIC_ALIAS_MAX = 16
/** As Mosquitto's sys_interval. */
const SYSTEM_MS = 10_000

export function createMqttSessions(options: SessionLayerOptions): SessionLayer {
  return new MqttSessions(options)
}

class MqttSessions implements SessionLayer {
  readonly qos2: Qos2Memory
  readonly #limits: BrokerLimits
  readonly #handlers: SessionHandlers
  readonly #version: string
  readonly #onDamage: SessionLayerOptions['onDamage']
  readonly #startedMs = performance.now()
  readonly #unfinished: Unfinished
  #systemTimer: NodeJS.Timeout | null = null
  readonly #connections = new Set<ClientConnection>()
  /** Of connections whose CONNECT was accepted. */
  readonly #clientOf = new Map<ClientConnection, ConnectedClient>()
  /** Who holds a client id now. */
  readonly #holders = new Map<string, ConnectedClient>()
  readonly #sessions = new Map<string, ClientSession>()
  readonly #filters = new FilterTree<ClientSession, Subscription>()
  readonly #retained: RetainedMessages
  readonly #budget: QueueBudget = { bytes: 0, deliveries: 0, deliveriesDropped: 0, offlineDropped: 0 }
  readonly #ends = new Deadlines<ClientSession>((session) => this.#endSession(session))
  readonly #wills: Wills
  readonly #retainedTurns = new RetainedTurns<ConnectedClient>()
  /** Sessions without connection and subscriptions, the oldest first. */
  readonly #idle = new Set<ClientSession>()
  /** Sessions that subscribe and outlive their connection. */
  #placeCount = 0
  /** Memory of all subscriptions. */
  #subscriptionBytes = 0
  /** Of the durable state: what could not be read at the start and was left out. */
  #damagedCount = 0

  constructor({ limits, store, core, handlers, version, onDamage }: SessionLayerOptions) {
    this.#limits = limits
    this.#unfinished = { bytes: 0, bytesMax: limits.unfinishedBytesMax }
    this.#onDamage = onDamage
    this.#version = version
    this.#handlers = handlers
    this.#retained = new RetainedMessages(store, limits)
    this.#wills = new Wills(store, limits.sessionsMax, (due, state, done) => this.#sendWill(due, state, done))
    const { qos2PerClientMax, qos2TotalMax } = limits
    this.qos2 = new Qos2Memory({
      store,
      core,
      perClientMax: qos2PerClientMax,
      totalMax: qos2TotalMax,
      isConnected: (clientId) => this.#holders.has(clientId)
    })
  }

  get metrics(): SessionLayerMetrics {
    return {
      clients: this.#holders.size,
      sessions: this.#sessions.size,
      subscriptions: this.#filters.size,
      retained: this.#retained.count,
      retainedBytes: this.#retained.bytes,
      wills: this.#wills.count,
      willsDropped: this.#wills.droppedCount,
      queuedBytes: this.#budget.bytes,
      deliveries: this.#budget.deliveries,
      qos2Remembered: this.qos2.rememberedCount,
      qos2Repeats: this.qos2.repeatCount,
      qos2GivenUp: this.qos2.givenUpCount,
      deliveriesDropped: this.#budget.deliveriesDropped,
      offlineDropped: this.#budget.offlineDropped,
      retainedRefused: this.#retained.refusedCount,
      damaged: this.#damagedCount
    }
  }

  /** @throws WadiError WADI_FORMAT_NEWER */
  async start(): Promise<void> {
    const leaveOut = (error: WadiError): void => {
      this.#damagedCount++
      this.#onDamage(error)
    }
    this.#retained.load(leaveOut)
    this.#wills.load(leaveOut)
    this.#systemTimer = setInterval(() => this.#tellSystem(), SYSTEM_MS).unref()
  }

  accept(connection: Connection): void {
    const limits = { ...this.#limits, topicAliasMaximum: TOPIC_ALIAS_MAX, unfinished: this.#unfinished }
    this.#connections.add(
      new ClientConnection(connection, limits, {
        onPacket: (client, packet) => this.#onPacket(client, packet),
        onFail: (client, reason, detail) => this.#handlers.failed(client.connection, client.clientId, reason, detail),
        onDrain: (client) => this.#clientOf.get(client)?.session?.outbox.pump(),
        onEnd: (client) => this.#onEnd(client)
      })
    )
  }

  endConnections(): void {
    for (const connection of this.#connections) connection.close(ReasonCode.shuttingDown)
  }

  close(): void {
    if (this.#systemTimer) clearInterval(this.#systemTimer)
    this.#ends.close()
    this.#wills.close()
  }

  // --- packets

  #onPacket(connection: ClientConnection, packet: ClientPacket): void {
    if (packet.type === 'connect') return this.#onConnect(connection, packet)
    const client = this.#clientOf.get(connection)
    if (!client?.session) return
    switch (packet.type) {
      case 'publish':
        return this.#onPublish(client, packet)
      case 'puback':
        return client.session.outbox.acknowledge(packet.packetId)
      case 'pubrec':
        return this.#onPubrec(client, client.session, packet)
      case 'pubrel':
        return this.#onPubrel(client, packet.packetId)
      case 'pubcomp':
        return client.session.outbox.complete(packet.packetId)
      case 'subscribe':
        return this.#onSubscribe(client, client.session, packet)
      case 'unsubscribe':
        return this.#onUnsubscribe(client, client.session, packet)
      case 'pingreq':
        return connection.send(pingrespPacket())
      case 'disconnect':
        return this.#onDisconnect(client, client.session, packet)
    }
  }

  // --- CONNECT

  #onConnect(connection: ClientConnection, packet: ConnectPacket): void {
    connection.hold()
    connection.clientId = packet.clientId || null
    const fault = this.#handlers.checkConnect(connection.connection, packet)
    if (fault) return refuseConnect(connection, fault)
    const id = packet.clientId || `wadi-${randomUUID()}`
    const client = new ConnectedClient(id, connection, packet, this.#limits.qos2PerClientMax)
    const { userName, password } = packet
    this.#handlers.authenticate(client, connection.connection, { userName, password }, (refusal) => {
      if (connection.isClosed) return
      if (refusal) refuseConnect(connection, refusal)
      else void this.#register(client)
    })
  }

  async #register(client: ConnectedClient): Promise<void> {
    const { id, connection, connect } = client
    const holder = this.#holders.get(id)
    if (holder) {
      this.#handlers.takenOver(connection.connection, holder.connection.connection, id)
      holder.connection.close(ReasonCode.sessionTakenOver)
      this.#detach(holder)
    }
    this.#holders.set(id, client)
    this.#clientOf.set(connection, client)
    const error = await this.#makeDurable(client)
    if (client.closed) return
    if (error) return refuseConnect(connection, connectFault(error))
    const known = this.#sessions.get(id)
    if (known && connect.isClean) this.#endSession(known, { keepsQos2: true })
    const resumed = connect.isClean ? undefined : known
    const session = resumed ?? this.#newSession(id)
    this.#occupy(session, client)
    if (resumed) this.#dropForbidden(client, session)
    this.#answerConnect(client, session, resumed !== undefined)
  }

  /** What must be so before CONNACK says it: the old session is forgotten, the will is there. Nothing else is touched before. @returns why it cannot be */
  async #makeDurable(client: ConnectedClient): Promise<Error | null> {
    const { id, connect, will } = client
    try {
      if (connect.isClean) await this.qos2.forget(id)
      if (!client.closed) await this.#wills.arm(id, will, connect.sessionExpirySeconds)
      return null
    } catch (error) {
      return error as Error
    }
  }

  #newSession(id: string): ClientSession {
    const session = new ClientSession(id, new Outbox(this.#limits, this.#budget), 0)
    this.#sessions.set(id, session)
    return session
  }

  #occupy(session: ClientSession, client: ConnectedClient): void {
    session.expirySeconds = client.connect.sessionExpirySeconds
    if (session.subscriptions.size > 0 && !this.#hasPlace(session)) session.expirySeconds = 0
    this.#wills.sessionResumed(session.clientId)
    this.#ends.delete(session)
    this.#idle.delete(session)
    client.session = session
  }

  /** Rights may have changed since it subscribed. */
  #dropForbidden(client: ConnectedClient, session: ClientSession): void {
    for (const filter of session.subscriptions.keys()) {
      if (this.#handlers.subscribeRefusal(client, filter) === null) continue
      this.#unsubscribe(session, filter)
    }
  }

  #answerConnect({ connection, connect, id }: ConnectedClient, session: ClientSession, isSessionPresent: boolean): void {
    const { keepAliveSeconds, packetBytesMax, receiveMaximum, clientId } = connect
    connection.accept(
      {
        isSessionPresent,
        reasonCode: ReasonCode.success,
        receiveMaximum: this.#limits.qos2PerClientMax,
        topicAliasMaximum: TOPIC_ALIAS_MAX,
        packetBytesMax: connection.connection.limits.packetBytesMax,
        ...(session.expirySeconds !== connect.sessionExpirySeconds && { sessionExpirySeconds: session.expirySeconds }),
        ...(clientId === '' && { assignedClientId: id })
      },
      { keepAliveSeconds, packetBytesMax }
    )
    session.outbox.attach(connection, Math.min(receiveMaximum, this.#limits.inflightPerClientMax))
    connection.resume()
  }

  // --- PUBLISH

  #onPublish(client: ConnectedClient, packet: PublishPacket): void {
    const { connection } = client
    const topic = client.topicOf(packet)
    const fault = typeof topic === 'string' ? client.open(packet) : topic
    if (fault || typeof topic !== 'string') return connection.refuse(fault as GateFault)
    const { qos, packetId, payload, properties } = packet
    const fields = { topic, payload, qos, packetId, isRetained: packet.retain, properties }
    const change = packet.retain && !isReserved(topic) ? this.#retained.prepare(fields) : null
    connection.pendingCount++
    this.#handlers.publish(client, change ? { ...fields, change } : fields, (error, outcome) => {
      connection.pendingCount--
      if (error) return this.#refusePublish(client, packet, error)
      if (qos > 0) this.#answerPublish(client, qos === 1 ? 'puback' : 'pubrec', packetId)
      if (outcome === 'stored') this.#deliver(fields, client.id)
    })
  }

  /** MQTT 5 has codes for most refusals, and the connection stays. */
  #refusePublish(client: ConnectedClient, { qos, packetId }: PublishPacket, error: Error): void {
    const { connection } = client
    const { reasonCode, closes } = publishRefusal(error, client, qos)
    if (closes) return connection.refuse(error)
    this.#handlers.refused(connection.connection, connection.clientId, error, reasonCode)
    client.settle(qos === 1 ? 1 : 2, packetId)
    connection.sendAck(qos === 1 ? 'puback' : 'pubrec', packetId, reasonCode)
  }

  #answerPublish(client: ConnectedClient, type: AckPacket['type'], packetId: number): void {
    if (type === 'puback') client.settle(1, packetId)
    client.connection.sendAck(type, packetId, ReasonCode.success)
  }

  #onPubrel(client: ConnectedClient, packetId: number): void {
    const { connection } = client
    const reasonCode = this.qos2.isRemembered(client, packetId) ? ReasonCode.success : ReasonCode.packetIdNotFound
    connection.pendingCount++
    this.qos2.release(client, packetId).then(
      () => {
        connection.pendingCount--
        client.settle(2, packetId)
        connection.sendAck('pubcomp', packetId, reasonCode)
      },
      // Without PUBCOMP: the client could use the id for another message, which would be taken for a repeat after a restart.
      (error: Error) => {
        connection.pendingCount--
        connection.refuse(error)
      }
    )
  }

  /** After its commit. */
  #deliver(fields: MessageFields, publisherId: string | null): void {
    if (this.#filters.size === 0) return
    const message = new Message(fields, Date.now())
    let isKept = false
    /** By session, of those that may have more than one. */
    let several: Map<ClientSession, Subscription[]> | null = null
    this.#filters.match(message.topic, (session, subscription) => {
      if (subscription.noLocal && session.clientId === publisherId) return
      if (session.subscriptions.size === 1) {
        if (session.outbox.deliver(message, deliveryBy(message, subscription))) isKept = true
        return
      }
      several ??= new Map()
      const found = several.get(session)
      if (found) found.push(subscription)
      else several.set(session, [subscription])
    })
    if (several !== null && deliverToEach(message, several)) isKept = true
    if (isKept) message.own()
  }

  #onPubrec(client: ConnectedClient, session: ClientSession, { packetId, reasonCode }: { packetId: number; reasonCode: number }): void {
    if (session.outbox.receive(packetId, reasonCode) || reasonCode >= 0x80) return
    client.connection.sendAck('pubrel', packetId, ReasonCode.packetIdNotFound)
  }

  // --- SUBSCRIBE, UNSUBSCRIBE

  #onSubscribe(client: ConnectedClient, session: ClientSession, { packetId, subscriptions, subscriptionId }: SubscribePacket): void {
    const known = new Set(session.subscriptions.keys())
    const codes = subscriptions.map((request) => this.#subscribe(client, session, request, subscriptionId))
    client.connection.send(subackPacket(client.connect.version, packetId, codes))
    // A filter that one packet has a thousand times is one subscription: all retained messages are looked through once for it.
    const lastOf = new Map(subscriptions.map(({ filter }, index) => [filter, index]))
    const granted = subscriptions.filter(({ filter }, index) => (codes[index] as number) < 0x80 && lastOf.get(filter) === index)
    const due = granted.filter(({ filter, retainHandling }) => retainHandling === 0 || (retainHandling === 1 && !known.has(filter)))
    for (const request of due) this.#retainedTurns.add(client, request.filter, () => this.#sendMatching(session, request, subscriptionId))
  }

  /** @returns the code of SUBACK */
  #subscribe(client: ConnectedClient, session: ClientSession, request: SubscriptionRequest, id: number | null): number {
    const { filter, qos, noLocal, retainAsPublished } = request
    const refusal = this.#handlers.subscribeRefusal(client, filter)
    if (refusal !== null) return refusal
    const isNew = !session.subscriptions.has(filter)
    if (isNew && session.subscriptions.size >= this.#limits.subscriptionsPerClientMax) return ReasonCode.quotaExceeded
    const bytes = isNew ? bytesOfFilter(filter) : 0
    const { subscriptionBytesPerClientMax, subscriptionBytesMax } = this.#limits
    if (session.subscriptionBytes + bytes > subscriptionBytesPerClientMax) return ReasonCode.quotaExceeded
    if (this.#subscriptionBytes + bytes > subscriptionBytesMax || !this.#hasPlace(session)) return ReasonCode.quotaExceeded
    session.subscriptionBytes += bytes
    this.#subscriptionBytes += bytes
    const subscription = { qos, noLocal, retainAsPublished, id }
    session.subscriptions.set(filter, subscription)
    this.#filters.set(filter, session, subscription)
    return qos
  }

  /** @returns false when the session does not have it */
  #unsubscribe(session: ClientSession, filter: string): boolean {
    if (!session.subscriptions.delete(filter)) return false
    this.#filters.delete(filter, session)
    session.subscriptionBytes -= bytesOfFilter(filter)
    this.#subscriptionBytes -= bytesOfFilter(filter)
    return true
  }

  #hasPlace(session: ClientSession): boolean {
    if (session.expirySeconds === 0 || session.hasPlace) return true
    if (this.#placeCount >= this.#limits.sessionsMax) return false
    session.hasPlace = true
    this.#placeCount++
    return true
  }

  #sendMatching(session: ClientSession, { filter, qos }: SubscriptionRequest, id: number | null): void {
    if (!session.subscriptions.has(filter)) return // it was taken back meanwhile
    const isSystem = filter.startsWith('$SYS/')
    const subscriptionIds = id === null ? NO_IDS : [id]
    for (const message of isSystem ? this.#systemMessages(filter) : this.#retained.match(filter)) {
      session.outbox.deliver(message, { qos: lower(message.qos, qos), isRetained: true, subscriptionIds, isKeptElsewhere: !isSystem })
    }
  }

  /** To those that subscribe: `$SYS/#`, not `#`. */
  #tellSystem(): void {
    if (this.#filters.size > 0) for (const fields of this.#systemFields()) this.#deliver(fields, null)
  }

  #systemMessages(filter: string): Message[] {
    const tree = new TopicTree<Message>()
    for (const fields of this.#systemFields()) tree.set(fields.topic, 'value', new Message(fields, 0))
    const found: Message[] = []
    tree.match(filter, (message) => found.push(message))
    return found
  }

  #systemFields(): MessageFields[] {
    const facts = {
      version: this.#version,
      uptimeSeconds: (performance.now() - this.#startedMs) / 1_000,
      receivedMessages: this.#handlers.receivedMessages(),
      sessions: this.metrics
    }
    return [...systemTopics(facts)].map(([topic, value]) => ({
      topic,
      payload: Buffer.from(value),
      qos: 0,
      isRetained: true,
      properties: null
    }))
  }

  #onUnsubscribe({ connection, connect }: ConnectedClient, session: ClientSession, { packetId, filters }: UnsubscribePacket): void {
    const codes = filters.map((filter) => (this.#unsubscribe(session, filter) ? ReasonCode.success : ReasonCode.noSubscriptionExisted))
    connection.send(unsubackPacket(connect.version, packetId, codes))
  }

  // --- ends

  #onDisconnect(client: ConnectedClient, session: ClientSession, { reasonCode, sessionExpirySeconds }: DisconnectPacket): void {
    if (sessionExpirySeconds !== null) {
      if (session.expirySeconds === 0 && sessionExpirySeconds > 0) {
        const detail = 'a session that ends with its connection cannot be kept at DISCONNECT'
        return client.connection.refuse(new GateFault('protocol', detail, { reasonCode: ReasonCode.protocolError }))
      }
      session.expirySeconds = sessionExpirySeconds
    }
    if (reasonCode !== ReasonCode.disconnectWithWill) {
      if (client.will) this.#wills.disarm(client.id)
      client.will = null
    }
    client.connection.close(null)
  }

  #onEnd(connection: ClientConnection): void {
    this.#connections.delete(connection)
    const client = this.#clientOf.get(connection)
    this.#clientOf.delete(connection)
    if (client) this.#detach(client)
  }

  /** The connection gives up its session. */
  #detach(client: ConnectedClient): void {
    if (client.isDetached) return
    client.isDetached = true
    if (this.#holders.get(client.id) === client) this.#holders.delete(client.id)
    if (client.clean) this.qos2.end(client)
    const { session, will } = client
    if (!session) {
      if (will) this.#wills.abandon(client.id, will) // it never got CONNACK
      return
    }
    session.outbox.detach()
    const { expirySeconds } = session
    if (will) this.#wills.connectionLost(client, client.id, will, Math.min(will.delaySeconds, expirySeconds))
    if (expirySeconds === 0) return this.#endSession(session)
    if (expirySeconds !== SESSION_NEVER_EXPIRES) this.#ends.set(session, expirySeconds)
    if (session.subscriptions.size === 0) this.#keepIdle(session)
  }

  #keepIdle(session: ClientSession): void {
    this.#idle.add(session)
    const [oldest] = this.#idle
    if (this.#idle.size > this.#limits.sessionsMax && oldest) this.#endSession(oldest, { keepsQos2: true })
  }

  #endSession(session: ClientSession, { keepsQos2 = false }: { keepsQos2?: boolean } = {}): void {
    if (this.#sessions.get(session.clientId) === session) this.#sessions.delete(session.clientId)
    this.#ends.delete(session)
    this.#idle.delete(session)
    for (const filter of session.subscriptions.keys()) this.#unsubscribe(session, filter)
    session.outbox.clear()
    if (session.hasPlace) this.#placeCount--
    session.hasPlace = false
    this.#wills.sessionEnded(session.clientId)
    // Refused by storage they stay: they are forgotten when this client comes again with a clean session, or for want of room.
    if (!keepsQos2) this.qos2.forget(session.clientId).catch(() => undefined)
  }

  // --- wills

  #sendWill({ sender, clientId, will }: DueWill, state: readonly StateChange[], done: Parameters<SendWill>[2]): void {
    const { retain, topic, payload, qos, properties } = will
    const fields = { topic, payload, qos, isRetained: retain, properties }
    const retained = retain ? this.#retained.prepare(fields) : null
    const change = {
      state: [...state, ...(retained?.state ?? [])],
      settle: (isDurable: boolean) => retained?.settle(isDurable)
    }
    this.#handlers.publishWill(sender, clientId, { topic, payload, qos, properties, change }, (error) => {
      if (!error) this.#deliver(fields, null)
      done(error === null ? 'sent' : isRefusedByRule(error) ? 'refused' : 'later')
    })
  }
}

/** Memory of a subscription: an object, and at the worst a node of its own for each level. Measured: 240 bytes a level. */
function bytesOfFilter(filter: string): number {
  return 200 + levelsOf(filter) * 240 + filter.length
}

const NO_IDS: readonly number[] = []
const lower = (one: Qos, other: Qos): Qos => (one < other ? one : other)

/** Why a CONNECT could not be made durable. */
function connectFault(error: Error): GateFault {
  return error instanceof GateFault ? error : new GateFault('storage', error.message, { reasonCode: ReasonCode.serverUnavailable })
}

function refuseConnect(connection: ClientConnection, fault: GateFault): void {
  const { reason, detail, clientId, reasonCode } = fault
  const version = connection.version === 0 ? 4 : connection.version
  const answer = connackPacket(version, { isSessionPresent: false, reasonCode })
  connection.refuse(new GateFault(reason, detail, { answer, clientId, reasonCode }))
}

function deliveryBy(message: Message, { qos, id, retainAsPublished }: Subscription): Delivery {
  return {
    qos: lower(message.qos, qos),
    isRetained: retainAsPublished && message.isRetained,
    subscriptionIds: id === null ? NO_IDS : [id]
  }
}

/** Of all subscriptions of a session that match: the highest QoS, every subscription id. */
function deliveryOf(message: Message, subscriptions: readonly Subscription[]): Delivery {
  let qos: Qos = 0
  let isRetained = false
  const subscriptionIds: number[] = []
  for (const subscription of subscriptions) {
    if (subscription.qos > qos) qos = subscription.qos
    if (subscription.retainAsPublished && message.isRetained) isRetained = true
    if (subscription.id !== null) subscriptionIds.push(subscription.id)
  }
  return { qos: lower(message.qos, qos), isRetained, subscriptionIds }
}

/** @returns whether somebody keeps it */
function deliverToEach(message: Message, several: ReadonlyMap<ClientSession, readonly Subscription[]>): boolean {
  let isKept = false
  for (const [{ outbox }, subscriptions] of several) if (outbox.deliver(message, deliveryOf(message, subscriptions))) isKept = true
  return isKept
}

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
import type { Place, StateChange } from '../../runtime/log/contract.ts'
import { ClientConnection } from './client-connection.ts'
import { type ClientSession, newSubscription, type Subscription } from './client-session.ts'
import { ConnectedClient } from './connected-client.ts'
import { ConnectionLane, type ConnectionLaneHost } from './connection-lane.ts'
import { idsOf, lower } from './delivery.ts'
import { KeptSessions, type RestoredSession } from './kept-sessions.ts'
import type { BrokerLimits } from './limits.ts'
import { Message, type MessageFields } from './message.ts'
import { MessageLog } from './message-log.ts'
import { isBridgeNotification, isReserved } from './name-rules.ts'
import type { QueueBudget } from './outbox.ts'
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
import { reasonTextOf, subscribeTextOf } from './reason-text.ts'
import { GateFault } from './reasons.ts'
import { RetainedMessages } from './retained-messages.ts'
import { RetainedTurns } from './retained-turns.ts'
import { detailOf, factsOf, type SessionDetail, type SessionFacts, type SessionQuery, selectSessions } from './session-facts.ts'
import { isForWantOfRoom } from './session-faults.ts'
import type { Connection, SessionHandlers, SessionLayer, SessionLayerMetrics, SessionLayerOptions } from './session-layer.ts'
import { SessionRegistry } from './session-registry.ts'
import { Subscriptions } from './subscriptions.ts'
import { type SystemFacts, systemFields, systemMessages } from './system-topics.ts'
import { PLACE_BYTES } from './waiting-places.ts'
import { type DueWill, type SendWill, Wills } from './wills.ts'
import { pingrespPacket, subackPacket, unsubackPacket } from './wire-write.ts'

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
  readonly #sessions: SessionRegistry
  readonly #subscriptions: Subscriptions
  readonly #retained: RetainedMessages
  readonly #budget: QueueBudget = {
    bytes: 0,
    places: 0,
    deliveries: 0,
    deliveriesDropped: 0,
    offlineDropped: 0,
    onDrop: (clientId, why) => this.#handlers.dropped(clientId, why)
  }
  readonly #wills: Wills
  readonly #kept: KeptSessions
  readonly #laneHost: ConnectionLaneHost | null
  readonly #retainedTurns = new RetainedTurns<ConnectedClient>()
  /** Of the durable state: what could not be read at the start and was left out. */
  #damagedCount = 0

  constructor({ limits, store, core, codec, handlers, version, onDamage }: SessionLayerOptions) {
    this.#limits = limits
    this.#unfinished = { bytes: 0, bytesMax: limits.unfinishedBytesMax }
    this.#onDamage = onDamage
    this.#version = version
    this.#handlers = handlers
    this.#retained = new RetainedMessages(store, limits)
    const log = new MessageLog({ store, core, codec, routeHeadersOf: (topic) => handlers.routeHeadersOf(topic) })
    const mayHoldMessages = (topicName: string): boolean => handlers.mayHoldMessages(topicName)
    this.#kept = new KeptSessions({ store, log, limits, budget: this.#budget, mayHoldMessages })
    this.#subscriptions = new Subscriptions(limits, (session, filter) => {
      handlers.lane?.lane.forgetMatching(filter)
      this.#kept.store.filterChanged(session, filter)
    })
    this.#laneHost = handlers.lane && {
      handlers: handlers.lane,
      hasSubscribers: (topic) => this.#subscriptions.hasMatch(topic),
      refused: (client, packetIds, error) => this.#refusePublish(client, 1, packetIds, error),
      stored: (ends) => this.#kept.store.passed(ends)
    }
    this.#wills = new Wills(store, limits.sessionsMax, (due, state, done) => this.#sendWill(due, state, done))
    const { qos2PerClientMax, qos2TotalMax } = limits
    this.qos2 = new Qos2Memory({
      store,
      core,
      perClientMax: qos2PerClientMax,
      totalMax: qos2TotalMax,
      isConnected: (clientId) => this.#holders.has(clientId)
    })
    this.#sessions = new SessionRegistry({
      ...{ limits, budget: this.#budget, kept: this.#kept, subscriptions: this.#subscriptions },
      ...{ wills: this.#wills, qos2: this.qos2, onDamage },
      isConnected: (clientId) => this.#holders.has(clientId)
    })
  }

  get metrics(): SessionLayerMetrics {
    return {
      clients: this.#holders.size,
      sessions: this.#sessions.size,
      subscriptions: this.#subscriptions.size,
      retained: this.#retained.count,
      retainedBytes: this.#retained.bytes,
      wills: this.#wills.count,
      willsDropped: this.#wills.droppedCount,
      queuedBytes: this.#budget.bytes + this.#budget.places * PLACE_BYTES,
      queuedPlaces: this.#budget.places,
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
    const add = ({ session, subscriptions }: RestoredSession): void => this.#sessions.restore(session, subscriptions)
    await this.#kept.restore(add, this.#subscriptions, leaveOut)
    this.#wills.load(leaveOut)
    this.#systemTimer = setInterval(() => this.#tellSystem(), SYSTEM_MS).unref()
  }

  stored(place: Place): void {
    this.#kept.store.stored(place)
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

  close(): Promise<void> {
    if (this.#systemTimer) clearInterval(this.#systemTimer)
    this.#sessions.close()
    this.#wills.close()
    return this.#kept.store.close()
  }

  // --- for who looks from outside

  async *list(query: SessionQuery): AsyncGenerator<SessionFacts, void, void> {
    const clientIds = query.topic === undefined ? this.#sessions.clientIds() : this.#subscriptions.subscribersOf(query.topic)
    yield* selectSessions([...clientIds].sort(), (clientId) => this.#factsOf(clientId), query)
  }

  find(clientId: string): SessionDetail | null {
    const session = this.#sessions.get(clientId)
    const facts = session && this.#factsOf(clientId)
    return facts ? detailOf(facts, session) : null
  }

  async end(clientId: string): Promise<SessionDetail | null> {
    const detail = this.find(clientId)
    const holder = this.#holders.get(clientId)
    const session = this.#sessions.get(clientId)
    if (!detail || !session) return null
    holder?.connection.close(ReasonCode.administrativeAction)
    if (holder) this.#release(holder)
    // A client that repeats a QoS 2 message behind it still makes no second event.
    const refusal = await this.#sessions.end(session, { keepsQos2: true })
    if (refusal) throw refusal
    return detail
  }

  #factsOf(clientId: string): SessionFacts | null {
    const session = this.#sessions.get(clientId)
    if (!session) return null
    const holder = this.#holders.get(clientId)
    const connection =
      holder?.session === session ? { sinceMs: holder.sinceMs, remoteAddress: holder.connection.connection.remoteAddress } : null
    return factsOf(session, connection, this.#wills.has(clientId))
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
    if (fault) return connection.refuseConnect(fault)
    const id = packet.clientId || `wadi-${randomUUID()}`
    const wanted = packet.will && isBridgeNotification(packet.will.topic) ? { ...packet, will: null } : packet
    const client = new ConnectedClient(id, connection, wanted, this.#limits.qos2PerClientMax)
    const { userName, password } = packet
    this.#handlers.authenticate(client, connection.connection, { userName, password }, (refusal) => {
      if (connection.isClosed) return
      if (refusal) connection.refuseConnect(refusal)
      else void this.#register(client)
    })
  }

  async #register(client: ConnectedClient): Promise<void> {
    const { id, connection, connect } = client
    const holder = this.#holders.get(id)
    if (holder) {
      this.#handlers.takenOver(connection.connection, holder.connection.connection, id)
      holder.connection.close(ReasonCode.sessionTakenOver)
    }
    this.#holders.set(id, client)
    if (holder) void this.#detach(holder)
    this.#clientOf.set(connection, client)
    const error = await this.#makeDurable(client)
    if (client.closed) return
    if (error) return connection.refuseConnect(connectFault(error))
    const known = this.#sessions.get(id)
    if (known && connect.isClean) void this.#sessions.end(known, { keepsQos2: true })
    const resumed = connect.isClean ? undefined : known
    const session = resumed ?? this.#sessions.create(id)
    this.#sessions.occupy(session, connect.sessionExpirySeconds)
    session.version = connect.version
    client.session = session
    if (resumed) this.#dropForbidden(client, session)
    const refusal = await this.#keep(session, resumed !== undefined)
    if (client.closed) return
    if (refusal) return connection.refuseConnect(connectFault(refusal))
    this.#answerConnect(client, session, resumed !== undefined)
  }

  /**
   * A session that outlives its connection is durable before CONNACK, and so is that it has a connection again, where its time would run on behind a kill.
   * @returns why it cannot be
   */
  async #keep(session: ClientSession, isResumed: boolean): Promise<WadiError | null> {
    if (session.expirySeconds > 0) this.#kept.keep(session)
    this.#kept.store.recordChanged(session)
    const mayExpire = session.kept?.hasEnd === true && session.expirySeconds !== SESSION_NEVER_EXPIRES
    if (isResumed && !session.kept?.isNew && !mayExpire) return null
    const error = await new Promise<WadiError | null>((resolve) => this.#kept.store.persist(session, resolve))
    return error && isForWantOfRoom(error) ? null : error
  }

  /** What must be so before CONNACK says it: the old session is forgotten, the will is there. Nothing else is touched before. @returns why it cannot be */
  async #makeDurable(client: ConnectedClient): Promise<Error | null> {
    const { id, connect, will } = client
    try {
      if (connect.isClean) {
        const known = this.#sessions.get(id)
        const refusal = known && (await this.#kept.store.forget(known))
        if (refusal && !isForWantOfRoom(refusal)) throw refusal
        await this.qos2.forget(id)
      }
      if (!client.closed) await this.#wills.arm(id, will, connect.sessionExpirySeconds)
      return null
    } catch (error) {
      return error as Error
    }
  }

  /** Rights may have changed since it subscribed. */
  #dropForbidden(client: ConnectedClient, session: ClientSession): void {
    const filters = [...session.subscriptions.keys()]
    const codes = filters.map((filter) => this.#handlers.subscribeRefusal(client, filter) ?? 0)
    for (const [index, filter] of filters.entries()) if (codes[index]) this.#subscriptions.remove(session, filter)
    this.#handlers.subscribed(client.connection.connection, client.id, filters, codes)
  }

  #answerConnect(client: ConnectedClient, session: ClientSession, isSessionPresent: boolean): void {
    const { connection, connect, id } = client
    const { keepAliveSeconds, receiveMaximum, clientId } = connect
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
      keepAliveSeconds
    )
    if (this.#laneHost) connection.useLane(new ConnectionLane(client, this.#laneHost))
    session.outbox.attach(connection, Math.min(receiveMaximum, this.#limits.inflightPerClientMax))
    connection.resume()
  }

  // --- PUBLISH

  #onPublish(client: ConnectedClient, packet: PublishPacket): void {
    const { connection } = client
    const topic = client.topicOf(packet)
    const fault = typeof topic === 'string' ? client.open(packet) : topic
    if (fault || typeof topic !== 'string') return connection.refuseBehindPending(fault as GateFault)
    const { qos, packetId, payload, properties } = packet
    const fields = { topic, payload, qos, packetId, isRetained: packet.retain, properties }
    const change = packet.retain && !isReserved(topic) ? this.#retained.prepare(fields) : null
    connection.pendingCount++
    this.#handlers.publish(client, change ? { ...fields, change } : fields, (error, outcome) => {
      connection.pendingCount--
      if (error) return this.#refusePublish(client, qos, [packetId], error)
      if (change?.refusal) this.#handlers.notRetained(client.id, connection.connection.remoteAddress, topic, change.refusal)
      if (qos > 0 && !connection.isClosed) this.#answerPublish(client, qos === 1 ? 'puback' : 'pubrec', packetId)
      if (outcome === 'repeat' || outcome === 'lost' || outcome === 'ignored') return
      this.#deliver({ ...fields, place: outcome === 'unstored' ? null : outcome }, client.id)
    })
  }

  /** PUBLISHes of one commit. MQTT 5 has codes for most refusals, and the connection stays. */
  #refusePublish(client: ConnectedClient, qos: Qos, packetIds: readonly number[], error: Error): void {
    const { connection } = client
    const { reasonCode, closes } = publishRefusal(error, client, qos)
    if (closes) return connection.refuse(error)
    this.#handlers.refused(connection.connection, connection.clientId, error, reasonCode)
    for (const packetId of packetIds) {
      client.settle(qos === 1 ? 1 : 2, packetId)
      connection.sendAck(qos === 1 ? 'puback' : 'pubrec', packetId, reasonCode, error)
    }
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
    if (this.#subscriptions.size > 0) this.#subscriptions.deliver(new Message(fields, Date.now()), publisherId)
    if (fields.place) this.#kept.store.delivered(fields.place)
  }

  #onPubrec(client: ConnectedClient, session: ClientSession, { packetId, reasonCode }: { packetId: number; reasonCode: number }): void {
    if (session.outbox.receive(packetId, reasonCode) || reasonCode >= 0x80) return
    client.connection.sendAck('pubrel', packetId, ReasonCode.packetIdNotFound)
  }

  // --- SUBSCRIBE, UNSUBSCRIBE

  #onSubscribe(client: ConnectedClient, session: ClientSession, { packetId, subscriptions, subscriptionId }: SubscribePacket): void {
    const before = new Map(session.subscriptions)
    const codes = subscriptions.map((request) => this.#subscribe(client, session, request, subscriptionId))
    this.#whenDurable(client, session, (error) => {
      if (error) this.#putBack(session, before, subscriptions)
      const answers = error ? codes.map((code) => (code < 0x80 ? ReasonCode.unspecified : code)) : codes
      const words = error ? reasonTextOf(error) : subscribeTextOf(subscriptions, codes)
      client.connection.sendWithReason(words, (reasonText) => subackPacket(client.connect.version, packetId, answers, reasonText))
      const filters = subscriptions.map(({ filter }) => filter)
      this.#handlers.subscribed(client.connection.connection, client.id, filters, answers)
      if (!error) this.#sendRetained(client, session, { subscriptions, subscriptionId, codes, known: before })
    })
  }

  #sendRetained(
    client: ConnectedClient,
    session: ClientSession,
    {
      subscriptions,
      subscriptionId,
      codes,
      known
    }: Pick<SubscribePacket, 'subscriptions' | 'subscriptionId'> & { codes: readonly number[]; known: ReadonlyMap<string, Subscription> }
  ): void {
    // A filter that one packet has a thousand times is one subscription: all retained messages are looked through once for it.
    const lastOf = new Map(subscriptions.map(({ filter }, index) => [filter, index]))
    const granted = subscriptions.filter(({ filter }, index) => (codes[index] as number) < 0x80 && lastOf.get(filter) === index)
    const due = granted.filter(({ filter, retainHandling }) => retainHandling === 0 || (retainHandling === 1 && !known.has(filter)))
    for (const request of due) this.#retainedTurns.add(client, request.filter, () => this.#sendMatching(session, request, subscriptionId))
  }

  /** Of a session that outlives its connection, what it has is durable before the answer; at once otherwise. `answer` gets why it is not. */
  #whenDurable({ connection }: ConnectedClient, session: ClientSession, answer: (error: WadiError | null) => void): void {
    if (!session.kept) return answer(null)
    connection.pendingCount++
    this.#kept.store.persist(session, (error) => {
      connection.pendingCount--
      if (!connection.isClosed) answer(error && isForWantOfRoom(error) ? null : error)
    })
  }

  /** What a refused SUBSCRIBE or UNSUBSCRIBE has changed. */
  #putBack(session: ClientSession, before: ReadonlyMap<string, Subscription>, changed: readonly { readonly filter: string }[]): void {
    for (const { filter } of changed) {
      const subscription = before.get(filter)
      if (subscription) this.#subscriptions.add(session, filter, subscription)
      else this.#subscriptions.remove(session, filter)
    }
  }

  /** @returns the code of SUBACK */
  #subscribe(client: ConnectedClient, session: ClientSession, request: SubscriptionRequest, id: number | null): number {
    const { filter, qos, noLocal, retainAsPublished } = request
    const refusal = this.#handlers.subscribeRefusal(client, filter)
    if (refusal !== null) return refusal
    if (!this.#subscriptions.hasRoom(session, filter)) return ReasonCode.quotaExceeded
    this.#subscriptions.add(session, filter, newSubscription({ qos, noLocal, retainAsPublished, id }))
    return qos
  }

  #sendMatching(session: ClientSession, { filter, qos }: SubscriptionRequest, id: number | null): void {
    if (!session.subscriptions.has(filter)) return // it was taken back meanwhile
    const isSystem = filter.startsWith('$SYS/')
    const subscriptionIds = idsOf(id)
    for (const message of isSystem ? systemMessages(filter, this.#systemFacts()) : this.#retained.match(filter)) {
      session.outbox.deliver(message, { qos: lower(message.qos, qos), isRetained: true, subscriptionIds, isKeptElsewhere: !isSystem })
    }
  }

  #systemFacts(): SystemFacts {
    return {
      version: this.#version,
      uptimeSeconds: (performance.now() - this.#startedMs) / 1_000,
      receivedMessages: this.#handlers.receivedMessages(),
      sessions: this.metrics
    }
  }

  /** To those that subscribe: `$SYS/#`, not `#`. */
  #tellSystem(): void {
    if (this.#subscriptions.size > 0) for (const fields of systemFields(this.#systemFacts())) this.#deliver(fields, null)
  }

  #onUnsubscribe(client: ConnectedClient, session: ClientSession, { packetId, filters }: UnsubscribePacket): void {
    const codes = filters.map((filter) =>
      this.#subscriptions.remove(session, filter) ? ReasonCode.success : ReasonCode.noSubscriptionExisted
    )
    // Refused by storage, the subscriptions are gone in memory, and will be durably so when there is a next commit.
    this.#whenDurable(client, session, () => client.connection.send(unsubackPacket(client.connect.version, packetId, codes)))
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
    if (client) void this.#detach(client)
  }

  /** The connection gives up its session. @returns as SessionRegistry.leave() */
  #detach(client: ConnectedClient): Promise<Error | null> | null {
    const session = this.#release(client)
    return session && this.#sessions.leave(session)
  }

  /** The connection is out of its session, which is nobody's for now. */
  #release(client: ConnectedClient): ClientSession | null {
    if (client.isDetached) return null
    client.isDetached = true
    if (this.#holders.get(client.id) === client) this.#holders.delete(client.id)
    if (client.clean) this.qos2.end(client)
    const { session, will } = client
    if (!session) {
      if (will) this.#wills.abandon(client.id, will) // it never got CONNACK
      return null
    }
    session.outbox.detach()
    if (will) this.#wills.connectionLost(client, client.id, will, Math.min(will.delaySeconds, session.expirySeconds))
    return session
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
    this.#handlers.publishWill(sender, clientId, { ...fields, change }, (error, outcome) => {
      if (!error && retained?.refusal) this.#handlers.notRetained(clientId, null, topic, retained.refusal)
      if (!error) this.#deliver({ ...fields, place: typeof outcome === 'string' ? null : outcome }, null)
      done(error === null ? 'sent' : isRefusedByRule(error) ? 'refused' : 'later')
    })
  }
}

/** Why a CONNECT could not be made durable. */
function connectFault(error: Error): GateFault {
  return error instanceof GateFault ? error : new GateFault('storage', error.message, { reasonCode: ReasonCode.serverUnavailable })
}

// The only file that knows aedes from inside: fields, orders of calls and messages that its documentation does not promise, read in the
// sources of aedes 1.2.0, aedes-persistence 11.0.0 and mqtt-packet 9.0.2. Elsewhere aedes is used as documented (options, hooks, events).
//
// Each function says what it relies on. missingInsides() names the fields that another version does not have any more;
// test/mqtt/aedes-insides.test.ts asks it of the version that is installed. For a new version every "Relies on" here is read against the
// new source. tools/tidy.mjs refuses `as unknown as` in the other files of this folder, and aedes outside of aedes-*.ts.
// Not for: decisions. Limits and what to do at them are handed in.

import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Aedes, Client, PublishPacket } from 'aedes'
import { writeToStream } from 'mqtt-packet'
import type { CloseReason } from './reasons.ts'

// --- the broker object

interface BrokerInsides {
  /** Connected clients by id; no prototype. */
  readonly clients: Readonly<Record<string, Client | undefined>>
  connectedClients: number
  /** There from listen() on. */
  readonly persistence: Persistence
  publish(packet: PublishPacket, client: unknown, done: unknown): void
  registerClient(client: Client): void
  _finishRegisterClient(client: Client): void
  unregisterClient(client: Client): void
}

const BROKER_FIELDS: Record<keyof BrokerInsides, FieldType> = {
  clients: 'object',
  connectedClients: 'number',
  persistence: 'object',
  publish: 'function',
  registerClient: 'function',
  _finishRegisterClient: 'function',
  unregisterClient: 'function'
}

const insidesOf = (aedes: Aedes): BrokerInsides => aedes as unknown as BrokerInsides

/** Relies on `clients`: a client stands there from the end of its CONNECT to the end of its connection. */
export function isConnected(aedes: Aedes, clientId: string): boolean {
  return insidesOf(aedes).clients[clientId] !== undefined
}

/** Relies on `persistence` being what every packet goes through, looked up anew for each call, so that its methods can be replaced. */
export function persistenceOf(aedes: Aedes): Persistence {
  return insidesOf(aedes).persistence
}

/** Relies on `error` being emitted when a will of a vanished session, or a look-up for queues, fails; without a listener it would throw. */
export function onBrokerError(aedes: Aedes, listener: (error: Error) => void): void {
  ;(aedes as EventEmitter).on('error', listener)
}

/**
 * `take` is asked before each message is retained, queued and delivered; true = it has called `done` or will, and aedes does nothing.
 * Relies on aedes calling its own `publish(packet, client, done)` or `publish(packet, done)`, for everything that is published, and on
 * `packet` being the object that authorizePublish was handed.
 */
export function interceptPublish(aedes: Aedes, take: (packet: PublishPacket, done: () => void) => boolean): void {
  const insides = insidesOf(aedes)
  const publish = insides.publish.bind(aedes)
  insides.publish = (packet, client, done) => {
    const callback = (typeof client === 'function' ? client : done) as () => void
    if (!take(packet, callback)) publish(packet, client, done)
  }
}

/**
 * A client id is connected once (MQTT-3.1.4-2), however close together its connections come and whichever listeners they use. aedes
 * closes the connection that is registered, and registers the new one when that is done. When two come while a third is being closed, the
 * first of them takes its place, is struck off the list by the end of the third, and lives on unseen beside the second. Here a place in
 * the list is only given up by the connection that holds it, and whoever takes it closes the one that holds it. `onTakeover` hears of both.
 *
 * Relies on `registerClient` being called for each CONNECT that is accepted and closing the client that is in `clients` then, on `_finishRegisterClient` putting a client into `clients` and raising `connectedClients`, on `unregisterClient` doing the
 * opposite by client id alone, and on all three being looked up on the broker for each call.
 */
export function keepOnePerClientId(aedes: Aedes, onTakeover: (client: Client, holder: Client) => void): void {
  const insides = insidesOf(aedes)
  const begin = insides.registerClient.bind(aedes)
  const register = insides._finishRegisterClient.bind(aedes)
  const unregister = insides.unregisterClient.bind(aedes)
  insides.registerClient = (client) => {
    const holder = insides.clients[client.id]
    if (holder && !holder.closed) onTakeover(client, holder)
    begin(client)
  }
  insides._finishRegisterClient = (client) => {
    if (client.closed) return // it ended while it waited for its place
    const holder = insides.clients[client.id]
    register(client)
    if (!holder || holder === client || holder.closed) return
    onTakeover(client, holder)
    holder.close()
  }
  insides.unregisterClient = (client) => {
    const holder = insides.clients[client.id]
    if (holder === client) return unregister(client)
    insides.connectedClients-- // its place has been taken already
  }
}

// --- clients

interface ClientInsides {
  readonly closed: boolean
  /** Packets that were read and are not done; while there are any, nothing more is read. */
  readonly _parsingBatch: number
  /** Milliseconds; one and a half times the keep-alive of CONNECT. -1 = none. */
  readonly _keepaliveInterval: number
  _keepaliveTimer: NodeJS.Timeout | null
  _connectTimer: NodeJS.Timeout | null
  emit(name: 'error', error: Error): unknown
}

const CLIENT_FIELDS: Record<keyof ClientInsides, FieldType> = {
  closed: 'boolean',
  _parsingBatch: 'number',
  _keepaliveInterval: 'number',
  _keepaliveTimer: 'object',
  _connectTimer: 'object',
  emit: 'function'
}

const clientInsidesOf = (client: Client): ClientInsides => client as unknown as ClientInsides

// Time limits for a peer run while its bytes are read. On a slow disk PINGREQ (or CONNECT) stays in the socket, and a limit that ran on
// would close every connection at once, to come back together. So aedes' two timers are replaced by timers that begin anew when they end
// while reading is paused. A peer that is really gone is found one interval after the pause. drainTimeout stays as it is: it is for
// peers that do not read.

/**
 * Replaces the time limit for CONNECT by one that begins anew while `isPaused`.
 * Relies on `_connectTimer` being running after handle() and cleared by CONNECT and close, and on an 'error' of the client closing it.
 */
export function extendConnectTimeout(client: Client, timeoutMs: number, isPaused: () => boolean): void {
  const insides = clientInsidesOf(client)
  if (insides._connectTimer === null) return
  clearTimeout(insides._connectTimer)
  insides._connectTimer = setTimeout(() => {
    if (isPaused()) insides._connectTimer?.refresh()
    else insides.emit('error', new Error('connect did not arrive in time'))
  }, timeoutMs)
}

/**
 * Replaces the keep-alive timer of a client that is connected by one that begins anew while `isPaused` or while packets are under way.
 * Relies on `_keepaliveTimer` being set (null without keep-alive) when 'client' is emitted, refreshed for each packet and cleared by
 * close, and on `_parsingBatch` counting the packets that are not done.
 */
export function extendKeepAlive(client: Client, isPaused: () => boolean): void {
  const insides = clientInsidesOf(client)
  if (insides._keepaliveTimer === null || insides.closed) return
  clearTimeout(insides._keepaliveTimer)
  insides._keepaliveTimer = setTimeout(() => {
    if (isPaused() || insides._parsingBatch > 0) insides._keepaliveTimer?.refresh()
    else insides.emit('error', new Error('keep alive timeout'))
  }, insides._keepaliveInterval)
}

/** Relies on a will being handed to authorizePublish as it stood in CONNECT, without `cmd`, or without a client. */
export function isWill(client: Client | null, packet: PublishPacket): boolean {
  return client === null || packet.cmd !== 'publish'
}

/** Relies on the persistence noting the `clientId` on the wills that it keeps. */
export function clientIdOfWill(client: Client | null, will: PublishPacket): string {
  return client?.id ?? (will as { clientId?: string }).clientId ?? ''
}

/** The words of aedes say no more than the reason does. */
const REASONS = new Map<string, CloseReason>([
  ['connect did not arrive in time', 'connect-timeout'],
  ['keep alive timeout', 'keepalive-timeout'],
  ['drain timeout', 'drain-timeout'],
  ['identifier rejected', 'client-id'],
  ['unacceptable protocol version', 'protocol-version'],
  ['connection closed', 'connection-lost']
])

/** Relies on the words of aedes' errors; 'protocol' when they are others. */
export function reasonOfAedesError({ message }: Error): CloseReason {
  return REASONS.get(message) ?? 'protocol'
}

// --- persistence

export interface PersistenceClient {
  readonly id: string
  readonly clean: boolean
  /** From CONNECT to CONNACK. */
  readonly connecting: boolean
  readonly conn: { destroy(error?: Error): unknown }
}

export interface PersistencePacket {
  readonly cmd: string
  readonly messageId?: number
  readonly topic: string
  readonly payload: Uint8Array
}

export interface PersistenceSubscription {
  readonly clientId: string
  readonly topic: string
  readonly qos: number
}

/**
 * The part of aedes' own persistence that session-store.ts replaces.
 * Relies on: addSubscriptions being handed the whole SUBSCRIBE packet once for each filter that was granted, refused filters included;
 * cleanSubscriptions being called by a clean CONNECT; a PUBLISH of QoS 2 being a repeat when incomingGetPacket resolves, and new when it
 * rejects; PUBCOMP leaving after incomingDelPacket, even when that rejects; cleanIncoming being called by a clean CONNECT while the
 * client is `connecting`, and by the end of a clean session when it is not.
 */
export interface Persistence {
  storeRetained(packet: PersistencePacket): PromiseLike<unknown>
  addSubscriptions(client: PersistenceClient, subscriptions: PersistenceSubscription[]): PromiseLike<unknown>
  cleanSubscriptions(client: PersistenceClient): PromiseLike<unknown>
  subscriptionsByTopic(topic: string): PromiseLike<PersistenceSubscription[]>
  outgoingEnqueueCombi(subscriptions: PersistenceSubscription[], packet: PersistencePacket): PromiseLike<unknown>
  outgoingUpdate(client: PersistenceClient, packet: PersistencePacket): PromiseLike<unknown>
  outgoingClearMessageId(client: PersistenceClient, packet: PersistencePacket): PromiseLike<PersistencePacket | undefined>
  incomingStorePacket(client: PersistenceClient, packet: PersistencePacket): PromiseLike<unknown>
  incomingGetPacket(client: PersistenceClient, packet: PersistencePacket): PromiseLike<unknown>
  incomingDelPacket(client: PersistenceClient, packet: PersistencePacket): PromiseLike<unknown>
  cleanIncoming(client: PersistenceClient): PromiseLike<unknown>
}

const PERSISTENCE_FIELDS: Record<keyof Persistence, FieldType> = {
  storeRetained: 'function',
  addSubscriptions: 'function',
  cleanSubscriptions: 'function',
  subscriptionsByTopic: 'function',
  outgoingEnqueueCombi: 'function',
  outgoingUpdate: 'function',
  outgoingClearMessageId: 'function',
  incomingStorePacket: 'function',
  incomingGetPacket: 'function',
  incomingDelPacket: 'function',
  cleanIncoming: 'function'
}

/**
 * "None", in the same turn and without a promise: it is asked for each message, and mostly there is none.
 * Relies on aedes using nothing of the answers of subscriptionsByTopic and outgoingEnqueueCombi but `then(resolve, reject)`.
 */
export const NO_SUBSCRIPTIONS = {
  // biome-ignore lint/suspicious/noThenProperty: a thenable is what is meant
  then: (resolve: (subscriptions: never[]) => void) => resolve([])
} as unknown as PromiseLike<never[]>

// --- the writer of packets, mqtt-packet

/**
 * Headers are built in place: the table of all 65,536 numbers takes 12 MB of resident memory (72 MiB with it, 60 without, after the
 * first packet). Relies on aedes and this file sharing one mqtt-packet, and on `cacheNumbers` being obeyed at any time.
 */
export function buildNumbersInPlace(): void {
  writeToStream.cacheNumbers = false
}

/** Relies on the writer corking a stream for each packet only when the stream has `cork`. */
export function hideCork(socket: Socket): void {
  ;(socket as { cork: unknown }).cork = undefined
}

// --- what there must be

type FieldType = 'object' | 'function' | 'number' | 'boolean'

/**
 * The fields that are relied on here and that are not there, in words; empty for the version that this file was written for.
 * `client` is one that handle() returned; `aedes` listens.
 */
export function missingInsides(aedes: Aedes, client: Client): string[] {
  return [
    ...missing('broker', aedes, BROKER_FIELDS),
    ...missing('client', client, CLIENT_FIELDS),
    ...missing('persistence', persistenceOf(aedes), PERSISTENCE_FIELDS),
    ...missing('writeToStream', writeToStream, { cacheNumbers: 'boolean' })
  ]
}

function missing(what: string, owner: object | undefined, fields: Readonly<Record<string, FieldType>>): string[] {
  const found = owner as Readonly<Record<string, unknown>> | undefined
  return Object.entries(fields)
    .filter(([name, type]) => typeof found?.[name] !== type)
    .map(([name, type]) => `${what}.${name} is no ${type}`)
}

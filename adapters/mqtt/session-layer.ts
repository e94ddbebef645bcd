// What the broker needs of a session layer, and what a session layer asks of the broker. The session layer reads packets from sockets and
// answers them; sessions, subscriptions, retained messages, wills, queues of absent clients and QoS 2 packet ids are its own.
// The broker decides who may what and makes events durable. mqtt-sessions.ts is the one that is used.
//
// Invariants of every session layer: a PUBLISH is acknowledged, retained, queued and delivered after `publish` has called back without an
// error; a client id is connected once.
// Not for: bytes (packet-reader.ts), storage of events (publish-intake.ts).

import type { Socket } from 'node:net'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { PublishLane } from '../../runtime/broker/publish-lane.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { BlockCodec } from '../../runtime/io/codec.ts'
import type { Place, StateChange, Store } from '../../runtime/log/contract.ts'
import type { DropReason } from './drop-reason.ts'
import type { BrokerLimits, ListenerLimits } from './limits.ts'
import type { ConnectPacket, MessageProperties, Qos } from './packets.ts'
import type { Qos2Memory } from './qos2-memory.ts'
import type { CloseReason, GateFault } from './reasons.ts'
import type { SessionDetail, SessionFacts, SessionQuery } from './session-facts.ts'
import type { SocketInput } from './socket-input.ts'

export interface ReadPause {
  /**
   * 'read': go on. 'wait': leave the bytes in the socket until onceReadable calls back. 'discard': the broker is closing; what arrives is
   * read and thrown away, so that the end of the connection is seen.
   */
  readonly state: 'read' | 'wait' | 'discard'
  /** Most bytes that one read may give now; at least 1. */
  readonly readBytesMax: number
  /** Calls back once, when `state` should be looked at again. */
  onceReadable(callback: () => void): void
}

/** A transport connection that was accepted. */
export interface Connection {
  readonly socket: Socket
  readonly input: SocketInput
  readonly limits: ListenerLimits
  readonly listener: { readonly host: string; readonly port: number }
  /** Noted when it was accepted: socket.remoteAddress is undefined after close. */
  readonly remoteAddress: string
  /** Of its certificate (TLS), which was verified: RFC 2253; null = it has shown none. */
  readonly certificateSubject: string | null
  readonly pause: ReadPause
}

/** What a connection is to those who decide and store. */
export interface Session {
  readonly id: string
  /** Its QoS 2 packet ids end with it. */
  readonly clean: boolean
  /** The connection is closed. */
  readonly closed: boolean
  /** MQTT 3 has no answer for a PUBLISH that is refused but to close the connection. */
  readonly closesOnRefusal: boolean
}

export interface Credentials {
  readonly userName: string | null
  readonly password: Uint8Array | null
}

export interface IncomingPublish {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly isRetained: boolean
  /** 0 of QoS 0. */
  readonly packetId: number
  readonly properties: MessageProperties | null
  /** Travels in the commit of the event, and by itself when no event is stored; `settle` is called once. */
  readonly change?: { readonly state: readonly StateChange[]; settle(isDurable: boolean): void }
}

/**
 * Where its event lies now, or 'unstored', as the configuration says: deliver it. 'repeat': its event was there before. 'lost': of QoS 0, storage refused it.
 * 'ignored': a bridge speaks of itself. None of these is delivered.
 */
export type PublishOutcome = Place | 'unstored' | 'repeat' | 'lost' | 'ignored'

export type PublishDone = (error: Error | null, outcome: PublishOutcome) => void

/** The fast lane for PUBLISH packets (connection-lane.ts). */
export interface LaneHandlers {
  readonly lane: PublishLane
  /** As it stands in records; '' = it has none. */
  clientIdOf(session: Session): string
  /** Its packets are taken as publish() would take them. */
  mayPublish(session: Session, topic: string): boolean
  /** A packet was refused that ends the connection: nothing behind it is taken. */
  isClosing(session: Session): boolean
  /** Events that the lane has taken, qos0 of them of QoS 0. `done` as that of publish(), once for all of them; to be answered when they are durable or refused. */
  take(session: Session, events: { events: number; qos0: number }, done: (error: Error | null) => void): (error: WadiError | null) => void
}

export interface SessionHandlers {
  /** null = there is none: every PUBLISH is an object. */
  readonly lane: LaneHandlers | null
  /** First look at a CONNECT. null = it goes on, to `authenticate`. */
  checkConnect(connection: Connection, request: ConnectPacket): GateFault | null
  /** Before anything of an existing session is touched. Calls back once; null = accepted. */
  authenticate(session: Session, connection: Connection, credentials: Credentials, answer: (refusal: GateFault | null) => void): void
  /**
   * Calls back in the order of the packets of a session; it may do so before it returns. After an error nothing behind is taken of a session that
   * closes on refusal.
   */
  publish(session: Session, packet: IncomingPublish, done: PublishDone): void
  /** The will of a session that ended without DISCONNECT. `session` is null when only its client id is known. */
  publishWill(session: Session | null, clientId: string, will: Omit<IncomingPublish, 'packetId'>, done: PublishDone): void
  /** @returns null when it may; otherwise the reason code of SUBACK */
  subscribeRefusal(session: Session, filter: string): number | null
  /** Names of the headers that a route gives the events of an MQTT topic. */
  routeHeadersOf(mqttTopic: string): readonly string[]
  /** Whether a route stores events in this topic. */
  mayHoldMessages(topicName: string): boolean
  /** PUBLISH packets that were taken in. */
  receivedMessages(): number
  /** Another connection of the same client id was accepted: `previous` is being closed. */
  takenOver(connection: Connection, previous: Connection, clientId: string): void
  /** A PUBLISH of QoS 1 or 2 was answered with `reasonCode`; the connection stays. */
  refused(connection: Connection, clientId: string | null, error: Error, reasonCode: number): void
  /** A message was stored and is not retained, for want of room as `why` says. Of a will `remoteAddress` is null. */
  notRetained(clientId: string, remoteAddress: string | null, topic: string, why: string): void
  /** Filters of a client were answered, or looked at again when its session was resumed. `codes`: as in SUBACK; from 0x80 on it is no subscription. */
  subscribed(connection: Connection, clientId: string, filters: readonly string[], codes: readonly number[]): void
  /** A message for a subscriber was dropped. */
  dropped(clientId: string, why: DropReason): void
  /** A connection that was refused, broke a rule or failed; not one that ended with DISCONNECT or by a takeover. */
  failed(connection: Connection, clientId: string | null, reason: CloseReason, detail: string): void
}

/** Live counters since the start, and what there is now. */
export interface SessionLayerMetrics {
  /** Connected clients, and sessions with those of absent clients. */
  readonly clients: number
  readonly sessions: number
  readonly subscriptions: number
  readonly retained: number
  readonly retainedBytes: number
  /** Durable wills: of connected clients, and delayed ones. */
  readonly wills: number
  /** That were due and will not be sent: refused by a rule, or without room until their client came back. */
  readonly willsDropped: number
  /** Memory of what waits in the queues of all sessions: messages, and references to those that wait in the log. */
  readonly queuedBytes: number
  /** Messages that wait in the log for sessions that outlive their connections. */
  readonly queuedPlaces: number
  /** Messages that were sent to subscribers. */
  readonly deliveries: number
  /** QoS 2 packet ids that are remembered now. */
  readonly qos2Remembered: number
  readonly qos2Repeats: number
  readonly qos2GivenUp: number
  readonly deliveriesDropped: number
  readonly offlineDropped: number
  readonly retainedRefused: number
  /** Retained messages and wills of the durable state that could not be read at the start. */
  readonly damaged: number
}

export interface SessionLayerOptions {
  readonly limits: BrokerLimits
  readonly store: Pick<Store, 'commit' | 'submit' | 'listState' | 'getState' | 'topics'>
  readonly core: Core
  readonly codec: BlockCodec
  readonly handlers: SessionHandlers
  /** Of the product, for $SYS. */
  readonly version: string
  /** A value of the durable state that cannot be read at the start: it is left out. */
  readonly onDamage: (error: WadiError) => void
}

export interface SessionLayer {
  /** Which QoS 2 packets became events. */
  readonly qos2: Pick<Qos2Memory, 'begin'>
  readonly metrics: SessionLayerMetrics
  /** An event of `publish` or `publishWill` is durable: its callback follows, when those before it of its session are settled. Not of repeats. */
  stored(place: Place): void
  /** In the order of their client ids. Others have their turns while it goes on: what ends or comes meanwhile may be there or not. */
  list(query: SessionQuery): AsyncGenerator<SessionFacts, void, void>
  /** null = there is none of this client id. */
  find(clientId: string): SessionDetail | null
  /**
   * Ends the connection (MQTT 5: 0x98) and the session of a client, and sends its will. Resolves when that is durable, with what there was; null = there was
   * no session of this client id. @throws WadiError of storage: it has ended, and a kill brings it back until the removal, which is tried again, is durable
   */
  end(clientId: string): Promise<SessionDetail | null>
  /** Before the first connection. */
  start(): Promise<void>
  /** Reads its packets from now on, until it closes. */
  accept(connection: Connection): void
  /** Tells all clients, and closes their connections when what was answered has left. */
  endConnections(): void
  /** After the last connection has ended: what clients have is durable when it resolves. */
  close(): Promise<void>
}

export type SessionLayerFactory = (options: SessionLayerOptions) => SessionLayer

// What the broker needs of a session layer, and what a session layer asks of the broker. The session layer reads packets from guarded
// sockets and answers them; sessions, subscriptions, retained messages, wills, queues of absent clients and QoS 2 packet ids are its own.
// The broker decides who may what and makes events durable. aedes-sessions.ts is the one that is used.
//
// Invariants of every session layer: a PUBLISH is acknowledged, retained, queued and delivered after `publish` has called back without an
// error; an error closes the connection without an acknowledgement; a client id is connected once.
// Not for: bytes (gate.ts), storage of events (publish-intake.ts).

import type { Socket } from 'node:net'
import type { Core } from '../../runtime/core/core.ts'
import type { Store } from '../../runtime/log/contract.ts'
import type { BrokerLimits, ListenerLimits } from './limits.ts'
import type { Qos2Memory } from './qos2-memory.ts'
import type { CloseReason, GateFault } from './reasons.ts'

/** A transport connection that was accepted; its socket is guarded already. */
export interface Connection {
  readonly socket: Socket
  readonly limits: ListenerLimits
  readonly listener: { readonly host: string; readonly port: number }
  /** Noted when it was accepted: socket.remoteAddress is undefined after close. */
  readonly remoteAddress: string
  /** Its bytes are left in the socket, so its silence is not the peer's. No time limit may end it meanwhile. */
  readonly isPaused: () => boolean
}

/** The session of one connection. */
export interface Session {
  readonly id: string
  /** It ends with the connection. */
  readonly clean: boolean
  /** The connection is closed. */
  readonly closed: boolean
  readonly conn: { readonly destroyed: boolean; readonly writableLength: number }
}

export interface ConnectRequest {
  /** As sent: may be empty. */
  readonly clientId: string
  readonly clean?: boolean
  readonly will?: { readonly topic: string; readonly payload?: Uint8Array | string; readonly qos?: number }
}

export interface Credentials {
  readonly userName: string | null
  readonly password: Uint8Array | null
}

/** `returnCode` of CONNACK; null = closed without one. */
export interface ConnectRefusal {
  readonly error: GateFault
  readonly returnCode: 2 | 3 | 4 | 5 | null
}

export interface IncomingPublish {
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly qos: 0 | 1 | 2
  /** Of QoS 1 and 2. */
  readonly messageId?: number
}

export type PublishDone = (error?: Error | null) => void

export interface SessionHandlers {
  /** First look at a CONNECT. null = it goes on, to `authenticate`. */
  checkConnect(connection: Connection, request: ConnectRequest): ConnectRefusal | null
  /** Before anything of an existing session is touched. Calls back once; null = accepted. */
  authenticate(session: Session, connection: Connection, credentials: Credentials, answer: (refusal: ConnectRefusal | null) => void): void
  /** Calls back in the order of the packets of a session, and not before `publish` returns. After an error no packet behind is taken. */
  publish(session: Session, packet: IncomingPublish, done: PublishDone): void
  /** The will of a session that ended without DISCONNECT. `session` is null when only its client id is known. */
  publishWill(session: Session | null, clientId: string, will: IncomingPublish, done: PublishDone): void
  /** After `publish` has called back: the event was there already, do not deliver it a second time. */
  isRepeat(packet: object): boolean
  /** After `publish` has called back: storage refused this QoS 0 message, do not deliver it. */
  isLost(packet: object): boolean
  maySubscribe(session: Session, filter: string): boolean
  /** Another connection of the same client id was accepted: `previous` is being closed. */
  takenOver(connection: Connection, previous: Connection, clientId: string): void
  /** A connection that was refused, broke a rule or failed; not one that ended with DISCONNECT or by a takeover. */
  failed(connection: Connection, clientId: string | null, reason: CloseReason, detail: string): void
}

/** Live counters since the start. */
export interface SessionLayerMetrics {
  /** QoS 2 packet ids that are remembered now. */
  readonly qos2Remembered: number
  readonly qos2Repeats: number
  readonly qos2GivenUp: number
  readonly deliveriesDropped: number
  readonly offlineDropped: number
  readonly retainedRefused: number
}

export interface SessionLayerOptions {
  readonly limits: BrokerLimits
  readonly store: Pick<Store, 'commit' | 'listState' | 'getState'>
  readonly core: Pick<Core, 'crc32c'>
  readonly handlers: SessionHandlers
}

export interface SessionLayer {
  /** Which QoS 2 packets became events. */
  readonly qos2: Pick<Qos2Memory, 'begin'>
  readonly metrics: SessionLayerMetrics
  /** Before the first connection. */
  start(): Promise<void>
  /** Reads its packets from now on, until it closes. */
  accept(connection: Connection): void
  /** Ends all sessions' connections. */
  close(): Promise<void>
}

export type SessionLayerFactory = (options: SessionLayerOptions) => SessionLayer

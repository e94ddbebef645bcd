// PUBLISH packets and wills into ingest, acknowledged in the order of their packets: rights, QoS 2 packet ids, the append, its sync.
//
// Invariants: `done` is called after the sync, in the order of the PUBLISHes of a session; an error there means that the packet is not
// acknowledged and closes its connection, after what is stored before it has been acknowledged; nothing behind it is taken.
// Not for: routing and partitions (runtime/broker), what becomes of a message afterwards (the session layer).

import type { WadiError } from '../../runtime/base/errors.ts'
import type { Ingest } from '../../runtime/broker/ingest.ts'
import { AckQueue, type PendingAck } from './ack-queue.ts'
import type { Authorizer, ClientIdentity } from './authorizer.ts'
import { isReserved } from './name-rules.ts'
import { GateFault } from './reasons.ts'
import type { IncomingPublish, PublishDone, Session, SessionLayer } from './session-layer.ts'
import { waitUntil } from './wait-until.ts'

export interface PublishIntakeOptions {
  readonly ingest: Ingest
  readonly authorizer: Authorizer
  readonly qos2: SessionLayer['qos2']
  readonly identityOf: (session: Session) => ClientIdentity
}

/** What a session needs for each of its packets. */
interface Publisher {
  readonly client: ClientIdentity
  readonly acks: AckQueue
}

/** Before a connection is closed because of a refused packet: what is acknowledged leaves first. */
const ACKS_LEAVE_MS = 20
const ACKS_LEAVE_MS_MAX = 1_000
const TOPIC_CHARACTERS_MAX = 200
const NO_LISTENER = { host: '', port: 0 } as const

export class PublishIntake {
  readonly #options: PublishIntakeOptions
  readonly #publishers = new WeakMap<Session, Publisher>()
  readonly #repeats = new WeakSet<object>()
  readonly #lost = new WeakSet<object>()
  #pendingCount = 0
  #lostCount = 0
  #refusedWillCount = 0

  constructor(options: PublishIntakeOptions) {
    this.#options = options
  }

  /** Packets and wills that were taken and are not done. */
  get pendingCount(): number {
    return this.#pendingCount
  }

  /** QoS 0 messages that storage refused. */
  get lostCount(): number {
    return this.#lostCount
  }

  /** Wills that the Authorizer refused when they were to be sent. */
  get refusedWillCount(): number {
    return this.#refusedWillCount
  }

  /** This PUBLISH was found to be a repeat: its event was there before. */
  isRepeat(packet: object): boolean {
    return this.#repeats.has(packet)
  }

  /** This QoS 0 message was refused by storage. */
  isLost(packet: object): boolean {
    return this.#lost.has(packet)
  }

  take(session: Session, packet: IncomingPublish, done: PublishDone): void {
    const { acks, client } = this.#publisherOf(session)
    if (acks.isClosing) return
    this.#pendingCount++
    const ack = acks.add(done)
    const refusal = this.#refusalOf(client, packet.topic)
    if (refusal) this.#settle(ack, refusal)
    else if (packet.qos === 2) this.#takeOnce(session, client, packet, ack)
    else this.#store(client, packet, ack)
    ack.isInside = false
  }

  takeWill(session: Session | null, clientId: string, will: IncomingPublish, done: PublishDone): void {
    const { topic, qos } = will
    const client = session
      ? this.#options.identityOf(session)
      : { clientId, isNamed: true, userName: null, remoteAddress: '', listener: NO_LISTENER }
    const refusal = this.#refusalOf(client, topic)
    if (refusal) {
      this.#refusedWillCount++
      return void setImmediate(done, refusal)
    }
    const payload = typeof will.payload === 'string' ? Buffer.from(will.payload) : will.payload
    this.#pendingCount++
    this.#options.ingest.accept({ mqttTopic: topic, clientId: nameOf(client), payload, qos }, (error) => {
      this.#pendingCount--
      setImmediate(done, error)
    })
  }

  #refusalOf(client: ClientIdentity, topic: string): GateFault | null {
    if (isReserved(topic)) return new GateFault('topic-reserved', topic.slice(0, TOPIC_CHARACTERS_MAX))
    if (this.#options.authorizer.mayPublish(client, topic)) return null
    return new GateFault('not-authorized', `may not publish to ${JSON.stringify(topic.slice(0, TOPIC_CHARACTERS_MAX))}`)
  }

  /** QoS 0 and 1. A QoS 0 message that storage refuses is lost, as QoS 0 allows, and counted; its connection stays. */
  #store(client: ClientIdentity, packet: IncomingPublish, ack: PendingAck): void {
    const event = { mqttTopic: packet.topic, clientId: nameOf(client), payload: packet.payload as Uint8Array, qos: packet.qos }
    this.#options.ingest.accept(event, (error) => {
      if (error === null || packet.qos > 0 || isRefusedByRule(error)) return this.#settle(ack, error)
      this.#lostCount++
      this.#lost.add(packet)
      this.#settle(ack, null)
    })
  }

  #takeOnce(session: Session, client: ClientIdentity, packet: IncomingPublish, ack: PendingAck): void {
    const payload = packet.payload as Uint8Array
    const known = this.#options.qos2.begin(session, { packetId: packet.messageId ?? 0, mqttTopic: packet.topic, payload })
    if (known.kind === 'full') return this.#settle(ack, new GateFault('qos2-window', 'too many packets without PUBREL'))
    if (known.kind === 'later') {
      return known.whenSettled(() =>
        session.closed ? this.#settle(ack, connectionClosed()) : this.#takeOnce(session, client, packet, ack)
      )
    }
    if (known.kind === 'repeat') {
      this.#repeats.add(packet)
      return known.whenDone((error) => this.#settle(ack, error))
    }
    const event = { mqttTopic: packet.topic, clientId: nameOf(client), payload, qos: 2 as const, state: known.state }
    this.#options.ingest.accept(event, (error, isStored) => {
      known.settle(error, isStored)
      this.#settle(ack, error)
    })
  }

  #settle(ack: PendingAck, error: Error | null): void {
    this.#pendingCount--
    ack.settle(error)
  }

  #publisherOf(session: Session): Publisher {
    const known = this.#publishers.get(session)
    if (known) return known
    const acks = new AckQueue((then) => whenWritten(session.conn, then))
    const publisher = { client: this.#options.identityOf(session), acks }
    this.#publishers.set(session, publisher)
    return publisher
  }
}

/** What the broker chose says nothing, and would be another one each time. */
const nameOf = ({ clientId, isNamed }: ClientIdentity): string => (isNamed ? clientId : '')

const connectionClosed = (): Error => new GateFault('connection-lost', 'connection closed')

/** By the configuration or the size of the event: sending it again would not help. */
function isRefusedByRule(error: WadiError): boolean {
  return error.code === 'WADI_RECORD_INVALID' || error.code === 'WADI_RECORD_TOO_LARGE'
}

/** What was handed to the socket has left it. A PUBREC is handed over a few turns of the loop after its packet is settled. */
function whenWritten(socket: Session['conn'], then: () => void): void {
  const startedMs = performance.now()
  const isDone = (): boolean => socket.destroyed || (socket.writableLength === 0 && performance.now() - startedMs >= ACKS_LEAVE_MS)
  void waitUntil(isDone, ACKS_LEAVE_MS_MAX).then(then)
}

// PUBLISH packets and wills into ingest, acknowledged in the order of their packets: rights, QoS 2 packet ids, the append, its sync.
//
// Invariants: `done` is called after the sync, in the order of the PUBLISHes of a session; an error there means that the packet is not stored, and
// where it ends the connection (publish-refusal.ts) what is stored before it has been acknowledged, and nothing behind it is taken.
// Not for: routing and partitions (runtime/broker), what becomes of a message afterwards (the session layer).

import type { WadiError } from '../../runtime/base/errors.ts'
import type { Ingest, IngestDone, IngestEvent } from '../../runtime/broker/ingest.ts'
import type { Place, StateChange, Store } from '../../runtime/log/contract.ts'
import { AckQueue, type PendingAck } from './ack-queue.ts'
import type { Authorizer, ClientIdentity } from './authorizer.ts'
import { isBridgeNotification, isReserved } from './name-rules.ts'
import { messageHeaders } from './property-headers.ts'
import { isRefusedByRule, publishRefusal } from './publish-refusal.ts'
import { GateFault } from './reasons.ts'
import type { IncomingPublish, PublishDone, PublishOutcome, Session, SessionLayer } from './session-layer.ts'

export interface PublishIntakeOptions {
  readonly ingest: Ingest
  readonly store: Pick<Store, 'commit'>
  readonly authorizer: Authorizer
  readonly qos2: SessionLayer['qos2']
  readonly identityOf: (session: Session) => ClientIdentity
  /** Before the callbacks of the events that wait for it, in the order of the log. */
  readonly onStored: (place: Place) => void
}

/** What a session needs for each of its packets. */
interface Publisher {
  readonly session: Session
  readonly client: ClientIdentity
  readonly acks: AckQueue<PublishOutcome>
}

const TOPIC_CHARACTERS_MAX = 200
const NO_LISTENER = { host: '', port: 0 } as const

export class PublishIntake {
  readonly #options: PublishIntakeOptions
  readonly #publishers = new WeakMap<Session, Publisher>()
  #pendingCount = 0
  #lostCount = 0

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

  take(session: Session, packet: IncomingPublish, done: PublishDone): void {
    const publisher = this.#publisherOf(session)
    const { acks, client } = publisher
    if (acks.isClosing) return packet.change?.settle(false)
    this.#pendingCount++
    const ack = acks.add(done)
    if (isBridgeNotification(packet.topic)) return this.#settle(ack, 'ignored')
    const refusal = this.#refusalOf(client, packet.topic)
    if (refusal) {
      packet.change?.settle(false)
      this.#refuse(publisher, packet, ack, refusal)
    } else if (packet.qos === 2) this.#takeOnce(publisher, packet, ack)
    else this.#store(publisher, packet, ack)
  }

  // --- the fast lane (connection-lane.ts)

  clientIdOf(session: Session): string {
    return nameOf(this.#options.identityOf(session))
  }

  mayPublishByLane(session: Session, topic: string): boolean {
    return !isBridgeNotification(topic) && this.#refusalOf(this.#publisherOf(session).client, topic) === null
  }

  isClosing(session: Session): boolean {
    return this.#publisherOf(session).acks.isClosing
  }

  takeByLane(
    session: Session,
    { events, qos0 }: { events: number; qos0: number },
    done: (error: Error | null) => void
  ): (error: WadiError | null) => void {
    this.#pendingCount += events
    const ack = this.#publisherOf(session).acks.add(done)
    return (error) => {
      this.#pendingCount -= events
      if (error === null) return ack.settle(null, 'unstored')
      this.#lostCount += qos0
      if (qos0 === events) return ack.settle(null, 'lost')
      ack.settle(error, 'lost', publishRefusal(error, session, 1).closes)
    }
  }

  takeWill(session: Session | null, clientId: string, will: Omit<IncomingPublish, 'packetId'>, done: PublishDone): void {
    const client = session
      ? this.#options.identityOf(session)
      : { clientId, isNamed: true, userName: null, remoteAddress: '', certificateSubject: null, listener: NO_LISTENER }
    const refusal = this.#refusalOf(client, will.topic)
    if (refusal) {
      will.change?.settle(false)
      return void setImmediate(done, refusal, 'lost')
    }
    this.#pendingCount++
    this.#accept(eventOf(client, will), will, (error, place) => {
      this.#pendingCount--
      done(error, error ? 'lost' : (place ?? 'unstored'))
    })
  }

  #refusalOf(client: ClientIdentity, topic: string): GateFault | null {
    if (isReserved(topic)) return new GateFault('topic-reserved', topic.slice(0, TOPIC_CHARACTERS_MAX))
    if (this.#mayPublish(client, topic)) return null
    return new GateFault('not-authorized', `may not publish to ${JSON.stringify(topic.slice(0, TOPIC_CHARACTERS_MAX))}`)
  }

  /** One that throws, which it must not, refuses: it is no reason to end the gateway. */
  #mayPublish(client: ClientIdentity, topic: string): boolean {
    try {
      return this.#options.authorizer.mayPublish(client, topic)
    } catch {
      return false
    }
  }

  /** QoS 0 and 1. A QoS 0 message that storage refuses is lost, as QoS 0 allows, and counted; its connection stays. */
  #store(publisher: Publisher, packet: IncomingPublish, ack: PendingAck<PublishOutcome>): void {
    this.#accept(eventOf(publisher.client, packet), packet, (error, place) => {
      if (error === null) return this.#settle(ack, place ?? 'unstored')
      if (packet.qos > 0 || isRefusedByRule(error)) return this.#refuse(publisher, packet, ack, error)
      this.#lostCount++
      this.#settle(ack, 'lost')
    })
  }

  #takeOnce(publisher: Publisher, packet: IncomingPublish, ack: PendingAck<PublishOutcome>): void {
    const { session, client } = publisher
    const { packetId, topic: mqttTopic, payload } = packet
    const known = this.#options.qos2.begin(session, { packetId, mqttTopic, payload })
    if (known.kind === 'full' || known.kind === 'repeat') packet.change?.settle(false)
    if (known.kind === 'full') {
      return this.#refuse(publisher, packet, ack, new GateFault('qos2-window', 'too many packets without PUBREL'))
    }
    if (known.kind === 'later') {
      return known.whenSettled(() => {
        if (!session.closed) return this.#takeOnce(publisher, packet, ack)
        packet.change?.settle(false)
        this.#refuse(publisher, packet, ack, connectionClosed())
      })
    }
    if (known.kind === 'repeat') {
      return known.whenDone((error) => (error ? this.#refuse(publisher, packet, ack, error) : this.#settle(ack, 'repeat')))
    }
    this.#accept(eventOf(client, packet, known.state), packet, (error, place) => {
      known.settle(error, place !== null)
      if (error) this.#refuse(publisher, packet, ack, error)
      else this.#settle(ack, place ?? 'unstored')
    })
  }

  /** `done` as of Ingest.accept; what travels with an event that is not stored has a commit of its own. */
  #accept(event: IngestEvent, { change }: Pick<IncomingPublish, 'change'>, done: IngestDone): void {
    const { ingest, onStored } = this.#options
    ingest.accept(event, (error, place) => {
      if (place) onStored(place)
      if (!change) return done(error, place)
      if (error || place || change.state.length === 0) {
        change.settle(error === null)
        return done(error, place)
      }
      this.#options.store.commit([], change.state).then(
        () => {
          change.settle(true)
          done(null, null)
        },
        (refusal: WadiError) => {
          change.settle(false)
          done(refusal, null)
        }
      )
    })
  }

  #settle(ack: PendingAck<PublishOutcome>, outcome: PublishOutcome): void {
    this.#pendingCount--
    ack.settle(null, outcome)
  }

  #refuse({ session }: Publisher, { qos }: IncomingPublish, ack: PendingAck<PublishOutcome>, error: Error): void {
    this.#pendingCount--
    ack.settle(error, 'lost', publishRefusal(error, session, qos).closes)
  }

  #publisherOf(session: Session): Publisher {
    const known = this.#publishers.get(session)
    if (known) return known
    const publisher = { session, client: this.#options.identityOf(session), acks: new AckQueue<PublishOutcome>() }
    this.#publishers.set(session, publisher)
    return publisher
  }
}

function eventOf(
  client: ClientIdentity,
  { topic, payload, qos, isRetained, properties, change }: Omit<IncomingPublish, 'packetId'>,
  more: readonly StateChange[] = []
): IngestEvent {
  const event = { mqttTopic: topic, clientId: nameOf(client), payload, qos }
  if (qos === 1 && !isRetained && properties === null && change === undefined && more.length === 0) return event // most are
  const state = change ? [...more, ...change.state] : more
  const headers = messageHeaders({ qos, isRetained, properties }, Date.now())
  return {
    ...event,
    ...(headers.length > 0 && { headers }),
    ...(state.length > 0 && { state })
  }
}

/** What the broker chose says nothing, and would be another one each time. */
const nameOf = ({ clientId, isNamed }: ClientIdentity): string => (isNamed ? clientId : '')

const connectionClosed = (): Error => new GateFault('connection-lost', 'connection closed')

// A client while it is connected: its connection, the session that it has, and what MQTT keeps for one connection only (topic aliases, the window of what
// it publishes). Not for: bytes (client-connection.ts), what outlives the connection (client-session.ts).

import type { ClientConnection } from './client-connection.ts'
import type { ClientSession } from './client-session.ts'
import type { ConnectPacket, PublishPacket, WillPacket } from './packets.ts'
import { ReasonCode } from './packets.ts'
import { GateFault } from './reasons.ts'
import type { Session } from './session-layer.ts'

const ANY_NUMBER = 0xffffffff

export class ConnectedClient implements Session {
  readonly id: string
  readonly clean: boolean
  readonly connection: ClientConnection
  readonly connect: Omit<ConnectPacket, 'will' | 'password'>
  /** Wall time, ms. */
  readonly sinceMs = Date.now()
  /** null from CONNECT until its session is found. */
  session: ClientSession | null = null
  /** Sent when the connection ends without DISCONNECT. */
  will: WillPacket | null
  /** Its session has let go of it. */
  isDetached = false
  readonly #receiveMaximum: number
  readonly #aliases = new Map<number, string>()
  /** QoS 1 and 2 that are not answered; QoS 2 until PUBCOMP, by packet id. */
  #openQos1Count = 0
  readonly #openQos2 = new Set<number>()

  constructor(id: string, connection: ClientConnection, packet: ConnectPacket, receiveMaximum: number) {
    const { will, password: _, ...connect } = packet
    this.id = id
    this.connection = connection
    this.connect = connect
    this.clean = packet.isClean && packet.sessionExpirySeconds === 0
    this.will = will
    this.#receiveMaximum = receiveMaximum
  }

  get closed(): boolean {
    return this.isDetached || this.connection.isClosed
  }

  get closesOnRefusal(): boolean {
    return this.connect.version !== 5
  }

  /** The topic that a PUBLISH means, its alias resolved and remembered. */
  topicOf({ topic, topicAlias }: PublishPacket): string | GateFault {
    if (topicAlias === null) return topic
    if (topic !== '') {
      this.#aliases.set(topicAlias, topic)
      return topic
    }
    return (
      this.#aliases.get(topicAlias) ??
      new GateFault('topic-alias', `alias ${topicAlias} has no topic`, { reasonCode: ReasonCode.protocolError })
    )
  }

  /** A PUBLISH begins. @returns a fault when more are open than the client was told that it may have */
  open({ qos, packetId }: PublishPacket): GateFault | null {
    if (qos === 0 || this.closesOnRefusal) return null
    const isNew = qos === 1 || !this.#openQos2.has(packetId)
    if (isNew && this.publishRoom === 0) {
      return new GateFault('receive-maximum', `more than ${this.#receiveMaximum} unanswered`, {
        reasonCode: ReasonCode.receiveMaximumExceeded
      })
    }
    if (qos === 1) this.openQos1(1)
    else this.#openQos2.add(packetId)
    return null
  }

  /** How many PUBLISHes may begin now, but for repeats of QoS 2. */
  get publishRoom(): number {
    return this.closesOnRefusal ? ANY_NUMBER : Math.max(0, this.#receiveMaximum - this.#openQos1Count - this.#openQos2.size)
  }

  /** So many begin, which have room. */
  openQos1(count: number): void {
    this.#openQos1Count += count
  }

  /** Their PUBACKs leave. */
  settleQos1(count: number): void {
    this.#openQos1Count -= count
  }

  /** PUBACK leaves, or PUBREC with an error, or PUBCOMP. */
  settle(qos: 1 | 2, packetId: number): void {
    if (this.closesOnRefusal) return
    if (qos === 1) this.settleQos1(1)
    else this.#openQos2.delete(packetId)
  }
}

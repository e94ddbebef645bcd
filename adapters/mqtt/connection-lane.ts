// One connection on the fast lane: PUBLISH packets of QoS 0 and 1 go from what its socket gave into the open commit, without an object for each. Whatever
// the lane does not take (another packet, a retained message, properties, a topic that has a subscriber here) is left to the packet reader, in order.
//
// Invariants: PUBACKs of one walk leave in one write, after the commit, in the order of the packets (the queue of acknowledgements holds the walk's place
// among the other packets); a client of MQTT 5 is not taken more from than its Receive Maximum.
// Not for: sockets (client-connection.ts), bytes (packet-reader.ts), what becomes of an event (runtime/broker/publish-lane.ts).

import type { LaneClient, LaneTopic } from '../../runtime/broker/publish-lane.ts'
import type { LaneDone, LaneEnd } from '../../runtime/log/contract.ts'
import type { PacketLane } from './client-connection.ts'
import type { ConnectedClient } from './connected-client.ts'
import type { PacketReader } from './packet-reader.ts'
import { messageHeaders } from './property-headers.ts'
import { PublishTopics } from './publish-topics.ts'
import { GateFault } from './reasons.ts'
import type { LaneHandlers } from './session-layer.ts'

/** The beginning of a larger packet is left to the packet reader, which keeps what comes in pieces without copying it again and again. */
const HEAD_BYTES_MAX = 8 * 1024
const PACKET_BYTES_MAX = 64 * 1024
const ACK_BYTES = 4
/** PUBLISH of QoS 0, of QoS 1, and its repeat; not retained. */
const FIRST_BYTES: ReadonlySet<number> = new Set([0x30, 0x32, 0x3a])

export interface ConnectionLaneHost {
  readonly handlers: LaneHandlers
  /** Somebody who is or may come back here has subscribed to it. */
  hasSubscribers(topic: string): boolean
  /** QoS 1 events whose commit was refused. */
  refused(client: ConnectedClient, packetIds: readonly number[], error: Error): void
  /** Durable: before they are acknowledged. */
  stored(ends: readonly LaneEnd[]): void
}

export class ConnectionLane implements PacketLane, LaneClient {
  readonly number: number
  readonly clientId: string
  readonly isV5: boolean
  readonly packetBytesMax: number
  readonly #client: ConnectedClient
  readonly #host: ConnectionLaneHost
  readonly #topics: PublishTopics

  constructor(client: ConnectedClient, host: ConnectionLaneHost) {
    const { limits } = client.connection.connection
    this.#client = client
    this.#host = host
    this.#topics = new PublishTopics(limits)
    this.number = host.handlers.lane.nextClientNumber()
    this.clientId = host.handlers.clientIdOf(client)
    this.isV5 = client.connect.version === 5
    this.packetBytesMax = Math.min(limits.packetBytesMax, PACKET_BYTES_MAX)
  }

  take(reader: PacketReader): 'empty' | 'packet' | 'full' {
    const offer = reader.offer()
    if (offer === null) return 'packet'
    const { head, chunk, at } = offer
    if (!FIRST_BYTES.has(head[0] ?? chunk[at] ?? 0)) return 'packet' // also while there is no room
    const client = this.#client
    if (client.closed || this.#host.handlers.isClosing(client)) return 'packet'
    const { consumed, stop } = this.#host.handlers.lane.walk(this, head, chunk, { from: at, acksMax: client.publishRoom })
    reader.took(consumed)
    if (stop === 'done') return 'empty'
    if (stop !== 'more') return stop === 'full' ? 'full' : 'packet'
    if (head.length + chunk.length - at - consumed > HEAD_BYTES_MAX) return 'packet'
    reader.hold()
    return reader.fault ? 'packet' : 'empty'
  }

  get isFull(): boolean {
    return this.#host.handlers.lane.isFull
  }

  onceRoom(turn: () => void): void {
    this.#host.handlers.lane.onceRoom(turn)
  }

  topicOf(bytes: Uint8Array, qos: 0 | 1): LaneTopic | null {
    const { handlers, hasSubscribers } = this.#host
    const mqttTopic = this.#nameIn(bytes)
    if (mqttTopic === null || !handlers.mayPublish(this.#client, mqttTopic) || hasSubscribers(mqttTopic)) return null
    return { mqttTopic, headers: messageHeaders({ qos, isRetained: false, properties: null }, 0) }
  }

  /** null = the packet reader says what is wrong with it. */
  #nameIn(bytes: Uint8Array): string | null {
    try {
      return this.#topics.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength)
    } catch (error) {
      if (error instanceof GateFault) return null
      throw error
    }
  }

  taken(events: number, ackBytes: Uint8Array): LaneDone {
    const { connection } = this.#client
    const acks = Buffer.from(ackBytes) // a copy: the lane's next walk writes there
    const qos1 = acks.byteLength / ACK_BYTES
    connection.pendingCount += events
    this.#client.openQos1(qos1)
    const answer = this.#host.handlers.take(this.#client, { events, qos0: events - qos1 }, (error) => {
      connection.pendingCount -= events
      if (error) return this.#host.refused(this.#client, packetIdsIn(acks), error)
      this.#client.settleQos1(qos1)
      if (qos1 > 0 && !connection.isClosed) connection.sendAcks(acks)
    })
    return (error, ends) => {
      if (error === null) this.#host.stored(ends)
      answer(error)
    }
  }
}

function packetIdsIn(acks: Buffer): number[] {
  return Array.from({ length: acks.byteLength / ACK_BYTES }, (_, index) => acks.readUInt16BE(index * ACK_BYTES + 2))
}

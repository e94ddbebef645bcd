// What one session is sent: QoS 1 and 2 in flight, what waits for room or for the client to come back, packet ids, repeats after a reconnect.
//
// Invariants:
//   O1  Messages leave in the order in which deliver() was called; after a reconnect what was sent and not acknowledged leaves first, in its order,
//       with its packet id and DUP (MQTT-4.4.0-1, MQTT-4.6.0-1).
//   O2  Not more QoS 1 and 2 messages are unacknowledged than the client takes (QoS 2 until PUBCOMP).
//   O3  What is kept is bounded: per session, and for all through the QueueBudget. What finds no room is dropped and counted, never half sent.
//   O4  A packet id is given to one message until its exchange has ended, and is never 0.
// Not for: which messages (sessions), bytes (wire-write.ts).

import { MESSAGE_OVERHEAD_BYTES, type Message } from './message.ts'
import type { DeliveryOptions, Qos } from './packets.ts'

/** The connection of a session. */
export interface OutboxLink {
  /** False while the socket wants to be waited for: pump() is called when it does not any more. */
  readonly isWritable: boolean
  /** False: it is larger than the client takes, nothing was sent. */
  sendPublish(options: DeliveryOptions): boolean
  sendPubrel(packetId: number): void
}

export interface OutboxLimits {
  /** Messages, and bytes, that may wait while the client is away; bytes of all sessions then. */
  readonly offlinePerClientMax: number
  readonly offlinePerClientBytesMax: number
  readonly offlineBytesMax: number
  /** Bytes that may be unacknowledged or wait while it is connected; bytes of all sessions. */
  readonly outboundBytesMax: number
  readonly outboundTotalBytesMax: number
  /** Retained messages that may wait for one connected client. */
  readonly retainedCountMax: number
}

/** What all sessions share. */
export interface QueueBudget {
  bytes: number
  /** Messages that were sent. */
  deliveries: number
  /** Messages that found no room: of connected and of absent sessions. */
  deliveriesDropped: number
  offlineDropped: number
}

export interface Delivery {
  readonly qos: Qos
  readonly isRetained: boolean
  readonly subscriptionIds: readonly number[]
  /** The message is kept elsewhere anyway (retained messages): its own bytes do not count here, and there may be many at once. */
  readonly isKeptElsewhere?: boolean
}

interface Entry extends Delivery {
  /** null once the client has it (PUBREC): only PUBREL is left to send. */
  message: Message | null
  readonly bytes: number
  packetId: number
  isSent: boolean
  isInFlight: boolean
  isDone: boolean
  /** Its bytes are in the sums. */
  isCounted: boolean
}

const PACKET_ID_MAX = 65_535

export class Outbox {
  readonly #limits: OutboxLimits
  readonly #budget: QueueBudget
  #link: OutboxLink | null = null
  #window = 0
  /** With a packet id, in the order in which they were sent. */
  readonly #byId = new Map<number, Entry>()
  #inFlightCount = 0
  #queue: Entry[] = []
  #head = 0
  /** Of the sums in the budget: everything that is kept, and what of it counts against outboundBytesMax. */
  #keptBytes = 0
  #bytes = 0
  #lastId = 0

  constructor(limits: OutboxLimits, budget: QueueBudget) {
    this.#limits = limits
    this.#budget = budget
  }

  /** Messages that are kept, PUBRELs included. */
  get size(): number {
    return this.#inFlightCount + this.#waitingCount
  }

  get #waitingCount(): number {
    return this.#queue.length - this.#head
  }

  /** The client is connected, and takes `receiveMaximum` messages before it acknowledges. */
  attach(link: OutboxLink, receiveMaximum: number): void {
    this.#link = link
    this.#window = receiveMaximum
    this.pump()
  }

  /** The connection is gone: what is not acknowledged waits for the next one; QoS 0 does not. */
  detach(): void {
    this.#link = null
    const waiting = this.#queue.slice(this.#head)
    const inFlight = [...this.#byId.values()].filter((entry) => entry.isInFlight)
    for (const entry of inFlight) entry.isInFlight = false
    this.#inFlightCount = 0
    const left = [...inFlight, ...waiting].filter((entry) => {
      if (entry.qos > 0 && !entry.isDone) return true
      this.#forget(entry)
      return false
    })
    this.#queue = left
    this.#head = 0
  }

  /** @returns whether it is kept: then message.own() has to be called when everybody has been sent it */
  deliver(message: Message, delivery: Delivery): boolean {
    const link = this.#link
    if (link === null && delivery.qos === 0) return false
    const entry = newEntry(message, delivery)
    const mayLeave = link?.isWritable && this.#waitingCount === 0
    if (mayLeave && delivery.qos === 0) {
      this.#send(entry, link)
      return false
    }
    if (!this.#hasRoom(entry)) {
      if (link) this.#budget.deliveriesDropped++
      else this.#budget.offlineDropped++
      return false
    }
    this.#keep(entry)
    if (mayLeave && this.#inFlightCount < this.#window) this.#send(entry, link)
    else this.#queue.push(entry)
    return entry.isCounted
  }

  /** Sends what waits, as far as the socket and the client let it. */
  pump(): void {
    while (this.#link?.isWritable && this.#waitingCount > 0) {
      const entry = this.#queue[this.#head] as Entry
      if (!entry.isDone && entry.qos > 0 && this.#inFlightCount >= this.#window) return
      this.#shift()
      if (entry.isDone) continue
      this.#send(entry, this.#link)
      if (entry.qos === 0) this.#forget(entry)
    }
  }

  /** PUBACK. */
  acknowledge(packetId: number): void {
    this.#endExchange(packetId, 1)
  }

  /** PUBREC. @returns false when no message has this id */
  receive(packetId: number, reasonCode: number): boolean {
    const entry = this.#byId.get(packetId)
    if (entry?.qos !== 2) return false
    if (reasonCode >= 0x80) this.#endExchange(packetId, 2)
    else {
      entry.message = null
      this.#link?.sendPubrel(packetId)
    }
    return true
  }

  /** PUBCOMP. */
  complete(packetId: number): void {
    this.#endExchange(packetId, 2)
  }

  /** The session has ended. */
  clear(): void {
    this.#link = null
    this.#budget.bytes -= this.#keptBytes
    this.#keptBytes = 0
    this.#bytes = 0
    this.#queue = []
    this.#head = 0
    this.#byId.clear()
    this.#inFlightCount = 0
  }

  #endExchange(packetId: number, qos: Qos): void {
    const entry = this.#byId.get(packetId)
    if (entry?.qos !== qos) return
    this.#end(entry)
    this.pump()
  }

  /** One message of any size may be kept where nothing else is. */
  #hasRoom({ bytes, isKeptElsewhere }: Entry): boolean {
    const { offlinePerClientMax, offlinePerClientBytesMax, offlineBytesMax, outboundBytesMax, outboundTotalBytesMax } = this.#limits
    const isAway = this.#link === null
    if (this.#budget.bytes + bytes > (isAway ? offlineBytesMax : outboundTotalBytesMax)) return false
    if (isAway && this.size >= offlinePerClientMax) return false
    if (isKeptElsewhere) return this.#waitingCount < this.#limits.retainedCountMax
    return this.#bytes === 0 || this.#bytes + bytes <= (isAway ? offlinePerClientBytesMax : outboundBytesMax)
  }

  #send(entry: Entry, link: OutboxLink): void {
    const { message, qos } = entry
    if (message === null) {
      this.#markInFlight(entry)
      return link.sendPubrel(entry.packetId)
    }
    const nowMs = Date.now()
    if (!entry.isSent && message.isExpired(nowMs)) return this.#end(entry)
    if (qos > 0) this.#markInFlight(entry)
    const isTaken = link.sendPublish({
      topic: message.topic,
      payload: message.payload,
      qos,
      retain: entry.isRetained,
      dup: entry.isSent,
      packetId: entry.packetId,
      properties: message.properties,
      expirySeconds: message.expirySecondsLeft(nowMs),
      subscriptionIds: entry.subscriptionIds
    })
    if (isTaken) this.#budget.deliveries++
    else this.#budget.deliveriesDropped++
    entry.isSent = true
    if (!isTaken && qos > 0) this.#end(entry)
  }

  #markInFlight(entry: Entry): void {
    if (entry.packetId === 0) {
      entry.packetId = this.#nextId()
      this.#byId.set(entry.packetId, entry)
    }
    entry.isInFlight = true
    this.#inFlightCount++
  }

  /** There is a free one: fewer than half of them are in use (O2). */
  #nextId(): number {
    do this.#lastId = this.#lastId === PACKET_ID_MAX ? 1 : this.#lastId + 1
    while (this.#byId.has(this.#lastId))
    return this.#lastId
  }

  #keep(entry: Entry): void {
    entry.isCounted = true
    this.#keptBytes += entry.bytes
    if (!entry.isKeptElsewhere) this.#bytes += entry.bytes
    this.#budget.bytes += entry.bytes
  }

  /** Its exchange is over. It may still stand in the queue, when that came about before it was repeated. */
  #end(entry: Entry): void {
    if (entry.isInFlight) this.#inFlightCount--
    entry.isInFlight = false
    entry.isDone = true
    this.#forget(entry)
  }

  #forget(entry: Entry): void {
    if (entry.packetId > 0) this.#byId.delete(entry.packetId)
    entry.message = null
    if (!entry.isCounted) return
    entry.isCounted = false
    this.#keptBytes -= entry.bytes
    if (!entry.isKeptElsewhere) this.#bytes -= entry.bytes
    this.#budget.bytes -= entry.bytes
  }

  #shift(): void {
    this.#head++
    if (this.#head < 1_024 || this.#head * 2 < this.#queue.length) return
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }
}

function newEntry(message: Message, { qos, isRetained, subscriptionIds, isKeptElsewhere = false }: Delivery): Entry {
  return {
    message,
    qos,
    isRetained,
    subscriptionIds,
    isKeptElsewhere,
    bytes: isKeptElsewhere ? MESSAGE_OVERHEAD_BYTES : message.bytes,
    packetId: 0,
    isSent: false,
    isInFlight: false,
    isDone: false,
    isCounted: false
  }
}

// What one session is sent: QoS 1 and 2 in flight, what waits for room or for the client to come back, packet ids, repeats after a reconnect.
//
//   deliver ─▶ #places (what lies in the log, of sessions that are kept) or #queue (everything else) ─▶ #byId, in flight ─▶ acknowledged
//
// Invariants:
//   O1  Messages leave in the order in which deliver() was called; after a reconnect what was sent and not acknowledged leaves first, in its order,
//       with its packet id and DUP (MQTT-4.4.0-1, MQTT-4.6.0-1).
//   O2  Not more QoS 1 and 2 messages are unacknowledged than the client takes (QoS 2 until PUBCOMP).
//   O3  What is kept is bounded: per session, and for all through the QueueBudget. What finds no room is dropped and counted, never half sent.
//   O4  A packet id is given to one message until its exchange has ended, and is never 0.
//   O5  Of a session that is kept (#keeper): a QoS 2 PUBLISH leaves when its id is durable, a PUBREL when it is durable that the client has the message.
//       So neither a kill nor a power cut makes the client take a message of QoS 2 twice.
// Not for: which messages (sessions), bytes (wire-write.ts).

import type { DropReason } from './drop-reason.ts'
import type { Delivery, Message } from './message.ts'
import type { LoggedMessage } from './message-log.ts'
import { type Entry, listOf, NO_ENTRIES, newEntry, placeOf, withEntry } from './outbox-entry.ts'
import type { DeliveryOptions, Qos } from './packets.ts'
import type { WrittenPlaces } from './place-queue.ts'
import { SmallMap } from './small-map.ts'
import type { StoredFlight, StoredPlace } from './stored-session.ts'
import { PLACE_BYTES, type PlaceLimits, WaitingPlaces } from './waiting-places.ts'

/** The connection of a session. */
export interface OutboxLink {
  /** False while the socket wants to be waited for: pump() is called when it does not any more. */
  readonly isWritable: boolean
  /** False: it is larger than the client takes, nothing was sent. */
  sendPublish(options: DeliveryOptions): boolean
  sendPubrel(packetId: number): void
}

/** Of a session that is kept when its connection ends: what lies in the log is remembered by its place, and read again when the client takes it. */
export interface QueueKeeper extends WrittenPlaces {
  /** In the order of `places`; null = it is gone. Rejects when the device cannot be read now. */
  load(places: readonly StoredPlace[]): Promise<(LoggedMessage | null)[]>
  /** What the subscriptions of now make of a message; null = they do not match it. */
  deliveryOf(logged: LoggedMessage): Delivery | null
  /** Writes the queue down, soon. */
  note(done: (isDurable: boolean) => void): void
  /** The queue is not what was written down. */
  changed(): void
}

export interface OutboxLimits extends PlaceLimits {
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
  /** Places that wait. */
  places: number
  /** Messages that were sent. */
  deliveries: number
  /** Messages that found no room: of connected and of absent sessions. */
  deliveriesDropped: number
  offlineDropped: number
  /** One was dropped. */
  readonly onDrop?: (clientId: string, why: DropReason) => void
}

const PACKET_ID_MAX = 65_535
const LOAD_COUNT = 32
const LOAD_BYTES = 256 * 1024
const RETRY_MS = 1_000

/** Of a session that has nothing in flight: not to be changed. */
const NO_FLIGHTS = new SmallMap<number, Entry>()

export class Outbox {
  readonly #limits: OutboxLimits
  readonly #budget: QueueBudget
  #link: OutboxLink | null = null
  /** null: the session ends with its connection. */
  #keeper: QueueKeeper | null = null
  /** Counts attach(), detach() and clear(): what was begun before one of them does not count any more. */
  #turn = 0
  #window = 0
  /** With a packet id, in the order in which they were sent first. */
  #byId: SmallMap<number, Entry> = NO_FLIGHTS
  #inFlightCount = 0
  /** Of #byId: what was sent to an earlier connection, and leaves first. */
  #repeats: Entry[] = NO_ENTRIES
  /** Of #byId: QoS 2, their ids are being made durable. */
  #unnoted: Entry[] = NO_ENTRIES
  #queue: Entry[] = NO_ENTRIES
  #head = 0
  readonly #places: WaitingPlaces
  #isLoading = false
  #isNoting = false
  /** Of the sums in the budget: everything that is kept, and what of it counts against outboundBytesMax. */
  #keptBytes = 0
  #bytes = 0
  #lastId = 0
  /** Of the message that was read last. */
  #lastBytes = LOAD_BYTES / LOAD_COUNT
  /** Of the session. */
  clientId = ''

  constructor(limits: OutboxLimits, budget: QueueBudget, firstPlace = 0) {
    this.#limits = limits
    this.#budget = budget
    this.#places = new WaitingPlaces(limits, budget, this, firstPlace)
  }

  /** Messages that are kept, PUBRELs included. */
  get size(): number {
    return this.#byId.size + this.#waitingCount + this.#places.length
  }

  /** What they take: messages that are in memory, and references to those that wait in the log. */
  get memoryBytes(): number {
    return this.#keptBytes + this.#places.length * PLACE_BYTES
  }

  get #waitingCount(): number {
    return this.#queue.length - this.#head
  }

  /** What waits by its place, and what is in flight, as it has to be written down. */
  get places(): Pick<WaitingPlaces, 'start' | 'held' | 'end' | 'codeAt' | 'offsetAt' | 'letGo' | 'takeBack'> {
    return this.#places
  }

  flights(): StoredFlight[] {
    const flights: StoredFlight[] = []
    for (const { packetId, qos, place, isReceived } of this.#byId.values()) {
      if (place !== null && !isReceived) flights.push({ packetId, qos: qos as 1 | 2, place })
      else if (qos === 2) flights.push({ packetId, qos, place: null }) // without a place it cannot be sent again, but its id must not be another's
    }
    return flights
  }

  /** From now on the session outlives its connections. */
  keepWith(keeper: QueueKeeper): void {
    if (this.#keeper) return
    this.#keeper = keeper
    this.#places.readsFrom(keeper)
  }

  /** What flights() and `places` were before the start; `places`: as WaitingPlaces.restore(). */
  restore(flights: readonly StoredFlight[], places: number | Float64Array): void {
    for (const { packetId, qos, place } of flights) {
      const isReceived = place === null
      const entry = newEntry(null, { qos, isRetained: false, subscriptionIds: [] }, place)
      this.#addEntry({ ...entry, packetId, isSent: true, isNoted: true, isReceived, isReleased: isReceived })
      this.#lastId = packetId
    }
    this.#repeats = listOf(this.#byId.values())
    for (const { place } of this.#repeats) if (place) this.#places.hold()
    this.#places.restore(places)
  }

  /** Whether `more` places and one find room. */
  hasRoomFor(more: number): boolean {
    return this.#places.hasRoom(more)
  }

  /** Found in the log, after a start: it came before the gateway fell. */
  addPlace(place: StoredPlace): void {
    if (this.#places.add(place)) this.#keeper?.changed()
    else this.#drop()
  }

  /** The client is connected, and takes `receiveMaximum` messages before it acknowledges. */
  attach(link: OutboxLink, receiveMaximum: number): void {
    this.#turn++
    this.#link = link
    this.#window = receiveMaximum
    this.pump()
  }

  /** The connection is gone: what is not acknowledged waits for the next one; QoS 0 does not. */
  detach(): void {
    this.#turn++
    this.#link = null
    this.#isLoading = false
    this.#isNoting = false
    this.#unnoted = NO_ENTRIES
    this.#repeats = listOf(this.#byId.values())
    this.#inFlightCount = 0
    for (const entry of this.#repeats) {
      entry.isInFlight = false
      if (this.#keeper && entry.place) this.#release(entry)
    }
    const waiting = this.#queue.slice(this.#head)
    for (const entry of waiting) if (entry.qos === 0) this.#forget(entry)
    if (this.#byId.size === 0) this.#byId = NO_FLIGHTS
    this.#queue = listOf(waiting.filter(({ qos }) => qos > 0))
    this.#head = 0
    this.#places.unload()
  }

  /** @returns whether it is kept: then message.own() has to be called when everybody has been sent it */
  deliver(message: Message, delivery: Delivery): boolean {
    const link = this.#link
    if (link === null && delivery.qos === 0) return false
    const isPlaced = this.#keeper !== null && message.place !== null && delivery.qos > 0 && !delivery.isKeptElsewhere
    const hasTurn = link?.isWritable && this.#waitingCount === 0
    const isNext = hasTurn && this.#repeats.length + this.#unnoted.length + this.#places.length === 0
    if (hasTurn && delivery.qos === 0) {
      this.#send(newEntry(message, delivery), link)
      return false
    }
    const mayLeave = isNext && this.#inFlightCount < this.#window
    if (isPlaced && !(mayLeave && delivery.qos === 1 && this.#hasMemory(message.bytes))) return this.#addMessage(message, delivery)
    const entry = newEntry(message, delivery, isPlaced ? placeOf(message) : null)
    if (!this.#hasRoom(entry)) {
      this.#drop()
      return false
    }
    this.#keep(entry)
    if (isPlaced) this.#places.hold()
    if (mayLeave && !(this.#keeper && entry.qos === 2)) this.#send(entry, link)
    else {
      this.#queue = withEntry(this.#queue, entry)
      if (mayLeave) this.pump()
    }
    if (isPlaced) this.#keeper?.changed()
    return entry.isCounted
  }

  /** By its place, and in memory where it is soon its turn. @returns as deliver() */
  #addMessage(message: Message, delivery: Delivery): boolean {
    const isLoaded = this.#link !== null && this.#places.isLoaded && this.#hasMemory(message.bytes)
    if (!this.#places.add(placeOf(message) as StoredPlace)) {
      this.#drop()
      return false
    }
    if (isLoaded) this.#places.load({ message, delivery })
    this.#keeper?.changed()
    this.pump()
    return isLoaded
  }

  /** Sends what waits, as far as the socket and the client let it. */
  pump(): void {
    while (this.#link?.isWritable && !this.#isNoting && (this.#unnoted.length === 0 || this.#isNextQos2())) {
      const isMore = this.#repeats.length > 0 ? this.#repeatNext() : this.#waitingCount > 0 ? this.#sendQueued() : this.#sendPlaced()
      if (!isMore) break
    }
    if (this.#unnoted.length > 0) this.#noteIds()
  }

  /** @returns whether pump() goes on */
  #repeatNext(): boolean {
    const entry = this.#repeats[0] as Entry
    if (!entry.isDone) {
      if (this.#inFlightCount >= this.#window) return false
      if (entry.message === null && !entry.isReceived) {
        this.#loadRepeats()
        return false
      }
    }
    this.#repeats.shift()
    if (!entry.isDone) this.#sendFirst(entry)
    return true
  }

  #sendQueued(): boolean {
    const entry = this.#queue[this.#head] as Entry
    if (entry.qos > 0 && this.#inFlightCount >= this.#window) return false
    this.#shift()
    this.#sendFirst(entry)
    if (entry.qos === 0) this.#forget(entry)
    return true
  }

  #sendPlaced(): boolean {
    if (this.#places.length === 0) return false
    const loaded = this.#places.next
    if (loaded === undefined) {
      this.#loadPlaces()
      return false
    }
    if (loaded && loaded.delivery.qos > 0 && this.#inFlightCount >= this.#window) return false
    const entry = this.#takePlaced()
    if (entry) this.#sendFirst(entry)
    return true
  }

  /** Of QoS 2 when its id is durable: those that follow each other share a commit. */
  #sendFirst(entry: Entry): void {
    if (this.#keeper === null || entry.qos < 2 || entry.isNoted || entry.isReceived) return this.#send(entry, this.#link as OutboxLink)
    this.#markInFlight(entry)
    this.#unnoted = withEntry(this.#unnoted, entry)
  }

  #isNextQos2(): boolean {
    if (this.#inFlightCount >= this.#window) return false
    const repeat = this.#repeats[0]
    if (repeat) return repeat.qos === 2 && !repeat.isNoted && repeat.message !== null
    const next = this.#waitingCount > 0 ? this.#queue[this.#head] : this.#places.next?.delivery
    return next?.qos === 2
  }

  /** The first place, off the queue. @returns null when there is nothing to send for it */
  #takePlaced(): Entry | null {
    const { place, loaded } = this.#places.take()
    this.#keeper?.changed()
    const isNothing = loaded === null || loaded.message.isExpired(Date.now())
    if (isNothing || loaded.delivery.qos === 0) this.#places.giveBack()
    if (isNothing) return null
    const { message, delivery } = loaded
    const entry = newEntry(message, delivery, delivery.qos > 0 ? place : null)
    if (delivery.qos > 0) this.#keep(entry)
    return entry
  }

  /** #unnoted leave when they are durable; until then nothing else does. */
  #noteIds(): void {
    if (this.#isNoting) return
    this.#isNoting = true
    const turn = this.#turn
    const entries = this.#unnoted
    this.#note(turn, (isDurable) => {
      if (isDurable) for (const entry of entries) entry.isNoted = true
      if (this.#turn !== turn) return
      this.#isNoting = false
      this.#unnoted = NO_ENTRIES
      for (const entry of entries) if (!entry.isDone && this.#link) this.#send(entry, this.#link)
      this.pump()
    })
  }

  /** Until it is durable, or another turn has come. */
  #note(turn: number, then: (isDurable: boolean) => void): void {
    const keeper = this.#keeper
    if (keeper === null || this.#turn !== turn) return then(false)
    keeper.note((isDurable) => {
      if (isDurable || this.#turn !== turn) then(isDurable)
      else setTimeout(() => this.#note(turn, then), RETRY_MS).unref()
    })
  }

  /** PUBACK. */
  acknowledge(packetId: number): void {
    this.#endExchange(packetId, 1)
  }

  /** PUBREC. @returns false when no message has this id */
  receive(packetId: number, reasonCode: number): boolean {
    const entry = this.#byId.get(packetId)
    if (entry?.qos !== 2 || this.#unnoted.includes(entry)) return false
    if (reasonCode >= 0x80) this.#endExchange(packetId, 2)
    else {
      if (!entry.isReceived) this.#release(entry)
      entry.isReceived = true
      this.#sendPubrel(entry)
    }
    return true
  }

  /** PUBCOMP. */
  complete(packetId: number): void {
    this.#endExchange(packetId, 2)
  }

  /** The session has ended. */
  clear(): void {
    this.#turn++
    this.#link = null
    this.#isLoading = false
    this.#isNoting = false
    for (const { place } of this.#byId.values()) if (place) this.#places.giveBack()
    this.#places.clear()
    this.#budget.bytes -= this.#keptBytes
    this.#keptBytes = 0
    this.#bytes = 0
    this.#queue = NO_ENTRIES
    this.#head = 0
    this.#repeats = NO_ENTRIES
    this.#unnoted = NO_ENTRIES
    this.#byId = NO_FLIGHTS
    this.#inFlightCount = 0
  }

  #endExchange(packetId: number, qos: Qos): void {
    const entry = this.#byId.get(packetId)
    if (entry?.qos !== qos || this.#unnoted.includes(entry)) return
    this.#end(entry)
    this.pump()
  }

  #drop(why: DropReason = this.#link ? 'slow' : 'away'): void {
    if (why === 'away' || why === 'gone') this.#budget.offlineDropped++
    else this.#budget.deliveriesDropped++
    this.#budget.onDrop?.(this.clientId, why)
  }

  #hasMemory(bytes: number): boolean {
    const { outboundBytesMax, outboundTotalBytesMax } = this.#limits
    return this.#budget.bytes + bytes <= outboundTotalBytesMax && (this.#bytes === 0 || this.#bytes + bytes <= outboundBytesMax)
  }

  /** One message of any size may be kept where nothing else is. */
  #hasRoom({ bytes, isKeptElsewhere }: Entry): boolean {
    const { offlinePerClientMax, offlinePerClientBytesMax, offlineBytesMax, outboundBytesMax, outboundTotalBytesMax } = this.#limits
    const isAway = this.#link === null
    if (this.#budget.bytes + bytes > (isAway ? offlineBytesMax : outboundTotalBytesMax)) return false
    if (isAway && this.#byId.size + this.#waitingCount >= offlinePerClientMax) return false
    if (isKeptElsewhere) return this.#waitingCount < this.#limits.retainedCountMax
    return this.#bytes === 0 || this.#bytes + bytes <= (isAway ? offlinePerClientBytesMax : outboundBytesMax)
  }

  // --- from the log

  /** Messages are mostly as large as those before them. */
  #loadCount(): number {
    if (this.#budget.bytes > this.#limits.outboundTotalBytesMax / 2) return 1
    return Math.max(1, Math.min(LOAD_COUNT, Math.floor(LOAD_BYTES / this.#lastBytes)))
  }

  #loadPlaces(): void {
    const places = this.#places.first(this.#loadCount())
    this.#read(places, (found) => {
      for (const logged of found) {
        const delivery = logged && (this.#keeper?.deliveryOf(logged) ?? null)
        if (logged === null) this.#drop('gone')
        this.#places.load(logged && delivery && { message: logged.message, delivery })
      }
    })
  }

  #loadRepeats(): void {
    const entries = this.#repeats
      .slice(0, this.#loadCount())
      .filter(({ message, place, isReceived }) => message === null && place !== null && !isReceived)
    this.#read(
      entries.map(({ place }) => place as StoredPlace),
      (found) => {
        for (const [index, logged] of found.entries()) this.#refill(entries[index] as Entry, logged)
      }
    )
  }

  /** A message that is gone is not sent again; the client may have it, and of QoS 2 it waits for PUBREL then. */
  #refill(entry: Entry, logged: LoggedMessage | null): void {
    if (entry.isDone || entry.isReceived) return
    if (logged === null) {
      this.#drop('gone')
      if (entry.qos === 2) entry.isReceived = true
      else this.#end(entry)
      return
    }
    const { isRetained = false, subscriptionIds = [] } = this.#keeper?.deliveryOf(logged) ?? {}
    Object.assign(entry, { message: logged.message, isRetained, subscriptionIds })
  }

  #read(places: readonly StoredPlace[], then: (found: (LoggedMessage | null)[]) => void): void {
    if (this.#isLoading || !this.#keeper) return
    this.#isLoading = true
    const turn = this.#turn
    this.#keeper.load(places).then(
      (found) => {
        if (this.#turn !== turn) return
        this.#isLoading = false
        for (const logged of found) if (logged) this.#lastBytes = logged.message.bytes
        then(found)
        this.pump()
      },
      () => {
        if (this.#turn !== turn) return
        const again = (): void => {
          if (this.#turn !== turn) return
          this.#isLoading = false
          this.pump()
        }
        setTimeout(again, RETRY_MS).unref()
      }
    )
  }

  // --- one message

  #send(entry: Entry, link: OutboxLink): void {
    const { message, qos } = entry
    if (entry.isReceived) {
      this.#markInFlight(entry)
      return this.#sendPubrel(entry)
    }
    if (message === null) return
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
    else this.#drop('too-large')
    entry.isSent = true
    if (!isTaken && qos > 0) this.#end(entry)
    else if (this.#keeper && entry.place) this.#release(entry) // it can be read again
  }

  #sendPubrel(entry: Entry): void {
    if (entry.isReleased || this.#keeper === null) {
      entry.isReleased = true
      this.#link?.sendPubrel(entry.packetId)
      return
    }
    const turn = this.#turn
    this.#note(turn, () => {
      if (this.#turn !== turn || entry.isDone) return
      entry.isReleased = true
      this.#link?.sendPubrel(entry.packetId)
    })
  }

  #markInFlight(entry: Entry): void {
    if (entry.isInFlight) return
    if (entry.packetId === 0) {
      entry.packetId = this.#nextId()
      this.#addEntry(entry)
    }
    entry.isInFlight = true
    this.#inFlightCount++
  }

  #addEntry(entry: Entry): void {
    if (this.#byId === NO_FLIGHTS) this.#byId = new SmallMap()
    this.#byId.set(entry.packetId, entry)
  }

  /** There is a free one: fewer than half of them are in use (O2). */
  #nextId(): number {
    do this.#lastId = this.#lastId === PACKET_ID_MAX ? 1 : this.#lastId + 1
    while (this.#byId.has(this.#lastId))
    return this.#lastId
  }

  #keep(entry: Entry): void {
    entry.isCounted = true
    this.charge(entry.bytes, entry.isKeptElsewhere)
  }

  /** What is in memory for it is more by that, or less. */
  charge(bytes: number, isKeptElsewhere = false): void {
    this.#keptBytes += bytes
    if (!isKeptElsewhere) this.#bytes += bytes
    this.#budget.bytes += bytes
  }

  #refund(bytes: number, isKeptElsewhere = false): void {
    this.charge(-bytes, isKeptElsewhere)
  }

  /** Its exchange is over. It may still stand in #repeats, when that came about before it was repeated. */
  #end(entry: Entry): void {
    if (entry.isInFlight) this.#inFlightCount--
    entry.isInFlight = false
    entry.isDone = true
    this.#keeper?.changed()
    this.#forget(entry)
  }

  #forget(entry: Entry): void {
    if (entry.packetId > 0) this.#byId.delete(entry.packetId)
    if (entry.place) this.#places.giveBack()
    this.#release(entry)
  }

  /** Its message is not needed in memory. */
  #release(entry: Entry): void {
    entry.message = null
    if (!entry.isCounted) return
    entry.isCounted = false
    this.#refund(entry.bytes, entry.isKeptElsewhere)
  }

  #shift(): void {
    this.#head++
    if (this.#head < 1_024 || this.#head * 2 < this.#queue.length) return
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }
}

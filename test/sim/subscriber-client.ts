// A client of a simulated MQTT world: publishes and repeats what was not acknowledged, subscribes, and takes messages as a right receiver does: a QoS 2 packet id
// is one message until PUBREL, over all connections of a session. It acknowledges promptly, late, not at all, or stops between PUBREC and PUBCOMP.
//
// Invariants: whatever comes is checked as it comes (packet ids, receive maximum, session present); it keeps no rule of the broker's, only those of the standards.
// Not for: what it does when (subscriber-sessions.ts), what it had to be sent (subscriber-ledger.ts).

import { decode, type Packet, propsOf, WireFault } from '../mqtt/conformance/decode.ts'
import {
  ack,
  connect,
  disconnect,
  NO_LOCAL,
  prop,
  publish,
  RETAIN_AS_PUBLISHED,
  retainHandling,
  subscribe,
  unsubscribe
} from '../mqtt/conformance/encode.ts'
import type { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import { SimConnection, type SimListener } from './sim-connection.ts'
import { Epoch, type Grant, type Qos, type SimMessage, type SubscriberLedger } from './subscriber-ledger.ts'
import type { Presence, SessionPresence } from './subscriber-presence.ts'

const NEVER = Number.POSITIVE_INFINITY
export const UNENDING_SECONDS = 0xffff_ffff

export interface ClientWorld {
  readonly clock: SimClock
  readonly ledger: SubscriberLedger
  readonly listener: SimListener | null
  /** Of the gateway: counts its starts; when it began to serve. */
  readonly life: number
  readonly servesSinceMs: number
  /** The disk has, or had just now, no room or another fault. */
  readonly isFaulty: boolean
  reach(what: string): void
}

export type AckMode = 'prompt' | 'late' | 'never' | 'not-complete'

export interface WillFate {
  readonly message: SimMessage
  /** How often it has to be in the log. */
  expected: 'once' | 'never' | 'at-most-once'
  /** Its connection said DISCONNECT and was closed: when. */
  disarmedMs: number
  disarmedLife: number
  /** There was no room to write it down. */
  readonly isSoft: boolean
  /** Its gateway is gone: the next one sends it, if there is room until its client is back. */
  isLeft: boolean
}

interface Outgoing {
  readonly message: SimMessage
  stage: 'publish' | 'pubrel'
  isSent: boolean
}

interface Link {
  readonly connection: SimConnection
  readonly sentMs: number
  readonly isClean: boolean
  readonly expirySeconds: number
  readonly ackMode: AckMode
  readonly will: WillFate | null
  readonly receiveMaximum: number
  isConnected: boolean
  isEnding: boolean
  /** The process at its other end is gone. */
  isDead: boolean
  rest: Buffer
  /** Not acknowledged on this connection. */
  readonly inFlight: Set<number>
  /** SUBSCRIBEs and UNSUBSCRIBEs that wait for an answer. */
  readonly waiting: Map<number, Grant[]>
}

export class SubscriberClient {
  readonly id: string
  readonly version: 4 | 5
  readonly isKept: boolean
  readonly expirySeconds: number
  readonly receiveMaximum: number
  epoch: Epoch
  readonly wills: WillFate[] = []
  readonly #world: ClientWorld
  readonly #prng: Prng
  readonly #presence: SessionPresence
  readonly #outgoing = new Map<number, Outgoing>()
  /** QoS 2 packet ids that were received, until PUBREL, and their messages. */
  readonly #open = new Map<number, string>()
  #lastId = 0
  #number = 0
  #wantsClean = false
  #connectionCount = 0
  /** Its session has ended: what is present at the next CONNACK is another one. */
  #isOver = false
  link: Link | null = null
  /** Of this connection: what came as retained, by topic. */
  readonly retained = new Map<string, string>()

  constructor(
    world: ClientWorld,
    options: {
      id: string
      version: 4 | 5
      isKept: boolean
      expirySeconds: number
      receiveMaximum: number
      prng: Prng
      presence: SessionPresence
    }
  ) {
    this.#world = world
    this.id = options.id
    this.version = options.version
    this.isKept = options.isKept
    this.expirySeconds = options.expirySeconds
    this.receiveMaximum = options.receiveMaximum
    this.#prng = options.prng
    this.#presence = options.presence
    this.epoch = new Epoch(options.id)
  }

  get isConnected(): boolean {
    return this.link?.isConnected === true && !this.link.isEnding
  }

  get openCount(): number {
    return this.#outgoing.size
  }

  /** Waits for an answer to a SUBSCRIBE or UNSUBSCRIBE, or has QoS 2 open. */
  get isBusy(): boolean {
    return this.#outgoing.size > 0 || (this.link?.waiting.size ?? 0) > 0
  }

  // --- connections

  connect({
    isClean,
    ackMode,
    willTopic
  }: {
    isClean: boolean
    ackMode: AckMode
    willTopic: { topic: string; qos: Qos; retain: boolean } | null
  }): void {
    const { ledger, clock, listener, isFaulty } = this.#world
    if (!listener) return
    for (const will of this.wills) {
      if (will.isLeft && isFaulty && will.expected === 'once') will.expected = 'at-most-once'
      will.isLeft = false
    }
    if (this.link && !this.link.isEnding) {
      this.#world.reach('takeover')
      this.#lose(true)
    }
    const clean = isClean || !this.isKept || this.#wantsClean
    const expirySeconds = this.isKept && !(clean && this.version === 4) ? this.expirySeconds : 0
    const sent = ledger.next()
    this.#connectionCount++
    const will = willTopic && this.#newWill(willTopic, sent)
    const { receiveMaximum } = this
    const props = this.version === 5 ? [prop(17, expirySeconds), prop(33, receiveMaximum)] : []
    const mine: { link: Link | null } = { link: null }
    const connection = new SimConnection(listener, {
      clock,
      prng: this.#prng.fork(),
      latencyMs: { min: 0.1, max: 2 },
      windowBytes: 64 * 1024,
      onData: (bytes) => mine.link && this.#onData(mine.link, bytes),
      onEnd: () => mine.link && this.#onEnd(mine.link)
    })
    const link: Link = {
      ...{ connection, sentMs: clock.monotonicMs(), isClean: clean, expirySeconds, ackMode, will },
      receiveMaximum: this.version === 5 ? receiveMaximum : 65_535,
      ...{ isConnected: false, isEnding: false, isDead: false, rest: Buffer.alloc(0), inFlight: new Set<number>(), waiting: new Map() }
    }
    mine.link = link
    this.link = link
    if (clean) this.#forget(sent)
    this.#presence.connecting(expirySeconds, clean)
    const willFields =
      willTopic && will ? { will: { topic: willTopic.topic, payload: will.message.id, qos: willTopic.qos, retain: willTopic.retain } } : {}
    connection.send(connect(this.version, { clientId: this.id, clean, keepAlive: 5, props, ...willFields }))
    this.#keepAlive(link)
  }

  /** A clean start: what the session had is given up, and until the broker has said yes there is no other start. */
  #forget(moment: number): void {
    this.#wantsClean = true
    this.#endSession(moment)
  }

  /** It has no session any more. */
  #endSession(moment: number): void {
    this.#isOver = true
    this.#leaveAll(moment)
    this.#open.clear()
    for (const [packetId, { message, stage }] of [...this.#outgoing]) {
      if (message.qos < 2) continue
      if (stage === 'publish') message.fate = 'given-up'
      this.#outgoing.delete(packetId)
    }
  }

  #keepAlive(link: Link): void {
    this.#world.clock.after(3_000, () => {
      if (this.link !== link || link.isEnding) return
      if (link.isConnected) link.connection.send(Buffer.from([0xc0, 0]))
      this.#keepAlive(link)
    })
  }

  #newWill({ topic, qos, retain }: { topic: string; qos: Qos; retain: boolean }, sent: number): WillFate {
    const message = this.#newMessage(topic, { qos, retain, isWill: true, sent })
    const will: WillFate = {
      message,
      expected: 'at-most-once',
      disarmedMs: NEVER,
      disarmedLife: -1,
      isSoft: this.#world.isFaulty,
      isLeft: false
    }
    this.wills.push(will)
    return will
  }

  /** Says goodbye; `expirySeconds`: with that, null = as it was. */
  disconnect(expirySeconds: number | null): void {
    const { link } = this
    if (!link || !this.isConnected) return
    this.#world.ledger.next()
    const isChange = expirySeconds !== null && this.version === 5
    if (isChange) {
      this.#presence.changing(expirySeconds)
      if (expirySeconds === 0) this.#leaveAll(this.#world.ledger.moment)
    }
    link.connection.send(disconnect(isChange ? 0 : undefined, isChange ? [prop(17, expirySeconds)] : undefined))
    link.isEnding = true
    if (link.will) link.will.expected = 'at-most-once'
  }

  /** Without goodbye. */
  cut(how: 'end' | 'reset' | 'vanish'): void {
    const { link } = this
    if (!link) return
    link.connection[how]()
    this.#lose(how !== 'vanish')
  }

  /** The gateway's process is gone. */
  gatewayDied(kind: 'kill' | 'power'): void {
    if (this.link) {
      this.link.isDead = true
      this.link.connection.processDied(kind)
    }
    this.epoch.restarts++
    this.#presence.restarted(this.#world.clock.monotonicMs(), this.#world.isFaulty)
  }

  /** The connection is over, as far as the client is concerned. `isSeen`: the broker sees that. */
  #lose(isSeen: boolean): void {
    const { link } = this
    if (!link) return
    this.link = null
    this.#world.ledger.next()
    if (link.will && link.isConnected && !link.isEnding && !link.will.isSoft && !this.#world.isFaulty) link.will.expected = 'once'
    if (link.will) link.will.isLeft = link.isDead
    for (const grants of link.waiting.values()) for (const grant of grants) if (grant.leaving === NEVER) grant.granted = NEVER
    if (!link.isConnected && this.#expected(link) !== 'must') {
      this.epoch.isUncertain = true
      for (const { message } of this.#outgoing.values()) message.isUncertain = true
      this.#leaveAll(this.#world.ledger.moment)
    }
    this.#presence.closed(this.#world.clock.monotonicMs(), isSeen)
    if (link.expirySeconds === 0) this.#endSession(this.#world.ledger.moment)
  }

  #onEnd(link: Link): void {
    if (this.link !== link) return
    const { clock, life } = this.#world
    if (link.isEnding && link.will && !link.isDead && !this.#world.isFaulty) {
      link.will.disarmedMs = clock.monotonicMs()
      link.will.disarmedLife = life
    }
    if (link.isEnding && !link.isDead) this.#presence.endConfirmed(life, clock.monotonicMs())
    this.#lose(true)
  }

  // --- publishing

  #newMessage(
    topic: string,
    { qos, retain, isWill = false, isEmpty = false, sent }: { qos: Qos; retain: boolean; isWill?: boolean; isEmpty?: boolean; sent: number }
  ): SimMessage {
    const number = this.#number++
    const message: SimMessage = {
      ...{ id: `${this.id}-${number}${isWill ? 'w' : ''}`, publisher: this.id, number, topic, qos, retain, isWill, isEmpty },
      ...{
        isUnstored: topic.startsWith('u/'),
        sent,
        life: this.#world.life,
        connection: this.#connectionCount,
        isUncertain: false,
        sentCount: 1,
        acked: NEVER,
        fate: 'open' as const
      }
    }
    this.#world.ledger.messages.set(message.id, message)
    return message
  }

  publish(topic: string, qos: Qos, retain: boolean, isEmpty = false): void {
    const { link } = this
    if (!link || !this.isConnected) return
    const message = this.#newMessage(topic, { qos, retain, isEmpty, sent: this.#world.ledger.next() })
    this.#world.reach(`published QoS ${qos}`)
    if (qos === 0) return link.connection.send(publish(this.version, { topic, payload: isEmpty ? '' : message.id, qos, retain }))
    const packetId = this.#freeId()
    this.#outgoing.set(packetId, { message, stage: 'publish', isSent: false })
    this.#sendOutgoing(link, packetId, false)
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % 20) + 1
    while (this.#outgoing.has(this.#lastId))
    return this.#lastId
  }

  #sendOutgoing({ connection }: Link, packetId: number, dup: boolean): void {
    const outgoing = this.#outgoing.get(packetId)
    if (!outgoing) return
    this.#world.ledger.next()
    const { topic, id, qos, retain, isEmpty } = outgoing.message
    if (outgoing.stage === 'pubrel') return connection.send(ack('pubrel', packetId))
    if (outgoing.isSent) outgoing.message.sentCount++
    outgoing.isSent = true
    connection.send(publish(this.version, { topic, payload: isEmpty ? '' : id, qos, retain, packetId, dup }))
  }

  /** CONNACK: what was not acknowledged is sent again, of a session that is gone as something new; QoS 2 of that is given up. */
  #resume(link: Link, isPresent: boolean): void {
    const before = [...this.#outgoing]
    if (before.length > 0) this.#world.reach('repeats')
    if (isPresent) {
      for (const [packetId] of before) this.#sendOutgoing(link, packetId, true)
      return
    }
    this.#outgoing.clear()
    for (const [, outgoing] of before) {
      if (outgoing.stage === 'pubrel') continue
      if (outgoing.message.qos === 2) outgoing.message.fate = 'given-up'
      else {
        const packetId = this.#freeId()
        this.#outgoing.set(packetId, outgoing)
        this.#sendOutgoing(link, packetId, false)
      }
    }
  }

  // --- subscribing

  subscribe(
    filter: string,
    options: { qos: Qos; noLocal: boolean; retainAsPublished: boolean; retainHandling: number; id: number | null }
  ): void {
    const { link } = this
    if (!link || !this.isConnected) return
    const asked = this.#world.ledger.next()
    const is5 = this.version === 5
    const plain = is5 ? options : { ...options, noLocal: false, retainAsPublished: false, retainHandling: 0, id: null }
    const grant: Grant = { filter, ...plain, asked, granted: NEVER, leaving: NEVER, left: NEVER, isSoft: this.#world.isFaulty }
    for (const other of this.epoch.grants) if (other.filter === filter && other.leaving === NEVER) other.leaving = asked
    this.epoch.grants.push(grant)
    const packetId = this.#waitingId(link)
    link.waiting.set(packetId, [grant])
    const flags =
      plain.qos |
      (plain.noLocal ? NO_LOCAL : 0) |
      (plain.retainAsPublished ? RETAIN_AS_PUBLISHED : 0) |
      (is5 ? retainHandling(plain.retainHandling) : 0)
    link.connection.send(subscribe(this.version, packetId, [[filter, flags]], plain.id === null ? undefined : [prop(11, plain.id)]))
  }

  unsubscribe(filter: string): void {
    const { link } = this
    if (!link || !this.isConnected) return
    const asked = this.#world.ledger.next()
    const leaving = this.epoch.grants.filter((grant) => grant.filter === filter && grant.left === NEVER)
    for (const grant of leaving) grant.leaving = Math.min(grant.leaving, asked)
    if (this.#world.isFaulty) this.epoch.isDoubtful = true
    const packetId = this.#waitingId(link)
    link.waiting.set(packetId, leaving)
    link.connection.send(unsubscribe(this.version, packetId, [filter]))
    this.#world.reach('unsubscribe')
  }

  #waitingId({ waiting }: Link): number {
    let packetId = 100
    while (waiting.has(packetId)) packetId++
    return packetId
  }

  /** Nothing may be expected any more for what it subscribes to now. */
  #leaveAll(moment: number): void {
    for (const grant of this.epoch.grants) grant.leaving = Math.min(grant.leaving, moment)
  }

  // --- what comes

  #onData(link: Link, bytes: Buffer): void {
    if (this.link !== link) return
    link.rest = Buffer.concat([link.rest, bytes])
    try {
      for (let packet = decode(link.rest, this.version); packet; packet = decode(link.rest, this.version)) {
        link.rest = link.rest.subarray(packet.bytes.length)
        this.#world.ledger.next()
        this.#onPacket(link, packet)
        if (this.link !== link) return
      }
    } catch (error) {
      if (!(error instanceof WireFault)) throw error
      this.#violate(error.message)
    }
  }

  #violate(sentence: string): void {
    this.#world.ledger.violate(`${this.id} at ${this.#world.ledger.moment}: ${sentence}`)
  }

  #onPacket(link: Link, packet: Packet): void {
    const { kind, packetId, code } = packet
    if (link.isConnected === (kind === 'connack')) return this.#violate(`${kind} out of place`)
    switch (kind) {
      case 'connack':
        return this.#onConnack(link, packet)
      case 'publish':
        return this.#onPublish(link, packet)
      case 'puback':
      case 'pubrec':
        return this.#onAnswer(link, packet)
      case 'pubrel':
        return this.#onPubrel(link, packetId)
      case 'pubcomp':
        if (this.#outgoing.get(packetId)?.stage !== 'pubrel') return this.#violate(`PUBCOMP ${packetId} without PUBREL`)
        if (code !== 0) this.#world.reach('PUBCOMP: not found')
        return void this.#outgoing.delete(packetId)
      case 'suback':
      case 'unsuback':
        return this.#onSubscribed(link, packet)
      case 'disconnect':
        this.#world.reach(`DISCONNECT 0x${code.toString(16)}`)
    }
  }

  #onConnack(link: Link, { code, sessionPresent }: Packet): void {
    const { ledger, isFaulty } = this.#world
    if (code !== 0) {
      this.#world.reach('CONNACK refused')
      if (!isFaulty) this.#violate(`CONNACK 0x${code.toString(16)}`)
      return
    }
    link.isConnected = true
    this.#wantsClean = false
    const { expirySeconds } = link
    const expected = this.#expected(link)
    if (expected === 'must' && !sessionPresent) this.#violate('its session is gone')
    if (expected === 'must-not' && sessionPresent) this.#violate('a session is present that has ended')
    this.#world.reach(`session present ${sessionPresent}, ${expected}`)
    this.#presence.connected(expirySeconds, isFaulty && !sessionPresent)
    if (!sessionPresent || this.#isOver) {
      const { isDoubtful } = this.epoch
      this.epoch = new Epoch(this.id)
      this.epoch.isDoubtful = isFaulty || isDoubtful
      this.#open.clear()
      this.#isOver = false
    }
    ledger.next()
    this.#resume(link, sessionPresent)
  }

  #expected({ isClean, sentMs }: Link): Presence {
    const { clock, servesSinceMs, life } = this.#world
    return this.#presence.expected({ isClean, sentMs, nowMs: clock.monotonicMs(), servesSinceMs, life })
  }

  #onPublish(link: Link, packet: Packet): void {
    const { packetId, topic, text: payload, dup, retain } = packet
    const qos = packet.qos as Qos
    if (qos > 0) {
      if (link.inFlight.has(packetId)) return this.#violate(`packet id ${packetId} is used again before it was acknowledged: ${payload}`)
      if (link.inFlight.size >= link.receiveMaximum) this.#violate(`more than ${link.receiveMaximum} in flight: ${payload}`)
      link.inFlight.add(packetId)
    }
    if (retain) this.retained.set(topic, payload)
    const isKnown = this.#open.get(packetId) === payload || !this.epoch.isUncertain
    const open = qos === 2 && isKnown ? this.#open.get(packetId) : undefined
    if (open !== undefined && open !== payload) this.#violate(`packet id ${packetId} was ${open} and is ${payload}, without PUBREL between`)
    if (open !== undefined && !dup) this.#violate(`packet id ${packetId} again without DUP: ${payload}`)
    if (open === undefined) {
      const subscriptionIds = propsOf(packet, 11).map(Number)
      this.#world.ledger.take(this.epoch, { packetId, topic, payload, qos, dup, retain, subscriptionIds })
      this.#world.reach(`taken QoS ${qos}${dup ? ', DUP' : ''}`)
    } else this.#world.reach('QoS 2 again, known')
    if (qos === 2) this.#open.set(packetId, payload)
    if (qos === 0 || link.ackMode === 'never') return
    this.#answer(link, () => {
      link.connection.send(ack(qos === 1 ? 'puback' : 'pubrec', packetId))
      if (qos === 1) link.inFlight.delete(packetId)
    })
  }

  /** Late answers are all late by the same time: they stay in order. */
  #answer(link: Link, send: () => void): void {
    const later = (): void => {
      if (this.link !== link) return
      this.#world.ledger.next()
      send()
    }
    if (link.ackMode === 'late') this.#world.clock.after(700, later)
    else later()
  }

  #onPubrel(link: Link, packetId: number): void {
    if (link.ackMode === 'not-complete') return this.#world.reach('stopped before PUBCOMP')
    if (!this.#open.has(packetId)) this.#world.reach('PUBREL of an unknown id')
    this.#open.delete(packetId)
    this.#answer(link, () => {
      link.connection.send(ack('pubcomp', packetId))
      link.inFlight.delete(packetId)
    })
  }

  #onAnswer(link: Link, { kind, packetId, code }: Packet): void {
    const outgoing = this.#outgoing.get(packetId)
    const qos = kind === 'puback' ? 1 : 2
    if (outgoing?.message.qos !== qos || outgoing.stage !== 'publish') return this.#violate(`${kind} ${packetId} for nothing`)
    const { message } = outgoing
    if (code >= 0x80) {
      if (!this.#world.isFaulty) this.#violate(`${message.id} is refused with 0x${code.toString(16)}`)
      message.fate = qos === 1 && message.sentCount > 1 ? 'given-up' : 'refused' // of QoS 1 what was sent before may be stored: its PUBACK was lost
      this.#world.reach('refused')
      return void this.#outgoing.delete(packetId)
    }
    message.fate = 'acked'
    message.acked = this.#world.ledger.moment
    if (qos === 1) return void this.#outgoing.delete(packetId)
    outgoing.stage = 'pubrel'
    this.#sendOutgoing(link, packetId, false)
  }

  #onSubscribed(link: Link, { kind, packetId, codes }: Packet): void {
    const grants = link.waiting.get(packetId)
    if (!grants) return this.#violate(`${kind} ${packetId} for nothing`)
    link.waiting.delete(packetId)
    const { moment } = this.#world.ledger
    if (kind === 'unsuback') {
      for (const grant of grants) grant.left = moment
      return
    }
    const [grant] = grants
    if (!grant) return
    if (codes[0] !== grant.qos) {
      if (!this.#world.isFaulty) this.#violate(`SUBACK 0x${codes[0]?.toString(16)} for ${grant.filter}`)
      grant.leaving = moment
      this.epoch.isDoubtful = true
      return
    }
    grant.granted = moment
    grant.isSoft ||= this.#world.isFaulty
    if (grant.isSoft) this.epoch.isDoubtful = true
    for (const other of this.epoch.grants)
      if (other !== grant && other.filter === grant.filter && other.asked < grant.asked) other.left = Math.min(other.left, moment)
  }
}

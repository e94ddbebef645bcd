// What clients of a simulated MQTT world published, subscribed to and were sent, as the wire says it, and what of that breaks a promise of the broker.
//
// Moments are numbers of wire events, as the clients see them: what has the smaller one was before. A promise is only held against the broker for what a client
// could know: a subscription counts from SUBACK on, and may be in force from SUBSCRIBE on; a message was stored when PUBACK or PUBREC came.
// Not for: sending (subscriber-client.ts), wills and retained values (subscriber-sessions.ts looks at them in the log and at the end).

export type Qos = 0 | 1 | 2

export interface SimMessage {
  readonly id: string
  readonly publisher: string
  /** Counts the messages of its publisher. */
  readonly number: number
  readonly topic: string
  readonly qos: Qos
  readonly retain: boolean
  readonly isWill: boolean
  /** Takes a retained message away: its payload is empty, which names nobody. */
  readonly isEmpty: boolean
  /** No route takes its topic: the broker has it in memory only. */
  readonly isUnstored: boolean
  /** First sent. */
  readonly sent: number
  readonly life: number
  /** Of its publisher: over which it was sent first. */
  readonly connection: number
  /** Its publisher's session may have been another one when it was repeated: that is a message of its own then. */
  isUncertain: boolean
  /** How often: of QoS 1 each may be an event. */
  sentCount: number
  /** PUBACK or PUBREC came; Infinity = not. */
  acked: number
  fate: 'open' | 'acked' | 'refused' | 'given-up'
}

export interface Grant {
  readonly filter: string
  readonly qos: Qos
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: number
  readonly id: number | null
  /** SUBSCRIBE left; SUBACK came, Infinity = not. */
  readonly asked: number
  granted: number
  /** What takes it away left; that was confirmed. */
  leaving: number
  left: number
  /** It may not outlive its gateway: there was no room to write it down. */
  isSoft: boolean
}

export interface Received {
  readonly packetId: number
  readonly topic: string
  readonly payload: string
  readonly qos: Qos
  readonly dup: boolean
  readonly retain: boolean
  readonly subscriptionIds: readonly number[]
}

const NEVER = Number.POSITIVE_INFINITY

/** A session as its client sees it: from CONNACK without session present on. */
export class Epoch {
  readonly clientId: string
  readonly grants: Grant[] = []
  /** How often the gateway fell or was stopped since. */
  restarts = 0
  /** Subscriptions that were taken away may come back: there was no room to write that down. */
  isDoubtful = false
  /** It may have been replaced by another session, and its client does not know. */
  isUncertain = false
  /** What was taken by payload, all of it; of what does not say "retained", by QoS and without DUP. */
  readonly received = new Map<string, { count: number; byQos: [number, number, number]; fresh: number }>()
  readonly lasts = new Map<string, SimMessage>()

  constructor(clientId: string) {
    this.clientId = clientId
  }

  countOf(id: string): number {
    return this.received.get(id)?.count ?? 0
  }
}

export class SubscriberLedger {
  readonly violations: string[] = []
  readonly messages = new Map<string, SimMessage>()
  #moment = 0

  get moment(): number {
    return this.#moment
  }

  next(): number {
    return ++this.#moment
  }

  violate(sentence: string): void {
    if (this.violations.length < 20) this.violations.push(sentence)
  }

  /** A client is sent a message, and takes it: of QoS 2 it had no such packet id open. */
  take(epoch: Epoch, received: Received): void {
    const { payload, topic, qos, retain, dup } = received
    if (payload === '') return // takes a retained message away: it has no name
    const message = this.messages.get(payload)
    const who = `${epoch.clientId} at ${this.#moment}: ${payload} on ${topic}, QoS ${qos}${retain ? ', retained' : ''}${dup ? ', DUP' : ''}`
    if (!message) return this.violate(`${who}: nobody published that`)
    if (message.topic !== topic) return this.violate(`${who}: it was published to ${message.topic}`)
    if (message.fate === 'refused') this.violate(`${who}: it was refused`)
    const known = epoch.received.get(payload) ?? { count: 0, byQos: [0, 0, 0], fresh: 0 }
    epoch.received.set(payload, known)
    known.count++
    this.#checkGrants(epoch, message, received, who)
    if (message.retain && (retain || epoch.grants.some((grant) => grant.retainAsPublished))) return // it may be what SUBSCRIBE brings
    known.byQos[qos]++
    if (!dup) known.fresh++
    const isFirst = known.byQos[0] + known.byQos[1] + known.byQos[2] === 1
    const isOnce = qos === 2 && !message.isUncertain && !(message.isUnstored && epoch.restarts > 0) // what is not stored has no memory of packet ids either
    if (isOnce && known.byQos[2] > 1) this.violate(`${who}: taken ${known.byQos[2]} times`)
    if (qos !== 2 && known.fresh > message.sentCount && epoch.restarts === 0)
      this.violate(`${who}: sent ${known.fresh} times as new in one life`)
    if (isFirst && isInOrder(message, qos)) this.#checkOrder(epoch, message, received, who)
  }

  /**
   * Of what was subscribed to before it was sent for the first time: of other messages it may get repeats only. When a client takes its own place, what it sent over
   * the old connection may be delivered behind what it sends over the new one.
   */
  #checkOrder(epoch: Epoch, message: SimMessage, received: Received, who: string): void {
    const { publisher, topic, qos, number, sent, connection } = message
    if (!epoch.grants.some(({ filter, granted }) => granted < sent && matchesFilter(filter, topic))) return
    const key = `${publisher} ${topic} ${qos} ${received.qos}`
    const last = epoch.lasts.get(key)
    const isBehind = last !== undefined && number < last.number
    if (isBehind && (connection === last.connection || message.acked < last.sent))
      this.violate(`${who}: number ${number} of ${publisher} comes behind its number ${last.number}`)
    if (!isBehind) epoch.lasts.set(key, message)
  }

  #checkGrants(epoch: Epoch, message: SimMessage, received: Received, who: string): void {
    const matching = epoch.grants.filter(({ filter, left }) => matchesFilter(filter, message.topic) && left > message.sent)
    const mayTake = matching.filter(({ noLocal }) => !(noLocal && message.publisher === epoch.clientId && !message.isWill))
    if (received.retain && message.retain && matching.some(({ retainHandling }) => retainHandling !== 2)) return
    // PUBACK may be that of a repeat: what the broker has of the one before is a message of its own, and may be on its way.
    const isOnItsWay = message.qos === 1 && message.sentCount > 1
    const inTime = mayTake.filter(({ asked }) => asked < message.acked || isOnItsWay)
    if (inTime.length === 0 && !epoch.isDoubtful) {
      const why = matching.length === 0 ? 'no filter' : mayTake.length === 0 ? 'no-local' : 'it was acknowledged before SUBSCRIBE left'
      return this.violate(`${who}: not for this session: ${why}`)
    }
    if (epoch.isDoubtful) return
    const qosOf = ({ qos }: Grant): Qos => (qos < message.qos ? qos : message.qos)
    if (!mayTake.some((grant) => qosOf(grant) === received.qos)) this.violate(`${who}: no subscription says this QoS`)
    if (received.retain && !mayTake.some((grant) => grant.retainAsPublished && message.retain)) this.violate(`${who}: why retained?`)
    const ids = new Set(received.subscriptionIds)
    for (const id of ids) if (!mayTake.some((grant) => grant.id === id)) this.violate(`${who}: subscription id ${id}`)
    // A will that is found in the log is taken for its client's own, one that is sent at once is not: no-local says nothing sure.
    const certain = mayTake.filter(
      ({ granted, leaving, noLocal }) => granted < message.sent && leaving === NEVER && !(noLocal && message.isWill)
    )
    for (const { id, filter } of certain) if (id !== null && !ids.has(id)) this.violate(`${who}: without id ${id} of ${filter}`)
    const highest = Math.max(0, ...certain.map(qosOf))
    if (received.qos < highest) this.violate(`${who}: should be QoS ${highest}`)
  }

  /** What is retained of topics that only one client publishes to: the last that was acknowledged, or one that may have been stored behind it. */
  judgeRetained(values: ReadonlyMap<string, string>): void {
    const retained = [...this.messages.values()].filter(({ retain }) => retain)
    for (const topic of new Set(retained.map((message) => message.topic))) {
      const messages = retained.filter((message) => message.topic === topic)
      if (!messages[0] || !topic.endsWith(`/r${messages[0].publisher}`)) continue
      const last = messages.findLastIndex(({ fate, qos, isWill }) => fate === 'acked' && qos > 0 && !isWill)
      // A repeat of QoS 1 is an event of its own, and may come behind QoS 2.
      const may = messages.filter(
        ({ isWill, fate, sentCount }, index) =>
          index === last || isWill || (index > last && fate !== 'refused') || (sentCount > 1 && messages[last]?.qos === 2)
      )
      const value = values.get(topic) ?? ''
      const isRight = may.some(({ id, isEmpty }) => (isEmpty ? '' : id) === value) || (value === '' && last < 0)
      if (!isRight)
        this.violate(
          `${topic} has ${value || 'nothing'} retained, and not ${may.map(({ id, isEmpty }) => (isEmpty ? 'nothing' : id)).join(' or ')}`
        )
    }
  }

  /** After a quiet end: what had to arrive did. `life`: of the gateway now. */
  judge(epoch: Epoch, life: number): void {
    for (const message of this.messages.values()) {
      if (message.fate !== 'acked' || message.qos === 0 || message.isEmpty || epoch.countOf(message.id) > 0) continue
      if (message.isUnstored && message.life !== life) continue
      const grant = epoch.grants.find(
        ({ filter, granted, leaving, qos, noLocal, isSoft }) =>
          matchesFilter(filter, message.topic) &&
          granted < message.sent &&
          leaving === NEVER &&
          qos > 0 &&
          !isSoft &&
          !(noLocal && message.publisher === epoch.clientId)
      )
      if (!grant) continue
      this.violate(
        `${epoch.clientId} never got ${message.id} on ${message.topic}, sent at ${message.sent}, acknowledged at ${message.acked}`
      )
    }
  }
}

/**
 * What comes over an earlier connection of a session that is gone may come behind what its client sends over the next; what waited and is sent with QoS 0 by a
 * later subscription, behind what that was sent at once.
 */
function isInOrder({ isWill, fate, qos }: SimMessage, deliveredQos: Qos): boolean {
  return !isWill && fate !== 'given-up' && deliveredQos >= Math.min(1, qos)
}

export function matchesFilter(filter: string, topic: string): boolean {
  const levels = topic.split('/')
  const wanted = filter.split('/')
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false
  }
  return wanted.length === levels.length
}

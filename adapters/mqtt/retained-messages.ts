// Retained messages: the last one of each topic, bounded in number and bytes, durable: a message travels in the commit of its event.
//
// Invariants:
//   M1  In memory is what is durable: a change is prepared before its commit and applied after it.
//   M2  A message that finds no room is refused and counted, and takes away what its topic had: an older value behind a newer PUBACK would be a wrong one.
//       An expired one is nobody's, and gives its room to others.
// Not for: who may subscribe.

import { createHash } from 'node:crypto'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange, Store } from '../../runtime/log/contract.ts'
import { StateArea } from '../../runtime/log/state-area.ts'
import { Message, type MessageFields } from './message.ts'
import { type StoredMessage, storedMessageCodec } from './stored-message.ts'
import { TopicTree } from './topic-tree.ts'

export interface RetainedLimits {
  readonly retainedCountMax: number
  readonly retainedBytesMax: number
  /** Payload of one. */
  readonly retainedMessageBytesMax: number
}

export const storedRetained = new StateArea<StoredMessage>('mqtt.retained', storedMessageCodec, {
  keys: '<digest of the topic>',
  keyBytesMax: 46,
  valueBytesMax: 64 * 1024,
  entries: '10,000, and 4 MiB in all',
  goes: 'with an empty retained message of its topic, or when it has expired'
})

/** One change, on its way. */
export interface RetainedChange {
  /** Travels in the commit of the event. */
  readonly state: readonly StateChange[]
  /** The commit was carried out, or not. Called once. */
  settle(isDurable: boolean): void
}

const ONLY = 'message'
const EXPIRED_LOOK_MS = 1_000

export class RetainedMessages {
  readonly #limits: RetainedLimits
  readonly #store: Pick<Store, 'commit' | 'listState' | 'getState'>
  readonly #tree = new TopicTree<Message>()
  #bytes = 0
  /** On their way: new topics, bytes, and by topic how many changes. */
  readonly #pending = { count: 0, bytes: 0, byTopic: new Map<string, number>() }
  #expiredLookMs = Number.NEGATIVE_INFINITY
  #refusedCount = 0

  constructor(store: Pick<Store, 'commit' | 'listState' | 'getState'>, limits: RetainedLimits) {
    this.#store = store
    this.#limits = limits
  }

  get count(): number {
    return this.#tree.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get refusedCount(): number {
    return this.#refusedCount
  }

  /** At the start. `onDamage` hears of those that cannot be read: they are left out. @throws WadiError WADI_FORMAT_NEWER */
  load(onDamage: (error: WadiError) => void): void {
    for (const key of storedRetained.keysIn(this.#store)) {
      const stored = storedRetained.getWhole(this.#store, key, onDamage)
      if (stored) this.#put(Message.from({ ...stored, isRetained: true }, stored.expiresMs))
    }
  }

  /** What its commit has to carry. */
  prepare(fields: MessageFields): RetainedChange {
    const { topic, payload } = fields
    if (payload.byteLength === 0) return this.#prepareRemoval(topic)
    const message = new Message(fields, Date.now())
    const isNew = this.#tree.get(topic, ONLY) === undefined
    if (!this.#hasRoom(message, isNew) && !(this.#dropAllExpired() && this.#hasRoom(message, isNew))) {
      this.#refusedCount++
      return this.#prepareRemoval(topic)
    }
    const { bytes } = message
    this.#pending.bytes += bytes
    if (isNew) this.#pending.count++
    const expiresMs = message.expiresMs === Number.POSITIVE_INFINITY ? null : message.expiresMs
    const value = { ...fields, isRetained: true, expiresMs, delaySeconds: 0 }
    message.own()
    return this.#pend(topic, [storedRetained.put(keyOf(topic), value)], (isDurable) => {
      this.#pending.bytes -= bytes
      if (isNew) this.#pending.count--
      if (isDurable) this.#put(message)
    })
  }

  /** Those that `filter` matches. */
  match(filter: string): Message[] {
    const nowMs = Date.now()
    const found: Message[] = []
    const expired: Message[] = []
    this.#tree.match(filter, (message) => (message.isExpired(nowMs) ? expired : found).push(message))
    if (expired.length > 0) this.#dropExpired(expired)
    return found
  }

  #prepareRemoval(topic: string): RetainedChange {
    const isKnown = this.#tree.get(topic, ONLY) !== undefined || this.#pending.byTopic.has(topic)
    return this.#pend(topic, isKnown ? [storedRetained.remove(keyOf(topic))] : [], (isDurable) => {
      if (isDurable) this.#remove(topic)
    })
  }

  #pend(topic: string, state: readonly StateChange[], settle: (isDurable: boolean) => void): RetainedChange {
    const { byTopic } = this.#pending
    byTopic.set(topic, (byTopic.get(topic) ?? 0) + 1)
    return {
      state,
      settle(isDurable) {
        const left = (byTopic.get(topic) ?? 1) - 1
        if (left > 0) byTopic.set(topic, left)
        else byTopic.delete(topic)
        settle(isDurable)
      }
    }
  }

  #hasRoom({ topic, payload, bytes }: Message, isNew: boolean): boolean {
    const { retainedCountMax, retainedBytesMax, retainedMessageBytesMax } = this.#limits
    if (payload.byteLength > retainedMessageBytesMax) return false
    if (isNew && this.#tree.size + this.#pending.count >= retainedCountMax) return false
    const beforeBytes = this.#tree.get(topic, ONLY)?.bytes ?? 0
    return this.#bytes + this.#pending.bytes - beforeBytes + bytes <= retainedBytesMax
  }

  #put(message: Message): void {
    this.#remove(message.topic)
    this.#tree.set(message.topic, ONLY, message)
    this.#bytes += message.bytes
  }

  #remove(topic: string): void {
    const before = this.#tree.get(topic, ONLY)
    if (!before) return
    this.#tree.delete(topic, ONLY)
    this.#bytes -= before.bytes
  }

  /** Those of topics that a change is on its way for are left to it: a removal behind it would take the new one away. */
  #dropExpired(messages: readonly Message[]): void {
    const topics = messages.map(({ topic }) => topic).filter((topic) => !this.#pending.byTopic.has(topic))
    for (const topic of topics) this.#remove(topic)
    // Refused, they stay in the state and are expired after the next start too.
    if (topics.length > 0) {
      const changes = topics.map((topic) => storedRetained.remove(keyOf(topic)))
      this.#store.commit([], changes).catch(() => undefined)
    }
  }

  /** When there is no room, once a second at most. @returns whether there is some now */
  #dropAllExpired(): boolean {
    const nowMs = performance.now()
    if (nowMs - this.#expiredLookMs < EXPIRED_LOOK_MS) return false
    this.#expiredLookMs = nowMs
    const before = this.#tree.size
    this.match('#')
    return this.#tree.size < before
  }
}

/** A topic may be longer than a key of the state. */
function keyOf(topic: string): string {
  return storedRetained.keyAt(createHash('sha256').update(topic).digest('hex').slice(0, 32))
}

// Retained messages: the last one of each topic, bounded in number and bytes, durable: a message travels in the commit of its event.
//
// Invariants:
//   M1  In memory is what is durable: a change is prepared before its commit and applied after it.
//   M2  A message that finds no room is refused and counted, what is kept stays. An expired one is nobody's.
// Not for: who may subscribe.

import { createHash } from 'node:crypto'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange, Store } from '../../runtime/log/contract.ts'
import { StateArea } from '../../runtime/log/state-area.ts'
import { Message, type MessageFields } from './message.ts'
import { readStored, type StoredMessage, storedMessageCodec } from './stored-message.ts'
import { TopicTree } from './topic-tree.ts'

export interface RetainedLimits {
  readonly retainedCountMax: number
  readonly retainedBytesMax: number
  /** Payload of one. */
  readonly retainedMessageBytesMax: number
}

export const storedRetained = new StateArea<StoredMessage>('mqtt.retained', storedMessageCodec, {
  keys: '<digest of the topic>',
  valueBytesMax: 64 * 1024,
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

export class RetainedMessages {
  readonly #limits: RetainedLimits
  readonly #store: Pick<Store, 'commit' | 'listState' | 'getState'>
  readonly #tree = new TopicTree<Message>()
  #bytes = 0
  /** On their way. */
  #pending = { count: 0, bytes: 0 }
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
      const stored = readStored(storedRetained, this.#store, key, onDamage)
      if (stored) this.#put(Message.from({ ...stored, isRetained: true }, stored.expiresMs))
    }
  }

  /** null when it has no room, and nothing changes. */
  prepare(fields: MessageFields): RetainedChange | null {
    const { topic, payload } = fields
    const key = keyOf(topic)
    if (payload.byteLength === 0) return this.#prepareRemoval(topic, key)
    const message = new Message(fields, Date.now())
    const { bytes } = message
    const isNew = this.#tree.get(topic, ONLY) === undefined
    if (!this.#hasRoom(message, isNew)) {
      this.#refusedCount++
      return null
    }
    message.own()
    this.#pending.bytes += bytes
    if (isNew) this.#pending.count++
    const expiresMs = message.expiresMs === Number.POSITIVE_INFINITY ? null : message.expiresMs
    return {
      state: [storedRetained.put(key, { ...fields, payload: message.payload, expiresMs, delaySeconds: 0 })],
      settle: (isDurable) => {
        this.#pending.bytes -= bytes
        if (isNew) this.#pending.count--
        if (isDurable) this.#put(message)
      }
    }
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

  #prepareRemoval(topic: string, key: string): RetainedChange {
    const isKnown = this.#tree.get(topic, ONLY) !== undefined || this.#pending.count > 0
    return { state: isKnown ? [storedRetained.remove(key)] : [], settle: (isDurable) => void (isDurable && this.#remove(topic)) }
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

  #dropExpired(messages: readonly Message[]): void {
    for (const { topic } of messages) this.#remove(topic)
    const changes = messages.map(({ topic }) => storedRetained.remove(keyOf(topic)))
    // Refused, they stay in the state and are expired after the next start too.
    this.#store.commit([], changes).catch(() => undefined)
  }
}

/** A topic may be longer than a key of the state. */
function keyOf(topic: string): string {
  return storedRetained.keyAt(createHash('sha256').update(topic).digest('hex').slice(0, 32))
}

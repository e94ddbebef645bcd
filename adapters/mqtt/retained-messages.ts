// Retained messages: the last one of each topic, bounded in number and bytes, durable: a message travels in the commit of its event.
//
// Invariants:
//   M1  In memory is what is durable: a change is prepared before its commit and applied after it.
//   M2  A message that finds no room is refused and counted, and takes away what its topic had: an older value behind a newer PUBACK would be a wrong one.
//       An expired one is nobody's, and gives its room to others.
// Not for: who may subscribe.

import type { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange, Store } from '../../runtime/log/contract.ts'
import { Message, type MessageFields } from './message.ts'
import { partCountOf, putRetained, readRetained, removeParts, removeRetained } from './stored-retained.ts'
import { TopicTree } from './topic-tree.ts'

export interface RetainedLimits {
  readonly retainedCountMax: number
  readonly retainedBytesMax: number
  /** Payload of one. */
  readonly retainedMessageBytesMax: number
}

/** One change, on its way. */
export interface RetainedChange {
  /** Travels in the commit of the event. */
  readonly state: readonly StateChange[]
  /** Why the message is not retained. */
  readonly refusal: string | null
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
  /** By topic, how many parts the state may have beside the head of its message (stored-retained.ts). Not there: none. */
  readonly #parts = new Map<string, number>()
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
    const { messages, strays } = readRetained(this.#store, onDamage)
    for (const stored of messages) {
      this.#put(Message.from({ ...stored, isRetained: true }, stored.expiresMs))
      this.#noteParts(stored.topic, partCountOf(stored.payload.byteLength))
    }
    // Refused, they are looked for by the next start again.
    if (strays.length > 0) this.#store.commit([], strays).catch(() => undefined)
  }

  /** What its commit has to carry. */
  prepare(fields: MessageFields): RetainedChange {
    const { topic, payload } = fields
    if (payload.byteLength === 0) return this.#prepareRemoval(topic, null)
    const message = new Message(fields, Date.now())
    const isNew = this.#tree.get(topic, ONLY) === undefined
    let refusal = this.#refusalOf(message, isNew)
    if (refusal !== null && this.#dropAllExpired()) refusal = this.#refusalOf(message, isNew)
    if (refusal !== null) {
      this.#refusedCount++
      return this.#prepareRemoval(topic, refusal)
    }
    const { bytes } = message
    this.#pending.bytes += bytes
    if (isNew) this.#pending.count++
    const expiresMs = message.expiresMs === Number.POSITIVE_INFINITY ? null : message.expiresMs
    const value = { ...fields, isRetained: true, expiresMs, delaySeconds: 0 }
    message.own()
    const partsBefore = this.#parts.get(topic) ?? 0
    const change = { state: putRetained(value, partsBefore), parts: partCountOf(payload.byteLength), refusal: null }
    return this.#pend(topic, change, (isDurable) => {
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

  #prepareRemoval(topic: string, refusal: string | null): RetainedChange {
    const isKnown = this.#tree.get(topic, ONLY) !== undefined || this.#pending.byTopic.has(topic)
    const state = isKnown ? removeRetained(topic, this.#parts.get(topic) ?? 0) : []
    return this.#pend(topic, { state, parts: 0, refusal }, (isDurable) => {
      if (isDurable) this.#remove(topic)
    })
  }

  /** `parts`: of its message. */
  #pend(
    topic: string,
    { state, parts, refusal }: Pick<RetainedChange, 'state' | 'refusal'> & { parts: number },
    settle: (isDurable: boolean) => void
  ): RetainedChange {
    const { byTopic } = this.#pending
    byTopic.set(topic, (byTopic.get(topic) ?? 0) + 1)
    const partsSeen = Math.max(parts, this.#parts.get(topic) ?? 0)
    this.#noteParts(topic, partsSeen)
    return {
      state,
      refusal,
      settle: (isDurable) => {
        settle(isDurable)
        const left = (byTopic.get(topic) ?? 1) - 1
        if (left > 0) byTopic.set(topic, left)
        else {
          byTopic.delete(topic)
          this.#settleParts(topic, partsSeen)
        }
      }
    }
  }

  /** Nothing is on its way for a topic. The last commit did not know of parts above `partsSeen`: another one, prepared later, was carried out before it. */
  #settleParts(topic: string, partsSeen: number): void {
    const partsMax = this.#parts.get(topic) ?? 0
    const parts = partCountOf(this.#tree.get(topic, ONLY)?.payload.byteLength ?? 0)
    this.#noteParts(topic, parts)
    // Refused, they are taken away by the next start.
    if (partsMax > partsSeen && partsMax > parts) this.#store.commit([], removeParts(topic, parts, partsMax)).catch(() => undefined)
  }

  #noteParts(topic: string, parts: number): void {
    if (parts > 0) this.#parts.set(topic, parts)
    else this.#parts.delete(topic)
  }

  /** null: there is room. */
  #refusalOf({ topic, payload, bytes }: Message, isNew: boolean): string | null {
    const { retainedCountMax, retainedBytesMax, retainedMessageBytesMax } = this.#limits
    if (payload.byteLength > retainedMessageBytesMax) return `${payload.byteLength} bytes, at most ${retainedMessageBytesMax} of one`
    if (isNew && this.#tree.size + this.#pending.count >= retainedCountMax) return `there are ${retainedCountMax} retained messages`
    const beforeBytes = this.#tree.get(topic, ONLY)?.bytes ?? 0
    if (this.#bytes + this.#pending.bytes - beforeBytes + bytes <= retainedBytesMax) return null
    return `${payload.byteLength} bytes, and ${this.#bytes} of ${retainedBytesMax} are taken`
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
      const changes = topics.flatMap((topic) => removeRetained(topic, this.#parts.get(topic) ?? 0))
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

// Retained messages: the last one of each topic, bounded in number and bytes.
//
// Invariants: a message that finds no room is refused and counted, what is kept stays; an expired one is nobody's. Not for: who may subscribe.

import type { Message } from './message.ts'
import { TopicTree } from './topic-tree.ts'

export interface RetainedLimits {
  readonly retainedCountMax: number
  readonly retainedBytesMax: number
}

const ONLY = 'message'

export class RetainedMessages {
  readonly #limits: RetainedLimits
  readonly #tree = new TopicTree<Message>()
  #bytes = 0
  #refusedCount = 0

  constructor(limits: RetainedLimits) {
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

  /** Keeps it in place of what its topic had; an empty payload takes that away (MQTT-3.3.1-6, MQTT-3.3.1-10). */
  put(message: Message): void {
    const { topic, payload } = message
    const before = this.#tree.get(topic, ONLY)
    const beforeBytes = before?.bytes ?? 0
    if (payload.byteLength === 0) {
      if (this.#tree.delete(topic, ONLY)) this.#bytes -= beforeBytes
      return
    }
    const { bytes } = message
    const { retainedCountMax, retainedBytesMax } = this.#limits
    if ((!before && this.#tree.size >= retainedCountMax) || this.#bytes - beforeBytes + bytes > retainedBytesMax) {
      this.#refusedCount++
      return
    }
    message.own()
    this.#tree.set(topic, ONLY, message)
    this.#bytes += bytes - beforeBytes
  }

  /** Those that `filter` matches. */
  match(filter: string): Message[] {
    const nowMs = Date.now()
    const found: Message[] = []
    const expired: Message[] = []
    this.#tree.match(filter, (message) => (message.isExpired(nowMs) ? expired : found).push(message))
    for (const message of expired) {
      this.#tree.delete(message.topic, ONLY)
      this.#bytes -= message.bytes
    }
    return found
  }
}

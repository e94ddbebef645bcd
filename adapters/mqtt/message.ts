// A message on its way to subscribers, and what it takes to keep one. Not for: packets (packets.ts), events in the log (runtime/broker).

import type { Place } from '../../runtime/log/contract.ts'
import type { MessageProperties, Qos } from './packets.ts'

export interface MessageFields {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  /** As it was published. */
  readonly isRetained: boolean
  readonly properties: MessageProperties | null
  /** Where its event lies; not there when it has none: `$SYS`, what no route stores, what is retained. */
  readonly place?: Place | null
}

/** How a message is sent to one session. */
export interface Delivery {
  readonly qos: Qos
  readonly isRetained: boolean
  readonly subscriptionIds: readonly number[]
  /** The message is kept elsewhere anyway (retained messages): its own bytes do not count here, and there may be many at once. */
  readonly isKeptElsewhere?: boolean
}

/** Of one message in one queue beside its bytes: objects and places in maps. Measured: about 140 bytes. */
export const MESSAGE_OVERHEAD_BYTES = 200
/** Up to here a copy is a string of Latin-1: on the heap, a tenth of the price of a buffer of its own. */
const TEXT_BYTES_MAX = 1_024

/** Shared by everybody who gets it. */
export class Message {
  readonly topic: string
  readonly qos: Qos
  readonly isRetained: boolean
  readonly properties: MessageProperties | null
  readonly place: Place | null
  /** Wall time, ms; Infinity = it does not expire. */
  readonly expiresMs: number
  /** What it takes where it is kept. */
  readonly bytes: number
  #payload: Uint8Array | null
  /** In place of #payload. */
  #text = ''

  /** Published now. */
  constructor(
    { topic, payload, qos, isRetained, properties, place = null }: MessageFields,
    nowMs: number,
    expiresMs: number | null = null
  ) {
    this.topic = topic
    this.qos = qos
    this.isRetained = isRetained
    this.properties = properties
    this.place = place
    this.#payload = payload
    const expirySeconds = properties?.expirySeconds ?? null
    this.bytes = MESSAGE_OVERHEAD_BYTES + topic.length + payload.byteLength + (properties?.forwarded.byteLength ?? 0)
    this.expiresMs = expiresMs ?? (expirySeconds === null ? Number.POSITIVE_INFINITY : nowMs + expirySeconds * 1_000)
  }

  /** Published before; `expiresMs` null = it does not expire. */
  static from(fields: MessageFields, expiresMs: number | null): Message {
    return new Message(fields, 0, expiresMs ?? Number.POSITIVE_INFINITY)
  }

  get payload(): Uint8Array {
    return this.#payload ?? Buffer.from(this.#text, 'latin1')
  }

  /** Where it is kept its payload must not keep the whole read of the socket that it came in. */
  own(): void {
    const payload = this.#payload
    if (payload === null || payload.buffer.byteLength <= payload.byteLength * 2) return
    if (payload.byteLength <= TEXT_BYTES_MAX) {
      this.#text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('latin1')
      this.#payload = null
    } else {
      this.#payload = Buffer.allocUnsafeSlow(payload.byteLength)
      this.#payload.set(payload)
    }
  }

  isExpired(nowMs: number): boolean {
    return this.expiresMs <= nowMs
  }

  /** null = it does not expire. */
  expirySecondsLeft(nowMs: number): number | null {
    return this.expiresMs === Number.POSITIVE_INFINITY ? null : Math.max(1, Math.ceil((this.expiresMs - nowMs) / 1_000))
  }
}

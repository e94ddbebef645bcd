// A retained message as values of the durable state: one value, or, where it is larger than one may be, a head and parts that go in the same commit.
// Byte layout: docs/formats/state.md.
//
// Invariants: a message is read whole or not at all; putting one removes the parts of the one before that it has none of. Not for: which messages are
// retained, and when they are written (retained-messages.ts).

import type { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange } from '../../runtime/log/contract.ts'
import { StateArea, type StateReader } from '../../runtime/log/state-area.ts'
import { stateDamaged, stateNewer } from '../../runtime/log/state-codec.ts'
import { digestOf } from './name-digest.ts'
import { type StoredMessage, storedMessageCodec } from './stored-message.ts'

/** The message with the first of its payload, and how long the payload is. */
export interface RetainedHead {
  readonly message: StoredMessage
  readonly payloadBytes: number
}

/** Payload of one value: the rest of 64 KiB is for the topic and for properties. */
export const PIECE_BYTES = 56 * 1024
/** Of the largest message that `mqtt_limits.retained.message` allows. */
const PARTS_MAX = 7
const SPLIT_FORMAT = 2
const SPLIT_HEAD_BYTES = 5
const PART_FORMAT = 1
const GOES = 'with an empty retained message of its topic, or when it has expired'

const headCodec = {
  encode({ message, payloadBytes }: RetainedHead): Uint8Array {
    const whole = storedMessageCodec.encode(message)
    if (payloadBytes === message.payload.byteLength) return whole
    const bytes = Buffer.allocUnsafeSlow(SPLIT_HEAD_BYTES + whole.byteLength)
    bytes[0] = SPLIT_FORMAT
    bytes.writeUInt32BE(payloadBytes, 1)
    bytes.set(whole, SPLIT_HEAD_BYTES)
    return bytes
  },

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): RetainedHead {
    if (value.byteLength > 0 && (value[0] as number) > SPLIT_FORMAT) throw stateNewer(key, value[0], SPLIT_FORMAT)
    if (value[0] !== SPLIT_FORMAT) {
      const message = storedMessageCodec.decode(value, key)
      return { message, payloadBytes: message.payload.byteLength }
    }
    if (value.byteLength < SPLIT_HEAD_BYTES) throw stateDamaged(key, value)
    const message = storedMessageCodec.decode(value.subarray(SPLIT_HEAD_BYTES), key)
    const payloadBytes = Buffer.from(value.buffer, value.byteOffset).readUInt32BE(1)
    if (message.payload.byteLength !== PIECE_BYTES || payloadBytes <= PIECE_BYTES) throw stateDamaged(key, value)
    if (partCountOf(payloadBytes) > PARTS_MAX) throw stateDamaged(key, value)
    return { message, payloadBytes }
  }
}

const partCodec = {
  encode(payload: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(1 + payload.byteLength)
    bytes[0] = PART_FORMAT
    bytes.set(payload, 1)
    return bytes
  },

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): Uint8Array {
    if (value.byteLength > 0 && (value[0] as number) > PART_FORMAT) throw stateNewer(key, value[0], PART_FORMAT)
    if (value[0] !== PART_FORMAT || value.byteLength < 2 || value.byteLength > 1 + PIECE_BYTES) throw stateDamaged(key, value)
    return value.subarray(1)
  }
}

export const storedRetained = new StateArea<RetainedHead>('mqtt.retained', headCodec, {
  keys: '<digest of the topic>',
  keyBytesMax: 46,
  valueBytesMax: 64 * 1024,
  entries: '10,000, and 4 MiB in all (`mqtt_limits.retained`)',
  goes: GOES
})

export const storedRetainedParts = new StateArea<Uint8Array>('mqtt.retained-part', partCodec, {
  keys: '<digest of the topic>/<number>',
  keyBytesMax: 53,
  valueBytesMax: 1 + PIECE_BYTES,
  entries: '7 of a message, of the 4 MiB in all',
  goes: GOES
})

/** Values of a payload of this size beside the head. */
export function partCountOf(payloadBytes: number): number {
  return Math.max(0, Math.ceil(payloadBytes / PIECE_BYTES) - 1)
}

/** `partsBefore`: parts that the state may have of this topic. */
export function putRetained(message: StoredMessage, partsBefore: number): StateChange[] {
  const { topic, payload } = message
  const digest = digestOf(topic)
  const head = { message: { ...message, payload: payload.subarray(0, PIECE_BYTES) }, payloadBytes: payload.byteLength }
  const changes = [storedRetained.put(storedRetained.keyAt(digest), head)]
  const parts = partCountOf(payload.byteLength)
  for (let number = 1; number <= parts; number++) {
    const piece = payload.subarray(number * PIECE_BYTES, (number + 1) * PIECE_BYTES)
    changes.push(storedRetainedParts.put(partKey(digest, number), piece))
  }
  return [...changes, ...removeParts(topic, parts, partsBefore)]
}

/** `partsBefore` as of putRetained(). */
export function removeRetained(topic: string, partsBefore: number): StateChange[] {
  return [storedRetained.remove(storedRetained.keyAt(digestOf(topic))), ...removeParts(topic, 0, partsBefore)]
}

/** Those behind the first `from`, up to `to`. */
export function removeParts(topic: string, from: number, to: number): StateChange[] {
  const digest = digestOf(topic)
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => storedRetainedParts.remove(partKey(digest, from + index + 1)))
}

/** All that can be read; of the others `onDamage` hears. `strays`: parts that belong to none of them. @throws WadiError WADI_FORMAT_NEWER */
export function readRetained(
  state: StateReader,
  onDamage: (error: WadiError) => void
): { readonly messages: StoredMessage[]; readonly strays: StateChange[] } {
  const messages: StoredMessage[] = []
  const strays = new Set(storedRetainedParts.keysIn(state))
  for (const key of storedRetained.keysIn(state)) {
    const head = storedRetained.getWhole(state, key, onDamage)
    if (!head) continue
    const keys = Array.from({ length: partCountOf(head.payloadBytes) }, (_, index) => partKey(storedRetained.restOf(key), index + 1))
    const payload = payloadOf(head, keys, state, onDamage)
    if (payload === null) continue
    for (const part of keys) strays.delete(part)
    messages.push({ ...head.message, payload })
  }
  return { messages, strays: [...strays].map((key) => storedRetainedParts.remove(key)) }
}

/** null = a part is not there, or is none. */
function payloadOf(
  { message, payloadBytes }: RetainedHead,
  keys: readonly string[],
  state: StateReader,
  onDamage: (error: WadiError) => void
): Uint8Array | null {
  if (keys.length === 0) return message.payload
  const payload = new Uint8Array(payloadBytes)
  payload.set(message.payload)
  for (const [index, key] of keys.entries()) {
    const piece = storedRetainedParts.getWhole(state, key, onDamage)
    const at = (index + 1) * PIECE_BYTES
    const bytes = Math.min(PIECE_BYTES, payloadBytes - at)
    if (piece?.byteLength !== bytes) {
      if (piece || state.getState(key) === undefined) onDamage(stateDamaged(key, piece ?? new Uint8Array(0)))
      return null
    }
    payload.set(piece, at)
  }
  return payload
}

const partKey = (digest: string, number: number): string => storedRetainedParts.keyAt(`${digest}/${number}`)

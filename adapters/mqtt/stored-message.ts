// Retained messages and wills as values of the durable state: format number, length of a JSON header, the header, payload.
// Byte layout: docs/formats/state.md. Not for: when they are written (retained-messages.ts, wills.ts).

import { WadiError } from '../../runtime/base/errors.ts'
import type { StateArea, StateReader } from '../../runtime/log/state-area.ts'
import { stateDamaged, stateNewer } from '../../runtime/log/state-codec.ts'
import type { MessageFields } from './message.ts'
import type { Qos } from './packets.ts'

export interface StoredMessage extends Omit<MessageFields, 'isRetained'> {
  /** Wall time, ms; null = it does not expire. */
  readonly expiresMs: number | null
  /** Of wills. */
  readonly isRetained: boolean
  readonly delaySeconds: number
}

interface Header {
  readonly topic: string
  readonly qos: Qos
  readonly retain?: true
  readonly delay?: number
  readonly expires?: number
  /** Property 2 as it was sent, of wills. */
  readonly expiry?: number
  /** Forwarded properties, base64. */
  readonly properties?: string
}

const FORMAT = 1
const HEAD_BYTES = 5

export const storedMessageCodec = {
  encode({ topic, qos, isRetained, delaySeconds, expiresMs, properties, payload }: StoredMessage): Uint8Array {
    const header: Header = {
      topic,
      qos,
      ...(isRetained && { retain: true as const }),
      ...(delaySeconds > 0 && { delay: delaySeconds }),
      ...(expiresMs !== null && { expires: expiresMs }),
      ...(properties?.expirySeconds != null && { expiry: properties.expirySeconds }),
      ...(properties && properties.forwarded.byteLength > 0 && { properties: Buffer.from(properties.forwarded).toString('base64') })
    }
    const json = Buffer.from(JSON.stringify(header))
    const bytes = Buffer.allocUnsafeSlow(HEAD_BYTES + json.byteLength + payload.byteLength)
    bytes[0] = FORMAT
    bytes.writeUInt32BE(json.byteLength, 1)
    bytes.set(json, HEAD_BYTES)
    bytes.set(payload, HEAD_BYTES + json.byteLength)
    return bytes
  },

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): StoredMessage {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    if (bytes.length > 0 && bytes[0] !== FORMAT) throw stateNewer(key, bytes[0], FORMAT)
    if (bytes.length < HEAD_BYTES) throw stateDamaged(key, value)
    const payloadAt = HEAD_BYTES + bytes.readUInt32BE(1)
    const header = readHeader(bytes.subarray(HEAD_BYTES, payloadAt), key, value)
    if (payloadAt > bytes.length || typeof header.topic !== 'string' || ![0, 1, 2].includes(header.qos)) throw stateDamaged(key, value)
    const { topic, qos, retain, delay, expires, expiry, properties } = header
    const hasProperties = properties !== undefined || expiry !== undefined
    return {
      topic,
      qos,
      isRetained: retain === true,
      delaySeconds: delay ?? 0,
      expiresMs: expires ?? null,
      properties: hasProperties ? { forwarded: Buffer.from(properties ?? '', 'base64'), expirySeconds: expiry ?? null } : null,
      payload: new Uint8Array(bytes.subarray(payloadAt))
    }
  }
}

function readHeader(json: Buffer, key: string, value: Uint8Array): Header {
  try {
    return JSON.parse(json.toString()) as Header
  } catch (cause) {
    throw stateDamaged(key, value, cause)
  }
}

/** null when it cannot be read: `onDamage` hears of it. @throws WadiError WADI_FORMAT_NEWER */
export function readStored(
  area: StateArea<StoredMessage>,
  state: Pick<StateReader, 'getState'>,
  key: string,
  onDamage: (error: WadiError) => void
): StoredMessage | null {
  try {
    return area.get(state, key) ?? null
  } catch (error) {
    if (!(error instanceof WadiError) || error.code !== 'WADI_STATE_DAMAGED') throw error
    onDamage(error)
    return null
  }
}

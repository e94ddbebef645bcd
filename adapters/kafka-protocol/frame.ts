// From bytes of a connection to messages: cuts the stream at the lengths and reads the header of a request.

import { type AnyApi, apiByKey } from './apis.ts'
import { ProtocolError } from './protocol-error.ts'
import { WireReader } from './reader.ts'

const LENGTH_BYTES = 4
const API_VERSIONS_KEY = 18

export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** null: an API this codec does not know, or not in this version. Then nothing behind the client id was looked at. */
  readonly api: AnyApi | null
  /** Where the body begins in the frame. */
  readonly bodyAt: number
}

/**
 * Header of a request, version 1 or 2 as the API asks.
 * An ApiVersions request that is newer than we know has `api` null too, but must be answered, in version 0 and with error 35.
 * @throws ProtocolError when the frame is shorter than a header
 */
export function decodeRequestHeader(frame: Uint8Array): RequestHeader {
  const reader = new WireReader(frame)
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  const clientId = reader.string(false)
  const known = apiByKey.get(apiKey)
  const api = known?.supports(apiVersion) ? known : null
  if (api?.isFlexible(apiVersion)) reader.taggedFields(() => undefined)
  return { apiKey, apiVersion, correlationId, clientId, api, bodyAt: reader.at }
}

/** True for a request that Kafka answers although it does not know its version. */
export function isNewerApiVersions(header: RequestHeader): boolean {
  return header.apiKey === API_VERSIONS_KEY && header.api === null
}

/**
 * Cuts a stream into frames without their lengths. Holds only what has arrived: a length that never comes true costs nothing.
 * A frame inside one chunk is a view of it.
 */
export class FrameSplitter {
  readonly #frameBytesMax: number
  #pending: Uint8Array[] = []
  #pendingBytes = 0

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax
  }

  /** Bytes of a frame that has begun. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** @throws ProtocolError frame when a length is negative or above the bound */
  push(chunk: Uint8Array): Uint8Array[] {
    this.add(chunk)
    const frames: Uint8Array[] = []
    for (let frame = this.take(); frame !== null; frame = this.take()) frames.push(frame)
    return frames
  }

  /** push() in steps, for who wants to know a length before the frame is whole. */
  add(chunk: Uint8Array): void {
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.byteLength
  }

  /** Length of the frame that comes next; null while it is not known. @throws ProtocolError as push() */
  nextFrameBytes(): number | null {
    const length = this.#nextLength()
    if (length !== null && (length < 0 || length > this.#frameBytesMax)) {
      throw new ProtocolError('frame', `frame of ${length} bytes, the bound is ${this.#frameBytesMax}`)
    }
    return length
  }

  /** The next frame; null while it is not whole. @throws ProtocolError as push() */
  take(): Uint8Array | null {
    const length = this.nextFrameBytes()
    if (length === null || this.#pendingBytes < LENGTH_BYTES + length) return null
    const bytes = this.#join()
    this.#pending = restOf(bytes, LENGTH_BYTES + length)
    this.#pendingBytes -= LENGTH_BYTES + length
    return bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length)
  }

  #nextLength(): number | null {
    if (this.#pendingBytes < LENGTH_BYTES) return null
    if (this.#pending[0]!.byteLength < LENGTH_BYTES) this.#pending = [this.#join()]
    const first = this.#pending[0]!
    return new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getInt32(0)
  }

  #join(): Uint8Array {
    return this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending)
  }
}

/** What follows the frame, without keeping the buffer of the frame alive for a few bytes. */
function restOf(bytes: Uint8Array, from: number): Uint8Array[] {
  const rest = bytes.subarray(from)
  if (rest.byteLength === 0) return []
  return [rest.byteLength < bytes.byteLength / 4 ? new Uint8Array(rest) : rest]
}

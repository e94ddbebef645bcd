// One API of the protocol: its number, its versions, and encoders and decoders for both sides. A client uses encodeRequest and
// decodeResponse, a server decodeRequest and encodeResponse.

import { assert } from '../../runtime/base/assert.ts'
import { type StructCodec, structCodec } from './codec.ts'
import { ProtocolError } from './protocol-error.ts'
import { WireReader } from './reader.ts'
import { type Field, parseSchema } from './schema.ts'
import { WireWriter } from './writer.ts'

/** A message on its way out: what is left out is written as its default. */
export type Draft<T> = T extends string | number | bigint | boolean | null | undefined | Uint8Array
  ? T
  : T extends readonly (infer Element)[]
    ? readonly Draft<Element>[]
    : { readonly [Name in keyof T]?: Draft<T[Name]> | undefined }

export interface Api<Request, Response> {
  readonly key: number
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  /** First version with compact types and tagged fields; infinity = none. */
  readonly flexibleFrom: number
  /** The field lists of both messages, parsed. */
  readonly fields: { readonly request: readonly Field[]; readonly response: readonly Field[] }
  supports(version: number): boolean
  isFlexible(version: number): boolean
  /** A whole frame, length in front. Byte fields above 2 KiB are chunks of their own and must not change until written. */
  encodeRequest(version: number, request: Draft<Request>, header: { correlationId: number; clientId: string | null }): Uint8Array[]
  /** `bytes` begins at the body: decodeRequestHeader tells where. Bytes behind the body are allowed. `elementsMax`: of all arrays. @throws ProtocolError */
  decodeRequest(version: number, bytes: Uint8Array, bodyAt?: number, elementsMax?: number): Request
  /** A whole frame, length in front. */
  encodeResponse(version: number, response: Draft<Response>, header: { correlationId: number }): Uint8Array[]
  /** `frame` without its length, correlation id first. @throws ProtocolError */
  decodeResponse(version: number, frame: Uint8Array): { correlationId: number; response: Response }
}

export interface ApiDefinition {
  readonly key: number
  readonly name: string
  readonly versions: readonly [min: number, max: number]
  readonly flexibleFrom: number
  /** Field lists in the notation of schema.ts. */
  readonly request: string
  readonly response: string
}

const API_VERSIONS_KEY = 18
const LENGTH_BYTES = 4

export function defineApi<Request, Response>(definition: ApiDefinition): Api<Request, Response> {
  const { key, name, flexibleFrom } = definition
  const [minVersion, maxVersion] = definition.versions
  const supports = (version: number): boolean => version >= minVersion && version <= maxVersion
  const isFlexible = (version: number): boolean => version >= flexibleFrom
  const lookUp = (fields: readonly Field[]): ((version: number) => StructCodec) => {
    const made = new Map<number, StructCodec>()
    return (version) => {
      if (!supports(version)) throw new ProtocolError('version', `${name} version ${version}, known are ${minVersion} to ${maxVersion}`)
      let codec = made.get(version)
      if (!codec) made.set(version, (codec = structCodec(fields, { version, isFlexible: isFlexible(version) })))
      return codec
    }
  }
  const fields = { request: parseSchema(definition.request), response: parseSchema(definition.response) }
  const requestCodec = lookUp(fields.request)
  const responseCodec = lookUp(fields.response)
  // ApiVersions answers always with header v0: the client does not know yet what the server understands.
  const hasResponseTags = (version: number): boolean => isFlexible(version) && key !== API_VERSIONS_KEY
  return {
    key,
    name,
    minVersion,
    maxVersion,
    flexibleFrom,
    fields,
    supports,
    isFlexible,
    encodeRequest(version, request, { correlationId, clientId }) {
      const writer = new WireWriter()
      writer.int16(key)
      writer.int16(version)
      writer.int32(correlationId)
      writer.string(clientId, false)
      if (isFlexible(version)) writer.uvarint(0)
      requestCodec(version).write(writer, request, name)
      return withLength(writer)
    },
    decodeRequest(version, bytes, bodyAt = 0, elementsMax) {
      return requestCodec(version).read(new WireReader(bytes, bodyAt, elementsMax)) as Request
    },
    encodeResponse(version, response, { correlationId }) {
      const writer = new WireWriter()
      writer.int32(correlationId)
      if (hasResponseTags(version)) writer.uvarint(0)
      responseCodec(version).write(writer, response, name)
      return withLength(writer)
    },
    decodeResponse(version, frame) {
      const reader = new WireReader(frame)
      const correlationId = reader.int32()
      if (hasResponseTags(version)) reader.taggedFields(() => undefined)
      return { correlationId, response: responseCodec(version).read(reader) as Response }
    }
  }
}

function withLength(writer: WireWriter): Uint8Array[] {
  const length = Buffer.allocUnsafe(LENGTH_BYTES)
  assert(writer.byteLength < 2 ** 31, `message of ${writer.byteLength} bytes`)
  length.writeInt32BE(writer.byteLength)
  return [length, ...writer.finish()]
}

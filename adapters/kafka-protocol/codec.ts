// Turns field descriptors into a reader and a writer for one version. A version's codec is made when it is first used and kept.
// Fields that a version does not have are read as their default and silently not written: callers use one shape for all versions.

import { assert } from '../../runtime/base/assert.ts'
import { ProtocolError } from './protocol-error.ts'
import type { WireReader } from './reader.ts'
import type { Field, FieldType, PrimitiveType } from './schema.ts'
import type { WireWriter } from './writer.ts'

interface ValueCodec {
  readonly bytesMin: number
  read(reader: WireReader, field: string): unknown
  write(writer: WireWriter, value: unknown, field: string): void
}

export interface StructCodec extends ValueCodec {
  read(reader: WireReader, field?: string): Record<string, unknown>
  /** The value of a struct that a version does not have. */
  defaults(): Record<string, unknown>
}

interface Format {
  readonly version: number
  readonly isFlexible: boolean
}

const ZERO_UUID = '0'.repeat(32)
const NO_BYTES = new Uint8Array(0)

const ZEROS: Readonly<Record<PrimitiveType, unknown>> = {
  bool: false,
  i8: 0,
  i16: 0,
  i32: 0,
  i64: 0,
  bound: 0,
  big: 0n,
  uuid: ZERO_UUID,
  str: '',
  text: '',
  bytes: NO_BYTES,
  records: NO_BYTES
}

const FIXED: Readonly<Record<Exclude<PrimitiveType, 'str' | 'text' | 'bytes' | 'records'>, ValueCodec>> = {
  bool: { bytesMin: 1, read: (reader) => reader.bool(), write: (writer, value) => writer.bool(value as boolean) },
  i8: { bytesMin: 1, read: (reader) => reader.int8(), write: (writer, value) => writer.int8(value as number) },
  i16: { bytesMin: 2, read: (reader) => reader.int16(), write: (writer, value) => writer.int16(value as number) },
  i32: { bytesMin: 4, read: (reader) => reader.int32(), write: (writer, value) => writer.int32(value as number) },
  i64: { bytesMin: 8, read: (reader) => reader.int64(), write: (writer, value) => writer.int64(value as number) },
  bound: { bytesMin: 8, read: (reader) => reader.boundedInt64(), write: (writer, value) => writer.int64(value as number) },
  big: { bytesMin: 8, read: (reader) => reader.bigint64(), write: (writer, value) => writer.bigint64(value as bigint) },
  uuid: { bytesMin: 16, read: (reader) => reader.uuid(), write: (writer, value) => writer.uuid(value as string) }
}

/** A text is for people, and may quote what they sent: it never keeps an answer from being written. */
const TEXT_CHARACTERS_MAX = 1_024

function clamped(text: string | null): string | null {
  return text === null || text.length <= TEXT_CHARACTERS_MAX ? text : `${text.slice(0, TEXT_CHARACTERS_MAX)}…`
}

function nullFault(field: string): ProtocolError {
  return new ProtocolError('value', `${field} is null, which it may not be`)
}

function primitiveCodec(primitive: PrimitiveType, isNullable: boolean, { isFlexible }: Format): ValueCodec {
  if (primitive === 'str' || primitive === 'text') {
    return {
      bytesMin: isFlexible ? 1 : 2,
      read(reader, field) {
        const value = reader.string(isFlexible)
        if (value === null && !isNullable) throw nullFault(field)
        return value
      },
      write: (writer, value) => writer.string(primitive === 'text' ? clamped(value as string | null) : (value as string | null), isFlexible)
    }
  }
  if (primitive === 'bytes' || primitive === 'records') {
    return {
      bytesMin: isFlexible ? 1 : 4,
      read(reader, field) {
        const value = reader.bytes(isFlexible)
        if (value === null && !isNullable) throw nullFault(field)
        return value
      },
      write: (writer, value) => writer.bytes(value as Uint8Array | null, isFlexible)
    }
  }
  return FIXED[primitive]
}

function arrayCodec(element: FieldType, isNullable: boolean, format: Format): ValueCodec {
  const codec = typeCodec(element, false, format)
  const elementBytesMin = Math.max(1, codec.bytesMin)
  return {
    bytesMin: format.isFlexible ? 1 : 4,
    read(reader, field) {
      const count = reader.count(format.isFlexible, elementBytesMin)
      if (count < 0) {
        if (!isNullable) throw nullFault(field)
        return null
      }
      const values: unknown[] = []
      for (let index = 0; index < count; index++) values.push(codec.read(reader, field))
      return values
    },
    write(writer, value, field) {
      const values = value as readonly unknown[] | null
      writer.count(values === null ? -1 : values.length, format.isFlexible)
      if (values !== null) for (const item of values) codec.write(writer, item, field)
    }
  }
}

function typeCodec(type: FieldType, isNullable: boolean, format: Format): ValueCodec {
  if (type.kind === 'primitive') return primitiveCodec(type.primitive, isNullable, format)
  if (type.kind === 'array') return arrayCodec(type.element, isNullable, format)
  const struct = structCodec(type.fields, format)
  return isNullable ? nullableStructCodec(struct) : struct
}

/** A byte in front says whether it is there. */
function nullableStructCodec(struct: StructCodec): ValueCodec {
  return {
    bytesMin: 1,
    read: (reader) => (reader.int8() < 0 ? null : struct.read(reader)),
    write(writer, value, field) {
      writer.int8(value === null ? -1 : 1)
      if (value !== null) struct.write(writer, value, field)
    }
  }
}

function isPresent(field: Field, version: number): boolean {
  return version >= field.minVersion && version <= field.maxVersion
}

/** A fresh value each time, so that nobody shares an array with somebody else's message. */
function defaultOf(field: Field, version: number): unknown {
  if (field.defaultValue !== undefined)
    return field.type.kind === 'primitive' && field.type.primitive === 'big' ? BigInt(field.defaultValue!) : field.defaultValue
  if (field.nullableFrom !== null && (version >= field.nullableFrom || !isPresent(field, version))) return null
  if (field.type.kind === 'array') return []
  if (field.type.kind === 'struct') return defaultsOf(field.type.fields, version)
  return ZEROS[field.type.primitive]
}

function defaultsOf(fields: readonly Field[], version: number): Record<string, unknown> {
  return Object.fromEntries(fields.map((field) => [field.name, defaultOf(field, version)]))
}

function isDefault(field: Field, value: unknown, version: number): boolean {
  if (value === undefined) return true
  if (field.type.kind === 'array') return field.nullableFrom === null && (value as unknown[]).length === 0
  if (field.type.kind === 'struct') {
    if (value === null) return field.nullableFrom !== null && version >= field.nullableFrom
    const struct = value as Record<string, unknown>
    return field.type.fields.every((inner) => isDefault(inner, struct[inner.name], version))
  }
  return value === defaultOf(field, version)
}

interface PlannedField {
  readonly field: Field
  readonly codec: ValueCodec
}

/** Codec of a struct in one version; the top level of a message is a struct too. */
export function structCodec(fields: readonly Field[], format: Format): StructCodec {
  const { version, isFlexible } = format
  const present = fields.filter((field) => isPresent(field, version))
  const plan = (field: Field): PlannedField => ({
    field,
    codec: typeCodec(field.type, field.nullableFrom !== null && version >= field.nullableFrom, format)
  })
  const plain = present.filter((field) => field.tag === null).map(plan)
  const tagged = present.filter((field) => field.tag !== null).map(plan)
  tagged.sort((a, b) => a.field.tag! - b.field.tag!)
  assert(isFlexible || tagged.length === 0, `tagged fields in version ${version}, which is not flexible`)
  const filled = fields.filter((field) => !plain.some((planned) => planned.field === field))
  const defaults = (): Record<string, unknown> => defaultsOf(fields, version)
  return {
    bytesMin: plain.reduce((sum, { codec }) => sum + codec.bytesMin, isFlexible ? 1 : 0),
    defaults,
    read(reader) {
      const value: Record<string, unknown> = {}
      for (const { field, codec } of plain) value[field.name] = codec.read(reader, field.name)
      for (const field of filled) value[field.name] = defaultOf(field, version)
      if (isFlexible) {
        reader.taggedFields((tag) => {
          const known = tagged.find(({ field }) => field.tag === tag)
          if (known) value[known.field.name] = known.codec.read(reader, known.field.name)
        })
      }
      return value
    },
    write(writer, given) {
      const value = given as Record<string, unknown>
      for (const { field, codec } of plain) writeField(writer, { field, codec }, value[field.name], version)
      if (isFlexible) writeTagged(writer, tagged, value, version)
    }
  }
}

function writeField(writer: WireWriter, { field, codec }: PlannedField, given: unknown, version: number): void {
  const value = given === undefined ? defaultOf(field, version) : given
  assert(
    value !== null || (field.nullableFrom !== null && version >= field.nullableFrom),
    `${field.name} may not be null in version ${version}`
  )
  codec.write(writer, value, field.name)
}

/** Tagged fields carry their size in front, so each is written aside first. */
function writeTagged(writer: WireWriter, tagged: readonly PlannedField[], value: Record<string, unknown>, version: number): void {
  const given = tagged.filter(({ field }) => !isDefault(field, value[field.name], version))
  writer.uvarint(given.length)
  for (const planned of given) {
    const aside = writer.aside()
    writeField(aside, planned, value[planned.field.name], version)
    writer.uvarint(planned.field.tag!)
    writer.uvarint(aside.byteLength)
    for (const chunk of aside.finish()) writer.raw(chunk)
  }
}

// Messages as data: Kafka's field lists in a compact notation, parsed once when a module is loaded.
//
//   name:type            type = bool i8 i16 i32 i64 bound big uuid str bytes records, []type, [fields] (array of structs), {fields} (struct)
//   name:type?           nullable        name:type?(2)   nullable from version 2 on
//   name:type=x          default (a number, null, true, minInt)
//   … v3+ | v0-7         versions that have the field; without it all have
//   … tag0               a tagged field: at the end of its struct, left out when it holds its default
//
// text is a str for people, cut when it is written. i64 is read as a number (offsets, timestamps), big as a bigint (producer ids). bound is an i64 that clients use to say "without end": above 2^53 it is
// read as 2^53 - 1.
// Source of the lists: Apache Kafka, clients/src/main/resources/common/message.

import { assert } from '../../runtime/base/assert.ts'

export type PrimitiveType = 'bool' | 'i8' | 'i16' | 'i32' | 'i64' | 'bound' | 'big' | 'uuid' | 'str' | 'text' | 'bytes' | 'records'

export type FieldType =
  | { readonly kind: 'primitive'; readonly primitive: PrimitiveType }
  | { readonly kind: 'array'; readonly element: FieldType }
  | { readonly kind: 'struct'; readonly fields: readonly Field[] }

export interface Field {
  readonly name: string
  readonly type: FieldType
  /** First version in which null may be written; null = never. */
  readonly nullableFrom: number | null
  readonly minVersion: number
  readonly maxVersion: number
  readonly tag: number | null
  /** Undefined = the zero of its type, null where null may be. */
  readonly defaultValue: number | boolean | null | undefined
}

const TOKEN = /\s*(\[\]|\?\(\d+\)|[[\]{},:?=]|[A-Za-z0-9+-]+)/y
const PRIMITIVES: ReadonlySet<string> = new Set<PrimitiveType>([
  'bool',
  'i8',
  'i16',
  'i32',
  'i64',
  'bound',
  'big',
  'uuid',
  'str',
  'text',
  'bytes',
  'records'
])
const VERSIONS = /^v(\d+)(?:\+|-(\d+))$/
const NAMED_DEFAULTS: Readonly<Record<string, number | boolean | null>> = {
  null: null,
  true: true,
  minInt: -(2 ** 31),
  maxInt: 2 ** 31 - 1
}

/** @throws AssertionError when the notation is wrong: a bug found when the module is loaded */
export function parseSchema(text: string): readonly Field[] {
  const tokens = tokenize(text)
  const fields = parseFields(tokens)
  assert(tokens.length === 0, `schema goes on after its end: ${tokens.join(' ')}`)
  return fields
}

function tokenize(text: string): string[] {
  const tokens: string[] = []
  const source = text.trim()
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < source.length) {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(source)
    assert(match, `schema not understood at: ${source.slice(at, at + 40)}`)
    tokens.push(match[1]!)
  }
  return tokens
}

function parseFields(tokens: string[]): Field[] {
  const fields: Field[] = []
  while (tokens.length > 0 && tokens[0] !== ']' && tokens[0] !== '}') {
    fields.push(parseField(tokens))
    if (tokens[0] === ',') tokens.shift()
  }
  return fields
}

function parseField(tokens: string[]): Field {
  const name = tokens.shift()!
  assert(tokens.shift() === ':', `schema: no ":" after ${name}`)
  const type = parseType(tokens)
  let nullableFrom: number | null = null
  let [minVersion, maxVersion]: [number, number] = [0, Number.POSITIVE_INFINITY]
  let tag: number | null = null
  let defaultValue: Field['defaultValue']
  for (let token = tokens[0]; token !== undefined && !',]}'.includes(token); token = tokens[0]) {
    tokens.shift()
    if (token.startsWith('?')) {
      nullableFrom = token === '?' ? 0 : Number(token.slice(2, -1))
    } else if (token === '=') {
      const word = tokens.shift()!
      defaultValue = word in NAMED_DEFAULTS ? NAMED_DEFAULTS[word]! : Number(word)
      assert(typeof defaultValue !== 'number' || Number.isInteger(defaultValue), `schema: default ${word} of ${name}`)
    } else if (token.startsWith('tag')) {
      tag = Number(token.slice(3))
    } else {
      const versions = VERSIONS.exec(token)
      assert(versions, `schema: ${token} after ${name}`)
      minVersion = Number(versions[1])
      maxVersion = versions[2] === undefined ? Number.POSITIVE_INFINITY : Number(versions[2])
    }
  }
  return { name, type, nullableFrom, minVersion, maxVersion, tag, defaultValue }
}

function parseType(tokens: string[]): FieldType {
  const token = tokens.shift()
  if (token === '[]') return { kind: 'array', element: parseType(tokens) }
  if (token === '[' || token === '{') {
    const fields = parseFields(tokens)
    assert(tokens.shift() === (token === '[' ? ']' : '}'), 'schema: a struct is not closed')
    const struct = { kind: 'struct', fields } as const
    return token === '[' ? { kind: 'array', element: struct } : struct
  }
  assert(token !== undefined && PRIMITIVES.has(token), `schema: ${token} is not a type`)
  return { kind: 'primitive', primitive: token as PrimitiveType }
}

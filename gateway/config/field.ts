// The words a configuration schema is made of. A field knows its kind, default and documentation, and reads itself from a YAML node;
// what it cannot read it reports and replaces by something harmless, so that one pass finds every problem.
// Not for: which keys exist (schema.ts), rules between keys (rules.ts).

import { isMap, isScalar, isSeq, type Node, type Pair, Scalar, type YAMLMap } from 'yaml'
import { ADDRESS_PATTERN, type Address, parseAddress } from './address.ts'
import { emptyValueWords, notASectionWords, notOneValueWords } from './file-words.ts'
import { type JsonSchema, listSchema, namesSchema, scalarSchema, sectionSchema } from './json-schema.ts'
import { nearestWord } from './suggest.ts'
import { BYTES_PATTERN, DURATION_PATTERN, type Parsed, parseBytes, parseDuration, writtenBytes, writtenDuration } from './units.ts'

/** What a field needs of the file around it. */
export interface ReadContext {
  problem(node: Node | null, path: string, message: string): void
  /** What is allowed, and perhaps not meant. */
  doubt(node: Node, path: string, message: string): void
  /** Remembers where `path` stands, for rules that are checked later. */
  seen(path: string, node: Node): void
  /** `${NAME}`, `${NAME:-default}` and `${NAME:?why}` replaced. null after a problem was reported. */
  expand(node: Node, path: string, text: string): string | null
  /** What an alias stands for, any other node itself. null after a problem was reported. */
  resolve(node: Node, path: string): Node | null
  /** The file as it was read, for what YAML does not keep. */
  readonly source: string
}

export interface Field<T> {
  /** One word for the reader of the documentation: size, duration, text … and the bounds. */
  readonly kind: string
  /** What stands in the file, for editors. */
  readonly json: JsonSchema
  readonly doc: string
  /** As it would stand in the file; null when there is none (the key is required, or absent means absent). */
  readonly defaultText: string | null
  readonly isRequired: boolean
  /** `node` undefined = the key is absent. */
  read(node: Node | undefined, path: string, context: ReadContext): T
}

export type ValueOf<F> = F extends Field<infer T> ? T : never
export type Fields = Readonly<Record<string, Field<unknown>>>
export type SectionValue<S extends Fields> = { readonly [K in keyof S]: ValueOf<S[K]> }

interface ScalarOptions<T> {
  kind: string
  json: JsonSchema
  doc: string
  /** Text form of the default; absent = `absent` is the value of a missing key, or the key is required. */
  defaultText?: string
  absent?: { value: T }
  /** Stands in for a required value that cannot be read, so that the rest can still be checked. */
  harmless?: T
  parse: (text: string) => Parsed<T>
  /** Of a plain value with a comment right behind it. */
  commentDoubt?: (text: string, comment: string) => string | null
}

/** The scalar's own characters: 007 stays 007, yes stays yes. null when the node is not a scalar or is empty. */
function scalarText(node: Node, path: string, context: ReadContext): string | null {
  const target = context.resolve(node, path)
  if (!target) return null
  if (!isScalar(target)) {
    context.problem(node, path, notOneValueWords(target, context.source))
    return null
  }
  const { source, value, type } = target as Scalar
  const text = type === 'PLAIN' && source !== undefined ? source : value === null || value === undefined ? '' : String(value)
  if (text === '' || (value === null && type === 'PLAIN')) {
    context.problem(node, path, emptyValueWords(target, context.source))
    return null
  }
  return context.expand(node, path, text)
}

/** What begins with # in the line of a plain value, behind it; null = nothing does. */
function commentBehind(node: Node, source: string): string | null {
  const end = isScalar(node) && node.type === 'PLAIN' ? node.range?.[1] : undefined
  return end === undefined ? null : (/^[^\S\n]+(#[^\n]*)/.exec(source.slice(end))?.[1]?.trimEnd() ?? null)
}

/** A field of one value. */
export function scalar<T>(options: ScalarOptions<T>): Field<T> {
  const { kind, doc, defaultText, absent, parse } = options
  const fallback = (): T => {
    if (absent) return absent.value
    const parsed = defaultText === undefined ? { why: '' } : parse(defaultText)
    return 'value' in parsed ? parsed.value : (options.harmless as T) // only after a problem: the configuration is refused anyway
  }
  const isRequired = defaultText === undefined && absent === undefined
  return {
    kind,
    doc,
    defaultText: defaultText ?? null,
    isRequired,
    json: scalarSchema(options),
    read(node, path, context) {
      if (!node) {
        if (isRequired) context.problem(null, path, `is missing: ${doc}`)
        return fallback()
      }
      context.seen(path, node)
      const text = scalarText(node, path, context)
      if (text === null) return fallback()
      const parsed = parse(text)
      if (!('value' in parsed)) {
        context.problem(node, path, parsed.why)
        return fallback()
      }
      if (parsed.doubt !== undefined) context.doubt(node, path, parsed.doubt)
      const comment = options.commentDoubt && commentBehind(node, context.source)
      const cut = comment ? options.commentDoubt?.(text, comment) : null
      if (cut) context.doubt(node, path, cut)
      return parsed.value
    }
  }
}

interface Described {
  doc: string
}

interface Limits {
  min?: number
  max?: number
}

/** "count" and the bounds: "count 2 to 16". */
function bounded(kind: string, { min, max }: Limits, show: (value: number) => string): string {
  if (min === undefined) return max === undefined ? kind : `${kind} up to ${show(max)}`
  return max === undefined ? `${kind} from ${show(min)}` : `${kind} ${show(min)} to ${show(max)}`
}

const within = (parsed: Parsed<number>, limits: Limits, show: (value: number) => string): Parsed<number> => {
  if (!('value' in parsed)) return parsed
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = limits
  if (parsed.value < min) return { why: `is ${show(parsed.value)}, at least ${show(min)} is needed` }
  if (parsed.value > max) return { why: `is ${show(parsed.value)}, at most ${show(max)} is possible` }
  return parsed
}

export function text(options: Described & { default?: string; pattern?: RegExp; patternWords?: string }): Field<string> {
  return scalar({
    kind: 'text',
    json: textSchema(options),
    doc: options.doc,
    harmless: '',
    ...(options.default === undefined ? {} : { defaultText: options.default }),
    parse: (value) => checked(options, value)
  })
}

/** YAML reads 007 as a number and yes as a word: both are text here. */
const textSchema = ({ pattern }: { pattern?: RegExp }): JsonSchema => ({
  type: ['string', 'number', 'boolean'],
  ...(pattern && { pattern: pattern.source })
})

/** An MQTT filter. */
export function filterText(options: Described): Field<string> {
  return scalar({
    kind: 'text',
    json: textSchema({}),
    doc: options.doc,
    harmless: '',
    parse: (value) => ({ value }),
    commentDoubt: (value, comment) =>
      value.endsWith('/')
        ? `is read as "${value}": a # behind a space begins a comment; for all of it write "${value}${comment.split(' ')[0]}"`
        : null
  })
}

export function optionalText(options: Described & { pattern?: RegExp; patternWords?: string }): Field<string | null> {
  return scalar<string | null>({
    kind: 'text',
    json: textSchema(options),
    doc: options.doc,
    absent: { value: null },
    parse: (value) => checked(options, value)
  })
}

function checked(options: { pattern?: RegExp; patternWords?: string }, value: string): Parsed<string> {
  if (!options.pattern || options.pattern.test(value)) return { value }
  return { why: `is "${value}", expected ${options.patternWords ?? String(options.pattern)}` }
}

/** A bare number is refused, but for 0. */
const quantitySchema = (pattern: string): JsonSchema => ({ type: ['string', 'integer'], pattern, minimum: 0, maximum: 0 })

export function bytes(options: Described & { default: string; min?: number; max?: number }): Field<number> {
  return scalar({
    kind: bounded('size', options, writtenBytes),
    json: quantitySchema(BYTES_PATTERN),
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => within(parseBytes(value), options, writtenBytes)
  })
}

/** null = the word `unlimited`. */
export function bytesOrUnlimited(options: Described & { default: string; min?: number }): Field<number | null> {
  return scalar<number | null>({
    kind: `${bounded('size', options, writtenBytes)} or unlimited`,
    json: { anyOf: [quantitySchema(BYTES_PATTERN), { const: 'unlimited' }] },
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => (value === 'unlimited' ? { value: null } : within(parseBytes(value), options, writtenBytes))
  })
}

export function duration(options: Described & { default: string; min?: number; max?: number }): Field<number> {
  return scalar({
    kind: bounded('duration', options, writtenDuration),
    json: quantitySchema(DURATION_PATTERN),
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => within(parseDuration(value), options, writtenDuration)
  })
}

/** null = the word `forever`. */
export function durationOrForever(options: Described & { default: string; min?: number }): Field<number | null> {
  return scalar<number | null>({
    kind: `${bounded('duration', options, writtenDuration)} or forever`,
    json: { anyOf: [quantitySchema(DURATION_PATTERN), { const: 'forever' }] },
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => (value === 'forever' ? { value: null } : within(parseDuration(value), options, writtenDuration))
  })
}

const WHOLE = /^-?\d+$/

function parseCount(value: string, limits: { min?: number; max?: number }): Parsed<number> {
  if (!WHOLE.test(value)) return { why: `is "${value}", expected a whole number` }
  const parsed = within({ value: Number(value) }, limits, String)
  const isOctalLooking = 'value' in parsed && /^0\d/.test(value)
  return isOctalLooking ? { ...parsed, doubt: `is read as ${parsed.value}: a 0 in front does not make it octal` } : parsed
}

const countSchema = ({ min = 0, max }: Limits): JsonSchema => ({
  type: 'integer',
  minimum: min,
  ...(max !== undefined && { maximum: max })
})

export function count(options: Described & { default: string; min?: number; max?: number }): Field<number> {
  return scalar({
    kind: bounded('count', options, String),
    json: countSchema(options),
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => parseCount(value, options)
  })
}

/** A setting under Kafka's own name and in Kafka's own unit: a bare number, −1 for "no limit". undefined when absent. */
export function kafkaNumber(options: Described): Field<number | undefined> {
  return scalar<number | undefined>({
    kind: 'number, as in Kafka',
    json: countSchema({ min: -1 }),
    doc: options.doc,
    absent: { value: undefined },
    parse: (value) => parseCount(value, { min: -1 })
  })
}

export function flag(options: Described & { default: 'true' | 'false' }): Field<boolean> {
  return scalar({
    kind: 'true or false',
    json: { type: 'boolean' },
    doc: options.doc,
    defaultText: options.default,
    parse: (value) =>
      value === 'true' || value === 'false' ? { value: value === 'true' } : { why: `is "${value}", expected true or false` }
  })
}

function parseChoice<W extends string>(words: readonly W[], value: string): Parsed<W> {
  const word = words.find((known) => known === value)
  if (word !== undefined) return { value: word }
  const near = nearestWord(value, words)
  return { why: `is "${value}", expected ${listWords(words)}${near ? ` (did you mean "${near}"?)` : ''}` }
}

export function choice<const W extends string>(words: readonly W[], options: Described & { default: W }): Field<W> {
  return scalar<W>({
    kind: words.join(' | '),
    json: { enum: words },
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => parseChoice(words, value)
  })
}

export function optionalChoice<const W extends string>(words: readonly W[], options: Described): Field<W | undefined> {
  return scalar<W | undefined>({
    kind: words.join(' | '),
    json: { enum: words },
    doc: options.doc,
    absent: { value: undefined },
    parse: (value) => parseChoice(words, value)
  })
}

/** `example` stands in messages: it shows which port is meant. */
export function address(options: Described & { example: string }): Field<Address> {
  return scalar({
    kind: 'host:port',
    json: addressSchema,
    doc: options.doc,
    harmless: { host: '127.0.0.1', port: 0 },
    parse: (value) => parseAddress(value, options.example)
  })
}

const addressSchema: JsonSchema = { type: 'string', pattern: ADDRESS_PATTERN }

/** null when absent. */
export function optionalAddress(options: Described & { example: string }): Field<Address | null> {
  return scalar<Address | null>({
    kind: 'host:port',
    json: addressSchema,
    doc: options.doc,
    absent: { value: null },
    parse: (value) => parseAddress(value, options.example)
  })
}

interface SectionOptions extends Described {
  /** Keys that are planned, and refused as such. */
  later?: readonly string[]
}

/** A section with fixed keys; an unknown key is a problem. */
export function section<S extends Fields>(fields: S, options: SectionOptions): Field<SectionValue<S>> & { readonly fields: S } {
  return {
    kind: 'section',
    doc: options.doc,
    defaultText: null,
    isRequired: false,
    json: sectionSchema(fields, options.doc),
    fields,
    read: (node, path, context) => readSection(fields, options.later ?? [], node, path, context) as SectionValue<S>
  }
}

/** The same, but null when the key is absent. */
export function optionalSection<S extends Fields>(
  fields: S,
  options: SectionOptions
): Field<SectionValue<S> | null> & { readonly fields: S } {
  const inner = section(fields, options)
  return { ...inner, read: (node, path, context) => (node ? inner.read(node, path, context) : null) }
}

function readSection(
  fields: Fields,
  later: readonly string[],
  node: Node | undefined,
  path: string,
  context: ReadContext
): Record<string, unknown> {
  const children = new Map<string, Node>()
  if (node) {
    context.seen(path, node)
    for (const [name, child, key] of entriesOf(node, path, context)) {
      if (fields[name]) children.set(name, child)
      else context.problem(key, join(path, name), unknownKeyWords(name, Object.keys(fields), later))
    }
  }
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, field.read(children.get(name), join(path, name), context)])
  )
}

function unknownKeyWords(name: string, known: readonly string[], later: readonly string[]): string {
  if (later.includes(name)) return 'is not in this version of Wadi'
  if (name === '<<') return 'is a merge, which is not taken here: write the keys out, or give the whole section by its alias'
  const near = nearestWord(name, [...known, ...later])
  return `is not a known key (${near ? `did you mean "${near}"?` : `known here: ${known.join(', ')}`})`
}

/** A section whose keys are names that the user chooses. */
export function mapOf<T>(
  field: Field<T>,
  options: Described & { pattern: RegExp; patternWords: string }
): Field<ReadonlyMap<string, T>> & { readonly of: Field<T> } {
  return {
    kind: 'names',
    doc: options.doc,
    defaultText: null,
    isRequired: false,
    json: namesSchema(field.json, options),
    of: field,
    read(node, path, context) {
      const result = new Map<string, T>()
      if (!node) return result
      context.seen(path, node)
      for (const [name, child, key] of entriesOf(node, path, context)) {
        if (!options.pattern.test(name)) context.problem(key, join(path, name), `is not a usable name: ${options.patternWords}`)
        result.set(name, field.read(child, join(path, name), context))
      }
      return result
    }
  }
}

export function listOf<T>(
  field: Field<T>,
  options: Described & { isRequired?: boolean; takesCommas?: boolean }
): Field<readonly T[]> & { readonly of: Field<T> } {
  return {
    kind: 'list',
    doc: options.doc,
    defaultText: null,
    isRequired: options.isRequired ?? false,
    json: listSchema(field.json, options),
    of: field,
    read(node, path, context) {
      if (!node) {
        if (options.isRequired) context.problem(null, path, `is missing: ${options.doc}`)
        return []
      }
      context.seen(path, node)
      const target = context.resolve(node, path)
      if (!target) return []
      const items = isSeq(target) ? target.items : options.takesCommas && isScalar(target) ? commaItems(node, path, context) : null
      if (items) return items.map((item, index) => field.read(item as Node, `${path}[${index}]`, context))
      context.problem(node, path, 'is not a list: begin each entry with "- "')
      return []
    }
  }
}

/** "k1:9092,k2:9092", as Kafka's own settings have it; also from a variable. */
function commaItems(node: Node, path: string, context: ReadContext): Scalar[] {
  const parts = scalarText(node, path, context)?.split(',') ?? []
  return parts.map((part) => Object.assign(new Scalar(part.trim()), { range: node.range ?? null }))
}

function* entriesOf(node: Node, path: string, context: ReadContext): Generator<[name: string, value: Node, key: Node]> {
  const target = context.resolve(node, path)
  if (!target || (isScalar(target) && target.value === null)) return // "topics:" with nothing below it
  if (!isMap(target)) {
    context.problem(node, path, notASectionWords(target))
    return
  }
  for (const pair of (target as YAMLMap).items as Pair<Node, Node>[]) {
    const { key, value } = pair
    const name = isScalar(key) ? (typeof key.value === 'string' ? key.value : ((key as Scalar).source ?? String(key.value))) : String(key)
    if (value === null || value === undefined) context.problem(key, join(path, name), 'is empty: give a value or remove the key')
    else yield [name, value, key]
  }
}

export function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function listWords(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

// The words a configuration schema is made of. A field knows its kind, default and documentation, and reads itself from a YAML node;
// what it cannot read it reports and replaces by something harmless, so that one pass finds every problem.
// Not for: which keys exist (schema.ts), rules between keys (rules.ts).

import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type Scalar, type YAMLMap } from 'yaml'
import { type Address, parseAddress } from './address.ts'
import { nearestWord } from './suggest.ts'
import { type Parsed, parseBytes, parseDuration } from './units.ts'

/** What a field needs of the file around it. */
export interface ReadContext {
  problem(node: Node | null, path: string, message: string): void
  /** Remembers where `path` stands, for rules that are checked later. */
  seen(path: string, node: Node): void
  /** `${NAME}`, `${NAME:-default}` and `${NAME:?why}` replaced. null after a problem was reported. */
  expand(node: Node, path: string, text: string): string | null
  resolveAlias(node: Node): Node | null
}

export interface Field<T> {
  /** One word for the reader of the documentation: size, duration, text … */
  readonly kind: string
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
  doc: string
  /** Text form of the default; absent = `absent` is the value of a missing key, or the key is required. */
  defaultText?: string
  absent?: { value: T }
  /** Stands in for a required value that cannot be read, so that the rest can still be checked. */
  harmless?: T
  parse: (text: string) => Parsed<T>
}

/** The scalar's own characters: 007 stays 007, yes stays yes. null when the node is not a scalar or is empty. */
function scalarText(node: Node, path: string, context: ReadContext): string | null {
  const target = isAlias(node) ? context.resolveAlias(node) : node
  if (!target || !isScalar(target)) {
    context.problem(node, path, `is a ${isMap(target) ? 'section' : 'list'}, expected one value`)
    return null
  }
  const { source, value, type } = target as Scalar
  const text = type === 'PLAIN' && source !== undefined ? source : value === null || value === undefined ? '' : String(value)
  if (text === '' || (value === null && type === 'PLAIN')) {
    context.problem(node, path, 'is empty: give a value or remove the key')
    return null
  }
  return context.expand(node, path, text)
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
    read(node, path, context) {
      if (!node) {
        if (isRequired) context.problem(null, path, `is missing: ${doc}`)
        return fallback()
      }
      context.seen(path, node)
      const text = scalarText(node, path, context)
      if (text === null) return fallback()
      const parsed = parse(text)
      if ('value' in parsed) return parsed.value
      context.problem(node, path, parsed.why)
      return fallback()
    }
  }
}

interface Described {
  doc: string
}

const within = (parsed: Parsed<number>, limits: { min?: number; max?: number }, show: (value: number) => string): Parsed<number> => {
  if (!('value' in parsed)) return parsed
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = limits
  if (parsed.value < min) return { why: `is ${show(parsed.value)}, at least ${show(min)} is needed` }
  if (parsed.value > max) return { why: `is ${show(parsed.value)}, at most ${show(max)} is possible` }
  return parsed
}

export function text(options: Described & { default?: string; pattern?: RegExp; patternWords?: string }): Field<string> {
  const { pattern, patternWords } = options
  return scalar({
    kind: 'text',
    doc: options.doc,
    harmless: '',
    ...(options.default === undefined ? {} : { defaultText: options.default }),
    parse: (value) => (pattern && !pattern.test(value) ? { why: `is "${value}", expected ${patternWords ?? String(pattern)}` } : { value })
  })
}

export function optionalText(options: Described & { pattern?: RegExp; patternWords?: string }): Field<string | null> {
  return scalar<string | null>({ kind: 'text', doc: options.doc, absent: { value: null }, parse: (value) => checked(options, value) })
}

function checked(options: { pattern?: RegExp; patternWords?: string }, value: string): Parsed<string> {
  if (!options.pattern || options.pattern.test(value)) return { value }
  return { why: `is "${value}", expected ${options.patternWords ?? String(options.pattern)}` }
}

const asBytes = (bytes: number): string => `${bytes} bytes`
const asMs = (value: number): string => `${value} ms`

export function bytes(options: Described & { default: string; min?: number; max?: number }): Field<number> {
  return scalar({
    kind: 'size',
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => within(parseBytes(value), options, asBytes)
  })
}

/** null = the word `unlimited`. */
export function bytesOrUnlimited(options: Described & { default: string; min?: number }): Field<number | null> {
  return scalar<number | null>({
    kind: 'size or unlimited',
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => (value === 'unlimited' ? { value: null } : within(parseBytes(value), options, asBytes))
  })
}

export function duration(options: Described & { default: string; min?: number; max?: number }): Field<number> {
  return scalar({
    kind: 'duration',
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => within(parseDuration(value), options, asMs)
  })
}

/** null = the word `forever`. */
export function durationOrForever(options: Described & { default: string; min?: number }): Field<number | null> {
  return scalar<number | null>({
    kind: 'duration or forever',
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => (value === 'forever' ? { value: null } : within(parseDuration(value), options, asMs))
  })
}

const WHOLE = /^-?\d+$/

function parseCount(value: string, limits: { min?: number; max?: number }): Parsed<number> {
  if (!WHOLE.test(value)) return { why: `is "${value}", expected a whole number` }
  return within({ value: Number(value) }, limits, String)
}

export function count(options: Described & { default: string; min?: number; max?: number }): Field<number> {
  return scalar({ kind: 'count', doc: options.doc, defaultText: options.default, parse: (value) => parseCount(value, options) })
}

/** A setting under Kafka's own name and in Kafka's own unit: a bare number, −1 for "no limit". undefined when absent. */
export function kafkaNumber(options: Described): Field<number | undefined> {
  return scalar<number | undefined>({
    kind: 'number, as in Kafka',
    doc: options.doc,
    absent: { value: undefined },
    parse: (value) => parseCount(value, { min: -1 })
  })
}

export function flag(options: Described & { default: 'true' | 'false' }): Field<boolean> {
  return scalar({
    kind: 'true or false',
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
    doc: options.doc,
    defaultText: options.default,
    parse: (value) => parseChoice(words, value)
  })
}

export function optionalChoice<const W extends string>(words: readonly W[], options: Described): Field<W | undefined> {
  return scalar<W | undefined>({
    kind: words.join(' | '),
    doc: options.doc,
    absent: { value: undefined },
    parse: (value) => parseChoice(words, value)
  })
}

export function address(options: Described): Field<Address> {
  return scalar({ kind: 'host:port', doc: options.doc, harmless: { host: '127.0.0.1', port: 0 }, parse: parseAddress })
}

/** null when absent. */
export function optionalAddress(options: Described): Field<Address | null> {
  return scalar<Address | null>({ kind: 'host:port', doc: options.doc, absent: { value: null }, parse: parseAddress })
}

/** A section with fixed keys; an unknown key is a problem. */
export function section<S extends Fields>(fields: S, options: Described): Field<SectionValue<S>> & { readonly fields: S } {
  return {
    kind: 'section',
    doc: options.doc,
    defaultText: null,
    isRequired: false,
    fields,
    read: (node, path, context) => readSection(fields, node, path, context) as SectionValue<S>
  }
}

/** The same, but null when the key is absent. */
export function optionalSection<S extends Fields>(fields: S, options: Described): Field<SectionValue<S> | null> & { readonly fields: S } {
  const inner = section(fields, options)
  return { ...inner, read: (node, path, context) => (node ? inner.read(node, path, context) : null) }
}

function readSection(fields: Fields, node: Node | undefined, path: string, context: ReadContext): Record<string, unknown> {
  const children = new Map<string, Node>()
  if (node) {
    context.seen(path, node)
    for (const [name, child, key] of entriesOf(node, path, context)) {
      if (fields[name]) children.set(name, child)
      else {
        const near = nearestWord(name, Object.keys(fields))
        const hint = near ? `did you mean "${near}"?` : `known here: ${Object.keys(fields).join(', ')}`
        context.problem(key, join(path, name), `is not a known key (${hint})`)
      }
    }
  }
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, field.read(children.get(name), join(path, name), context)])
  )
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

export function listOf<T>(field: Field<T>, options: Described & { isRequired?: boolean }): Field<readonly T[]> & { readonly of: Field<T> } {
  return {
    kind: 'list',
    doc: options.doc,
    defaultText: null,
    isRequired: options.isRequired ?? false,
    of: field,
    read(node, path, context) {
      if (!node) {
        if (options.isRequired) context.problem(null, path, `is missing: ${options.doc}`)
        return []
      }
      context.seen(path, node)
      const target = isAlias(node) ? context.resolveAlias(node) : node
      if (!isSeq(target)) {
        context.problem(node, path, 'is not a list: begin each entry with "- "')
        return []
      }
      return target.items.map((item, index) => field.read(item as Node, `${path}[${index}]`, context))
    }
  }
}

function* entriesOf(node: Node, path: string, context: ReadContext): Generator<[name: string, value: Node, key: Node]> {
  const target = isAlias(node) ? context.resolveAlias(node) : node
  if (isScalar(target) && target.value === null) return // "topics:" with nothing below it
  if (!isMap(target)) {
    context.problem(node, path, 'is not a section: expected "key: value" lines below it')
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

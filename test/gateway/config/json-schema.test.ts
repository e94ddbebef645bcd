// The table of wadi.yaml as editors and readers get it: JSON Schema, and the page of the documentation.
// The checker here knows the keywords that the schema uses, and fails on any other.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { referenceLines } from '../../../bin/commands/config-reference.ts'
import { fileSchema, type JsonSchema } from '../../../gateway/config/json-schema.ts'
import { readConfig } from '../../../gateway/config/load.ts'
import { configSchema } from '../../../gateway/config/schema.ts'

const schema = fileSchema(configSchema.json)

const typeOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)
const TEXT_ONLY = new Set(['$schema', 'title', 'description', 'default'])

type Keyword = (limit: never, value: unknown, schema: JsonSchema, path: string) => string[]

const KEYWORDS: Readonly<Record<string, Keyword>> = {
  type(limit: string | string[], value, _, path) {
    const isWhole = Number.isInteger(value)
    return [limit].flat().some((type) => type === typeOf(value) || (type === 'integer' && isWhole)) ? [] : [`${path} is no ${limit}`]
  },
  anyOf: (limit: JsonSchema[], value, _, path) =>
    limit.some((one) => faults(one, value, path).length === 0) ? [] : [`${path} is none of them`],
  enum: (limit: unknown[], value, _, path) => (limit.includes(value) ? [] : [`${path} is none of ${limit}`]),
  const: (limit, value, _, path) => (limit === value ? [] : [`${path} is not ${limit}`]),
  pattern: (limit: string, value, _, path) =>
    typeof value !== 'string' || new RegExp(limit, 'u').test(value) ? [] : [`${path} is not like ${limit}`],
  minimum: (limit, value, _, path) => (typeof value !== 'number' || value >= limit ? [] : [`${path} is below ${limit}`]),
  maximum: (limit, value, _, path) => (typeof value !== 'number' || value <= limit ? [] : [`${path} is above ${limit}`]),
  items: (limit: JsonSchema, value, _, path) =>
    Array.isArray(value) ? value.flatMap((one, index) => faults(limit, one, `${path}[${index}]`)) : [],
  required: (limit: string[], value, _, path) =>
    isObject(value) ? limit.filter((name) => !(name in value)).map((name) => `${path}.${name} is missing`) : [],
  properties: (limit: Record<string, JsonSchema>, value, _, path) =>
    isObject(value) ? Object.entries(value).flatMap(([name, one]) => (limit[name] ? faults(limit[name], one, `${path}.${name}`) : [])) : [],
  propertyNames: (limit: JsonSchema, value, _, path) =>
    isObject(value) ? Object.keys(value).flatMap((name) => faults(limit, name, `${path}.${name}`)) : [],
  additionalProperties(limit: false | JsonSchema, value, { properties = {} }, path) {
    if (!isObject(value)) return []
    const others = Object.entries(value).filter(([name]) => !(name in (properties as object)))
    return others.flatMap(([name, one]) => (limit === false ? [`${path}.${name} is not known`] : faults(limit, one, `${path}.${name}`)))
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeOf(value) === 'object'

function faults(one: JsonSchema, value: unknown, path: string): string[] {
  return Object.entries(one).flatMap(([keyword, limit]) => {
    if (TEXT_ONLY.has(keyword)) return []
    const check = KEYWORDS[keyword]
    if (!check) throw new Error(`the schema uses ${keyword}, which this test does not know`)
    return check(limit as never, value, one, path)
  })
}

const isValid = (source: string): boolean => faults(schema, parse(source), '').length === 0
const isRight = (source: string): boolean =>
  readConfig(source, { fileName: 'f', environment: { A: '1' }, codecs: ['gzip', 'zstd'] }).problems.length === 0

const RIGHT = [
  readFileSync('docs/wadi.yaml', 'utf8'),
  'mqtt: [{ listen: "127.0.0.1:1883" }]\nroutes: [{ filter: "#", topic: a, key: none }]\n',
  'kafka: { listen: "[::1]:9092", tls: { cert: a, key: b, min_version: 1.3, sni: [{ host: c, cert: c, key: c }] } }\n',
  'gateway: { id: 007, data: NO }\nkafka: { listen: "[::1]:9092" }\n',
  `gateway: { id: a }\nkafka: { listen: "127.0.0.1:9092" }\nupstream: { brokers: "k1:9092,k2:9092", linger: 0, transaction_bytes: "\${A}MiB" }\n`,
  'kafka: { listen: "127.0.0.1:9092", create_topics: true }\ntopics: { a: { retention: forever, quota: unlimited, config: { retention.bytes: -1 } } }\nstorage:\n'
]

/** What nobody needs to know Wadi to see. */
const WRONG = [
  'gatewy: {}\n',
  'mqtt: { listen: a }\n',
  'mqtt: [{}]\n',
  'mqtt: [{ listen: "1883" }]\n',
  'storage: { quota: 8 }\n',
  'storage: { quota: 8Gib }\n',
  'storage: { journal: { files: 1 } }\n',
  'storage: { journal: { files: 17 } }\n',
  'storage: { on_failure: stay }\n',
  'topics: { "a b": {} }\n',
  'topics: { a: { drop_undelivered: maybe } }\n',
  'routes: [{ topic: a, key: none }]\n',
  'gateway: { data: ~/wadi }\n',
  'upstream: { topics: {} }\n',
  'routes: [{ filter: "#", topic: a }]\n',
  'upstream: { brokers: [k1:9092], tls: {} }\n'
]

t.test('what config check takes is valid for an editor, and plain slips are not', async (t) => {
  for (const source of RIGHT) {
    t.ok(isRight(source), source)
    t.same(faults(schema, parse(source), ''), [], source)
  }
  for (const source of WRONG) {
    t.notOk(isRight(source), source)
    t.notOk(isValid(source), source)
  }
})

t.test('every key of the table is in the schema with its documentation, and every default is valid', async (t) => {
  const { fields } = configSchema
  const walk = (one: { fields?: unknown; of?: unknown; json: JsonSchema; defaultText: string | null; doc: string }, path: string): void => {
    t.match(one.json.description, one.doc, path)
    if (one.defaultText !== null) t.same(faults(one.json, parse(one.defaultText), path), [], `${path}: ${one.defaultText}`)
    for (const [name, child] of Object.entries((one.fields ?? {}) as Record<string, typeof one>)) {
      t.equal((one.json.properties as Record<string, unknown>)[name], child.json, `${path}.${name}`)
      walk(child, `${path}.${name}`)
    }
    if (one.of) walk(one.of as typeof one, `${path}[]`)
  }
  for (const [name, field] of Object.entries(fields)) walk(field, name)
})

t.test('docs/configuration.md has every key with its bounds and default, as "wadi config reference" prints them', async (t) => {
  const printed = [...referenceLines(configSchema, '')]
  const [, block = ''] = /```text\n([\s\S]*?)```/.exec(readFileSync('docs/configuration.md', 'utf8')) ?? []
  t.same(block.trimEnd().split('\n'), printed, 'npm run build && node dist/wadi.mjs config reference prints what belongs there')
  t.match(printed.join('\n'), /storage\.journal\.files +count 2 to 16 +default 2 /)
  for (const key of ['filter', 'topic', 'key']) t.match(printed.join('\n'), new RegExp(`routes\\[\\]\\.${key} +[\\w ]+? {2,}required `))
  t.match(printed.join('\n'), /storage\.linger +duration up to 1s +default 2ms /)
})

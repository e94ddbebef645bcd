// The table of wadi.yaml as JSON Schema (2020-12), for editors: completion, hover, red lines while typing.
// Invariant: what `wadi config check` takes is valid here. Not the other way round: rules between keys and sizes in units are only checked there.
// Not for: messages (field.ts).

/** A piece of JSON Schema. */
export type JsonSchema = Readonly<Record<string, unknown>>

interface Documented {
  readonly doc: string
}

/** ${NAME} may stand for any value, or for a part of it. */
const VARIABLE: JsonSchema = { type: 'string', pattern: '\\$\\{' }

export function scalarSchema({
  json,
  kind,
  doc,
  defaultText
}: Documented & { json: JsonSchema; kind: string; defaultText?: string }): JsonSchema {
  return {
    description: `${doc} (${kind})`,
    ...(defaultText !== undefined && { default: plainValue(defaultText) }),
    anyOf: [json, VARIABLE]
  }
}

/** As an editor writes it: without quotes where YAML needs none. */
function plainValue(text: string): unknown {
  return /^(true|false|\d+)$/.test(text) ? JSON.parse(text) : text
}

export function sectionSchema(fields: Readonly<Record<string, { json: JsonSchema; isRequired: boolean }>>, doc: string): JsonSchema {
  const entries = Object.entries(fields)
  const required = entries.filter(([, { isRequired }]) => isRequired).map(([name]) => name)
  return {
    description: doc,
    type: required.length > 0 ? 'object' : ['object', 'null'], // "storage:" with nothing below it
    properties: Object.fromEntries(entries.map(([name, { json }]) => [name, json])),
    ...(required.length > 0 && { required }),
    additionalProperties: false
  }
}

export function namesSchema(of: JsonSchema, { doc, pattern }: Documented & { pattern: RegExp }): JsonSchema {
  return { description: doc, type: ['object', 'null'], propertyNames: { pattern: pattern.source }, additionalProperties: of }
}

export function listSchema(items: JsonSchema, { doc, takesCommas }: Documented & { takesCommas?: boolean }): JsonSchema {
  const list = { type: 'array', items }
  return { description: doc, ...(takesCommas ? { anyOf: [list, { type: 'string' }] } : list) }
}

/** The whole file. */
export function fileSchema(root: JsonSchema): JsonSchema {
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'wadi.yaml', ...root }
}

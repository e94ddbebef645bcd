// wadi config reference: every key of wadi.yaml, from the table that reads it.

import type { Field } from '../../gateway/config/field.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { print } from '../terminal.ts'

interface Documented extends Field<unknown> {
  readonly fields?: Readonly<Record<string, Documented>>
  readonly of?: Documented
}

export const configReference: Command = {
  name: 'config reference',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'Every key of wadi.yaml with unit, default and meaning',
  options: [],
  examples: ['wadi config reference | less'],

  async run() {
    const { configSchema } = await import('../../gateway/config/schema.ts')
    await print(`${[...referenceLines(configSchema as Documented, '')].join('\n')}\n`)
    return EXIT.ok
  }
}

/** One line per key: path, kind, default, meaning. */
export function* referenceLines(field: Documented, path: string): Generator<string> {
  if (path !== '') {
    const fallback = field.isRequired ? 'required' : field.defaultText === null ? '' : `default ${field.defaultText}`
    yield `${path.padEnd(34)} ${field.kind.padEnd(30)} ${fallback.padEnd(20)} ${field.doc}`.trimEnd()
  }
  for (const [name, child] of Object.entries(field.fields ?? {})) yield* referenceLines(child, path === '' ? name : `${path}.${name}`)
  if (field.of) yield* referenceLines(field.of, field.kind === 'list' ? `${path}[]` : `${path}.NAME`)
}

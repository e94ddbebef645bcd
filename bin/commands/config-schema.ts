// wadi config schema: the table that reads wadi.yaml as JSON Schema, for editors.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { print } from '../terminal.ts'

export const configSchemaCommand: Command = {
  name: 'config schema',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'JSON Schema of wadi.yaml, for editors',
  details: `An editor with yaml-language-server completes and checks wadi.yaml while you type when its first line is
# yaml-language-server: $schema=wadi.schema.json
"wadi config check" knows more: rules between keys, bounds of sizes and durations.`,
  options: [],
  examples: ['wadi config schema > wadi.schema.json'],

  async run() {
    const { configSchema } = await import('../../gateway/config/schema.ts')
    const { fileSchema } = await import('../../gateway/config/json-schema.ts')
    await print(`${JSON.stringify(fileSchema(configSchema.json), null, 2)}\n`)
    return EXIT.ok
  }
}

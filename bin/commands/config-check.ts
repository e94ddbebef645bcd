// wadi config check: is the file right? Every problem, with its line.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { DEFAULT_CONFIG_FILE, readSource } from '../target.ts'
import { print } from '../terminal.ts'

export const configCheck: Command = {
  name: 'config check',
  operands: '[FILE]',
  operandsMin: 0,
  operandsMax: 1,
  summary: 'Check a configuration without starting anything',
  options: [
    { name: 'config', short: 'c', value: 'FILE', doc: `the file (default: ./${DEFAULT_CONFIG_FILE})` },
    { name: 'json', doc: 'problems and warnings as JSON lines' }
  ],
  examples: ['wadi config check', 'wadi config check /etc/wadi/wadi.yaml'],

  async run(input) {
    const { formatProblem, readConfig } = await import('../../gateway/config/load.ts')
    const path = input.operands[0] ?? input.text('config') ?? DEFAULT_CONFIG_FILE
    const { problems, warnings, config } = readConfig(readSource(path), { fileName: path, environment: process.env })
    const isJson = input.flag('json')
    for (const problem of problems) await print(`${isJson ? JSON.stringify(problem) : formatProblem(problem, path)}\n`)
    for (const warning of warnings)
      await print(`${isJson ? JSON.stringify({ ...warning, isWarning: true }) : `warning: ${formatProblem(warning, path)}`}\n`)
    if (problems.length > 0) {
      if (!input.flag('json')) await print(`${problems.length === 1 ? '1 problem' : `${problems.length} problems`}\n`)
      return EXIT.config
    }
    if (!input.flag('json'))
      await print(
        `${path} is right: ${config.routes.length} routes, ${config.topics.size} topics, upstream ${config.upstream ? 'set' : 'not set'}\n`
      )
    return EXIT.ok
  }
}

// wadi config check: is the file right? Every problem, with its line; with --deep also whether this machine has what it asks for.

import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { LoadResult, Problem } from '../../gateway/config/load.ts'
import type { Config } from '../../gateway/config/schema.ts'
import { visibleLine } from '../../runtime/base/visible-line.ts'
import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { CONFIG_PLACES, configFile, DEFAULT_CONFIG_FILE, readSource } from '../target.ts'
import { columns, print, printErrorsAsJson } from '../terminal.ts'
import { jsonLine, visibleTexts } from '../visible-text.ts'

export const configCheck: Command = {
  name: 'config check',
  operands: '[FILE]',
  operandsMin: 0,
  operandsMax: 1,
  summary: 'Check a configuration without starting anything',
  details: `FILE - reads what is piped in. Exits with 0 when the file is right (warnings are allowed), with 78 when it is not.
--deep exits with 73 when the data directory cannot be used, with 69 when an address is taken or no broker answers.
It writes nothing and may run beside the gateway.
The files of tls sections are read: what is missing, does not fit together or has expired is a problem.
A note is about what is written on purpose and has a price; unlike a warning it is not told at each start.
--json prints one object per problem, warning (also "isNote":true) and finding, and at the end {"ok":true,"file":…} or {"ok":false,"file":…}.`,
  options: [
    { name: 'config', short: 'c', value: 'FILE', doc: `the file (default: ${CONFIG_PLACES})` },
    { name: 'deep', doc: 'also: can the data directory be written, are the addresses free, do the brokers answer' },
    { name: 'json', doc: 'JSON lines' }
  ],
  examples: ['wadi config check', 'wadi config check --deep /etc/wadi/wadi.yaml', 'envsubst < wadi.in | wadi config check -'],

  async run(input) {
    const isJson = input.flag('json')
    if (isJson) printErrorsAsJson()
    const path = input.operands[0] ?? input.text('config') ?? configFile() ?? DEFAULT_CONFIG_FILE
    const file = path === '-' ? '(stdin)' : path
    const { formatProblem, readConfig } = await import('../../gateway/config/load.ts')
    const { withAbsolutePaths } = await import('../../gateway/config/tls-config.ts')
    const read = readConfig(sourceOf(path), { fileName: file, environment: process.env })
    const { notes } = read
    const absolute = withAbsolutePaths(read.config, path === '-' ? '.' : dirname(path))
    const ofFiles = read.problems.length > 0 ? [] : await problemsOfFiles(absolute, read.placeOf)
    const problems = [...read.problems, ...ofFiles.filter(({ isProblem }) => isProblem).map(({ problem }) => problem)]
    const warnings = [...read.warnings, ...ofFiles.filter(({ isProblem }) => !isProblem).map(({ problem }) => problem)]
    const show = async (one: Problem, kind: 'problem' | 'warning' | 'note'): Promise<void> => {
      const line = `${kind === 'problem' ? '' : `${kind}: `}${formatProblem(one, file)}`
      const json = { file, ...one, isWarning: kind !== 'problem', ...(kind === 'note' && { isNote: true }) }
      await print(isJson ? jsonLine(json) : `${visibleLine(line)}\n`)
    }
    for (const problem of problems) await show(problem, 'problem')
    for (const warning of warnings) await show(warning, 'warning')
    for (const one of problems.length > 0 ? [] : notes) await show(one, 'note')
    const facts = { file, problems: problems.length, warnings: warnings.length }
    if (problems.length > 0) {
      const words = problems.length === 1 ? '1 problem' : `${problems.length} problems`
      await print(isJson ? jsonLine({ ok: false, ...facts }) : `${words}\n`)
      return EXIT.config
    }
    const { code, found } = input.flag('deep') ? await lookDeep(absolute, { file, isJson }) : { code: EXIT.ok, found: 0 }
    const has = `${absolute.routes.length} routes, ${absolute.topics.size} topics, upstream ${absolute.upstream ? 'set' : 'not set'}`
    const warned = warnings.length === 0 ? '' : `, with ${warnings.length === 1 ? '1 warning' : `${warnings.length} warnings`}`
    const words = `${file} is right${warned}${code === EXIT.ok ? '' : ', and this machine has not what it asks for'}: ${has}`
    await print(isJson ? jsonLine({ ok: code === EXIT.ok, ...facts, problems: found }) : `${visibleLine(words)}\n`)
    return code
  }
}

/** Certificates and keys. An expired one keeps no gateway from starting, and is no file that is right. */
async function problemsOfFiles(config: Config, placeOf: LoadResult['placeOf']): Promise<{ isProblem: boolean; problem: Problem }[]> {
  const { checkTlsFiles } = await import('../../gateway/tls-files.ts')
  const found = await checkTlsFiles(config, Date.now())
  return found.map(({ path, severity, message }) => ({
    isProblem: severity !== 'warning',
    problem: { path, message, place: placeOf(path) }
  }))
}

/** @throws WadiError WADI_CONFIG_INVALID when it cannot be read, WADI_USAGE for a directory */
function sourceOf(path: string): string {
  if (path === '-') return readFileSync(0, 'utf8')
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    const inside = join(path, DEFAULT_CONFIG_FILE)
    const hasOne = statSync(inside, { throwIfNoEntry: false })?.isFile() === true
    throw usageError(`${path} is a directory.`, hasOne ? `Did you mean ${inside}?` : 'Name the file in it.')
  }
  return readSource(path)
}

/** The exit code, and how many problems were found. */
async function lookDeep(config: Config, { file, isJson }: { file: string; isJson: boolean }): Promise<{ code: number; found: number }> {
  const { deepCheck, exitOfFindings } = await import('../deep-check.ts')
  const findings = []
  for await (const finding of deepCheck(config)) {
    findings.push(finding)
    if (isJson) await print(jsonLine({ file, ...finding }))
  }
  const MARKS = { good: 'good', warning: 'warning', problem: 'PROBLEM' } as const
  if (!isJson) await print(`${columns(visibleTexts(findings).map(({ severity, path, message }) => [MARKS[severity], path, message]))}\n`)
  return { code: exitOfFindings(findings), found: findings.filter(({ severity }) => severity === 'problem').length }
}

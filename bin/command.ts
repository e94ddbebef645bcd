// What a command is: words for help, options for the parser, and a function that returns the exit code.

import { parseArgs } from 'node:util'
import { nearestWord } from '../gateway/config/suggest.ts'
import { WadiError } from '../runtime/base/errors.ts'

export interface OptionSpec {
  readonly name: string
  readonly short?: string
  /** Name of its value in help; absent = a flag. */
  readonly value?: string
  /** It may be given several times: see texts(). */
  readonly isRepeated?: boolean
  readonly doc: string
}

export interface Command {
  /** "log verify": one or two words. */
  readonly name: string
  /** What stands behind the name: "DIR". */
  readonly operands: string
  readonly operandsMin: number
  readonly operandsMax: number
  readonly summary: string
  readonly details?: string
  readonly options: readonly OptionSpec[]
  readonly examples: readonly string[]
  readonly isHidden?: boolean
  run(input: CommandInput): Promise<number>
}

export interface CommandInput {
  readonly operands: readonly string[]
  /** The last one, of an option that may be repeated. */
  text(name: string): string | undefined
  /** Of an option that may be repeated, in their order; commas part them as well. */
  texts(name: string): readonly string[]
  flag(name: string): boolean
  /** A whole number ≥ 0, `fallback` when the option is absent. @throws WadiError WADI_USAGE */
  count(name: string, fallback: number): number
  /** Aborts on SIGINT and SIGTERM. A second signal ends the process at once. */
  readonly signal: AbortSignal
}

export function usageError(happened: string, next: string): WadiError {
  return new WadiError('WADI_USAGE', { happened, kept: 'Nothing was started.', next })
}

/** @throws WadiError WADI_USAGE for an unknown option, one that is there twice, a missing value, too few or too many operands */
export function parseCommand(command: Command, args: readonly string[], signal: AbortSignal): CommandInput {
  const options = Object.fromEntries(
    command.options.map(({ name, short, value }) => [
      name,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        multiple: value !== undefined, // the last of several would win in silence
        ...(short !== undefined && { short })
      }
    ])
  )
  const help = `"wadi help ${command.name}" lists what it takes.`
  const { values, positionals } = parseOrExplain(command, args, options, help)
  for (const { name, isRepeated } of command.options) {
    const given = values[name]
    if (isRepeated || !Array.isArray(given) || given.length < 2) continue
    throw usageError(`"wadi ${command.name}" takes --${name} once, and it is there ${given.length} times: ${given.join(', ')}.`, help)
  }
  if (positionals.length < command.operandsMin) throw usageError(`"wadi ${command.name}" needs ${command.operands}.`, help)
  const extra = positionals[command.operandsMax]
  if (extra !== undefined) throw usageError(`"wadi ${command.name}" does not know what to do with "${extra}".`, help)
  const text = (name: string): string | undefined => {
    const value = [values[name]].flat().at(-1)
    return typeof value === 'string' ? value : undefined
  }
  const texts = (name: string): string[] =>
    [values[name]]
      .flat()
      .flatMap((value) => (typeof value === 'string' ? value.split(',') : []))
      .map((part) => part.trim())
      .filter((part) => part !== '')
  return {
    operands: positionals,
    signal,
    text,
    texts,
    flag: (name) => values[name] === true,
    count(name, fallback) {
      const value = text(name)
      if (value === undefined) return fallback
      if (/^\d{1,15}$/.test(value)) return Number(value)
      throw usageError(`--${name} is "${value}", expected a whole number.`, help)
    }
  }
}

type ParsedArgs = { values: Record<string, unknown>; positionals: string[] }

function parseOrExplain(
  command: Command,
  args: readonly string[],
  options: Record<string, { type: 'boolean' | 'string' }>,
  help: string
): ParsedArgs {
  const long = args.filter((arg) => arg.startsWith('--') && arg !== '--').map((arg) => arg.slice(2).split('=')[0] ?? '')
  const unknown = long.find((name) => !Object.hasOwn(options, name))
  if (unknown !== undefined && !args.slice(0, args.indexOf(`--${unknown}`)).includes('--')) {
    const near = nearestWord(unknown, Object.keys(options))
    throw usageError(`"wadi ${command.name}" has no option --${unknown}${near ? ` (did you mean --${near}?)` : ''}.`, help)
  }
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw explained(command, error as NodeJS.ErrnoException, args, help)
  }
}

/** parseArgs says which option it is about, in words of its own. */
function explained({ name, options }: Command, { code, message }: NodeJS.ErrnoException, args: readonly string[], help: string): WadiError {
  const [, written = ''] = /'(?:(-[^\s,']+)|[^']*)/.exec(message) ?? []
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') return usageError(`"wadi ${name}" has no option ${written}.`, help)
  const known = options.find((option) => written === `--${option.name}` || written === `-${option.short}`)
  if (!known) return usageError(`"wadi ${name}": ${message.split('. ')[0]}.`, help)
  if (known.value === undefined) return usageError(`${written} takes no value.`, help)
  const given = args[args.findIndex((arg) => arg === `-${known.short}` || arg === `--${known.name}`) + 1]
  if (given === undefined) return usageError(`${written} needs a value: ${written} ${known.value}.`, help)
  const joined = `--${known.name}=${given}`
  return usageError(`${written} needs a value, and "${given}" looks like an option.`, `If it is the value, write ${joined}; ${help}`)
}

// Help as one page per command, made from the same tables that parse. Text only: it must read well over a serial line.

import { nearestWord } from '../gateway/config/suggest.ts'
import { type Command, type OptionSpec, usageError } from './command.ts'
import { columns } from './terminal.ts'

const EXIT_CODES = `exit codes
  0   done                              70  a bug: the path of a report is printed
  1   the asked-for condition is false  73  data directory locked or unusable
  64  wrong use of the command line     74  disk error, or disk full
  65  damage found in stored data       77  this user may not do that
  69  gateway or cluster not reachable  78  configuration invalid
                                        130 interrupted`

export function helpOverview(commands: readonly Command[], version: string): string {
  const rows = commands
    .filter((command) => !command.isHidden)
    .map((command) => [`wadi ${command.name} ${command.operands}`.trimEnd(), command.summary])
  return `wadi ${version}: sensors over MQTT to durable Kafka logs on this machine, and exactly once to a central cluster.

${columns(rows, { indent: '  ' })}

"wadi help COMMAND" tells more. Try "wadi demo" first: it takes a minute and leaves nothing behind.

${EXIT_CODES}
`
}

/** Of one command, or of all that begin with the one word of `words`. @throws WadiError WADI_USAGE with a suggestion */
export function helpOf(commands: readonly Command[], words: readonly string[]): string {
  const group = words.length === 1 ? commands.filter(({ name, isHidden }) => !isHidden && name.startsWith(`${words[0]} `)) : []
  if (group.length === 0 || commands.some(({ name }) => name === words[0])) return helpFor(findCommand(commands, words).command)
  const rows = group.map(({ name, operands, summary }) => [`wadi ${name} ${operands}`.trimEnd(), summary])
  return `wadi ${words[0]}\n\n${columns(rows, { indent: '  ' })}\n\n"wadi help ${group[0]?.name}" tells more.\n`
}

function helpFor(command: Command): string {
  const parts = [`wadi ${command.name} ${command.operands}`.trimEnd(), '', `  ${command.summary}.`]
  if (command.details) parts.push('', command.details.replace(/^/gm, '  ').replace(/^ +$/gm, ''))
  if (command.options.length > 0) parts.push('', 'options', columns(command.options.map(optionRow), { indent: '  ' }))
  if (command.examples.length > 0) parts.push('', 'examples', ...command.examples.map((example) => `  ${example}`))
  return `${parts.join('\n')}\n`
}

function optionRow({ name, short, value, doc }: OptionSpec): string[] {
  return [`${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`, doc]
}

/** The command that `args` begins with, and the rest. @throws WadiError WADI_USAGE with a suggestion */
export function findCommand(commands: readonly Command[], args: readonly string[]): { command: Command; rest: readonly string[] } {
  for (const words of [2, 1]) {
    const name = args.slice(0, words).join(' ')
    const command = commands.find((known) => known.name === name)
    if (command && name.split(' ').length === words) return { command, rest: args.slice(words) }
  }
  const [first = '', second = ''] = args
  const group = commands.filter((known) => known.name.startsWith(`${first} `))
  if (group.length > 0) {
    const choices = group.map((known) => `"wadi ${known.name}"`).join(' or ')
    throw usageError(`"wadi ${first}${second ? ` ${second}` : ''}" is not a command.`, `Use ${choices}.`)
  }
  const names = commands.filter((known) => !known.isHidden).map((known) => known.name)
  const near = nearestWord(first, names)
  throw usageError(`"wadi ${first}" is not a command.`, near ? `Did you mean "wadi ${near}"?` : '"wadi help" lists the commands.')
}

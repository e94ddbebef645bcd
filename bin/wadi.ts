// The command line: finds the command, runs it, turns what happened into an exit code. Commands load what they need when they run,
// so that `wadi help` does not pay for a broker.

import './early-signals.ts'
import { VERSION } from '../gateway/version.ts'
import { type Command, parseCommand, usageError } from './command.ts'
import { configCheck } from './commands/config-check.ts'
import { configReference } from './commands/config-reference.ts'
import { configSchemaCommand } from './commands/config-schema.ts'
import { demo } from './commands/demo.ts'
import { demoCentre } from './commands/demo-centre.ts'
import { dev } from './commands/dev.ts'
import { groupDelete } from './commands/group-delete.ts'
import { groupDescribe } from './commands/group-describe.ts'
import { groupList } from './commands/group-list.ts'
import { groupReset } from './commands/group-reset.ts'
import { logDump } from './commands/log-dump.ts'
import { logVerify } from './commands/log-verify.ts'
import { metrics } from './commands/metrics.ts'
import { run } from './commands/run.ts'
import { sessionEnd } from './commands/session-end.ts'
import { sessionList } from './commands/session-list.ts'
import { sessionShow } from './commands/session-show.ts'
import { status } from './commands/status.ts'
import { tail } from './commands/tail.ts'
import { tlsClient } from './commands/tls-client.ts'
import { tlsInit } from './commands/tls-init.ts'
import { tlsShow } from './commands/tls-show.ts'
import { topicAlter } from './commands/topic-alter.ts'
import { topicCreate } from './commands/topic-create.ts'
import { topicDelete } from './commands/topic-delete.ts'
import { topicDescribe } from './commands/topic-describe.ts'
import { topicList } from './commands/topic-list.ts'
import { EXIT, exitCodeOf } from './exit-code.ts'
import { findCommand, helpOf, helpOverview } from './help.ts'
import { interruption, runLastSteps } from './signals.ts'
import { note, print, printError, watchOutput } from './terminal.ts'

const help: Command = {
  name: 'help',
  operands: '[COMMAND]',
  operandsMin: 0,
  operandsMax: 2,
  summary: 'This overview, or one command in detail',
  options: [],
  examples: ['wadi help run'],
  async run({ operands }) {
    await print(operands.length === 0 ? helpOverview(commands, VERSION) : helpOf(commands, operands))
    return EXIT.ok
  }
}

const version: Command = {
  name: 'version',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'The version of this program',
  options: [],
  examples: [],
  async run() {
    await print(`wadi ${VERSION} (node ${process.version}, ${process.platform} ${process.arch})\n`)
    return EXIT.ok
  }
}

const commands: readonly Command[] = [
  run,
  dev,
  demo,
  tail,
  status,
  metrics,
  sessionList,
  sessionShow,
  sessionEnd,
  groupList,
  groupDescribe,
  groupReset,
  groupDelete,
  topicList,
  topicDescribe,
  topicCreate,
  topicAlter,
  topicDelete,
  logVerify,
  logDump,
  tlsInit,
  tlsClient,
  tlsShow,
  configCheck,
  configReference,
  configSchemaCommand,
  help,
  version,
  demoCentre
]

async function main(args: readonly string[]): Promise<number> {
  const [first] = args
  if (first === undefined) throw usageError('No command was given.', '"wadi help" lists them; "wadi demo" shows what this is.')
  if (first === '--version' || first === '-V') return version.run(parseCommand(version, [], interruption()))
  const wantsHelp = args.includes('--help') || args.includes('-h')
  const words = args.filter((arg) => !arg.startsWith('-'))
  if (wantsHelp) {
    await print(words.length === 0 ? helpOverview(commands, VERSION) : helpOf(commands, words))
    return EXIT.ok
  }
  const { command, rest } = findCommand(commands, args)
  return command.run(parseCommand(command, rest, interruption()))
}

let hasLostOutput = false
watchOutput((reason) => {
  hasLostOutput = true
  process.exitCode = EXIT.ioError
  note(`The output cannot be written (${reason}): it is not complete.`)
})

/** A bug never continues: what it left behind cannot be trusted, the next start reads the disk. */
function onBug(error: unknown): void {
  printError(error)
  runLastSteps()
  process.exitCode = EXIT.software
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), 2000).unref() // process.exit can hang on recent Node
  process.exit(EXIT.software)
}

process.on('uncaughtException', onBug).on('unhandledRejection', onBug)

try {
  const code = await main(process.argv.slice(2))
  process.exitCode = hasLostOutput ? EXIT.ioError : code
} catch (error) {
  printError(error)
  process.exitCode = exitCodeOf(error)
}

// wadi session list: the MQTT sessions of the running gateway.

import type { SessionFacts } from '../../adapters/mqtt/session-facts.ts'
import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { SessionTable } from '../session-text.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { print } from '../terminal.ts'
import { jsonLine } from '../visible-text.ts'

export const sessionList: Command = {
  name: 'session list',
  operands: '[PATTERN]',
  operandsMin: 0,
  operandsMax: 1,
  summary: 'MQTT sessions of the running gateway, those of absent clients too',
  details: `PATTERN is of client ids: * stands for any characters (in quotes, or the shell takes it).
SINCE is when it was connected, or when its connection ended: with a kill of the gateway, its next start.
EXPIRY is from the end of the connection on; 0 ends with it. MQTT is the version it was connected with last, "-" where an older Wadi did not say.
QUEUED are messages that wait or are not acknowledged, BYTES is the memory they take: what waits in the log is a reference of 8 bytes.`,
  options: [
    { name: 'absent', doc: 'only those whose client is away' },
    { name: 'connected', doc: 'only those whose client is connected' },
    { name: 'topic', value: 'TOPIC', doc: 'only those that get a message of this topic: they keep it off the fast lane' },
    { name: 'json', doc: 'JSON lines' },
    ...targetOptions
  ],
  examples: ['wadi session list', "wadi session list --absent 'press-*'", 'wadi session list --topic plant/press/temp'],

  async run(input) {
    const [absent, connected] = [input.flag('absent'), input.flag('connected')]
    if (absent && connected) throw usageError('--absent and --connected exclude each other.', 'Give one of them, or none for both.')
    const { callControl } = await import('../../adapters/control/control-client.ts')
    const [pattern] = input.operands
    const request = { pattern, topic: input.text('topic'), ...((absent || connected) && { isConnected: connected }), command: 'sessions' }
    const table = new SessionTable()
    const show = (sessions: readonly SessionFacts[]): Promise<boolean> =>
      print(input.flag('json') ? sessions.map(jsonLine).join('') : table.page(sessions))
    let hasShown = false
    for await (const page of callControl(await dataDirectoryOf(input), request, { signal: input.signal })) {
      if (!(await show(page as SessionFacts[]))) return EXIT.ok
      hasShown = true
    }
    if (input.signal.aborted) return EXIT.interrupted
    if (!hasShown) await show([])
    return EXIT.ok
  }
}

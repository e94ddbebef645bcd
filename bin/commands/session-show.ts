// wadi session show: one MQTT session, with its subscriptions.

import type { SessionDetail } from '../../adapters/mqtt/session-facts.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { sessionText } from '../session-text.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { print } from '../terminal.ts'
import { jsonLine } from '../visible-text.ts'

export const sessionShow: Command = {
  name: 'session show',
  operands: 'CLIENT_ID',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'One MQTT session, with its subscriptions',
  details: 'Exit code 1 when there is none of this client id.',
  options: [{ name: 'json', doc: 'one JSON object' }, ...targetOptions],
  examples: ['wadi session show press-1', 'wadi session show press-1 --json'],

  async run(input) {
    const { askControl } = await import('../../adapters/control/control-client.ts')
    const [clientId = ''] = input.operands
    const request = { command: 'session', clientId }
    const session = (await askControl(await dataDirectoryOf(input), request, { signal: input.signal })) as SessionDetail
    await print(input.flag('json') ? jsonLine(session) : sessionText(session))
    return EXIT.ok
  }
}

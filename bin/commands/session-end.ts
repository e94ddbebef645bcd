// wadi session end: ends MQTT sessions, with all that waits for them.

import type { SessionDetail } from '../../adapters/mqtt/session-facts.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { endedText } from '../session-text.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { print, printError } from '../terminal.ts'
import { jsonLine } from '../visible-text.ts'

const CLIENTS_MAX = 1_000

export const sessionEnd: Command = {
  name: 'session end',
  operands: 'CLIENT_ID ...',
  operandsMin: 1,
  operandsMax: CLIENTS_MAX,
  summary: 'End MQTT sessions, with their subscriptions and what waits for them',
  details: `Its client is disconnected (MQTT 5: 0x98, administrative action), its will is sent, and a kill does not bring the session back.
A client that is still there connects again, and begins anew: it is told that it has no session, and has to subscribe.
For the user that runs the gateway: members of control.group may look, and change nothing.
Exit code 1 when one of them is not there; the others are ended.`,
  options: [{ name: 'json', doc: 'one JSON object for each, as it was' }, ...targetOptions],
  examples: ['wadi session end press-1', "wadi session end 'old dashboard' press-2"],

  async run(input) {
    const { askControl } = await import('../../adapters/control/control-client.ts')
    const { ADMIN_SOCKET: socket } = await import('../../adapters/control/control-path.ts')
    const directory = await dataDirectoryOf(input)
    let code: number = EXIT.ok
    for (const clientId of input.operands) {
      if (input.signal.aborted) return EXIT.interrupted
      try {
        const ended = (await askControl(directory, { command: 'end-session', clientId }, { signal: input.signal, socket })) as SessionDetail
        await print(input.flag('json') ? jsonLine(ended) : endedText(ended))
      } catch (error) {
        if (!(error instanceof WadiError) || error.code !== 'WADI_SESSION_UNKNOWN') throw error
        printError(error)
        code = EXIT.no
      }
    }
    return code
  }
}

// The control sockets of a running gateway: one for looking, which a group may have too, and one for changing. Events matter more than looking at them: when the machine has no room for the socket now, or does not let
// its group have it, the gateway goes on, says so, and tries again.

import { groupIdOf } from '../adapters/control/accounts.ts'
import { ADMIN_SOCKET, CONTROL_SOCKET, type ControlSocket } from '../adapters/control/control-path.ts'
import { type ControlHandler, type ControlServer, openControlServer } from '../adapters/control/control-server.ts'
import type { Config } from './config/schema.ts'
import { formatDuration } from './config/units.ts'
import type { Log } from './log.ts'

const RETRY_MS = 10_000
/** What passes: no inode or block, a quota, no file descriptor, no memory. */
const PASSING: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM'])

export interface ControlDoorOptions {
  readonly log: Log
  /** Default: that for looking. The other one has no group. */
  readonly socket?: ControlSocket
  /** Default: the real one. */
  readonly open?: typeof openControlServer
  readonly retryMs?: number
}

/** @throws WadiError WADI_DATA_DIR_UNUSABLE when there can be no socket in this directory, however often it is tried */
export async function openControlDoor(
  { gateway, control }: Pick<Config, 'gateway' | 'control'>,
  handlers: Readonly<Record<string, ControlHandler>>,
  { log, socket = CONTROL_SOCKET, open = openControlServer, retryMs = RETRY_MS }: ControlDoorOptions
): Promise<ControlServer> {
  let told = ''
  let opening: Promise<ControlServer | null> = Promise.resolve(null)
  let timer: NodeJS.Timeout | undefined
  const isForGroup = control.group !== null && socket !== ADMIN_SOCKET
  const groupId = isForGroup && control.group !== null ? groupIdOf(control.group) : null
  const what = socket === ADMIN_SOCKET ? 'wadi session end is' : 'wadi status and wadi tail are'
  const onGroupRefused = (why: string): void =>
    log('warn', `control.group: members of ${control.group} cannot ask this gateway, its own user can: ${why}`, { group: control.group })
  if (isForGroup && groupId === null) onGroupRefused('this machine has no such group')

  const attempt = async (): Promise<ControlServer | null> => {
    try {
      const server = await open(gateway.data, handlers, { socket, groupId, onGroupRefused })
      if (told !== '') log('info', `the control socket is there now: ${what} answered`)
      return server
    } catch (error) {
      const code = codeOf(error)
      if (!PASSING.has(code)) throw error
      const words = `no room for the control socket (${code}): ${what} not answered, events are taken; tried again every ${formatDuration(retryMs)}`
      if (words !== told) log('warn', words, { code })
      told = words
      return null
    }
  }
  const again = (): void => {
    timer = setTimeout(() => {
      opening = attempt().catch((error: unknown) => {
        log('warn', `there will be no control socket: ${(error as Error).message}`)
        return null
      })
      void opening.then((server) => server ?? (timer && again()))
    }, retryMs)
    timer.unref()
  }
  opening = attempt()
  if ((await opening) === null) again()
  return {
    async close() {
      clearTimeout(timer)
      timer = undefined
      await (await opening)?.close()
    }
  }
}

/** Of the system, behind whatever was made of it. */
function codeOf(error: unknown): string {
  const { code, cause } = error as { code?: string; cause?: { code?: string } }
  return cause?.code ?? code ?? ''
}

// The other end of the control socket: asks a running gateway something and yields its answers.

import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { type ErrorCode, errorCatalogue } from '../../runtime/base/error-catalogue.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { isDirectoryLocked } from '../../runtime/io/node-lock.ts'
import { groupName, runAsWords } from './accounts.ts'
import { ADMIN_SOCKET, CONTROL_SOCKET, type ControlSocket, socketAddress } from './control-path.ts'
import { readJsonLines } from './json-lines.ts'

const ANSWER_BYTES_MAX = 64 * 2 ** 20
const ANSWER_MS_MAX = 20_000

export interface ControlOptions {
  readonly signal?: AbortSignal
  /** Default: that for looking. */
  readonly socket?: ControlSocket
}

export interface ControlRequest {
  readonly command: string
  readonly [parameter: string]: unknown
}

/**
 * Yields the values of the answer. Leaving the loop, or aborting `signal`, hangs up and so ends the command.
 * @throws WadiError WADI_UNAVAILABLE when no gateway answers there, or the error the gateway sent
 */
export async function* callControl(directory: string, request: ControlRequest, options: ControlOptions = {}): AsyncGenerator<unknown> {
  const socket = await connect(directory, options.socket ?? CONTROL_SOCKET)
  const hangUp = (): void => void socket.destroy()
  options.signal?.addEventListener('abort', hangUp, { once: true })
  let isComplete = false
  let failure: Error | null = null
  try {
    if (options.signal?.aborted) return
    socket.write(`${JSON.stringify(request)}\n`)
    for await (const line of readJsonLines(socket, { lineBytesMax: ANSWER_BYTES_MAX })) {
      const { value, error, end } = line as { value?: unknown; error?: Record<string, string>; end?: true }
      if (error) failure = remoteError(error)
      isComplete = end === true
      if (failure || isComplete) break
      yield value
    }
  } catch (error) {
    if (options.signal?.aborted) return
    throw unavailable(directory, 'The gateway hung up in the middle of its answer', error)
  } finally {
    options.signal?.removeEventListener('abort', hangUp)
    socket.destroy()
  }
  if (failure) throw failure
  if (!isComplete && !options.signal?.aborted) throw unavailable(directory, 'The gateway stopped before its answer was complete')
}

/**
 * The one value of a command that answers with one, within `answerMsMax` (default: 20 s). @throws as callControl, and WADI_UNAVAILABLE when that is over:
 * the process is stopped, or its machine does nothing else
 */
export async function askControl(
  directory: string,
  request: ControlRequest,
  { signal, answerMsMax = ANSWER_MS_MAX, ...options }: ControlOptions & { readonly answerMsMax?: number } = {}
): Promise<unknown> {
  const deadline = AbortSignal.timeout(answerMsMax)
  const either = signal ? AbortSignal.any([signal, deadline]) : deadline
  for await (const value of callControl(directory, request, { ...options, signal: either })) return value
  if (deadline.aborted && !signal?.aborted) {
    throw new WadiError('WADI_UNAVAILABLE', {
      happened: `The gateway of ${directory} is there and did not answer within ${answerMsMax / 1_000} s.`,
      kept: 'What is stored is untouched.',
      next: 'Look whether its process is stopped or its disk stands still; try again.'
    })
  }
  throw unavailable(directory, 'The gateway gave an empty answer')
}

async function connect(directory: string, name: ControlSocket): Promise<Socket> {
  const address = await socketAddress(directory, name).catch(async (cause: unknown) => {
    throw (await notAllowed(directory, name, cause)) ?? unavailable(directory, `There is no data directory ${directory}`, cause)
  })
  try {
    return await new Promise<Socket>((resolve, reject) => {
      const socket = createConnection(address.path)
      socket.once('connect', () => resolve(socket)).once('error', reject)
    })
  } catch (cause) {
    const refusal = await notAllowed(directory, name, cause)
    if (refusal) throw refusal
    if (!(await isThere(directory))) throw unavailable(directory, `There is no directory ${directory}`, cause)
    if (await isDirectoryLocked(directory)) throw notYet(directory, name, cause)
    throw unavailable(
      directory,
      `No gateway is running on ${directory} (${name}: ${(cause as NodeJS.ErrnoException).code ?? 'no answer'})`,
      cause
    )
  } finally {
    await address.release()
  }
}

/** null when it is not for want of rights. */
async function notAllowed(directory: string, name: ControlSocket, cause: unknown): Promise<WadiError | null> {
  const { code = '' } = cause as NodeJS.ErrnoException
  if (code !== 'EACCES' && code !== 'EPERM') return null
  return new WadiError('WADI_NOT_ALLOWED', {
    happened: `This user may not ${name === ADMIN_SOCKET ? 'change anything of' : 'ask'} the gateway on ${directory} (${name}: ${code}).`,
    kept: 'Whether a gateway runs there is not known; nothing was touched.',
    next: await whoMay(directory, name),
    cause
  })
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false
  )

/** As far as this user may see it. */
async function whoMay(directory: string, name: ControlSocket): Promise<string> {
  const place = await stat(directory).catch(() => null)
  const socket = await stat(`${directory}/${name}`).catch(() => null)
  const owner = socket?.uid ?? place?.uid
  const user = runAsWords(owner)
  if (owner === undefined || name === ADMIN_SOCKET) return `${user}.`
  const groupId = socket ? (hasGroup(socket) ? socket.gid : null) : place && isForGroup(place) ? place.gid : null
  if (groupId === null) return `${user}, or give the socket a group: control.group in wadi.yaml.`
  return `${user}, or join the group ${groupName(groupId)} ("sudo usermod -aG ${groupName(groupId)} $USER", then log in again).`
}

/** Its members may connect. */
const hasGroup = ({ mode }: Stats): boolean => (mode & 0o060) === 0o060
/** What is in it cannot be seen, and its group may pass: made so for the socket. */
const isForGroup = ({ mode }: Stats): boolean => (mode & 0o011) === 0o010

function notYet(directory: string, name: ControlSocket, cause: unknown): WadiError {
  return new WadiError('WADI_UNAVAILABLE', {
    happened: `A gateway has ${directory} open and does not answer: it is still starting, or there is no room for its ${name}.`,
    kept: 'What is stored is untouched.',
    next: 'Try again in a moment; its log says what it is at.',
    cause
  })
}

function unavailable(directory: string, happened: string, cause?: unknown): WadiError {
  return new WadiError('WADI_UNAVAILABLE', {
    happened: `${happened}.`,
    kept: 'What is stored is untouched.',
    next: `Start it with "wadi run", or name its data directory with --data (this was ${directory}).`,
    cause
  })
}

function remoteError(fields: Record<string, string>): Error {
  const { code = '', happened = '', kept = '', next = '' } = fields
  if (!Object.hasOwn(errorCatalogue, code)) return new Error(`the gateway failed: ${happened}`)
  return new WadiError(code as ErrorCode, { happened, kept, next })
}

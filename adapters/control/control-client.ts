// The other end of the control socket: asks a running gateway something and yields its answers.

import { createConnection, type Socket } from 'node:net'
import { type ErrorCode, errorCatalogue } from '../../runtime/base/error-catalogue.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { CONTROL_SOCKET, socketAddress } from './control-path.ts'
import { readJsonLines } from './json-lines.ts'

const ANSWER_BYTES_MAX = 64 * 2 ** 20

export interface ControlRequest {
  readonly command: string
  readonly [parameter: string]: unknown
}

/**
 * Yields the values of the answer. Leaving the loop, or aborting `signal`, hangs up and so ends the command.
 * @throws WadiError WADI_UNAVAILABLE when no gateway answers there, or the error the gateway sent
 */
export async function* callControl(
  directory: string,
  request: ControlRequest,
  options: { signal?: AbortSignal } = {}
): AsyncGenerator<unknown> {
  const socket = await connect(directory)
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

/** The one value of a command that answers with one. */
export async function askControl(directory: string, request: ControlRequest, options: { signal?: AbortSignal } = {}): Promise<unknown> {
  for await (const value of callControl(directory, request, options)) return value
  throw unavailable(directory, 'The gateway gave an empty answer')
}

async function connect(directory: string): Promise<Socket> {
  const address = await socketAddress(directory).catch((cause) => {
    throw notAllowed(directory, cause) ?? unavailable(directory, `There is no data directory ${directory}`, cause)
  })
  try {
    return await new Promise<Socket>((resolve, reject) => {
      const socket = createConnection(address.path)
      socket.once('connect', () => resolve(socket)).once('error', reject)
    })
  } catch (cause) {
    const refusal = notAllowed(directory, cause)
    if (refusal) throw refusal
    throw unavailable(
      directory,
      `No gateway is running on ${directory} (${CONTROL_SOCKET}: ${(cause as NodeJS.ErrnoException).code ?? 'no answer'})`,
      cause
    )
  } finally {
    await address.release()
  }
}

/** null when it is not for want of rights. */
function notAllowed(directory: string, cause: unknown): WadiError | null {
  const { code = '' } = cause as NodeJS.ErrnoException
  if (code !== 'EACCES' && code !== 'EPERM') return null
  return new WadiError('WADI_NOT_ALLOWED', {
    happened: `This user may not ask the gateway on ${directory} (${CONTROL_SOCKET}: ${code}).`,
    kept: 'Whether a gateway runs there is not known; nothing was touched.',
    next: `Ask as the user that runs the gateway, who owns ${directory}: for example with "sudo -u USER wadi …".`,
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

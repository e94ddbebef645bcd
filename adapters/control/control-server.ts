// The control socket: one request per connection, JSON lines. A request is {"command": …}; the answer is any number of lines
// {"value": …} and then {"end": true}, or {"error": {code, happened, kept, next}}. A client that hangs up aborts its command.
// For the owner of the data directory alone (0600 in a 0700 directory), or for one group too (group-access.ts); there is no other authentication, so what changes
// something is a handler of the other socket (control-path.ts).
// Not for: what the commands mean (bin/).

import { chmod, unlink } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { WadiError } from '../../runtime/base/errors.ts'
import { CONTROL_SOCKET, type ControlSocket, socketAddress } from './control-path.ts'
import { letGroupIn } from './group-access.ts'
import { writeJsonLine } from './json-lines.ts'

const REQUEST_BYTES_MAX = 64 * 1024
const CONNECTIONS_MAX = 32
const CLOSE_GRACE_MS = 500

export interface ControlCall {
  readonly parameters: Readonly<Record<string, unknown>>
  /** Aborts when the client hangs up or the server closes. */
  readonly signal: AbortSignal
  /** Resolves when there is room for the next value; false when nobody listens any more. */
  send(value: unknown): Promise<boolean>
}

export type ControlHandler = (call: ControlCall) => Promise<void>

export interface ControlServer {
  /** Ends running commands and removes the socket. */
  close(): Promise<void>
}

export interface ControlServerOptions {
  /** Default: that for looking. */
  readonly socket?: ControlSocket
  /** Its members may ask too; null = nobody but the owner. */
  readonly groupId?: number | null
  /** Told why they may not, when the machine does not let it be: the owner may. */
  readonly onGroupRefused?: (why: string) => void
}

/**
 * Listens in `directory`, which the caller has locked: a socket file that is already there is left over from a dead process.
 * @throws WadiError WADI_DATA_DIR_UNUSABLE when the socket cannot be made
 */
export async function openControlServer(
  directory: string,
  handlers: Readonly<Record<string, ControlHandler>>,
  { socket = CONTROL_SOCKET, groupId = null, onGroupRefused = () => undefined }: ControlServerOptions = {}
): Promise<ControlServer> {
  const address = await socketAddress(directory, socket)
  const stop = new AbortController()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
    void serve(socket, handlers, stop.signal)
  })
  server.maxConnections = CONNECTIONS_MAX
  try {
    await unlink(address.path).catch(() => undefined)
    await listen(server, address.path)
    await chmod(address.path, 0o600)
  } catch (error) {
    const shutting = shut(server)
    for (const socket of sockets) socket.destroy()
    await shutting
    await address.release()
    throw error
  }
  const refusal = groupId === null ? null : await letGroupIn(directory, address.path, groupId)
  if (refusal !== null) onGroupRefused(refusal)
  return {
    async close() {
      stop.abort()
      const closed = shut(server)
      const reaper = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, CLOSE_GRACE_MS)
      await closed
      clearTimeout(reaper)
      await unlink(address.path).catch(() => undefined)
      await address.release()
    }
  }
}

/** Takes nobody any more; its socket file goes with it. Also one that does not listen. */
function shut(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const mask = process.umask(0o177) // between bind and chmod nobody else gets in either
    server.once('error', (cause) =>
      reject(
        new WadiError('WADI_DATA_DIR_UNUSABLE', {
          happened: `The control socket ${path} cannot be made (${cause.message}).`,
          kept: 'Nothing stored was changed.',
          next: 'Check that the data directory is on a file system that has unix sockets.',
          cause
        })
      )
    )
    server.listen(path, () => resolve())
    process.umask(mask)
  })
}

async function serve(socket: Socket, handlers: Readonly<Record<string, ControlHandler>>, stopped: AbortSignal): Promise<void> {
  const gone = new AbortController()
  socket.once('close', () => gone.abort())
  const signal = AbortSignal.any([gone.signal, stopped])
  try {
    const line = await readFirstLine(socket, signal)
    if (line === null) return
    const { command, ...parameters } = parseRequest(line)
    const handler = typeof command === 'string' && Object.hasOwn(handlers, command) ? handlers[command] : undefined
    if (!handler) throw unknownCommand(String(command), Object.keys(handlers))
    await handler({ parameters, signal, send: (value) => writeJsonLine(socket, { value }) })
    await writeJsonLine(socket, { end: true })
  } catch (error) {
    await writeJsonLine(socket, { error: errorFields(error) })
  } finally {
    socket.end()
  }
}

/** The socket keeps flowing afterwards, so that an end or a reset of the client is noticed while its command runs. null = hung up. */
function readFirstLine(socket: Socket, signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0)
    let isDone = false
    socket.on('data', (chunk: Buffer) => {
      if (isDone) return
      held = Buffer.concat([held, chunk])
      const end = held.indexOf(0x0a)
      isDone = end >= 0 || held.byteLength > REQUEST_BYTES_MAX
      if (end >= 0) resolve(held.subarray(0, end).toString('utf8'))
      else if (isDone) reject(usage(`A control request is longer than ${REQUEST_BYTES_MAX} bytes.`, 'Send one line of JSON.'))
    })
    socket.once('close', () => resolve(null))
    signal.addEventListener('abort', () => resolve(null), { once: true })
  })
}

function parseRequest(line: string): Record<string, unknown> {
  try {
    const request: unknown = JSON.parse(line)
    if (typeof request === 'object' && request !== null) return request as Record<string, unknown>
  } catch {
    // said below
  }
  throw usage('A control request is not a JSON object.', 'Send one line such as {"command":"status"}.')
}

function usage(happened: string, next: string): WadiError {
  return new WadiError('WADI_USAGE', { happened, kept: 'Nothing was changed.', next })
}

function unknownCommand(command: string, known: readonly string[]): WadiError {
  return usage(
    `The control command "${command}" is not known.`,
    `Known are ${known.join(', ')}; the gateway may be older than this command line.`
  )
}

/** An error as it travels: a WadiError keeps its story, anything else is a bug and keeps its message. */
function errorFields(error: unknown): Record<string, string> {
  if (error instanceof WadiError) {
    const { happened, kept, next } = error.story
    return { code: error.code, happened, kept, next }
  }
  return { code: '', happened: error instanceof Error ? error.message : String(error), kept: '', next: '' }
}

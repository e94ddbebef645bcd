// Where a gateway's control sockets are: inside its data directory. Who may read the data may ask, and nobody else but a group that is let in (group-access.ts); what changes
// something has a socket of its own, which is the owner's alone.
// A unix socket's address holds about 100 bytes; on Linux a longer directory is reached through /proc/self/fd.

import { type FileHandle, open } from 'node:fs/promises'
import { WadiError } from '../../runtime/base/errors.ts'

export const CONTROL_SOCKET = 'wadi.sock'
export const ADMIN_SOCKET = 'wadi.ctl'
export type ControlSocket = typeof CONTROL_SOCKET | typeof ADMIN_SOCKET
const SOCKET_PATH_BYTES_MAX = 100

export interface SocketAddress {
  readonly path: string
  /** After the socket is closed: gives the directory handle back. */
  release(): Promise<void>
}

export async function socketAddress(directory: string, socket: ControlSocket): Promise<SocketAddress> {
  const path = `${directory}/${socket}`
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return { path, release: () => Promise.resolve() }
  if (process.platform !== 'linux') {
    throw new WadiError('WADI_DATA_DIR_UNUSABLE', {
      happened: `The path of the control socket, ${path}, is longer than the ${SOCKET_PATH_BYTES_MAX} bytes a socket may have.`,
      kept: 'Nothing was changed.',
      next: 'Use a data directory with a shorter path.'
    })
  }
  const handle: FileHandle = await open(directory, 'r')
  return { path: `/proc/self/fd/${handle.fd}/${socket}`, release: () => handle.close() }
}

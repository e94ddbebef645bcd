// Where a gateway's control socket is: inside its data directory, so that whoever may read the data may ask, and nobody else but its group
// (group-access.ts).
// A unix socket's address holds about 100 bytes; on Linux a longer directory is reached through /proc/self/fd.

import { type FileHandle, open } from 'node:fs/promises'
import { WadiError } from '../../runtime/base/errors.ts'

export const CONTROL_SOCKET = 'wadi.sock'
const SOCKET_PATH_BYTES_MAX = 100

export interface SocketAddress {
  readonly path: string
  /** After the socket is closed: gives the directory handle back. */
  release(): Promise<void>
}

export async function socketAddress(directory: string): Promise<SocketAddress> {
  const path = `${directory}/${CONTROL_SOCKET}`
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return { path, release: () => Promise.resolve() }
  if (process.platform !== 'linux') {
    throw new WadiError('WADI_DATA_DIR_UNUSABLE', {
      happened: `The path of the control socket, ${path}, is longer than the ${SOCKET_PATH_BYTES_MAX} bytes a socket may have.`,
      kept: 'Nothing was changed.',
      next: 'Use a data directory with a shorter path.'
    })
  }
  const handle: FileHandle = await open(directory, 'r')
  return { path: `/proc/self/fd/${handle.fd}/${CONTROL_SOCKET}`, release: () => handle.close() }
}

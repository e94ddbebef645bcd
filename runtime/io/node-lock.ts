// One process per data directory, held by the kernel: it vanishes with the process, so a power cut or kill -9 leaves no stale lock.
//
// Two doors, because Node has no flock: (1) on Linux an abstract unix socket named after device and inode of the directory,
// atomic inside one network namespace; (2) a unix socket file in the directory, which containers that share the volume also see.
// A socket file that nobody answers is left over from a dead process and is taken over.
// Not for: talking. The control socket is another one.

import { lstat, unlink } from 'node:fs/promises'
import { createConnection, createServer, type Server } from 'node:net'
import { DiskError, type DiskLock } from './disk.ts'
import { diskError } from './node-disk-error.ts'

const LOCK_FILE = 'wadi.lock'
const SOCKET_PATH_BYTES_MAX = 100 // sun_path is 108 bytes on Linux, 104 on macOS

/** @throws DiskError ELOCKED; with the path of the lock file what the file system says to that, which needs an entry of its own there */
export async function lockDirectory(directory: string): Promise<DiskLock> {
  const held: Server[] = []
  const release = async (): Promise<void> => {
    for (const server of held.splice(0)) await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  const locked = new DiskError('ELOCKED', { operation: 'lock', path: directory, detail: 'another process holds it' })
  try {
    if (process.platform === 'linux') {
      const { dev, ino } = await lstat(directory)
      const server = await bind(lockAddress(dev, ino))
      if (!server) throw locked
      held.push(server)
    }
    const path = `${directory}/${LOCK_FILE}`
    if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) {
      let server = await bind(path)
      if (!server) {
        if (await isAnswered(path)) throw locked
        await unlink(path).catch(() => undefined)
        server = await bind(path)
        if (!server) throw locked
      }
      held.push(server)
    }
    return { release }
  } catch (error) {
    await release()
    if (error instanceof DiskError) throw error
    throw diskError(error, 'lock', `${directory}/${LOCK_FILE}`)
  }
}

/** Whether a process holds it. Nothing is changed; false when it cannot be seen. */
export async function isDirectoryLocked(directory: string): Promise<boolean> {
  try {
    const { dev, ino } = await lstat(directory)
    if (process.platform === 'linux' && (await isAnswered(lockAddress(dev, ino)))) return true
    return await isAnswered(`${directory}/${LOCK_FILE}`)
  } catch {
    return false
  }
}

const lockAddress = (dev: number, ino: number): string => `\0wadi-lock-${dev}-${ino}`

function bind(path: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)))
    server.listen(path, () => resolve(server.unref()))
  })
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.setTimeout(1000, () => resolve(true)) // a listener that is too busy to answer is alive
    socket.once('close', () => socket.destroy())
    socket.on('connect', () => socket.destroy()).on('timeout', () => socket.destroy())
  })
}

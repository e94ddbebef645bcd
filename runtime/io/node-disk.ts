// The real disk: node:fs by file descriptor, every call in libuv's thread pool. No mmap and no O_DIRECT: they hide from the tools we prove with.
//
// writeDurableAt uses a second descriptor opened with O_DSYNC: one trip instead of write + fdatasync, and a single place where the
// device can say no. An error of it is an error of a sync (final), because the two cannot be told apart; only after "no space" the plain
// descriptor is asked for the same bytes: when it has no room either it was the write, which may be tried again.

import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { type Disk, DiskError, type DiskFile, type DiskLock } from './disk.ts'
import { diskError } from './node-disk-error.ts'
import { lockDirectory } from './node-lock.ts'

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

const open = promisify(fs.open)
const close = promisify(fs.close)
const fsync = promisify(fs.fsync)
const fdatasync = promisify(fs.fdatasync)
const ftruncate = promisify(fs.ftruncate)
const fstat = promisify(fs.fstat)

async function wrap<T>(operation: string, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw diskError(error, operation, path)
  }
}

class NodeFile implements DiskFile {
  readonly path: string
  readonly #descriptor: number
  #durableDescriptor: number | null = null

  constructor(path: string, descriptor: number) {
    this.path = path
    this.#descriptor = descriptor
  }

  readAt(positionBytes: number, into: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      let done = 0
      const step = (): void => {
        fs.read(this.#descriptor, into, done, into.byteLength - done, positionBytes + done, (error, count) => {
          if (error) return reject(diskError(error, 'read', this.path))
          done += count
          if (count === 0 || done === into.byteLength) return resolve(done)
          step()
        })
      }
      step()
    })
  }

  writeAt(positionBytes: number, bytes: Uint8Array): Promise<void> {
    return this.#writeAll(this.#descriptor, positionBytes, bytes, 'write')
  }

  async writeDurableAt(positionBytes: number, bytes: Uint8Array): Promise<void> {
    this.#durableDescriptor ??= await wrap('open', this.path, open(this.path, fs.constants.O_WRONLY | (fs.constants.O_DSYNC ?? 0)))
    try {
      await this.#writeAll(this.#durableDescriptor, positionBytes, bytes, 'write-sync')
    } catch (error) {
      if (error instanceof DiskError && (await this.#isRefusedAsFull(error, positionBytes, bytes)))
        throw new DiskError(error.code, { operation: 'write', path: this.path, cause: error })
      throw error
    }
    if (fs.constants.O_DSYNC === undefined) await this.sync()
  }

  /** The bytes are written once more without a sync: only a lack of room is said now. */
  async #isRefusedAsFull({ code }: DiskError, positionBytes: number, bytes: Uint8Array): Promise<boolean> {
    if (!new DiskError(code, { operation: 'write', path: this.path }).isFull) return false
    try {
      await this.writeAt(positionBytes, bytes)
      return false
    } catch (error) {
      return error instanceof DiskError && error.isFull
    }
  }

  sync(): Promise<void> {
    return wrap('sync', this.path, fdatasync(this.#descriptor))
  }

  truncate(sizeBytes: number): Promise<void> {
    return wrap('truncate', this.path, ftruncate(this.#descriptor, sizeBytes))
  }

  async sizeBytes(): Promise<number> {
    return (await wrap('stat', this.path, fstat(this.#descriptor))).size
  }

  async close(): Promise<void> {
    if (this.#durableDescriptor !== null) await wrap('close', this.path, close(this.#durableDescriptor))
    await wrap('close', this.path, close(this.#descriptor))
  }

  #writeAll(descriptor: number, positionBytes: number, bytes: Uint8Array, operation: string): Promise<void> {
    return new Promise((resolve, reject) => {
      let done = 0
      const step = (): void => {
        fs.write(descriptor, bytes, done, bytes.byteLength - done, positionBytes + done, (error, count) => {
          if (error) return reject(diskError(error, operation, this.path))
          done += count
          if (done === bytes.byteLength) return resolve()
          if (count === 0) return reject(new DiskError('OTHER', { operation, path: this.path, detail: 'wrote 0 bytes' }))
          step()
        })
      }
      step()
    })
  }
}

/** Step by step: Node's recursive mkdir never ends where the kernel says ENOENT below a directory that is there (/proc). */
async function makeDirectories(path: string): Promise<void> {
  const missing: string[] = []
  for (let at = path; !(await makeOne(at)); at = parentOf(at)) missing.push(at)
  for (const directory of missing.reverse()) {
    if (!(await makeOne(directory))) throw Object.assign(new Error('no directory can be made here'), { code: 'ENOENT' })
  }
}

/** False when the directory above is not there. */
async function makeOne(path: string): Promise<boolean> {
  try {
    await fs.promises.mkdir(path, { mode: DIRECTORY_MODE })
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && path !== parentOf(path)) return false
    if (code !== 'EEXIST' && code !== 'EISDIR') throw error
    // A dangling link is there and is none: stat says ENOENT.
    if ((await fs.promises.stat(path)).isDirectory()) return true
    throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' })
  }
}

function parentOf(path: string): string {
  const trimmed = path.replace(/(?<=.)\/+$/, '')
  const slashAt = trimmed.lastIndexOf('/')
  return slashAt < 0 ? '.' : trimmed.slice(0, slashAt) || '/'
}

const OPEN_FLAGS = { read: 'r', write: 'r+', create: fs.constants.O_RDWR | fs.constants.O_CREAT } as const

export const nodeDisk: Disk = {
  async open(path, mode): Promise<DiskFile> {
    return new NodeFile(path, await wrap(mode === 'read' ? 'open-read' : 'open', path, open(path, OPEN_FLAGS[mode], FILE_MODE)))
  },
  async list(path) {
    return (await wrap('list', path, fs.promises.readdir(path))).sort()
  },
  async makeDirectory(path) {
    await wrap('mkdir', path, makeDirectories(path))
  },
  rename: (from, to) => wrap('rename', from, fs.promises.rename(from, to)),
  remove: (path) => wrap('remove', path, fs.promises.unlink(path)),
  removeDirectory: (path) => wrap('rmdir', path, fs.promises.rmdir(path)),
  async syncDirectory(path) {
    const descriptor = await wrap('open', path, open(path, 'r'))
    try {
      await wrap('sync-directory', path, fsync(descriptor))
    } finally {
      await close(descriptor)
    }
  },
  async fileSizeBytes(path) {
    try {
      return (await fs.promises.stat(path)).size
    } catch (error) {
      const wrapped = diskError(error, 'stat', path)
      if (wrapped.code === 'ENOENT') return null
      throw wrapped
    }
  },
  async freeBytes(path) {
    const { bavail, bsize } = await wrap('statfs', path, fs.promises.statfs(path))
    return bavail * bsize
  },
  lock: (directory): Promise<DiskLock> => lockDirectory(directory)
}

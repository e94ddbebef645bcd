// A block device of our own: an image file, ext4 on it, mounted by loop, with the kernel's counters of what reached it.
// Needs root and a kernel that may mount; where it cannot, the reason comes back in words. Unmounted and removed whatever happens.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { withDirectory } from './open-store.ts'

const IMAGE_BYTES = 512 * 2 ** 20
const SECTOR_BYTES = 512
const COMMAND_TIMEOUT_MS = 30_000
/** Fields of /sys/block/X/stat, from 0 (kernel: Documentation/block/stat.rst). */
const SECTORS_WRITTEN_AT = 6
const FLUSHES_AT = 15

export interface DeviceCounters {
  readonly writtenBytes: number
  readonly flushes: number
}

export interface MountedLoop {
  readonly directory: string
  /** Its name below /dev, for readCounters(). */
  readonly device: string
  counters(): DeviceCounters
}

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: COMMAND_TIMEOUT_MS }).trim()
}

/** @returns null when `work` ran, else why it could not be tried; an error of `work` itself is thrown */
export async function withLoopDevice(work: (mounted: MountedLoop) => Promise<void>): Promise<string | null> {
  return withDirectory(async (scratch) => {
    const image = join(scratch, 'image')
    const directory = join(scratch, 'mounted')
    let device: string
    try {
      writeFileSync(image, '')
      truncateSync(image, IMAGE_BYTES)
      mkdirSync(directory)
      // Nothing lazy: the file system must be silent while we count.
      run('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image)
      device = run('losetup', '--find', '--show', image)
    } catch (error) {
      return `cannot make a loop device here: ${reason(error)}`
    }
    try {
      try {
        run('mount', '-t', 'ext4', '-o', 'noatime', device, directory)
      } catch (error) {
        return `cannot mount here: ${reason(error)}`
      }
      try {
        run('sync', '-f', directory)
        await work({ directory, device, counters: () => readCounters(device) })
      } finally {
        run('umount', directory)
      }
    } finally {
      run('losetup', '--detach', device)
    }
    return null
  })
}

export function readCounters(device: string): DeviceCounters {
  const fields = readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8')
    .trim()
    .split(/\s+/)
    .map(Number)
  return { writtenBytes: (fields[SECTORS_WRITTEN_AT] ?? Number.NaN) * SECTOR_BYTES, flushes: fields[FLUSHES_AT] ?? Number.NaN }
}

function reason(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string }
  return (stderr?.trim() || message).split('\n')[0] ?? 'no reason given'
}

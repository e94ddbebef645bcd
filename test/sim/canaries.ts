// Mutations of the product and of its edges: each breaks one promise in one place. canaries.test.ts demands that each is noticed.

import type { Core } from '../../runtime/core/core.ts'
import { type Disk, DiskError } from '../../runtime/io/disk.ts'
import type { Upstream } from '../../runtime/uplink/upstream.ts'
import type { Mutation } from './world.ts'

/** `wrapped` with some members replaced; the others keep their `this`. */
export function withMembers<T extends object>(wrapped: T, members: Partial<T>): T {
  return new Proxy(wrapped, {
    get(target, name) {
      if (name in members) return members[name as keyof T]
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

/** What a disk would say whose syncs may be asked again. */
function asRefusedWrite(error: unknown): never {
  if (!(error instanceof DiskError)) throw error
  throw new DiskError(error.code, { operation: 'write', path: error.path })
}

/** What the log does not know as an answer of a disk, so that it handles it as it did before it knew damage. */
function asProgramError(error: unknown): never {
  throw new Error(error instanceof Error ? error.message : String(error))
}

export const canaries: Record<string, Mutation> = {
  'the sync is removed': { lie: 'sync-skipped' },
  'the acknowledgement leaves before the sync': { ackEarly: true },
  'the CRC is not checked': {
    wrapCore: (core: Core) => withMembers(core, { verifyCommit: () => true, checkBatch: () => null })
  },
  'the directory sync is skipped': { lie: 'directory-sync-skipped' },
  'a sync that says "no space" is tried again': {
    wrapDisk: (disk: Disk) =>
      withMembers(disk, {
        open: async (path, mode) => {
          const file = await disk.open(path, mode)
          return withMembers(file, { sync: () => file.sync().catch(asRefusedWrite) })
        },
        syncDirectory: (path) => disk.syncDirectory(path).catch(asRefusedWrite)
      })
  },
  'a journal counts on bytes that it has not synced': {
    wrapDisk: (disk: Disk) =>
      withMembers(disk, {
        open: async (path, mode) => {
          const file = await disk.open(path, mode)
          return path.endsWith('.journal') ? withMembers(file, { sync: async () => undefined }) : file
        }
      })
  },
  'a read error is not taken for damage': {
    wrapDisk: (disk: Disk) =>
      withMembers(disk, {
        open: async (path, mode) => {
          const file = await disk.open(path, mode)
          return withMembers(file, { readAt: (position, into) => file.readAt(position, into).catch(asProgramError) })
        }
      })
  },
  'the position is taken from the local hint': {
    wrapUpstream: (upstream: Upstream) =>
      withMembers(upstream, { fetchPosition: async () => new Map(), probe: async () => 'aborted' as const })
  }
}

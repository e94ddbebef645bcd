// The data directory and its parts, made when absent and locked. docs/formats/directory.md says what is in them.
// Invariant: whatever fails, the lock is not left behind. Not for: what is in the files.

import type { Disk, DiskLock } from '../io/disk.ts'
import { JOURNAL_DIRECTORY, STATE_DIRECTORY, TOPICS_DIRECTORY } from './layout.ts'
import { asStoreError } from './store-errors.ts'

/** @throws WadiError WADI_DATA_DIR_LOCKED, WADI_DATA_DIR_UNUSABLE, WADI_DISK_FULL */
export async function prepareDirectory(disk: Disk, directory: string): Promise<DiskLock> {
  let lock: DiskLock | null = null
  try {
    await disk.makeDirectory(directory)
    lock = await disk.lock(directory)
    // Synced at every start: the process before may have been killed between making an entry and syncing it, and this one builds on it.
    for (const name of [JOURNAL_DIRECTORY, STATE_DIRECTORY, TOPICS_DIRECTORY]) {
      await disk.makeDirectory(`${directory}/${name}`)
      await disk.syncDirectory(`${directory}/${name}`)
    }
    await disk.syncDirectory(directory)
    const slashAt = directory.lastIndexOf('/')
    await disk.syncDirectory(slashAt < 0 ? '.' : directory.slice(0, slashAt) || '/')
    return lock
  } catch (error) {
    await lock?.release()
    throw asStoreError(error, directory)
  }
}

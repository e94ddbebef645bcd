// A failed sync is final for the store, not only for whoever asked: the kernel reports it once and marks the pages clean, so a later sync of the
// same file or directory by somebody else (a checkpoint beside retention) would say "done" for what is gone. This disk refuses every sync behind the
// first one that failed, with the same error.
//
// Invariant: nothing that depends on a sync (a snapshot, a released journal, an acknowledgement) is reached after one failed.
// Not for: reads, and writes without a sync.

import { type Disk, DiskError, type DiskFile } from '../io/disk.ts'

export function withFinalSyncs(disk: Disk): Disk {
  let failure: DiskError | null = null
  const guard = async (sync: () => Promise<void>): Promise<void> => {
    if (failure) throw failure
    try {
      await sync()
    } catch (error) {
      // "No room" for a write is no failed sync: nothing of the write was acknowledged.
      if (error instanceof DiskError && !error.isFull && error.code !== 'ENOENT') failure ??= error
      throw error
    }
    // Another one failed meanwhile: what this one says cannot be told apart from it when both meant one directory.
    if (failure) throw failure
  }
  return {
    open: async (path, mode) => guarded(await disk.open(path, mode), guard),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    removeDirectory: (path) => disk.removeDirectory(path),
    syncDirectory: (path) => guard(() => disk.syncDirectory(path)),
    fileSizeBytes: (path) => disk.fileSizeBytes(path),
    freeBytes: (path) => disk.freeBytes(path),
    lock: (directory) => disk.lock(directory)
  }
}

function guarded(file: DiskFile, guard: (sync: () => Promise<void>) => Promise<void>): DiskFile {
  return {
    path: file.path,
    readAt: (positionBytes, into) => file.readAt(positionBytes, into),
    writeAt: (positionBytes, bytes) => file.writeAt(positionBytes, bytes),
    writeDurableAt: (positionBytes, bytes) => guard(() => file.writeDurableAt(positionBytes, bytes)),
    sync: () => guard(() => file.sync()),
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close()
  }
}

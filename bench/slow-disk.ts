// The real disk, with syncs that take exactly so long: what a card or a spinning disk costs, the same on every machine. Nothing is really synced.

import { setTimeout as wait } from 'node:timers/promises'
import type { Disk, DiskFile } from '../runtime/io/disk.ts'
import { nodeDisk } from '../runtime/io/node-disk.ts'

/** null: no time at all. */
export function slowDisk(syncMs: number | (() => number) | null): Disk {
  const pause = async (): Promise<void> => {
    if (syncMs !== null) await wait(typeof syncMs === 'number' ? syncMs : syncMs())
  }
  const slow = (file: DiskFile): DiskFile => ({
    path: file.path,
    readAt: (positionBytes, into) => file.readAt(positionBytes, into),
    writeAt: (positionBytes, bytes) => file.writeAt(positionBytes, bytes),
    async writeDurableAt(positionBytes, bytes) {
      await file.writeAt(positionBytes, bytes)
      await pause()
    },
    sync: pause,
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close()
  })
  return { ...nodeDisk, open: async (path, mode) => slow(await nodeDisk.open(path, mode)), syncDirectory: pause }
}

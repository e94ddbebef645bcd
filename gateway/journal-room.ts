// Has the disk room for the journal that the configuration asks for, and for what the store keeps free? Asked before anything is made.
// Not for: what the store does when it has not (runtime/log/quota.ts, journal.ts).

import { dirname } from 'node:path'
import { formatBytes } from '../runtime/base/byte-text.ts'
import { type Disk, DiskError } from '../runtime/io/disk.ts'
import { journalPath } from '../runtime/log/layout.ts'
import { defaultStorageSettings } from '../runtime/log/settings.ts'
import type { Config } from './config/schema.ts'

/** What is missing and what helps, as the end of a sentence; null when there is room, or when the disk does not say. Nothing is written. */
export async function lackOfRoom(
  { gateway: { data }, storage: { journal } }: Config,
  disk: Pick<Disk, 'freeBytes' | 'fileSizeBytes'>
): Promise<string | null> {
  try {
    const freeBytes = await freeBytesAt(data, disk)
    const reserveBytes = defaultStorageSettings.freeBytesMin
    let journalBytes = 0
    for (let index = 0; index < journal.files; index++)
      journalBytes += Math.max(0, journal.file_size - ((await disk.fileSizeBytes(journalPath(data, index))) ?? 0))
    if (freeBytes >= journalBytes + reserveBytes) return null
    const kept = `${formatBytes(reserveBytes)} are kept free`
    if (journalBytes === 0) return `${formatBytes(freeBytes)} are free on the disk, and ${kept}: events are refused until there is more`
    const sum = `${formatBytes(journalBytes)} are still to be set aside for the journal and ${kept}, together ${formatBytes(journalBytes + reserveBytes)}`
    return `${sum}, and ${formatBytes(freeBytes)} are free on the disk: events are refused then. Lower storage.journal.file_size (or files), or make room`
  } catch (error) {
    if (error instanceof DiskError) return null
    throw error
  }
}

/** On the disk that holds `path`, or will. */
async function freeBytesAt(path: string, disk: Pick<Disk, 'freeBytes'>): Promise<number> {
  try {
    return await disk.freeBytes(path)
  } catch (error) {
    const parent = dirname(path)
    if (!(error instanceof DiskError) || error.code !== 'ENOENT' || parent === path) throw error
    return freeBytesAt(parent, disk)
  }
}

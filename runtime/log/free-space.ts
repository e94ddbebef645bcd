// What the file system has free, as it said last: one that does not say is no reason to delete anything. Not for: what a topic may take (quota.ts).

import type { Disk } from '../io/disk.ts'
import { onlyDisk } from './store-errors.ts'

export class FreeSpace {
  readonly #disk: Pick<Disk, 'freeBytes'>
  readonly #directory: string
  #bytesSeen = Number.MAX_SAFE_INTEGER

  constructor(disk: Pick<Disk, 'freeBytes'>, directory: string) {
    this.#disk = disk
    this.#directory = directory
  }

  async bytes(): Promise<number> {
    this.#bytesSeen = (await this.#disk.freeBytes(this.#directory).catch(onlyDisk)) ?? this.#bytesSeen
    return this.#bytesSeen
  }
}

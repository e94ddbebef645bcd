// One file of the simulated disk: what the operating system shows (cached) and what the device would still have after a power cut
// (durable), per 512-byte sector, with the file size as a separate item. Names live in the directories, not here.
//
// Invariant: a sector that is not dirty and was never failed by a sync holds the same bytes in `cached` and `durable`.

import type { DiskErrorCode } from '../../runtime/io/disk.ts'
import type { Prng } from './prng.ts'

export const SECTOR_BYTES = 512

/** Chances of one power cut, 0 … 100 each. */
export interface Luck {
  readonly sectorPercent: number
  readonly sizePercent: number
  readonly entryPercent: number
}

export interface CutResult {
  lostSectors: number
  keptSectors: number
  tornSectors: number
  isSizeLost: boolean
}

/** Made by beginSync, ended once by endSync, failSync or pretendSync. */
export interface SyncUnderWay {
  /** null: the cached bytes still are what this sync writes. */
  readonly sectors: Map<number, Uint8Array | null>
  sizeChanges: number
}

export class SimInode {
  cached = new Uint8Array(0)
  durable = new Uint8Array(0)
  sizeBytes = 0
  durableSizeBytes = 0
  readonly #dirty = new Set<number>()
  readonly #sizeChanges: number[] = []
  readonly #syncs = new Set<SyncUnderWay>()
  /** Sectors that cannot be read until they are written again. */
  readonly #spoiled = new Map<number, DiskErrorCode>()

  get isDirty(): boolean {
    return this.#dirty.size > 0 || this.#sizeChanges.length > 0
  }

  /** A file that a device holds. */
  static holding(bytes: Uint8Array): SimInode {
    const inode = new SimInode()
    inode.durable = bytes.slice()
    inode.cached = bytes.slice()
    inode.sizeBytes = bytes.byteLength
    inode.durableSizeBytes = bytes.byteLength
    return inode
  }

  /** A file with what this one holds on the device, and nothing else. */
  copyDurable(): SimInode {
    const copy = new SimInode()
    copy.durable = this.durable.slice(0, this.durableSizeBytes)
    copy.cached = copy.durable.slice()
    copy.sizeBytes = this.durableSizeBytes
    copy.durableSizeBytes = this.durableSizeBytes
    return copy
  }

  spoil(atByte: number, code: DiskErrorCode): void {
    this.#spoiled.set(Math.floor(atByte / SECTOR_BYTES), code)
  }

  /** What a write of these bytes says that would keep a part of an unreadable sector: the kernel has to read it first. null when it can be done. */
  mixingCode(positionBytes: number, count: number): DiskErrorCode | null {
    for (const [sector, code] of this.#spoiled) {
      const start = sector * SECTOR_BYTES
      const end = Math.min(start + SECTOR_BYTES, this.sizeBytes)
      const isTouched = start < positionBytes + count && end > positionBytes - SECTOR_BYTES && start + SECTOR_BYTES > positionBytes
      if (isTouched && (positionBytes > start || positionBytes + count < end)) return code
    }
    return null
  }

  /** What a read of these bytes says; null when they can be read. */
  spoiledCode(positionBytes: number, count: number): DiskErrorCode | null {
    const end = Math.min(positionBytes + count, this.sizeBytes)
    for (const [sector, code] of this.#spoiled) {
      if (sector * SECTOR_BYTES < end && (sector + 1) * SECTOR_BYTES > positionBytes) return code
    }
    return null
  }

  read(positionBytes: number, into: Uint8Array): number {
    const count = Math.max(0, Math.min(into.byteLength, this.sizeBytes - positionBytes))
    into.set(this.cached.subarray(positionBytes, positionBytes + count))
    return count
  }

  /** Into the cache. An older unsynced version of a sector may have reached the device in the background. */
  write(positionBytes: number, bytes: Uint8Array, prng: Prng): void {
    if (bytes.byteLength === 0) return
    const end = positionBytes + bytes.byteLength
    this.#reserve(end)
    const last = Math.floor((end - 1) / SECTOR_BYTES)
    for (let sector = Math.floor(positionBytes / SECTOR_BYTES); sector <= last; sector++) {
      this.#protect(sector)
      this.#spoiled.delete(sector)
      if (this.#dirty.has(sector)) {
        if (prng.chance(20)) this.#copySector(sector)
      } else this.#dirty.add(sector)
    }
    this.cached.set(bytes, positionBytes)
    if (end > this.sizeBytes) this.#setSize(end)
  }

  /** O_DSYNC: these bytes, and the size that is needed to read them. */
  writeDurable(positionBytes: number, bytes: Uint8Array, prng: Prng): void {
    this.write(positionBytes, bytes, prng)
    const last = Math.floor((positionBytes + bytes.byteLength - 1) / SECTOR_BYTES)
    for (let sector = Math.floor(positionBytes / SECTOR_BYTES); sector <= last; sector++) {
      this.#copySector(sector)
      this.#dirty.delete(sector)
      for (const sync of this.#syncs) sync.sectors.delete(sector)
    }
    if (this.durableSizeBytes >= positionBytes + bytes.byteLength) return
    const reaching = this.#sizeChanges.findIndex((size) => size >= positionBytes + bytes.byteLength)
    this.#applySizes(reaching < 0 ? this.#sizeChanges.length : reaching + 1)
  }

  /** What lies behind becomes zero, but until the next sync old bytes may come back with a power cut. */
  truncate(sizeBytes: number): void {
    if (sizeBytes === this.sizeBytes) return
    for (const sector of [...this.#spoiled.keys()]) if (sector * SECTOR_BYTES >= sizeBytes) this.#spoiled.delete(sector)
    this.#reserve(sizeBytes)
    if (sizeBytes < this.sizeBytes) {
      const last = Math.floor((this.sizeBytes - 1) / SECTOR_BYTES)
      for (let sector = Math.floor(sizeBytes / SECTOR_BYTES); sector <= last; sector++) {
        this.#protect(sector)
        this.#dirty.add(sector)
      }
      this.cached.fill(0, sizeBytes, this.sizeBytes)
    }
    this.#setSize(sizeBytes)
  }

  /** What is dirty now is what the sync covers; later writes need another one. */
  beginSync(): SyncUnderWay {
    const sync: SyncUnderWay = {
      sectors: new Map([...this.#dirty].map((sector) => [sector, null])),
      sizeChanges: this.#sizeChanges.length
    }
    this.#syncs.add(sync)
    return sync
  }

  endSync(sync: SyncUnderWay): void {
    if (!this.#syncs.has(sync)) return
    for (const older of this.#syncs) {
      if (older === sync) break
      for (const sector of sync.sectors.keys()) older.sectors.delete(sector)
    }
    this.#syncs.delete(sync)
    for (const [sector, copy] of sync.sectors) {
      if (copy) this.durable.set(copy, sector * SECTOR_BYTES)
      else {
        this.#copySector(sector)
        this.#dirty.delete(sector)
      }
    }
    this.#applySizes(Math.min(sync.sizeChanges, this.#sizeChanges.length))
  }

  /** The kernel reports the error once and marks the pages clean: nothing of them is known to be on the device, and no later sync will try. */
  failSync(sync: SyncUnderWay, prng: Prng, keepPercent: number): void {
    this.#syncs.delete(sync)
    for (const sector of sync.sectors.keys()) {
      if (prng.chance(keepPercent)) this.#copySector(sector)
      this.#dirty.delete(sector)
    }
  }

  /** The process died during the sync: a part may have reached the device, all of it is still to be written. */
  partSync(sync: SyncUnderWay, prng: Prng, keepPercent: number): void {
    for (const sector of sync.sectors.keys()) if (this.#dirty.has(sector) && prng.chance(keepPercent)) this.#copySector(sector)
    this.#syncs.delete(sync)
  }

  /** A sync that lies: nothing happened. */
  pretendSync(sync: SyncUnderWay): void {
    this.#syncs.delete(sync)
  }

  /** The device after a power cut; each unsynced item with its own luck. */
  powerCut(luck: Luck, prng: Prng): CutResult {
    const result: CutResult = { lostSectors: 0, keptSectors: 0, tornSectors: 0, isSizeLost: false }
    const tornSector =
      luck.sectorPercent > 0 && luck.sectorPercent < 100 && prng.chance(50) ? prng.below(Math.max(1, this.#dirty.size)) : -1
    let kept = this.#sizeChanges.length
    if (kept > 0 && !prng.chance(luck.sizePercent)) {
      kept = luck.sizePercent === 0 ? 0 : prng.below(kept)
      result.isSizeLost = true
    }
    this.#applySizes(kept)
    let index = 0
    for (const sector of this.#dirty) {
      if (index++ === tornSector) {
        const cut = prng.below(SECTOR_BYTES)
        const at = sector * SECTOR_BYTES
        this.durable.set(this.cached.subarray(at, at + cut), at)
        result.tornSectors++
      } else if (prng.chance(luck.sectorPercent)) {
        this.#copySector(sector)
        result.keptSectors++
      } else result.lostSectors++
    }
    this.#dirty.clear()
    this.#sizeChanges.length = 0
    this.#syncs.clear()
    this.sizeBytes = this.durableSizeBytes
    this.durable.fill(0, this.sizeBytes)
    this.cached = this.durable.slice()
    return result
  }

  /** A bit turns over on the device (and in every cache filled from it). */
  rot(atByte: number, bit: number): void {
    this.cached[atByte] = (this.cached[atByte] as number) ^ (1 << bit)
    this.durable[atByte] = (this.durable[atByte] as number) ^ (1 << bit)
  }

  /** A process was killed: its syncs under way are of no further interest. */
  forgetSyncs(): void {
    this.#syncs.clear()
  }

  #setSize(sizeBytes: number): void {
    this.sizeBytes = sizeBytes
    this.#sizeChanges.push(sizeBytes)
  }

  #applySizes(count: number): void {
    if (count === 0) return
    this.durableSizeBytes = this.#sizeChanges.splice(0, count).at(-1) as number
    for (const sync of this.#syncs) sync.sizeChanges = Math.max(0, sync.sizeChanges - count)
  }

  #reserve(sizeBytes: number): void {
    const bytes = Math.ceil(sizeBytes / SECTOR_BYTES) * SECTOR_BYTES
    if (bytes <= this.cached.byteLength) return
    const capacity = Math.max(bytes, this.cached.byteLength * 2, 4096)
    const cached = new Uint8Array(capacity)
    cached.set(this.cached)
    const durable = new Uint8Array(capacity)
    durable.set(this.durable)
    this.cached = cached
    this.durable = durable
  }

  #copySector(sector: number): void {
    const at = sector * SECTOR_BYTES
    this.durable.set(this.cached.subarray(at, at + SECTOR_BYTES), at)
  }

  #protect(sector: number): void {
    for (const sync of this.#syncs) {
      if (sync.sectors.get(sector) !== null) continue
      const at = sector * SECTOR_BYTES
      sync.sectors.set(sector, this.cached.slice(at, at + SECTOR_BYTES))
    }
  }
}

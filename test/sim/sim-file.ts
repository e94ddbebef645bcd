// One open file of the simulated disk, as the process that opened it sees it. Invariant: after a crash its calls never settle.
// Not for: what survives (sim-inode.ts), errors and delays (sim-disk.ts).

import { DiskError, type DiskFile } from '../../runtime/io/disk.ts'
import type { Prng } from './prng.ts'
import { SECTOR_BYTES, type SimInode } from './sim-inode.ts'

export interface CallOptions {
  /** Times the usual delay. */
  readonly factor?: number
  /** A crash came first: what of the call happened all the same. */
  readonly half?: () => void
  /** The call fails: what of it happened all the same. `half` when absent. */
  readonly fail?: () => void
}

/** What a canary makes the disk lie about. */
export type DiskLie = 'none' | 'sync-skipped' | 'directory-sync-skipped'

/** What a file needs of its disk. */
export interface SimFileHost {
  readonly prng: Prng
  readonly syncFactor: number
  readonly lie: DiskLie
  file<T>(operation: string, file: SimFile, effect: () => T, options?: CallOptions): Promise<T>
  fitBytes(inode: SimInode, positionBytes: number, count: number): number
  count(what: string): void
}

export class SimFile implements DiskFile {
  readonly path: string
  readonly epoch: number
  readonly #disk: SimFileHost
  readonly #inode: SimInode
  isClosed = false

  constructor(disk: SimFileHost, path: string, inode: SimInode, epoch: number) {
    this.path = path
    this.epoch = epoch
    this.#disk = disk
    this.#inode = inode
  }

  readAt(positionBytes: number, into: Uint8Array): Promise<number> {
    return this.#disk.file('read', this, () => {
      const code = this.#inode.spoiledCode(positionBytes, into.byteLength)
      if (code !== null) {
        this.#disk.count('read-of-bad-sector')
        throw new DiskError(code, { operation: 'read', path: this.path, detail: 'simulated bad sector' })
      }
      return this.#inode.read(positionBytes, into)
    })
  }

  writeAt(positionBytes: number, bytes: Uint8Array): Promise<void> {
    return this.#disk.file('write', this, () => this.#writeFitting('write', positionBytes, bytes), {
      half: () => this.#writeSome(positionBytes, bytes)
    })
  }

  writeDurableAt(positionBytes: number, bytes: Uint8Array): Promise<void> {
    const { prng } = this.#disk
    return this.#disk.file(
      'write-sync',
      this,
      () => {
        if (this.#disk.lie === 'sync-skipped') this.#writeFitting('write', positionBytes, bytes)
        else {
          const fits = this.#disk.fitBytes(this.#inode, positionBytes, bytes.byteLength)
          if (fits > 0) this.#inode.writeDurable(positionBytes, bytes.subarray(0, fits), prng)
          this.#refuseRest('write', fits, bytes)
        }
      },
      {
        factor: this.#disk.syncFactor,
        half: () => this.#writeSome(positionBytes, bytes),
        fail: () => {
          this.#writeSome(positionBytes, bytes)
          if (prng.chance(50)) this.#inode.failSync(this.#inode.beginSync(), prng, prng.pick([0, 50, 100]))
        }
      }
    )
  }

  sync(): Promise<void> {
    const sync = this.#inode.beginSync()
    const { prng } = this.#disk
    return this.#disk.file(
      'sync',
      this,
      () => {
        if (this.#disk.lie === 'sync-skipped') this.#inode.pretendSync(sync)
        else this.#inode.endSync(sync)
      },
      {
        factor: this.#disk.syncFactor,
        half: () => this.#inode.partSync(sync, prng, prng.pick([0, 50, 100])),
        fail: () => this.#inode.failSync(sync, prng, prng.pick([0, 50, 100]))
      }
    )
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#disk.file('truncate', this, () => {
      const fits = this.#disk.fitBytes(this.#inode, this.#inode.sizeBytes, sizeBytes - this.#inode.sizeBytes)
      if (sizeBytes > this.#inode.sizeBytes + Math.max(0, fits)) throw this.#full('truncate')
      this.#inode.truncate(sizeBytes)
    })
  }

  sizeBytes(): Promise<number> {
    return this.#disk.file('stat', this, () => this.#inode.sizeBytes)
  }

  close(): Promise<void> {
    return this.#disk.file('close', this, () => {
      this.isClosed = true
    })
  }

  #writeFitting(operation: string, positionBytes: number, bytes: Uint8Array): void {
    const code = this.#inode.mixingCode(positionBytes, bytes.byteLength)
    if (code !== null) throw new DiskError(code, { operation, path: this.path, detail: 'simulated bad sector' })
    const fits = this.#disk.fitBytes(this.#inode, positionBytes, bytes.byteLength)
    this.#inode.write(positionBytes, bytes.subarray(0, fits), this.#disk.prng)
    this.#refuseRest(operation, fits, bytes)
  }

  #refuseRest(operation: string, fits: number, bytes: Uint8Array): void {
    if (fits < bytes.byteLength) throw this.#full(operation)
  }

  #full(operation: string): DiskError {
    this.#disk.count('enospc')
    return new DiskError('ENOSPC', { operation, path: this.path, detail: 'simulated' })
  }

  /** A prefix into the cache: nothing, everything, or up to a sector boundary or any byte. */
  #writeSome(positionBytes: number, bytes: Uint8Array): void {
    const { prng } = this.#disk
    const kind = prng.below(4)
    const count = bytes.byteLength
    const length =
      kind === 0
        ? 0
        : kind === 1
          ? count
          : kind === 2
            ? prng.below(Math.floor(count / SECTOR_BYTES) + 1) * SECTOR_BYTES
            : prng.below(count + 1)
    const fits = this.#disk.fitBytes(this.#inode, positionBytes, length)
    this.#inode.write(positionBytes, bytes.subarray(0, fits), prng)
  }
}

// A block device in memory with a volatile write cache: what was written is lost with the power unless a flush came after it.
// survivors() makes the bytes that a power cut at this very moment would leave, without disturbing the device.
//
// Invariants: a read sees every write; `flushed` holds every write that came before the last flush, and nothing else. Writes are done one
// after the other, so that a write which came before a flush was also answered before it.
// Not for: the wire (nbd-server.ts), devices that lie about a flush, reads that fail.

import type { Prng } from '../../sim/prng.ts'
import { SparseBytes } from './sparse-bytes.ts'

export const SECTOR_BYTES = 512

/** What becomes of the writes that no flush has followed. */
export const CUT_MODES = ['all-lost', 'prefix', 'random', 'torn'] as const
export type CutMode = (typeof CUT_MODES)[number]

interface PendingWrite {
  readonly offset: number
  readonly bytes: Buffer
}

export interface DeviceCounters {
  readonly writes: number
  readonly writtenBytes: number
  readonly flushes: number
  /** Writes that came with FUA: durable by themselves. */
  readonly forcedWrites: number
}

export class VolatileDevice {
  readonly sizeBytes: number
  /** Called after each write and flush, before it is answered: the place to cut the power between two of them. */
  onStep: ((step: 'write' | 'flush') => void) | null = null
  readonly #current: SparseBytes
  readonly #flushed: SparseBytes
  #pending: PendingWrite[] = []
  #writes = 0
  #writtenBytes = 0
  #flushes = 0
  #forcedWrites = 0

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
    this.#current = new SparseBytes(sizeBytes)
    this.#flushed = new SparseBytes(sizeBytes)
  }

  get counters(): DeviceCounters {
    return { writes: this.#writes, writtenBytes: this.#writtenBytes, flushes: this.#flushes, forcedWrites: this.#forcedWrites }
  }

  /** Bytes of the writes that a power cut now could take. */
  get volatileBytes(): number {
    return this.#pending.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
  }

  /** The caller has checked the range. */
  read(offset: number, length: number): Buffer {
    return this.#current.read(offset, length)
  }

  /** `isForced` is FUA: this write, and no other, is durable when it is answered. */
  write(offset: number, bytes: Buffer, isForced: boolean): void {
    this.#writes++
    this.#writtenBytes += bytes.byteLength
    this.#current.write(offset, bytes)
    if (isForced) {
      this.#forcedWrites++
      // What was written there before is overwritten for good: an older write must not come back over it.
      this.#pending = this.#pending.flatMap((older) => without(older, offset, offset + bytes.byteLength))
      this.#flushed.write(offset, bytes)
    } else this.#pending.push({ offset, bytes: Buffer.from(bytes) })
    this.onStep?.('write')
  }

  flush(): void {
    this.#flushes++
    for (const { offset, bytes } of this.#pending) this.#flushed.write(offset, bytes)
    this.#pending = []
    this.onStep?.('flush')
  }

  /** The device as a power cut now would leave it. `prefix` and the others draw from `prng` which of the volatile writes made it. */
  survivors(mode: CutMode, prng: Prng): SparseBytes {
    const image = this.#flushed.clone()
    if (mode === 'all-lost') return image
    const percent = prng.pick([10, 50, 90])
    const prefixCount = prng.between(0, this.#pending.length)
    this.#pending.forEach(({ offset, bytes }, index) => {
      if (mode === 'prefix') {
        if (index < prefixCount) image.write(offset, bytes)
      } else if (mode === 'random') {
        if (prng.chance(percent)) image.write(offset, bytes)
      } else {
        for (let at = 0; at < bytes.byteLength; at += SECTOR_BYTES) {
          if (prng.chance(percent)) image.write(offset + at, bytes.subarray(at, at + SECTOR_BYTES))
        }
      }
    })
    return image
  }
}

/** What is left of a write outside [start, end). */
function without({ offset, bytes }: PendingWrite, start: number, end: number): PendingWrite[] {
  const stop = offset + bytes.byteLength
  if (stop <= start || offset >= end) return [{ offset, bytes }]
  const left: PendingWrite[] = []
  if (offset < start) left.push({ offset, bytes: bytes.subarray(0, start - offset) })
  if (stop > end) left.push({ offset: end, bytes: bytes.subarray(end - offset) })
  return left
}

// Starts on a disk without a free byte, for a while: of files that are there, everything else is refused for want of room. At some of them the
// configuration asks for more journal files. None of them may be refused for want of room, unless a fault was planned for it or nothing is stored yet.
// Draws from its own Prng, so that the rest of a seed's life stays as it is. Not for: a disk that fills while the gateway lives (world.ts).

import { WadiError } from '../../runtime/base/errors.ts'
import type { StorageSettings } from '../../runtime/log/settings.ts'
import { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import type { SimDisk } from './sim-disk.ts'

const AREA = 0x66756c6c // "full"

export class FullStarts {
  readonly reached = new Map<string, number>()
  readonly #prng: Prng
  readonly #isDrawn: boolean
  #journalFileCount = 2
  #hasStarted = false
  #plannedFaults = 0

  constructor(seed: number) {
    this.#prng = new Prng(seed ^ AREA)
    this.#isDrawn = this.#prng.chance(25)
  }

  /** What the configuration says at this start. A quota of the directory is meant for two journal files. */
  settings({ quotaBytes }: Partial<StorageSettings>): Partial<StorageSettings> {
    return this.#isDrawn && quotaBytes == null ? { journalFileCount: this.#journalFileCount } : {}
  }

  /** @returns what is wrong with it; null when nothing is */
  onStarted(disk: SimDisk, error: unknown): string | null {
    const isOfFault = plannedFaults(disk) > this.#plannedFaults
    const isRefused = error instanceof WadiError && error.code === 'WADI_DISK_FULL'
    if (isRefused && this.#hasStarted && !isOfFault) return `a full disk refused the start: ${error.message}`
    if (error === null) this.#hasStarted = true
    return null
  }

  beforeStart(disk: SimDisk, clock: SimClock): void {
    this.#plannedFaults = plannedFaults(disk)
    if (this.#isDrawn) this.#journalFileCount = Math.max(this.#journalFileCount, this.#prng.pick([2, 2, 3, 4]))
    if (!this.#isDrawn || this.#prng.chance(50) || disk.capacityBytes !== Number.POSITIVE_INFINITY) return
    this.reached.set('start-on-full-disk', (this.reached.get('start-on-full-disk') ?? 0) + 1)
    const full = disk.usedBytes
    disk.capacityBytes = full
    clock.after(this.#prng.between(500, 6_000), () => {
      if (disk.capacityBytes === full) disk.capacityBytes = Number.POSITIVE_INFINITY
    })
  }
}

function plannedFaults(disk: SimDisk): number {
  let count = 0
  for (const [what, times] of disk.reached) if (what.startsWith('planned:')) count += times
  return count
}

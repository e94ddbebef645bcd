// Starts on a disk without a free byte, for a while: of files that are there, everything else is refused for want of room. Draws from its own Prng,
// so that the rest of a seed's life stays as it is. Not for: a disk that fills while the gateway lives (world.ts).

import { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import type { SimDisk } from './sim-disk.ts'

const AREA = 0x66756c6c // "full"

export class FullStarts {
  readonly reached = new Map<string, number>()
  readonly #prng: Prng
  readonly #isDrawn: boolean

  constructor(seed: number) {
    this.#prng = new Prng(seed ^ AREA)
    this.#isDrawn = this.#prng.chance(25)
  }

  beforeStart(disk: SimDisk, clock: SimClock): void {
    if (!this.#isDrawn || this.#prng.chance(50) || disk.capacityBytes !== Number.POSITIVE_INFINITY) return
    this.reached.set('start-on-full-disk', (this.reached.get('start-on-full-disk') ?? 0) + 1)
    const full = disk.usedBytes
    disk.capacityBytes = full
    clock.after(this.#prng.between(500, 6_000), () => {
      if (disk.capacityBytes === full) disk.capacityBytes = Number.POSITIVE_INFINITY
    })
  }
}

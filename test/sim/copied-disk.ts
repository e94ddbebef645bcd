// The disk of a running gateway is copied, the gateway writes on without a link and stops; the copy takes its place, delivers and stops; then the disk it
// replaced comes back, with events of the common start that only it has. By chance alone a world meets all of that once in thousands.
// Draws from its own Prng, so that the rest of a seed's life stays as it is. Not for: swapping disks, and who may (operator.ts).

import { Prng } from './prng.ts'
import type { SimCentre } from './sim-centre.ts'
import type { SimClock } from './sim-clock.ts'

const AREA = 0x636f7079 // "copy"

export interface CopiedDiskHost {
  readonly clock: SimClock
  readonly centre: SimCentre
  isCalm(): boolean
  /** An image of the disk now; false when that may not be put back. */
  copy(): boolean
  crash(kind: 'power' | 'kill'): void
}

export class CopiedDisk {
  readonly #prng: Prng
  readonly #host: CopiedDiskHost
  readonly #isDrawn: boolean

  constructor(seed: number, host: CopiedDiskHost) {
    this.#prng = new Prng(seed ^ AREA)
    this.#host = host
    this.#isDrawn = this.#prng.chance(40)
  }

  /** How long the disturbances of this world last at least. */
  get durationMsMin(): number {
    return this.#isDrawn ? 8_000 : 0
  }

  plan(): void {
    if (this.#isDrawn) this.#host.clock.after(this.#prng.between(400, 2_000), () => this.#copy())
  }

  #copy(): void {
    const { clock, centre, isCalm, copy } = this.#host
    if (isCalm() || !copy()) return
    centre.count('running-disk-copied')
    centre.link = { ...centre.link, isDown: true }
    const stopMs = this.#prng.between(100, 900)
    clock.after(stopMs, () => {
      this.#stop(this.#prng.chance(50) ? 'power' : 'kill')
      centre.link = { ...centre.link, isDown: false }
    })
    clock.after(stopMs + this.#prng.between(2_000, 4_000), () => this.#stop('kill'))
  }

  #stop(kind: 'power' | 'kill'): void {
    if (!this.#host.isCalm()) this.#host.crash(kind)
  }
}

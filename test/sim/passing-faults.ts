// Faults of the world that pass by themselves: no link, a noisy one, a full disk. Not for: faults that happen at one moment (world.ts).

import { KIB } from '../../runtime/log/settings.ts'
import type { Prng } from './prng.ts'
import type { SimCentre } from './sim-centre.ts'
import type { SimClock } from './sim-clock.ts'
import type { SimDisk } from './sim-disk.ts'
import { goodLink } from './sim-link.ts'

export interface PassingFaultsHost {
  readonly clock: SimClock
  readonly prng: Prng
  readonly centre: SimCentre
  readonly disk: SimDisk
  /** Of all disturbances. */
  durationMs(): number
  count(what: string): void
}

export class PassingFaults {
  readonly #host: PassingFaultsHost

  constructor(host: PassingFaultsHost) {
    this.#host = host
  }

  later(what: { linkDown?: boolean; linkNoise?: boolean; diskFull?: boolean }): void {
    const { clock, prng, centre, disk, durationMs: allMs, count } = this.#host
    const durationMs = prng.chance(30) ? allMs() : prng.between(200, 8_000)
    if (what.linkDown) {
      count('link-down')
      centre.link = { ...centre.link, isDown: true }
      clock.after(durationMs, () => {
        centre.link = { ...centre.link, isDown: false }
      })
    }
    if (what.linkNoise) {
      count('link-noise')
      const percent = prng.pick([2, 10, 30])
      centre.link = {
        ...centre.link,
        requestLostPercent: prng.pick([0, percent]),
        answerLostPercent: prng.pick([0, percent]),
        lateRequestPercent: prng.pick([0, percent]),
        retryPercent: prng.pick([0, percent]),
        delayMs: prng.pick([goodLink.delayMs, { min: 100, max: 900 }]),
        deadlineMs: prng.pick([2_000, 10_000])
      }
      clock.after(durationMs, () => {
        centre.link = { ...goodLink, isDown: centre.link.isDown }
      })
    }
    if (what.diskFull) {
      count('disk-full')
      disk.capacityBytes = disk.usedBytes + prng.below(16 * KIB)
      clock.after(durationMs, () => {
        disk.capacityBytes = Number.POSITIVE_INFINITY
      })
    }
  }
}

// Now and then a process of the simulated gateway ends as SIGTERM ends it, and not by a kill: what it writes then is what the next start believes.
// Draws from a stream of its own. Not for: what comes after (world.ts).

import { WadiError } from '../../runtime/base/errors.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { Uplink } from '../../runtime/uplink/uplink.ts'
import { Prng } from './prng.ts'

const UPLINK_DEADLINE_MS = 5_000
/** Of kills, in half of all worlds. */
const PERCENT = 40

export class CleanStop {
  readonly #prng: Prng
  readonly #percent: number

  constructor(seed: number) {
    this.#prng = new Prng(seed ^ 0x73746f70)
    this.#percent = this.#prng.chance(50) ? PERCENT : 0
  }

  /** A kill that is to come is a clean stop instead. */
  isDue(): boolean {
    return this.#prng.chance(this.#percent)
  }

  /** Resolves when the process has nothing more to do; a store that has failed meanwhile cannot end cleanly. Never when it is killed before. */
  async run(store: LogStore, uplink: Uplink): Promise<void> {
    await uplink.close({ deadlineMs: UPLINK_DEADLINE_MS })
    await store.close().catch((error: unknown) => {
      if (!(error instanceof WadiError)) throw error
    })
  }
}

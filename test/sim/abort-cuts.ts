// Crashes around aborts that take several commits: while an open transaction is large and the commits of the next life are small; then behind the
// decision, behind the markers, between what is left of it. By chance alone a world hardly ever meets these few milliseconds.
// Draws from its own Prng, so that the rest of a seed's life stays as it is.
// Not for: what makes an abort so large (commit-sizes.ts), what must have become of the transaction (local-clients.ts).

import type { Store } from '../../runtime/log/contract.ts'
import type { CommitSizes } from './commit-sizes.ts'
import { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import { withMembers } from './with-members.ts'

const AREA = 0x61626f72 // "abor"
const DECISION_PREFIX = 'txn-abort/'
const OFFSETS_PREFIX = 'txn-offsets/'

export interface AbortCutsHost {
  readonly clock: SimClock
  readonly commitSizes: CommitSizes
  /** Of the process that runs then, if any. */
  crash(kind: 'power' | 'kill', why: string): void
}

export class AbortCuts {
  readonly #prng: Prng
  readonly #host: AbortCutsHost

  constructor(seed: number, host: AbortCutsHost) {
    this.#prng = new Prng(seed ^ AREA)
    this.#host = host
  }

  /** The store as the clients' broker sees it. */
  watch(store: Store): Store {
    return withMembers<Store>(store, {
      commit: (appends, state) => {
        const isSet = (prefix: string): boolean =>
          typeof state !== 'function' && state.some(({ key, value }) => key.startsWith(prefix) && value !== null)
        if (isSet(DECISION_PREFIX)) this.#maybeCrash(70, { withinMs: this.#prng.pick([3, 15, 60]), why: 'behind-abort-decision' })
        if (this.#host.commitSizes.isInTurns && isSet(OFFSETS_PREFIX))
          this.#maybeCrash(20, { withinMs: 500, why: 'with-large-transaction' })
        return store.commit(appends, state)
      }
    })
  }

  #maybeCrash(percent: number, { withinMs, why }: { withinMs: number; why: string }): void {
    if (!this.#prng.chance(percent)) return
    const kind = this.#prng.chance(70) ? 'power' : 'kill'
    this.#host.clock.after(this.#prng.fraction() * withinMs, () => this.#host.crash(kind, why))
  }
}

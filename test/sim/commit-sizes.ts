// In some worlds a commit holds less in one life of the gateway than in another, as when its storage is configured anew, and the transactions of local
// clients commit offsets that come near to what a commit holds: their end may not fit the commits of a later life. In a few every other life has
// the small ones, so that it hardly ever does.
// Draws from a stream of its own. Not for: what the clients do beside that (local-clients.ts).

import type { OffsetToCommit } from '../../runtime/broker/committed-offsets.ts'
import { KIB, type StorageSettings } from '../../runtime/log/settings.ts'
import { Prng } from './prng.ts'

export const OFFSETS_GROUP = 'group'
/** Of transactional batches, whose transaction commits offsets too. */
const OFFSETS_PERCENT = 80

export class CommitSizes {
  readonly #prng: Prng
  readonly #isActive: boolean
  /** Every other life has the small commits. */
  readonly isInTurns: boolean
  #isSmall = true

  constructor(seed: number) {
    this.#prng = new Prng(seed ^ 0x73697a65)
    const isActive = this.#prng.chance(25)
    this.isInTurns = new Prng(seed ^ 0x7475726e).chance(25)
    this.#isActive = isActive || this.isInTurns
  }

  /** Of the life that begins. */
  next(): Partial<StorageSettings> {
    this.#isSmall = !this.#isSmall
    if (this.isInTurns) return { commitBytesMax: (this.#isSmall ? 8 : 16) * KIB }
    return this.#isActive ? { commitBytesMax: this.#prng.pick([8, 16]) * KIB } : {}
  }

  /** What the transaction that writes to this place commits beside its events; null: nothing. */
  offsets(topicName: string, partitionIndex: number): OffsetToCommit[] | null {
    if (!this.#isActive || !this.#prng.chance(OFFSETS_PERCENT)) return null
    const [count, bytesMin] = this.isInTurns ? [2, 3_000] : [this.#prng.between(1, 3), 500]
    return Array.from({ length: count }, () => {
      const metadata = 'm'.repeat(this.#prng.between(bytesMin, 4_000))
      return { groupId: OFFSETS_GROUP, topicName, partitionIndex, offset: this.#prng.below(1_000), leaderEpoch: -1, metadata }
    })
  }
}

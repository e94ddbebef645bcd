// What nobody asks for any more is forgotten, durably: producers, transactional ids, committed offsets. Looked at every ten minutes.
//
// Offsets of a group expire as in Kafka: `offsetRetentionMs` after the group became empty, of a group that never had members after the
// commit. While it has members, or a transaction holds offsets for it, nothing of it expires. A restart forgets when a group became empty:
// then the commits count. So what a group with members committed a seventh of that time ago is noted as in use: members that come back late
// after a restart (a power cut takes them too) find it, also where nothing new came for weeks.
// A refusal of the store only postpones: memory changes when the deletion is durable.

import { WadiError } from '../base/errors.ts'
import { inParts } from '../base/in-parts.ts'
import type { Clock, Timer } from '../io/clock.ts'
import type { Store } from '../log/contract.ts'
import { deleteState } from '../log/state-codec.ts'
import { Ages } from './ages.ts'
import type { CommittedOffsets } from './committed-offsets.ts'
import type { Groups } from './groups.ts'
import type { KeyedLock } from './keyed-lock.ts'
import type { ProducerStates } from './partition-producers.ts'
import type { Transactions } from './transactions.ts'

export const EXPIRY_SCAN_MS = 600_000
const CHANGES_AT_ONCE = 1000
/** Of the time that offsets are kept. */
const NOTED_AGAIN = 1 / 7

export interface ExpiryContext {
  readonly store: Store
  readonly clock: Clock
  readonly producers: ProducerStates
  /** By producer id: what is on its way. */
  readonly producerLock: KeyedLock
  readonly groups: Groups
  readonly committedOffsets: CommittedOffsets
  readonly transactions: Transactions
  readonly producerExpiryMs: number
  readonly offsetRetentionMs: number
  readonly transactionalIdExpiryMs: number
}

export class Expiry {
  readonly #context: ExpiryContext
  readonly #ages: Ages
  /** Group → last look at which it had members. */
  readonly #activeAtMs = new Map<string, number>()
  #timer: Timer | null = null
  #isClosed = false

  constructor(context: ExpiryContext) {
    this.#context = context
    this.#ages = new Ages(context.clock)
    this.#plan()
  }

  /** Groups of which it is remembered that they had members. */
  get activeGroupCount(): number {
    return this.#activeAtMs.size
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  #plan(): void {
    if (this.#isClosed) return
    this.#timer = this.#context.clock.after(EXPIRY_SCAN_MS, () => {
      void this.#scan().finally(() => this.#plan())
    })
  }

  async #scan(): Promise<void> {
    const { producers, producerLock, transactions, producerExpiryMs, transactionalIdExpiryMs } = this.#context
    this.#ages.look()
    try {
      // All deletions are asked for at once: whoever comes back meanwhile writes behind them. Whoever is writing just now is left alone.
      const isOver = (lastMs: number): boolean => this.#ages.ageMs(lastMs) >= producerExpiryMs
      await Promise.all([
        this.#expireProducers(producers.expired(isOver, (producerId) => producerLock.isBusy(String(producerId)))),
        this.#expireOffsets(),
        this.#context.committedOffsets.forgetOrphans(),
        transactions.expire((updatedMs) => this.#ages.ageMs(updatedMs) >= transactionalIdExpiryMs)
      ])
    } catch (error) {
      if (!(error instanceof WadiError)) throw error
    }
  }

  async #expireOffsets(): Promise<void> {
    const { committedOffsets, groups, transactions, clock, offsetRetentionMs } = this.#context
    const known = new Set(committedOffsets.groupIds())
    for (const groupId of this.#activeAtMs.keys()) if (!known.has(groupId)) this.#activeAtMs.delete(groupId) // with its topics, or by a client
    for (const groupId of known) {
      if ((groups.find(groupId)?.memberCount ?? 0) > 0) {
        this.#activeAtMs.set(groupId, clock.wallMs())
        const unnoted = committedOffsets.list(groupId).filter(({ timeMs }) => this.#ages.ageMs(timeMs) >= offsetRetentionMs * NOTED_AGAIN)
        for (const part of inParts(unnoted, CHANGES_AT_ONCE)) await committedOffsets.refresh(part)
        continue
      }
      const activeAtMs = this.#activeAtMs.get(groupId)
      const isEmptyLongEnough = activeAtMs === undefined || this.#ages.ageMs(activeAtMs) >= offsetRetentionMs
      if (!isEmptyLongEnough || transactions.hasPendingOffsets(groupId)) continue
      const old = committedOffsets.list(groupId).filter(({ timeMs }) => this.#ages.ageMs(timeMs) >= offsetRetentionMs)
      for (const part of inParts(old, CHANGES_AT_ONCE)) await committedOffsets.forget(part)
      if (committedOffsets.list(groupId).length === 0) this.#activeAtMs.delete(groupId)
    }
  }

  async #expireProducers(expired: ReturnType<ProducerStates['expired']>): Promise<void> {
    await Promise.all(
      inParts(expired, CHANGES_AT_ONCE).map(async (part) => {
        await this.#context.store.commit(
          [],
          part.map(({ key }) => deleteState(key))
        )
        for (const { forget } of part) forget()
      })
    )
  }
}

// What nobody asks for any more is forgotten, durably: producers, transactional ids, committed offsets. Looked at every ten minutes.
//
// Offsets of a group expire as in Kafka: `offsetRetentionMs` after the group became empty and they were committed, of a group that never had members
// after the commit; of a group of consumers, in Stable, those of topics that none of them reads. Nothing expires that a transaction holds offsets
// for. When a group became empty is durable (group-record.ts); after a restart it has its members until their sessions are over.
// An empty group without offsets is forgotten at the next look.
// A refusal of the store only postpones: memory changes when the deletion is durable.

import { WadiError } from '../base/errors.ts'
import { inParts } from '../base/in-parts.ts'
import type { Clock, Timer } from '../io/clock.ts'
import type { Store } from '../log/contract.ts'
import { deleteState } from '../log/state-codec.ts'
import { Ages } from './ages.ts'
import type { CommittedOffsets, KeptOffset } from './committed-offsets.ts'
import type { Group } from './group.ts'
import type { Groups } from './groups.ts'
import type { KeyedLock } from './keyed-lock.ts'
import type { ProducerStates } from './partition-producers.ts'
import type { Transactions } from './transactions.ts'

export const EXPIRY_SCAN_MS = 600_000
const CHANGES_AT_ONCE = 1000

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
  #timer: Timer | null = null
  #isClosed = false

  constructor(context: ExpiryContext) {
    this.#context = context
    this.#ages = new Ages(context.clock)
    this.#plan()
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
    const { committedOffsets, groups, transactions } = this.#context
    for (const groupId of committedOffsets.groupIds()) {
      if (transactions.hasPendingOffsets(groupId)) continue
      const isUsed = this.#usedBy(groups.find(groupId))
      const isOver = ({ topicName, timeMs }: KeptOffset): boolean => this.#isOver(timeMs) && !isUsed(topicName)
      for (const part of inParts(committedOffsets.list(groupId).filter(isOver), CHANGES_AT_ONCE)) await committedOffsets.forget(part)
    }
    groups.forgetUnused()
  }

  #isOver(timeMs: number | null): boolean {
    return this.#ages.ageMs(timeMs) >= this.#context.offsetRetentionMs
  }

  /** Topics whose offsets a group needs, however old they are. */
  #usedBy(group: Group | null): (topicName: string) => boolean {
    if (group === null) return () => false
    if (group.status === 'Empty') {
      const isOver = group.changedMs === null || this.#isOver(group.changedMs)
      return () => !isOver
    }
    const topics = group.status === 'Stable' ? group.subscribedTopics() : null
    return (topicName) => topics?.has(topicName) ?? true
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

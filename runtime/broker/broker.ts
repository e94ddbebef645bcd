// The broker without a wire: everything a Kafka server does with topics, producers, transactions, groups and reads, on one Store.
// One per Store. Closing it leaves the Store open: that one belongs to whoever opened it.

import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import type { Clock, Timer } from '../io/clock.ts'
import type { BlockCodec } from '../io/codec.ts'
import type { Random } from '../io/random.ts'
import type { Store } from '../log/contract.ts'
import { Appends } from './appends.ts'
import { CommittedOffsets } from './committed-offsets.ts'
import { Fetches } from './fetch.ts'
import { Groups } from './groups.ts'
import { KeyedLock } from './keyed-lock.ts'
import { Ledgers } from './partition-ledger.ts'
import { ProducerIds } from './producer-ids.ts'
import { Topics } from './topics.ts'
import { Transactions } from './transactions.ts'

export interface BrokerSettings {
  readonly partitionCountDefault: number
  readonly partitionCountMax: number
  /** Kafka's max.message.bytes: the largest batch a client may send. With its state it has to fit one commit of the store. */
  readonly batchBytesMax: number
  /** How far ahead of our clock a record's timestamp may lie; null = any. */
  readonly timestampAheadMsMax: number | null
  readonly initialRebalanceDelayMs: number
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
  readonly groupMemberCountMax: number
  /** A producer silent for so long is forgotten; its next batch may start anywhere. */
  readonly producerExpiryMs: number
}

export const defaultBrokerSettings: BrokerSettings = {
  partitionCountDefault: 1,
  partitionCountMax: 1000,
  batchBytesMax: 1_000_000,
  timestampAheadMsMax: 3_600_000,
  initialRebalanceDelayMs: 3000,
  sessionTimeoutMsMin: 6000,
  sessionTimeoutMsMax: 1_800_000,
  groupMemberCountMax: 1000,
  producerExpiryMs: 86_400_000
}

const EXPIRY_SCAN_MS = 600_000
const EXPIRY_CHANGE_COUNT = 1000

export interface Broker {
  readonly settings: BrokerSettings
  readonly topics: Topics
  readonly appends: Appends
  readonly fetches: Fetches
  readonly ledgers: Ledgers
  readonly groups: Groups
  readonly committedOffsets: CommittedOffsets
  readonly transactions: Transactions
  /** Answers what is parked, stops every timer. */
  close(): void
}

/** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER when the stored state cannot be read */
export function openBroker(context: {
  store: Store
  core: Core
  clock: Clock
  random: Random
  codec: BlockCodec
  settings?: Partial<BrokerSettings>
}): Broker {
  const { store, core, clock, random, codec } = context
  const settings = { ...defaultBrokerSettings, ...context.settings }
  const ledgers = new Ledgers(store)
  const producerLock = new KeyedLock()
  const committedOffsets = new CommittedOffsets(store)
  const transactions = new Transactions({
    store,
    core,
    clock,
    ledgers,
    producerIds: new ProducerIds(store),
    producerLock,
    committedOffsets
  })
  const appends = new Appends({
    store,
    core,
    clock,
    codec,
    ledgers,
    producerLock,
    verifyTransaction: (producer, partition) => transactions.verify(producer, partition),
    batchBytesMax: settings.batchBytesMax,
    timestampAheadMsMax: settings.timestampAheadMsMax
  })
  const groups = new Groups({ clock, random, settings: { ...settings, memberCountMax: settings.groupMemberCountMax } })
  let isClosed = false
  let expiryTimer: Timer | null = null
  const planExpiry = (): void => {
    if (isClosed) return
    expiryTimer = clock.after(EXPIRY_SCAN_MS, () => {
      void expire(store, ledgers, clock.wallMs() - settings.producerExpiryMs).finally(planExpiry)
    })
  }
  planExpiry()
  return {
    settings,
    topics: new Topics(store, { partitionCount: settings.partitionCountDefault, partitionCountMax: settings.partitionCountMax }),
    appends,
    fetches: new Fetches({ ledgers, clock }),
    ledgers,
    groups,
    committedOffsets,
    transactions,
    close(): void {
      if (isClosed) return
      isClosed = true
      expiryTimer?.cancel()
      transactions.close()
      groups.close()
    }
  }
}

/**
 * All commits are asked for at once: a producer that comes back writes its state behind them.
 * A refusal of the store only postpones it: what is left on disk is forgotten by the first scan after the next restart.
 */
async function expire(store: Store, ledgers: Ledgers, beforeMs: number): Promise<void> {
  const changes = ledgers.expire(beforeMs)
  try {
    const commits: Promise<unknown>[] = []
    for (let at = 0; at < changes.length; at += EXPIRY_CHANGE_COUNT)
      commits.push(store.commit([], changes.slice(at, at + EXPIRY_CHANGE_COUNT)))
    await Promise.all(commits)
  } catch (error) {
    if (!(error instanceof WadiError)) throw error
  }
}

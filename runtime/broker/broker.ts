// The broker without a wire: everything a Kafka server does with topics, producers, transactions, groups and reads, on one Store.
// One per Store. Closing it leaves the Store open: that one belongs to whoever opened it.

import type { Core } from '../core/core.ts'
import type { Clock } from '../io/clock.ts'
import type { BlockCodec } from '../io/codec.ts'
import type { Random } from '../io/random.ts'
import type { Store } from '../log/contract.ts'
import { Appends, type AppendsContext } from './appends.ts'
import { CommittedOffsets } from './committed-offsets.ts'
import { Expiry } from './expiry.ts'
import { Fetches } from './fetch.ts'
import { GroupAdmin } from './group-admin.ts'
import { Groups } from './groups.ts'
import { KeyedLock } from './keyed-lock.ts'
import { LeaderEpochs } from './leader-epochs.ts'
import { ProducerStates } from './partition-producers.ts'
import { ProducerBound } from './producer-bound.ts'
import { ProducerIds } from './producer-ids.ts'
import type { OnFull } from './shared-bound.ts'
import { type TopicDefaults, type TopicRules, Topics } from './topics.ts'
import { TransactionRoom } from './transaction-room.ts'
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
  /** Metadata and assignments of the members of all groups. */
  readonly groupBytesMax: number
  /** A producer silent for so long is forgotten; its next batch may start anywhere. */
  readonly producerExpiryMs: number
  /** Of all partitions together; above it those that were silent longest are forgotten early. */
  readonly producerCountMax: number
  /** Committed offsets of all groups, about what they take in memory. */
  readonly offsetBytesMax: number
  /** Kafka's offsets.retention.minutes: after the group became empty; of a group that never had members after the commit. */
  readonly offsetRetentionMs: number
  /** Kafka's transactional.id.expiration.ms: after the last change, when no transaction is open. */
  readonly transactionalIdExpiryMs: number
  /** New ids are refused above it. */
  readonly transactionalIdCountMax: number
  /** All of them and what their open transactions name, about what they take in memory. */
  readonly transactionBytesMax: number
  /** Aborted transactions, by partition, that the log has and readers are told of; above it no transaction begins to write. */
  readonly abortedCountMax: number
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
  groupBytesMax: 8 * 1024 * 1024,
  producerExpiryMs: 86_400_000,
  producerCountMax: 10_000,
  offsetBytesMax: 8 * 1024 * 1024,
  offsetRetentionMs: 7 * 86_400_000,
  transactionalIdExpiryMs: 7 * 86_400_000,
  transactionalIdCountMax: 10_000,
  transactionBytesMax: 16 * 1024 * 1024,
  abortedCountMax: 100_000
}

export interface Broker {
  readonly settings: BrokerSettings
  readonly topics: Topics
  readonly appends: Appends
  readonly fetches: Fetches
  readonly producers: ProducerStates
  readonly leaderEpochs: LeaderEpochs
  readonly groups: Groups
  readonly groupAdmin: GroupAdmin
  readonly committedOffsets: CommittedOffsets
  readonly transactions: Transactions
  /** Where the log lies. */
  readonly directory: string
  /** What the log takes there, and what is left; null = the file system does not say. */
  space(): Promise<{ readonly usedBytes: number; readonly freeBytes: number | null }>
  /** The wall clock. */
  nowMs(): number
  /** Answers what waits, stops every timer. */
  close(): void
}

function topicDefaults({ partitionCountDefault: partitionCount, partitionCountMax }: BrokerSettings): TopicDefaults {
  return { partitionCount, partitionCountMax }
}

export interface BrokerContext {
  readonly store: Store
  readonly core: Core
  readonly clock: Clock
  readonly random: Random
  readonly codec: BlockCodec
  readonly settings?: Partial<BrokerSettings>
  /** Default: clients make what they like, and nobody delivers it. */
  readonly topicRules?: TopicRules
  readonly onRefused?: AppendsContext['onRefused']
  readonly onFull?: OnFull
}

/** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER when the stored state cannot be read */
export function openBroker(context: BrokerContext): Broker {
  const { store, core, clock, random, codec, onFull = () => undefined } = context
  const settings = { ...defaultBrokerSettings, ...context.settings }
  const topics = new Topics(store, { defaults: topicDefaults(settings), values: settings, rules: context.topicRules })
  const producers = new ProducerStates(store)
  const producerLock = new KeyedLock()
  const shared = { store, clock, producers, producerLock }
  const producerBound = new ProducerBound({ ...shared, producerCountMax: settings.producerCountMax })
  const committedOffsets = new CommittedOffsets(store, clock, { bytesMax: settings.offsetBytesMax, onFull })
  const transactions = new Transactions({
    ...shared,
    core,
    producerIds: new ProducerIds(store),
    producerBound,
    committedOffsets,
    room: new TransactionRoom(settings, onFull)
  })
  const appends = new Appends({
    ...shared,
    core,
    codec,
    producerBound,
    verifyTransaction: (producer, partition) => transactions.verify(producer, partition),
    batchBytesMax: settings.batchBytesMax,
    timestampAheadMsMax: settings.timestampAheadMsMax,
    ...(context.onRefused && { onRefused: context.onRefused })
  })
  const leaderEpochs = new LeaderEpochs(store)
  const groups = new Groups({
    store,
    clock,
    random,
    settings: { ...settings, memberCountMax: settings.groupMemberCountMax },
    onFull,
    hasOffsets: (groupId) => committedOffsets.hasGroup(groupId) || transactions.hasPendingOffsets(groupId)
  })
  const expiry = new Expiry({ ...shared, groups, committedOffsets, transactions, ...settings })
  producerBound.enforce()
  const unsubscribe = store.onTopicDeleted((topic) => {
    for (const of of [topics, producers, committedOffsets]) of.forgetTopic(topic)
  })
  let isClosed = false
  return {
    settings,
    topics,
    appends,
    fetches: new Fetches({ producers, clock, leaderEpochs }),
    producers,
    leaderEpochs,
    groups,
    groupAdmin: new GroupAdmin({ groups, committedOffsets, transactions }),
    committedOffsets,
    transactions,
    directory: store.directory,
    space: () => store.space(),
    nowMs: () => clock.wallMs(),
    close(): void {
      if (isClosed) return
      isClosed = true
      unsubscribe()
      expiry.close()
      transactions.close()
      groups.close()
    }
  }
}

// The uplink's view of a central Kafka cluster: one transactional producer, transaction protocol version 1, and its position kept as
// committed offsets of a consumer group. Sends batches as they are; never encodes a record.
// Invariants: every call ends within callTimeoutMs plus one dial per broker (produce: within the transaction timeout while its upload
// makes progress) and rejects with UpstreamFault only. Not for: deciding what to do about a fault (runtime/uplink does), idempotence without transactions.
//
// Source: Apache Kafka, clients TransactionManager.java and core TransactionCoordinator.

import { assert } from '../../runtime/base/assert.ts'
import type { Clock } from '../../runtime/io/clock.ts'
import {
  type CommittedPosition,
  type CommittedRead,
  type ProduceTarget,
  type Upstream,
  UpstreamFault,
  type UpstreamTopic
} from '../../runtime/uplink/upstream.ts'
import type { Api, Draft } from '../kafka-protocol/api.ts'
import { api } from '../kafka-protocol/apis.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'
import type { OffsetFetchRequest, OffsetFetchResponse } from '../kafka-protocol/messages/offsets.ts'
import type { AddPartitionsToTxnResponse, TxnOffsetCommitRequest } from '../kafka-protocol/messages/transactions.ts'
import { parseAddress } from './address.ts'
import { Cluster, type Coordinator, NoBrokerAnswers } from './cluster.ts'
import {
  checkCode,
  checkTopics,
  type FaultTarget,
  isOfTopicAtCoordinator,
  KafkaErrorAnswer,
  readOnly,
  toFault,
  worstFault
} from './faults.ts'
import { withPatience } from './patience.ts'
import { produceRound } from './produce.ts'
import { type ReadFrom, readCommitted } from './read-committed.ts'
import { describeTopics } from './topics.ts'

export interface KafkaUpstreamOptions {
  /** host:port, at least one; only to begin with, the cluster names the others. */
  readonly brokers: readonly string[]
  readonly transactionalId: string
  readonly groupId: string
  readonly clientId: string
  /** After that the cluster aborts a transaction of ours that was not ended. */
  readonly transactionTimeoutMs: number
  /** A request without progress for so long fails. Default 30 s. */
  readonly requestTimeoutMs?: number
  /** Name lookup, TCP and first exchange. Default 10 s. */
  readonly dialTimeoutMs?: number
  /** How long one call goes on while the cluster says "not now". Default 30 s. */
  readonly callTimeoutMs?: number
  readonly clock: Clock
}

const REQUEST_TIMEOUT_MS = 30_000
const DIAL_TIMEOUT_MS = 10_000
const CALL_TIMEOUT_MS = 30_000
/** Of the topic: it always exists. */
const POSITION_PARTITION = 0
/** From here on OffsetFetch names several groups. */
const OFFSET_FETCH_GROUPS_FROM = 8

/** Those that a failure names failed the last time too. */
type IsHopeless = (failure: KafkaErrorAnswer | UpstreamFault) => boolean

const COORDINATOR_MOVED: ReadonlySet<number> = new Set([ERROR_CODE.NOT_COORDINATOR, ERROR_CODE.COORDINATOR_NOT_AVAILABLE])

export class KafkaUpstream implements Upstream {
  readonly description: string
  readonly #options: KafkaUpstreamOptions
  readonly #cluster: Cluster
  readonly #closing = new AbortController()
  readonly #requestTimeoutMs: number
  readonly #callTimeoutMs: number
  #onLost: (fault: UpstreamFault) => void = () => undefined
  #producer: { readonly producerId: bigint; readonly producerEpoch: number } | null = null
  /** "<call> <topic>" that failed after all patience: the next call of the kind does not keep everything else waiting for it again. */
  readonly #hopeless = new Set<string>()

  /** @throws AssertionError for an address that is none: settings are checked before they come here */
  constructor(options: KafkaUpstreamOptions) {
    const bootstrap = options.brokers.map((text) => {
      const address = parseAddress(text)
      assert(address, `not host:port: ${text}`)
      return address
    })
    this.#options = options
    this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
    this.#callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS
    this.#cluster = new Cluster({
      bootstrap,
      clientId: options.clientId,
      requestTimeoutMs: this.#requestTimeoutMs,
      dialTimeoutMs: options.dialTimeoutMs ?? DIAL_TIMEOUT_MS,
      clock: options.clock,
      onLost: (fault) => this.#onLost(fault)
    })
    this.description = `Kafka at ${options.brokers.join(', ')}`
  }

  onLost(listener: (fault: UpstreamFault) => void): void {
    this.#onLost = listener
  }

  get wireBytes(): { readonly sent: number; readonly received: number } {
    return this.#cluster.wireBytes
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#cluster.close()
  }

  describeTopics(
    names: readonly string[],
    { createPartitionCount }: { createPartitionCount: number | null }
  ): Promise<readonly UpstreamTopic[]> {
    return this.#forTopics('describe', names, (isHopeless) =>
      this.#patiently(({ leftMs }) => describeTopics(this.#cluster, names, { createPartitionCount, timeoutMs: Math.round(leftMs) }), {
        isHopeless
      })
    )
  }

  async initProducer(): Promise<{ producerId: bigint; producerEpoch: number }> {
    const { transactionalId, transactionTimeoutMs } = this.#options
    const answer = await this.#askCoordinator(
      'transaction',
      api.InitProducerId,
      () => ({ transactionalId, transactionTimeoutMs }),
      (response) => checkCode(response.errorCode, 'InitProducerId')
    )
    this.#producer = { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
    return this.#producer
  }

  async fetchPosition(pieceCounts: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, CommittedPosition>> {
    const positions = new Map<string, { committedOffset: number; pieces: string[] }>()
    for (let piece = 0; piece < Math.max(0, ...pieceCounts.values()); piece++) {
      const names = [...pieceCounts].filter(([, count]) => piece < count).map(([name]) => name)
      for (const { name, partitions } of await this.#fetchOffsets(this.#groupOf(piece), names)) {
        const { committedOffset = -1, metadata = null } = partitions[0] ?? {}
        const position = positions.get(name) ?? { committedOffset, pieces: [] }
        if (committedOffset < 0 || position.pieces.length !== piece) continue
        position.pieces.push(metadata ?? '')
        positions.set(name, position)
      }
    }
    return positions
  }

  async #fetchOffsets(groupId: string, names: readonly string[]): Promise<OffsetFetchResponse['topics']> {
    const topics = names.map((name) => ({ name, partitionIndexes: [POSITION_PARTITION] }))
    const draft = (version: number): Draft<OffsetFetchRequest> =>
      version < OFFSET_FETCH_GROUPS_FROM ? { groupId, topics, requireStable: true } : { groups: [{ groupId, topics }], requireStable: true }
    const answer = await readOnly(
      this.#askGroup(groupId, api.OffsetFetch, draft, (response) => {
        const found = response.groups[0] ?? response
        checkCode(found.errorCode, `OffsetFetch of group ${groupId}`)
        const answers = found.topics.flatMap(({ name, partitions }) =>
          partitions.map(({ errorCode }) => ({ topicName: name, code: errorCode, subject: `position on ${name}` }))
        )
        checkTopics(answers, isOfTopicAtCoordinator)
      })
    )
    return (answer.groups[0] ?? answer).topics
  }

  /** A piece each: a partition of a group holds one text. Places do not depend on how many partitions a topic has, which may change. */
  #groupOf(piece: number): string {
    return piece === 0 ? this.#options.groupId : `${this.#options.groupId}.${piece}`
  }

  async addPartitions(targets: readonly FaultTarget[]): Promise<void> {
    if (targets.length === 0) return
    const topics = new Map<string, number[]>()
    for (const { topicName, partitionIndex } of targets) topics.set(topicName, [...(topics.get(topicName) ?? []), partitionIndex])
    const draft = { ...this.#identity(), topics: [...topics].map(([name, partitions]) => ({ name, partitions })) }
    const check = (response: AddPartitionsToTxnResponse): void => {
      // When one partition is refused the others are not even attempted.
      const answers = response.resultsByTopic.flatMap(({ name, resultsByPartition }) =>
        resultsByPartition.map(({ partitionIndex, partitionErrorCode: code }) => {
          const target = { topicName: name, partitionIndex }
          return { topicName: name, code, subject: `AddPartitionsToTxn of ${name}/${partitionIndex}`, target }
        })
      )
      const attempted = answers.filter(({ code }) => code !== ERROR_CODE.OPERATION_NOT_ATTEMPTED)
      checkTopics(attempted, isOfTopicAtCoordinator)
      checkTopics(answers, isOfTopicAtCoordinator)
    }
    const coordinator: Coordinator = { kind: 'transaction', key: this.#options.transactionalId }
    await this.#forTopics('add', [...topics.keys()], (isHopeless) =>
      this.#ask(coordinator, api.AddPartitionsToTxn, () => draft, check, isHopeless)
    )
  }

  async produce(targets: readonly ProduceTarget[]): Promise<readonly { baseOffset: number }[]> {
    const names = new Set(targets.map((target) => `${target.topicName}/${target.partitionIndex}`))
    assert(names.size === targets.length, 'Kafka takes one batch per partition and request')
    const done = new Map<ProduceTarget, { baseOffset: number }>()
    const round = async (): Promise<void> => {
      const left = targets.filter((target) => !done.has(target))
      if (left.some((target) => !this.#cluster.leaderOf(target.topicName, target.partitionIndex)))
        await this.#cluster.refresh(topicNamesOf(left))
      await this.#produceRound(left, done)
    }
    await this.#forTopics('produce', topicNamesOf(targets), (isHopeless) => this.#patiently(round, { isHopeless }))
    return targets.map((target) => done.get(target)!)
  }

  /** @throws what decides over the call, when not every target is done */
  async #produceRound(left: readonly ProduceTarget[], done: Map<ProduceTarget, { baseOffset: number }>): Promise<void> {
    const { transactionalId, transactionTimeoutMs } = this.#options
    const outcomes = await produceRound(this.#cluster, left, {
      transactionalId,
      replicationTimeoutMs: this.#requestTimeoutMs,
      hardLimitMs: Math.max(transactionTimeoutMs, this.#requestTimeoutMs)
    })
    const again: (KafkaErrorAnswer | UpstreamFault)[] = []
    const faults: UpstreamFault[] = []
    for (const [target, outcome] of outcomes) {
      if (outcome instanceof KafkaErrorAnswer) {
        if (outcome.isRetriable) again.push(outcome)
        else faults.push(toFault(outcome))
      } else if (outcome instanceof UpstreamFault) {
        if (outcome.kind === 'unreachable') again.push(outcome)
        else faults.push(outcome)
      } else {
        done.set(target, { baseOffset: outcome.baseOffset })
      }
    }
    const failure = worstFault(faults) ?? mostTelling(again)
    if (failure) throw failure
  }

  async commitPosition(positions: ReadonlyMap<string, CommittedPosition>): Promise<void> {
    const pieceCount = Math.max(0, ...[...positions.values()].map(({ pieces }) => pieces.length))
    for (let piece = 0; piece < pieceCount; piece++) {
      const topics = [...positions].flatMap(([name, { committedOffset, pieces }]) => {
        const committedMetadata = pieces[piece]
        if (committedMetadata === undefined) return []
        return [{ name, partitions: [{ partitionIndex: POSITION_PARTITION, committedOffset, committedMetadata }] }]
      })
      await this.#commitOffsets(this.#groupOf(piece), topics)
    }
  }

  async #commitOffsets(groupId: string, topics: Draft<TxnOffsetCommitRequest>['topics']): Promise<void> {
    const identity = this.#identity()
    await this.#askCoordinator(
      'transaction',
      api.AddOffsetsToTxn,
      () => ({ ...identity, groupId }),
      (response) => checkCode(response.errorCode, `AddOffsetsToTxn of group ${groupId}`)
    )
    await this.#askGroup(
      groupId,
      api.TxnOffsetCommit,
      () => ({ ...identity, groupId, topics }),
      (response) => {
        const answers = response.topics.flatMap(({ name, partitions }) =>
          partitions.map(({ errorCode }) => ({ topicName: name, code: errorCode, subject: `TxnOffsetCommit on ${name}` }))
        )
        checkTopics(answers, isOfTopicAtCoordinator)
      }
    )
  }

  async endTransaction(outcome: 'commit' | 'abort'): Promise<void> {
    const draft = { ...this.#identity(), committed: outcome === 'commit' }
    await this.#askCoordinator(
      'transaction',
      api.EndTxn,
      () => draft,
      (response) => checkCode(response.errorCode, `EndTxn (${outcome})`)
    )
  }

  readCommitted(from: ReadFrom): Promise<CommittedRead> {
    return this.#patiently(() => readCommitted(this.#cluster, from))
  }

  #identity(): { transactionalId: string; producerId: bigint; producerEpoch: number } {
    assert(this.#producer, 'initProducer comes first')
    return { transactionalId: this.#options.transactionalId, ...this.#producer }
  }

  /** One request to the coordinator of our transactions, again wherever it moves, until it is answered for good. */
  #askCoordinator<Request, Response extends object>(
    kind: 'transaction',
    called: Api<Request, Response>,
    draft: (version: number) => Draft<Request>,
    check: (response: Response) => void
  ): Promise<Response> {
    return this.#ask({ kind, key: this.#options.transactionalId }, called, draft, check)
  }

  /** The same for the coordinator of a group. */
  #askGroup<Request, Response extends object>(
    groupId: string,
    called: Api<Request, Response>,
    draft: (version: number) => Draft<Request>,
    check: (response: Response) => void
  ): Promise<Response> {
    return this.#ask({ kind: 'group', key: groupId }, called, draft, check)
  }

  #ask<Request, Response extends object>(
    coordinator: Coordinator,
    called: Api<Request, Response>,
    draft: (version: number) => Draft<Request>,
    check: (response: Response) => void,
    isHopeless?: IsHopeless
  ): Promise<Response> {
    const attempt = async ({ leftMs }: { leftMs: number }): Promise<Response> => {
      const connection = await this.#cluster.coordinator(coordinator)
      const response = await connection.request(called, draft, { hardLimitMs: leftMs })
      check(response)
      return response
    }
    return this.#patiently(attempt, { coordinator, isHopeless })
  }

  /** `call` on these topics, where those that failed the last time are not waited for. */
  async #forTopics<T>(call: string, names: readonly string[], work: (isHopeless: IsHopeless) => Promise<T>): Promise<T> {
    const key = (name: string): string => `${call} ${name}`
    try {
      const result = await work(({ topics }) => topics.size > 0 && [...topics.keys()].every((name) => this.#hopeless.has(key(name))))
      for (const name of names) this.#hopeless.delete(key(name))
      return result
    } catch (error) {
      if (error instanceof UpstreamFault && error.kind !== 'refused') for (const name of error.topics.keys()) this.#hopeless.add(key(name))
      throw error
    }
  }

  async #patiently<T>(
    work: (attempt: { leftMs: number }) => Promise<T>,
    { coordinator, isHopeless }: { coordinator?: Coordinator | undefined; isHopeless?: IsHopeless | undefined } = {}
  ): Promise<T> {
    const { clock } = this.#options
    return withPatience({ clock, callTimeoutMs: this.#callTimeoutMs, signal: this.#closing.signal }, work, (failure) => {
      if (failure.cause instanceof NoBrokerAnswers || isHopeless?.(failure)) return false
      const isUnreachable = failure instanceof UpstreamFault
      if (coordinator === undefined) this.#cluster.forgetTopics()
      // Other brokers may know who takes over from one that is gone.
      else if (isUnreachable || COORDINATOR_MOVED.has(failure.code)) this.#cluster.forgetCoordinator(coordinator)
      return true
    })
  }
}

/** What passes may be waited for; an answer tells more than none. With the topics of all, when each is of a topic. */
function mostTelling(failures: readonly (KafkaErrorAnswer | UpstreamFault)[]): KafkaErrorAnswer | UpstreamFault | undefined {
  const failure = failures.find((candidate) => candidate instanceof KafkaErrorAnswer) ?? failures[0]
  if (!failure || failures.some(({ topics }) => topics.size === 0)) return failures.find(({ topics }) => topics.size === 0)
  const topics = new Map(failures.flatMap((candidate) => [...candidate.topics]))
  if (failure instanceof UpstreamFault) return new UpstreamFault(failure.kind, failure.message, { cause: failure.cause, topics })
  return failure.withTopics(topics)
}

function topicNamesOf(targets: readonly ProduceTarget[]): string[] {
  return [...new Set(targets.map((target) => target.topicName))]
}

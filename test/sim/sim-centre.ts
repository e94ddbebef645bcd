// The simulated central cluster: Kafka's rules for transactions, fencing, sequences and committed offsets, without a wire. It keeps the
// truth: what a read_committed consumer would see. Sources: Apache Kafka, TransactionCoordinator, ProducerStateManager, GroupMetadata.
//
// SimCentre is the cluster. connect() gives one process its Upstream over a link that loses requests and answers, delays them (also until
// long after the caller gave up) and goes down.
// Not for: load, replication, retention by size.

import { type Clock, sleep } from '../../runtime/io/clock.ts'
import {
  type CommittedPosition,
  type CommittedRead,
  type ProduceTarget,
  type Upstream,
  UpstreamFault,
  type UpstreamTopic
} from '../../runtime/uplink/upstream.ts'
import type { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import { type DecodedBatch, type DecodedRecord, decodeOrRefuse } from './sim-decode.ts'
import { goodLink, type LinkFaults, type Loss } from './sim-link.ts'
import { type FailingStep, ofTopic, TOPIC_FAILURES, type TopicFailure } from './topic-failures.ts'

const NEW_CONNECTION_MS = 50
const PATIENCE_MS_FIRST = 100
const PATIENCE_MS_MAX = 800

interface Entry {
  readonly baseOffset: number
  readonly producerId: bigint
  readonly records: readonly DecodedRecord[]
  /** As it was sent, with its base offset. */
  readonly bytes: Uint8Array
  state: 'open' | 'committed' | 'aborted'
}

interface ProducerState {
  epoch: number
  /** The last five batches: for duplicates. */
  batches: { first: number; last: number; baseOffset: number }[]
}

class CentrePartition {
  readonly entries: Entry[] = []
  nextOffset = 0
  logStartOffset = 0
  readonly producers = new Map<bigint, ProducerState>()
  /** No leader until then. */
  leaderlessUntilMs = 0
}

interface CentreTopic {
  readonly partitions: CentrePartition[]
  batchBytesMax: number
  topicId: string
}

interface Transactional {
  producerId: bigint
  epoch: number
  state: 'empty' | 'ongoing' | 'committed' | 'aborted'
  bumpedBy: 'init' | 'timeout'
  partitions: Set<string>
  positions: Map<string, CommittedPosition>
  number: number
}

export interface SimCentreOptions {
  readonly clock: SimClock
  readonly prng: Prng
  readonly transactionTimeoutMs?: number
  readonly batchBytesMax?: number
}

export class SimCentre {
  readonly clock: SimClock
  readonly prng: Prng
  readonly reached = new Map<string, number>()
  #link: LinkFaults = structuredClone(goodLink)
  readonly #upstreams = new Set<SimUpstream>()
  /** Loses the next call of this name, or so many; 'late': the caller gives up and the request arrives all the same. */
  loseNext: Loss | null = null
  batchBytesMax: number
  /** Values that the centre does not take. */
  refusesValue: (value: string | null) => boolean = () => false
  /** Topics have LogAppendTime. */
  setsTime = false
  /** Topics nobody may write or make. */
  readonly forbiddenTopics = new Set<string>()
  /** Topics that may be described, and the step that fails for them until it is taken out here. */
  readonly failingTopics = new Map<string, TopicFailure>()
  readonly #topics = new Map<string, CentreTopic>()
  readonly #transactional = new Map<string, Transactional>()
  readonly #positions = new Map<string, Map<string, CommittedPosition>>()
  readonly #transactionTimeoutMs: number
  #nextProducerId = 1000n
  #restartedAtMs = -1

  constructor(options: SimCentreOptions) {
    this.clock = options.clock
    this.prng = options.prng
    this.#transactionTimeoutMs = options.transactionTimeoutMs ?? 60_000
    this.batchBytesMax = options.batchBytesMax ?? 1_048_588
  }

  // -- The truth

  /** What a read_committed consumer sees from the beginning. */
  committed(topicName: string, partitionIndex: number): DecodedRecord[] {
    const partition = this.#topics.get(topicName)?.partitions[partitionIndex]
    return (partition?.entries ?? []).filter((entry) => entry.state === 'committed').flatMap((entry) => [...entry.records])
  }

  partitionCount(topicName: string): number {
    return this.#topics.get(topicName)?.partitions.length ?? 0
  }

  // -- What happens to it

  /** A topic is deleted, with all that it held and the positions on it. */
  deleteTopic(name: string): void {
    this.#topics.delete(name)
    for (const stored of this.#positions.values()) stored.delete(name)
  }

  createTopic(name: string, partitionCount: number): void {
    this.#topics.set(name, {
      partitions: Array.from({ length: partitionCount }, () => new CentrePartition()),
      batchBytesMax: this.batchBytesMax,
      topicId: Buffer.from(this.prng.bytes(16)).toString('hex')
    })
  }

  setBatchBytesMax(name: string, bytes: number): void {
    const topic = this.#topics.get(name)
    if (topic) topic.batchBytesMax = bytes
  }

  /** offsets.retention.minutes went by without a commit. */
  expirePositions(): void {
    this.count('positions-expired')
    this.#positions.clear()
  }

  /** The same for one topic, to which nothing was committed while it went by for others. */
  expirePosition(topicName: string): void {
    this.count('positions-expired')
    for (const stored of this.#positions.values()) stored.delete(topicName)
  }

  /** As if another hand had written the positions. */
  alterPositions(alter: (piece: string) => string): void {
    for (const stored of this.#positions.values())
      for (const [topic, { committedOffset, pieces }] of stored) stored.set(topic, { committedOffset, pieces: pieces.map(alter) })
  }

  /** producer.id.expiration.ms and transactional.id.expiration.ms went by; open transactions never expire. */
  expireProducers(): void {
    for (const [id, transactional] of this.#transactional) {
      if (transactional.state === 'ongoing') continue
      this.count('producer-expired')
      this.#transactional.delete(id)
      for (const topic of this.#topics.values())
        for (const partition of topic.partitions) partition.producers.delete(transactional.producerId)
    }
  }

  /** Requests under way are lost; what was acknowledged is not. */
  restart(): void {
    this.count('centre-restart')
    this.#restartedAtMs = this.clock.monotonicMs()
  }

  moveLeader(topicName: string, partitionIndex: number, durationMs: number): void {
    const partition = this.#topics.get(topicName)?.partitions[partitionIndex]
    if (!partition) return
    this.count('leader-moved')
    partition.leaderlessUntilMs = this.clock.monotonicMs() + durationMs
  }

  /** Everything of a partition is deleted by the centre's retention. */
  deleteRecords(topicName: string): void {
    for (const partition of this.#topics.get(topicName)?.partitions ?? []) partition.logStartOffset = partition.nextOffset
  }

  connect(process: Clock, transactionalId: string): SimUpstream {
    const upstream = new SimUpstream(this, process, transactionalId)
    this.#upstreams.add(upstream)
    return upstream
  }

  get link(): LinkFaults {
    return this.#link
  }

  /** A link that goes down closes every connection. */
  set link(link: LinkFaults) {
    const wasDown = this.#link.isDown
    this.#link = link
    if (link.isDown && !wasDown) for (const upstream of this.#upstreams) upstream.hangUp()
  }

  get restartedAtMs(): number {
    return this.#restartedAtMs
  }

  takeLoss(name: string): Loss['what'] | null {
    const loss = this.loseNext
    if (loss?.name !== name) return null
    const times = (loss.times ?? 1) - 1
    this.loseNext = times > 0 ? { ...loss, times } : null
    loss.onLost?.()
    return loss.what
  }

  count(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }

  // -- Requests, at the moment they arrive. Each throws UpstreamFault or happens.

  describe(names: readonly string[], createPartitionCount: number | null): UpstreamTopic[] {
    return names.map((name) => {
      if (this.forbiddenTopics.has(name)) throw ofTopic('refused', 'TOPIC_AUTHORIZATION_FAILED', name)
      this.#failAt('describe', [name])
      if (!this.#topics.has(name)) {
        if (createPartitionCount === null) throw ofTopic('refused', 'UNKNOWN_TOPIC_OR_PARTITION', name)
        this.createTopic(name, createPartitionCount)
      }
      const topic = this.#topics.get(name) as CentreTopic
      return { name, partitionCount: topic.partitions.length, batchBytesMax: topic.batchBytesMax, topicId: topic.topicId }
    })
  }

  initProducer(transactionalId: string): { producerId: bigint; producerEpoch: number } {
    let transactional = this.#transactional.get(transactionalId)
    if (!transactional) {
      transactional = {
        producerId: this.#nextProducerId++,
        epoch: -1,
        state: 'empty',
        bumpedBy: 'init',
        partitions: new Set(),
        positions: new Map(),
        number: 0
      }
      this.#transactional.set(transactionalId, transactional)
    }
    if (transactional.state === 'ongoing') {
      this.count('aborted-by-init')
      this.#end(transactionalId, transactional, 'abort')
    }
    transactional.epoch++
    transactional.state = 'empty'
    transactional.bumpedBy = 'init'
    return { producerId: transactional.producerId, producerEpoch: transactional.epoch }
  }

  fetchPosition(transactionalId: string, pieceCounts: ReadonlyMap<string, number>): Map<string, CommittedPosition> {
    const transactional = this.#transactional.get(transactionalId)
    if (transactional?.state === 'ongoing' && transactional.positions.size > 0) throw new UpstreamFault('retry', 'UNSTABLE_OFFSET_COMMIT')
    const stored = this.#positions.get(transactionalId) ?? new Map<string, CommittedPosition>()
    return new Map(
      [...stored]
        .filter(([topic]) => pieceCounts.has(topic))
        .map(([topic, { committedOffset, pieces }]) => [topic, { committedOffset, pieces: pieces.slice(0, pieceCounts.get(topic)) }])
    )
  }

  addPartitions(id: string, producer: ProducerKey, targets: readonly { topicName: string; partitionIndex: number }[]): void {
    const transactional = this.#check(id, producer)
    this.#failAt(
      'add-partitions',
      targets.map(({ topicName }) => topicName)
    )
    if (transactional.state !== 'ongoing') this.#begin(id, transactional)
    for (const { topicName, partitionIndex } of targets) transactional.partitions.add(`${topicName}/${partitionIndex}`)
  }

  /** Each target on its own, as in Kafka: those before the one that fails are in the log. */
  produce(id: string, producer: ProducerKey, targets: readonly ProduceTarget[]): { baseOffset: number }[] {
    return targets.map((target) => ({ baseOffset: this.#append(id, producer, target) }))
  }

  commitPosition(id: string, producer: ProducerKey, positions: ReadonlyMap<string, CommittedPosition>): void {
    const transactional = this.#check(id, producer)
    if (transactional.state !== 'ongoing') this.#begin(id, transactional)
    this.#failAt('commit-position', [...positions.keys()])
    for (const [topic, position] of positions) {
      if (position.pieces.some((piece) => piece.length > 4096)) throw ofTopic('refused', 'OFFSET_METADATA_TOO_LARGE', topic)
      // A piece that is not written again stays as it was.
      const before = transactional.positions.get(topic)?.pieces ?? this.#positions.get(id)?.get(topic)?.pieces ?? []
      const pieces = [...position.pieces, ...before.slice(position.pieces.length)]
      transactional.positions.set(topic, { committedOffset: position.committedOffset, pieces })
    }
  }

  endTransaction(id: string, producer: ProducerKey, outcome: 'commit' | 'abort'): void {
    const transactional = this.#check(id, producer)
    if (transactional.state === 'ongoing') return this.#end(id, transactional, outcome)
    const wanted = outcome === 'commit' ? 'committed' : 'aborted'
    if (transactional.state !== wanted) throw new UpstreamFault('aborted', `INVALID_TXN_STATE: ${transactional.state}`)
    this.count('end-repeated')
  }

  readCommitted(from: { topicName: string; partitionIndex: number; fromOffset: number }): CommittedRead {
    const partition = this.#topics.get(from.topicName)?.partitions[from.partitionIndex]
    if (!partition) throw new UpstreamFault('refused', `UNKNOWN_TOPIC_OR_PARTITION ${from.topicName}`)
    if (from.fromOffset < partition.logStartOffset)
      return { batches: [], nextOffset: partition.logStartOffset, isEnd: false, isDeleted: true }
    const behind = partition.entries.filter((entry) => entry.baseOffset >= from.fromOffset)
    if (behind.some((entry) => entry.state === 'open')) throw new UpstreamFault('retry', 'a transaction is open')
    this.count('read-committed')
    for (const { state } of behind) this.count(`read-back:${state}`)
    const batches = behind.filter((entry) => entry.state === 'committed').map(({ bytes }) => bytes)
    return { batches, nextOffset: Math.max(from.fromOffset, partition.nextOffset), isEnd: true, isDeleted: false }
  }

  // -- Inside

  #failAt(step: FailingStep, names: readonly string[]): void {
    for (const name of names) {
      const failure = TOPIC_FAILURES[this.failingTopics.get(name) as TopicFailure]
      if (!(failure?.steps as readonly FailingStep[] | undefined)?.includes(step)) continue
      this.count(`topic-fails:${this.failingTopics.get(name)}`)
      throw ofTopic(failure.kind, failure.says, name)
    }
  }

  #begin(id: string, transactional: Transactional): void {
    transactional.state = 'ongoing'
    transactional.partitions = new Set()
    transactional.positions = new Map()
    const number = ++transactional.number
    this.clock.after(this.#transactionTimeoutMs, () => {
      if (transactional.number !== number || transactional.state !== 'ongoing') return
      this.count('transaction-timeout')
      this.#end(id, transactional, 'abort')
      transactional.epoch++
      transactional.bumpedBy = 'timeout'
    })
  }

  #check(id: string, producer: ProducerKey): Transactional {
    const transactional = this.#transactional.get(id)
    if (!transactional || transactional.producerId !== producer.producerId)
      throw new UpstreamFault('aborted', 'INVALID_PRODUCER_ID_MAPPING')
    if (transactional.epoch !== producer.producerEpoch) {
      this.count(transactional.bumpedBy === 'init' ? 'fenced' : 'timed-out-epoch')
      throw new UpstreamFault(transactional.bumpedBy === 'init' ? 'fenced' : 'aborted', 'PRODUCER_FENCED')
    }
    return transactional
  }

  #end(id: string, transactional: Transactional, outcome: 'commit' | 'abort'): void {
    const state = outcome === 'commit' ? 'committed' : 'aborted'
    for (const key of transactional.partitions) {
      const [topicName, index] = key.split('/') as [string, string]
      const partition = this.#topics.get(topicName)?.partitions[Number(index)]
      if (!partition) continue
      for (const entry of partition.entries)
        if (entry.state === 'open' && entry.producerId === transactional.producerId) entry.state = state
      partition.nextOffset++ // the marker
    }
    if (outcome === 'commit') {
      const stored = this.#positions.get(id) ?? new Map<string, CommittedPosition>()
      for (const [topic, position] of transactional.positions) stored.set(topic, position)
      this.#positions.set(id, stored)
    }
    this.count(`transaction-${state}`)
    transactional.state = state
    transactional.partitions = new Set()
    transactional.positions = new Map()
  }

  #append(id: string, producer: ProducerKey, target: ProduceTarget): number {
    const { topicName, partitionIndex, batch } = target
    const where = { target: { topicName, partitionIndex } }
    const topic = this.#topics.get(topicName)
    const partition = topic?.partitions[partitionIndex]
    this.#failAt('produce', [topicName])
    if (!topic || !partition) throw ofTopic('retry', 'UNKNOWN_TOPIC_OR_PARTITION', topicName)
    if (partition.leaderlessUntilMs > this.clock.monotonicMs()) throw ofTopic('retry', 'NOT_LEADER_OR_FOLLOWER', topicName)
    if (batch.byteLength > topic.batchBytesMax) throw new UpstreamFault('too-large', `MESSAGE_TOO_LARGE: ${batch.byteLength}`, where)
    const decoded = decodeOrRefuse(batch, where)
    if (decoded.baseOffset !== 0 || (decoded.attributes & 0x10) === 0)
      throw new RangeError('a producer sends base offset 0 and the transactional bit')
    if (decoded.producerId !== producer.producerId || decoded.producerEpoch !== producer.producerEpoch)
      throw new RangeError('producer fields of the batch and the session differ')
    if (decoded.records.some((record) => this.refusesValue(record.value))) throw new UpstreamFault('bad-record', 'INVALID_RECORD', where)
    const transactional = this.#check(id, producer)
    if (transactional.state !== 'ongoing' || !transactional.partitions.has(`${topicName}/${partitionIndex}`))
      throw new UpstreamFault('aborted', 'INVALID_TXN_STATE')
    return this.#store(partition, producer, decoded, batch)
  }

  #store(partition: CentrePartition, producer: ProducerKey, decoded: DecodedBatch, batch: Uint8Array): number {
    let known = partition.producers.get(producer.producerId)
    const first = decoded.baseSequence
    const last = first + decoded.lastOffsetDelta
    if (known && known.epoch === producer.producerEpoch) {
      const duplicate = known.batches.find((batch) => batch.first === first && batch.last === last)
      if (duplicate) {
        this.count('duplicate-batch')
        return duplicate.baseOffset
      }
      const expected = (known.batches.at(-1)?.last ?? -1) + 1
      if (first !== expected) throw new UpstreamFault('aborted', `OUT_OF_ORDER_SEQUENCE_NUMBER: ${first} instead of ${expected}`)
    } else if (known && first !== 0) throw new UpstreamFault('aborted', `OUT_OF_ORDER_SEQUENCE_NUMBER: ${first} in a new epoch`)
    if (!known || known.epoch !== producer.producerEpoch) {
      known = { epoch: producer.producerEpoch, batches: [] }
      partition.producers.set(producer.producerId, known)
    }
    const baseOffset = partition.nextOffset
    const bytes = batch.slice()
    new DataView(bytes.buffer).setBigInt64(0, BigInt(baseOffset))
    if (this.setsTime) bytes[22] = (bytes[22] ?? 0) | 0x08
    partition.entries.push({
      baseOffset,
      bytes,
      producerId: producer.producerId,
      state: 'open',
      records: decoded.records.map((record) => ({ ...record, offset: record.offset + baseOffset }))
    })
    partition.nextOffset += decoded.lastOffsetDelta + 1
    known.batches = [...known.batches.slice(-4), { first, last, baseOffset }]
    return baseOffset
  }
}

interface ProducerKey {
  readonly producerId: bigint
  readonly producerEpoch: number
}

/** The link of one process to the centre. */
export class SimUpstream implements Upstream {
  readonly description = 'simulated centre'
  readonly wireBytes = { sent: 0, received: 0 }
  readonly #centre: SimCentre
  readonly #process: Clock
  readonly #id: string
  #producer: ProducerKey = { producerId: -1n, producerEpoch: -1 }
  #isClosed = false
  #onLost: (fault: UpstreamFault) => void = () => undefined

  constructor(centre: SimCentre, process: Clock, transactionalId: string) {
    this.#centre = centre
    this.#process = process
    this.#id = transactionalId
  }

  describeTopics(names: readonly string[], options: { createPartitionCount: number | null }): Promise<readonly UpstreamTopic[]> {
    return this.#call('describe', () => this.#centre.describe(names, options.createPartitionCount), true)
  }

  async initProducer(): Promise<{ producerId: bigint; producerEpoch: number }> {
    this.#producer = await this.#call('init', () => this.#centre.initProducer(this.#id))
    return this.#producer
  }

  fetchPosition(pieceCounts: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, CommittedPosition>> {
    return this.#call('fetch-position', () => this.#centre.fetchPosition(this.#id, pieceCounts), true)
  }

  addPartitions(targets: readonly { topicName: string; partitionIndex: number }[]): Promise<void> {
    const producer = this.#producer
    return this.#call('add-partitions', () => this.#centre.addPartitions(this.#id, producer, targets))
  }

  /** Patient with what has no leader now, as the real one, and sends all of it again. */
  async produce(targets: readonly ProduceTarget[]): Promise<readonly { baseOffset: number }[]> {
    const producer = this.#producer
    const sent = targets.map((target) => ({ ...target, batch: target.batch.slice() })) // what is on the wire does not change any more
    for (let delayMs = PATIENCE_MS_FIRST; ; delayMs *= 2) {
      for (const { batch } of sent) this.wireBytes.sent += batch.byteLength
      try {
        return await this.#call('produce', () => this.#centre.produce(this.#id, producer, sent))
      } catch (error) {
        const isPassing = error instanceof UpstreamFault && error.kind === 'retry' && error.topics.size > 0
        if (!isPassing || delayMs > PATIENCE_MS_MAX) throw error
      }
      await sleep(this.#process, delayMs)
    }
  }

  commitPosition(positions: ReadonlyMap<string, CommittedPosition>): Promise<void> {
    const producer = this.#producer
    return this.#call('commit-position', () => this.#centre.commitPosition(this.#id, producer, positions))
  }

  endTransaction(outcome: 'commit' | 'abort'): Promise<void> {
    const producer = this.#producer
    return this.#call('end', () => this.#centre.endTransaction(this.#id, producer, outcome))
  }

  readCommitted(from: { topicName: string; partitionIndex: number; fromOffset: number; bytesMax: number }): Promise<CommittedRead> {
    return this.#call('read-committed', () => this.#centre.readCommitted(from), true)
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  onLost(listener: (fault: UpstreamFault) => void): void {
    this.#onLost = listener
  }

  /** The connection is closed by the other side: whether a new one can be made shows in a moment. */
  hangUp(): void {
    this.#process.after(NEW_CONNECTION_MS, () => {
      if (this.#centre.link.isDown && !this.#isClosed) this.#onLost(new UpstreamFault('unreachable', 'connection refused'))
    })
  }

  /** Loses, delays, answers. A request that only reads is unreachable rather than in doubt. */
  #call<T>(name: string, arrive: () => T, isReading = false): Promise<T> {
    const { clock, prng } = this.#centre
    const { link } = this.#centre
    const delay = (): number => link.delayMs.min + prng.fraction() * (link.delayMs.max - link.delayMs.min)
    const luck = prng.fraction() * 100
    const planned = this.#centre.takeLoss(name)
    const isLate = planned === 'late' || luck < link.lateRequestPercent
    const isRequestLost = planned === 'request' || (!isLate && luck < link.lateRequestPercent + link.requestLostPercent)
    const isAnswerLost = prng.chance(link.answerLostPercent) || planned === 'answer'
    const isRetry = prng.chance(link.retryPercent)
    const sentAtMs = clock.monotonicMs()
    const doubt = (): UpstreamFault => new UpstreamFault(isReading ? 'unreachable' : 'in-doubt', `no answer to ${name}`)
    return new Promise<T>((resolve, reject) => {
      if (this.#isClosed || link.isDown) {
        this.#centre.count(`unreachable:${name}`)
        this.#process.after(delay(), () => reject(new UpstreamFault('unreachable', 'connection refused')))
        return
      }
      let isOver = false
      const deadline = this.#process.after(link.deadlineMs, () => {
        if (isOver) return
        isOver = true
        reject(doubt())
      })
      const answer = (act: () => void): void => {
        if (isOver) return
        this.#process.after(delay(), () => {
          if (isOver) return
          isOver = true
          deadline.cancel()
          act()
        })
      }
      clock.after(isLate ? link.deadlineMs * (0.8 + prng.fraction() * 5) : delay(), () => {
        const isCut = isRequestLost || (!isLate && this.#centre.link.isDown) || sentAtMs <= this.#centre.restartedAtMs
        if (isCut) {
          this.#centre.count(`request-lost:${name}`)
          if (prng.chance(50)) answer(() => reject(doubt()))
          return
        }
        if (isLate) this.#centre.count(`request-late:${name}`)
        try {
          if (isRetry) throw new UpstreamFault('retry', `${name}: COORDINATOR_LOAD_IN_PROGRESS`)
          const result = arrive()
          if (isAnswerLost || this.#centre.link.isDown) {
            this.#centre.count(`answer-lost:${name}`)
            if (prng.chance(50)) answer(() => reject(doubt()))
            return
          }
          answer(() => resolve(result))
        } catch (error) {
          this.#centre.count(error instanceof UpstreamFault ? `fault:${error.kind}` : 'wrong')
          answer(() => reject(error))
        }
      })
    })
  }
}

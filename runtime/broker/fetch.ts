// Reads for consumers: several partitions at once, up to the high watermark or the last stable offset, waiting for data when asked to.
//
// Partitions are served in the order asked; the first that has data returns at least one batch whatever the limits. Whole batches only.
// A wait (purgatory.ts) ends when enough bytes are there, when the time is over, when a partition has a fault, or when the caller aborts.

import { WadiError } from '../base/errors.ts'
import { type Offset, toOffset } from '../base/offset.ts'
import type { Clock } from '../io/clock.ts'
import type { AbortedTransaction, Partition, StoredBatch } from '../log/contract.ts'
import { type FaultName, faultOfStoreError } from './fault.ts'
import type { LeaderEpochs } from './leader-epochs.ts'
import type { ProducerStates } from './partition-producers.ts'
import { Purgatory } from './purgatory.ts'

export type Isolation = 'read_uncommitted' | 'read_committed'

export interface FetchPlace {
  readonly topicName: string
  readonly partitionIndex: number
  readonly fetchOffset: number
  readonly bytesMax: number
  /** −1 = not checked. */
  readonly leaderEpoch: number
}

export interface FetchRequest {
  readonly places: readonly FetchPlace[]
  readonly isolation: Isolation
  readonly maxWaitMs: number
  readonly bytesMin: number
  readonly bytesMax: number
}

export interface FetchedPartition {
  readonly fault: FaultName
  /** −1 when unknown. */
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  /** null for read_uncommitted. */
  readonly abortedTransactions: readonly AbortedTransaction[] | null
  readonly batches: readonly Uint8Array[]
}

interface Reader {
  readonly place: FetchPlace
  readonly partition: Partition | null
  readonly fault: FaultName
}

export class Fetches {
  readonly #producers: ProducerStates
  readonly #clock: Clock
  readonly #leaderEpochs: LeaderEpochs
  /** Where nothing could be read up to `until`: damage up to the end is no data, or clients would ask for it at once, again and again. */
  readonly #barren = new WeakMap<Partition, { readonly from: number; readonly until: number }>()
  readonly #purgatory = new Purgatory()

  constructor(context: { producers: ProducerStates; clock: Clock; leaderEpochs: LeaderEpochs }) {
    this.#producers = context.producers
    this.#clock = context.clock
    this.#leaderEpochs = context.leaderEpochs
  }

  /** Fetches that wait for data now. */
  get waitingCount(): number {
    return this.#purgatory.waitingCount
  }

  /**
   * One answer per place, in order. Never rejects for a partition's fault. `signal` ends the wait: what is there is answered. `admit` is asked before
   * anything is read, with about as many bytes as there are, and says how many it may be: a first batch that is larger is not in it; null: nobody takes the answer.
   */
  async fetch(
    request: FetchRequest,
    signal?: AbortSignal,
    admit: (bytes: number) => Promise<number | null> = async () => request.bytesMax
  ): Promise<readonly FetchedPartition[]> {
    const endMs = this.#clock.monotonicMs() + request.maxWaitMs
    const readers = request.places.map((place) => this.#open(place))
    for (;;) {
      const leftMs = endMs - this.#clock.monotonicMs()
      if (!this.#isReady(readers, request) && leftMs > 0) await this.#wait(readers, { ...request, maxWaitMs: leftMs }, signal)
      const admitted = await admit(Math.min(this.#availableTo(readers, request), Math.max(0, request.bytesMax)))
      const answers = await this.#readAll(readers, { ...request, bytesMax: Math.min(request.bytesMax, admitted ?? 0) }, admitted !== null)
      const isOver = signal?.aborted || this.#clock.monotonicMs() >= endMs || answers.some(({ batches }) => batches.length > 0)
      // Nothing was read, and nothing more is there: once more, with a wait.
      if (isOver || this.#isReady(readers, request)) return answers
    }
  }

  async #readAll(readers: readonly Reader[], request: FetchRequest, isTaken: boolean): Promise<FetchedPartition[]> {
    const answers: FetchedPartition[] = []
    let bytesLeft = request.bytesMax
    let isEmpty = true
    for (const reader of readers) {
      const answer = isTaken ? await this.#read(reader, { ...request, bytesLeft, isEmpty }) : empty(reader, request.isolation)
      const bytes = answer.batches.reduce((sum, batch) => sum + batch.byteLength, 0)
      bytesLeft -= bytes
      if (bytes > 0) isEmpty = false
      answers.push(answer)
    }
    return answers
  }

  #open(place: FetchPlace): Reader {
    const partition = this.#producers.find(place.topicName, place.partitionIndex)?.partition ?? null
    if (!partition) return { place, partition, fault: 'UNKNOWN_TOPIC_OR_PARTITION' }
    return { place, partition, fault: this.#faultOf(place, partition) }
  }

  #faultOf({ leaderEpoch, fetchOffset }: FetchPlace, { isDeleted, logStartOffset, highWatermark }: Partition): FaultName {
    if (isDeleted) return 'UNKNOWN_TOPIC_OR_PARTITION'
    const fault = this.#leaderEpochs.faultOf(leaderEpoch)
    if (fault !== 'NONE') return fault
    return fetchOffset < logStartOffset || fetchOffset > highWatermark ? 'OFFSET_OUT_OF_RANGE' : 'NONE'
  }

  #wait(readers: readonly Reader[], request: FetchRequest, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = (): void => {
        timer.cancel()
        leave()
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = this.#clock.after(request.maxWaitMs, done)
      const places = readers.flatMap(({ place, partition }) =>
        partition === null
          ? []
          : {
              partition,
              isCommitted: request.isolation === 'read_committed',
              bytesMax: place.bytesMax,
              measure: () => this.#availableBytes(partition, place.fetchOffset, request.isolation),
              hasFault: () => this.#faultOf(place, partition) !== 'NONE'
            }
      )
      const leave = this.#purgatory.wait(places, request.bytesMin, done)
      signal?.addEventListener('abort', done, { once: true })
    })
  }

  async #read(reader: Reader, options: { isolation: Isolation; bytesLeft: number; isEmpty: boolean }): Promise<FetchedPartition> {
    const { place, partition } = reader
    if (!partition) return failed(reader.fault, null)
    const fault = this.#faultOf(place, partition)
    if (fault !== 'NONE') return failed(fault, partition)
    const limit = limitOf(partition, options.isolation)
    const bytesMax = Math.min(place.bytesMax, options.bytesLeft)
    if (place.fetchOffset >= limit || (bytesMax <= 0 && !options.isEmpty)) return empty(reader, options.isolation)
    const isCommitted = options.isolation === 'read_committed'
    // Before the read: retention may move the log start meanwhile, and what it takes is not listed any more.
    const aborted = isCommitted ? partition.abortedBetween(place.fetchOffset, limit) : null
    try {
      const batches = await readBelow(partition, toOffset(place.fetchOffset), limit, Math.max(bytesMax, 1))
      if (batches.length === 0) this.#barren.set(partition, { from: place.fetchOffset, until: limit })
      const first = batches[0]
      const isTooLarge = first !== undefined && first.bytes.byteLength > bytesMax && !options.isEmpty
      return answerOf(partition, isTooLarge ? [] : batches, aborted, isCommitted ? limit : partition.lastStableOffset)
    } catch (error) {
      if (!(error instanceof WadiError)) throw error
      return failed(faultOfStoreError(error, 'KAFKA_STORAGE_ERROR'), partition)
    }
  }

  #isReady(readers: readonly Reader[], request: FetchRequest): boolean {
    if (readers.length === 0) return true
    let bytes = 0
    for (const { place, partition, fault } of readers) {
      if (!partition || fault !== 'NONE' || this.#faultOf(place, partition) !== 'NONE') return true
      bytes += Math.min(this.#availableBytes(partition, place.fetchOffset, request.isolation), place.bytesMax)
      if (bytes >= request.bytesMin) return true
    }
    return bytes >= request.bytesMin
  }

  #availableTo(readers: readonly Reader[], { isolation }: FetchRequest): number {
    let bytes = 0
    for (const { place, partition } of readers) {
      if (partition && this.#faultOf(place, partition) === 'NONE')
        bytes += Math.min(this.#availableBytes(partition, place.fetchOffset, isolation), place.bytesMax)
    }
    return bytes
  }

  #availableBytes(partition: Partition, fetchOffset: number, isolation: Isolation): number {
    const limit = limitOf(partition, isolation)
    if (fetchOffset >= limit) return 0
    const barren = this.#barren.get(partition)
    if (barren && fetchOffset >= barren.from && limit <= barren.until) return 0
    const beyond = limit < partition.highWatermark ? partition.bytesFrom(limit) : 0
    return Math.max(1, partition.bytesFrom(toOffset(fetchOffset)) - beyond)
  }
}

/** Batches that end below `limit`. Damage in front of readable batches is stepped over: the offsets have a gap there. */
async function readBelow(partition: Partition, from: Offset, limit: Offset, bytesMax: number): Promise<StoredBatch[]> {
  for (let offset = from; offset < limit; ) {
    const { batches, nextOffset } = await partition.read(offset, { bytesMax })
    const readable = batches.filter(({ header }) => header.lastOffset < limit)
    if (readable.length > 0 || batches.length > 0 || nextOffset <= offset) return readable
    offset = nextOffset
  }
  return []
}

function limitOf(partition: Partition, isolation: Isolation): Offset {
  return isolation === 'read_committed' ? partition.lastStableOffset : partition.highWatermark
}

/** `aborted`: what overlaps the asked range; null for read_uncommitted. */
function answerOf(
  partition: Partition,
  batches: readonly StoredBatch[],
  aborted: readonly AbortedTransaction[] | null,
  lastStableOffset: number
): FetchedPartition {
  const lastBatch = batches.at(-1)
  const endOffset = lastBatch ? lastBatch.header.lastOffset + 1 : 0
  return {
    fault: 'NONE',
    highWatermark: partition.highWatermark,
    lastStableOffset,
    logStartOffset: partition.logStartOffset,
    abortedTransactions: aborted?.filter((entry) => entry.firstOffset < endOffset) ?? null,
    batches: batches.map(({ bytes }) => bytes)
  }
}

function empty(reader: Reader, isolation: Isolation): FetchedPartition {
  if (!reader.partition) return failed(reader.fault, null)
  return answerOf(reader.partition, [], isolation === 'read_committed' ? [] : null, reader.partition.lastStableOffset)
}

function failed(fault: FaultName, partition: Partition | null): FetchedPartition {
  const isKnown = partition !== null && fault !== 'OFFSET_OUT_OF_RANGE'
  return {
    fault,
    highWatermark: isKnown ? partition.highWatermark : -1,
    lastStableOffset: -1,
    logStartOffset: partition ? partition.logStartOffset : -1,
    abortedTransactions: null,
    batches: []
  }
}

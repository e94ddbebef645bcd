// Events from devices into the log: route, partition, append. `done` is called after the sync, or with the reason of the refusal.
//
// Invariants: what is in flight is bounded in bytes; nothing is acknowledged that is not stored, except what the configuration
// says to drop; no promise per event; nobody's delivery is waited for.
// Not for: wires, packet ids, order of acknowledgements of one client (adapters/mqtt).

import { formatBytes } from '../base/byte-text.ts'
import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import type { RecordHeader, RecordInput } from '../core/record.ts'
import type { Clock } from '../io/clock.ts'
import type { LaneEnd, Place, StateChange, Store, Topic } from '../log/contract.ts'
import { LatencyHistogram } from './latency.ts'
import { Partitioner } from './partitioner.ts'
import { RefusedTopics } from './refused-topics.ts'
import type { KeyMemo, MapFault, Mapping, RouteTable } from './routes.ts'
import { UnroutedTopics } from './unrouted-topics.ts'

export interface IngestEvent {
  readonly mqttTopic: string
  /** '' = it has none. */
  readonly clientId: string
  /** Must not change until `done`. */
  readonly payload: Uint8Array
  readonly qos: 0 | 1 | 2
  /** Of the record, behind those of its route. Must not change any more. */
  readonly headers?: readonly RecordHeader[]
  /** Travels in the same commit as the event: both or neither. Left out when the event is dropped. */
  readonly state?: readonly StateChange[]
}

/**
 * Called once: inside accept() when the event is dropped or refused at once, later otherwise; later calls come in the order of the
 * accepts (events that waited for their topic to be created excepted). `place` is null when the event and its state are not stored.
 */
export type IngestDone = (error: WadiError | null, place: Place | null) => void

export interface IngestLimits {
  /** Memory of the events that are accepted and not yet done: record, packet, and what waits for them. */
  readonly inFlightBytesMax: number
  /**
   * No more are read than that, or than EVENTS_PER_WRITE_MS for each ms of a durable write: enough to fill one commit while another is written. More would
   * only wait as objects, where the collector copies them, instead of as bytes in the sockets.
   */
  readonly inFlightCountMin: number
  /** Key, value and headers of one event. */
  readonly recordBytesMax: number
  /** Topics that templates may create in one run; also how many creations may fail within a minute. */
  readonly createdTopicsMax: number
}

export const defaultIngestLimits: IngestLimits = {
  inFlightBytesMax: 16 * 1024 * 1024,
  inFlightCountMin: 2_048,
  recordBytesMax: 1_000_000,
  createdTopicsMax: 100
}

/** Live counters since the start. */
export interface IngestMetrics {
  readonly received: number
  readonly receivedBytes: number
  /** Of the received. */
  readonly receivedByLane: number
  /** Durable, dead letters included. */
  readonly stored: number
  readonly dropped: number
  readonly deadLettered: ReadonlyMap<MapFault, number>
  /** By 'unmatched' or the code of the error. */
  readonly rejected: ReadonlyMap<string, number>
  readonly inFlightCount: number
  readonly inFlightBytes: number
  /** Of the lane, beside inFlightCount: they are records of the next commits already. */
  readonly inLaneCount: number
  readonly unrouted: Pick<UnroutedTopics, 'list' | 'otherEvents'>
  /** Of events that a route takes. */
  readonly refused: Pick<RefusedTopics, 'list'>
  /** From accept to done, of stored events. */
  readonly ackLatency: LatencyHistogram
}

/** Of the lane: what its events have in common. */
export interface LaneTarget {
  readonly topic: Topic
  readonly key: Uint8Array | null
  readonly headers: readonly RecordHeader[]
  readonly meter: { hits: number } | null
  /** null = all partitions in turn. */
  readonly partitionIndex: number | null
}

export interface IngestOptions {
  readonly store: Store
  readonly core: Pick<Core, 'murmur2'>
  readonly clock: Clock
  readonly table: RouteTable
  readonly limits?: Partial<IngestLimits>
  /** For routes whose topic is a template. Without it an unknown topic sends the event to the dead letters. */
  readonly createTopic?: (name: string) => Promise<Topic>
  /** The first event of an MQTT topic that no route takes, of a bounded number of topics. */
  readonly onUnrouted?: (mqttTopic: string, clientId: string, action: 'reject' | 'drop') => void
}

const RECORD_OVERHEAD_BYTES = 64
/** A topic whose creation failed is tried again after the first, then twice as long each time, up to the second. */
const RETRY_MS = { first: 1_000, max: 60_000 }
const FAILURE_WINDOW_MS = 60_000
const FAILED_TOPICS_MAX = 1_000

interface FailedCreation {
  readonly error: unknown
  readonly delayMs: number
  readonly untilMs: number
}
/**
 * What an event in flight takes beside its bytes: packet, record, places in queues, callbacks. Measured over MQTT (`npm run bench --
 * limits`): 0.9 to 1.1 KB, whatever the payload.
 */
const EVENT_OVERHEAD_BYTES = 1_024
/** More than a fast machine takes in per ms: a slow disk is given what fills its commits. */
const EVENTS_PER_WRITE_MS = 200
/** The smallest event (a PUBLISH of six bytes) takes so many bytes in flight for each byte on the wire, a header or two included. */
const IN_FLIGHT_PER_WIRE_BYTE_MAX = 256
const READ_BYTES_MIN = 8 * 1024

export class Ingest {
  readonly #store: Store
  readonly #clock: Clock
  readonly #table: RouteTable
  readonly #limits: IngestLimits
  readonly #partitioner: Partitioner
  readonly #createTopic: ((name: string) => Promise<Topic>) | undefined
  /** Events that wait for their topic to be created, in order. */
  readonly #creating = new Map<string, ((error: unknown) => void)[]>()
  /** Made, or being made. A creation that fails gives its place back, and so does a deletion. */
  #createdCount = 0
  readonly #created = new Set<string>()
  readonly #failed = new Map<string, FailedCreation>()
  #failureWindow: { startedMs: number; count: number; error: unknown } = { startedMs: 0, count: 0, error: null }
  /** Those that wait in onceReadable. */
  #waitingReaders: (() => void)[] = []
  #isCallingReaders = false
  readonly #deadLettered = new Map<MapFault, number>()
  readonly #rejected = new Map<string, number>()
  readonly #unrouted = new UnroutedTopics()
  readonly #refused = new RefusedTopics()
  readonly #onUnrouted: NonNullable<IngestOptions['onUnrouted']>
  readonly #counters = {
    received: 0,
    receivedBytes: 0,
    stored: 0,
    dropped: 0,
    inFlightCount: 0,
    inFlightBytes: 0,
    inLaneCount: 0,
    receivedByLane: 0
  }
  readonly metrics: IngestMetrics

  constructor({ store, core, clock, table, limits, createTopic, onUnrouted = () => undefined }: IngestOptions) {
    this.#onUnrouted = onUnrouted
    this.#store = store
    this.#clock = clock
    this.#table = table
    this.#limits = { ...defaultIngestLimits, ...limits }
    this.#partitioner = new Partitioner(core)
    this.#createTopic = createTopic
    store.onTopicDeleted(({ name, number }) => {
      this.#partitioner.forgetTopic(number)
      if (this.#created.delete(name)) this.#createdCount--
    })
    this.metrics = Object.assign(this.#counters, {
      deadLettered: this.#deadLettered,
      rejected: this.#rejected,
      unrouted: this.#unrouted,
      refused: this.#refused,
      ackLatency: new LatencyHistogram()
    })
  }

  /** True while listeners should leave bytes in their sockets: half of the memory is taken, or the disk has enough to do. See onceReadable. */
  get isOverloaded(): boolean {
    const { inFlightBytes, inFlightCount } = this.#counters
    const { inFlightBytesMax, inFlightCountMin } = this.#limits
    if (inFlightBytes > inFlightBytesMax / 2) return true
    return inFlightCount >= inFlightCountMin && inFlightCount >= this.#store.writeMs * EVENTS_PER_WRITE_MS
  }

  /** What a listener should take from one socket at once: even if all events in it are small, they fit (with limits of some MiB). */
  get readBytesMax(): number {
    const room = this.#limits.inFlightBytesMax - this.#counters.inFlightBytes
    return Math.max(READ_BYTES_MIN, Math.floor(room / IN_FLIGHT_PER_WIRE_BYTE_MAX))
  }

  /** Runs `callback` once, when it is no longer overloaded. In the order of the calls, each only when those before it have left room. */
  onceReadable(callback: () => void): void {
    this.#waitingReaders.push(callback)
    if (!this.isOverloaded) this.#callReaders()
  }

  /** Whether a route, as they are now, may store events in this topic. */
  mayStoreIn(topicName: string): boolean {
    return this.#table.mayStoreIn(topicName)
  }

  /** Names of the headers that a route gives the events of an MQTT topic, in front of those that they bring. */
  routeHeadersOf(mqttTopic: string): readonly string[] {
    return this.#table.headerNamesOf(mqttTopic)
  }

  // --- the lane (publish-lane.ts): events that are records in the pool already

  /** Where all events of a client on a topic go, whatever their payload. 'by-event': each has to be looked at. 'no-topic': theirs is not there (yet). */
  targetOf(event: Omit<IngestEvent, 'payload' | 'qos' | 'state'>): LaneTarget | 'by-event' | 'no-topic' {
    const mapping = this.#table.mapAlike(event)
    if (mapping === null) return 'by-event'
    const topic = this.#store.topics.get(mapping.topicName)
    if (!topic || this.#creating.has(mapping.topicName)) return 'no-topic'
    const { key, headers, meter } = mapping
    const partitionIndex = key === null ? null : this.#partitionOfKey(topic, key, mapping.memo)
    return { topic, key, headers, meter, partitionIndex }
  }

  get recordBytesMax(): number {
    return this.#limits.recordBytesMax
  }

  tookByLane(events: number, payloadBytes: number): void {
    this.#counters.received += events
    this.#counters.receivedBytes += payloadBytes
    this.#counters.receivedByLane += events
    this.#counters.inLaneCount += events
  }

  doneByLane(events: number, startedMs: number, error: WadiError | null, ends: readonly LaneEnd[]): void {
    this.#counters.inLaneCount -= events
    if (error === null) {
      this.#counters.stored += events
      return this.metrics.ackLatency.record(this.#clock.monotonicMs() - startedMs, events)
    }
    for (const { partition, records } of ends) this.#refused.add(partition.topicName, error.code, records)
    count(this.#rejected, error.code, events)
  }

  /**
   * Errors handed to `done`: WADI_BUSY (too much in flight), WADI_RECORD_TOO_LARGE, WADI_RECORD_INVALID (no route takes it and the
   * configuration says reject), WADI_TOPIC_UNKNOWN (the dead-letter topic is not there), and those of Store.append.
   */
  accept(event: IngestEvent, done: IngestDone): void {
    this.#counters.received++
    this.#counters.receivedBytes += event.payload.byteLength
    const arrivalMs = this.#clock.wallMs()
    this.#take(event, this.#table.map(event, arrivalMs), arrivalMs, done)
  }

  #take(event: IngestEvent, mapping: Mapping, arrivalMs: number, done: IngestDone): void {
    if (mapping.kind === 'unmatched') {
      if (this.#unrouted.add(event.mqttTopic, event.clientId)) this.#onUnrouted(event.mqttTopic, event.clientId, mapping.action)
      if (mapping.action === 'reject') return this.#reject('unmatched', unmatched(event), done)
      this.#counters.dropped++
      return done(null, null)
    }
    const { record, topicName } = mapping
    const recordBytes = bytesOf(record)
    if (recordBytes > this.#limits.recordBytesMax)
      return this.#refuse(topicName, tooLarge(event, recordBytes, this.#limits.recordBytesMax), done)
    if (this.#counters.inFlightBytes + recordBytes + EVENT_OVERHEAD_BYTES > this.#limits.inFlightBytesMax) {
      return this.#refuse(topicName, busy(this.#counters), done)
    }
    if (mapping.kind === 'dead-letter') count(this.#deadLettered, mapping.fault)
    const topic = this.#creating.size > 0 && this.#creating.has(topicName) ? undefined : this.#store.topics.get(topicName)
    if (topic) return this.#append(topic, mapping, recordBytes, event, done)
    if (this.#canCreate(topicName)) return this.#appendWhenCreated(mapping, recordBytes, { event, arrivalMs, done })
    this.#withoutTopic(mapping, this.#whyNotCreated(topicName), { event, arrivalMs, done })
  }

  /** Of a topic that is full or busy for now the device keeps its event; of one that cannot be, the event goes to the dead letters. */
  #withoutTopic(
    { kind, topicName }: { kind: Mapping['kind']; topicName: string },
    error: unknown,
    { event, arrivalMs, done }: { event: IngestEvent; arrivalMs: number; done: IngestDone }
  ): void {
    if (error instanceof WadiError && (error.retriable || error.code === 'WADI_LOG_FAILED')) return this.#refuse(topicName, error, done)
    if (kind === 'dead-letter') return this.#refuse(topicName, topicUnknown(topicName), done)
    this.#take(event, this.#table.deadLetter(event, arrivalMs, 'topic-unknown', topicName), arrivalMs, done)
  }

  #append(topic: Topic, mapping: Mapping & { record: RecordInput }, recordBytes: number, event: IngestEvent, done: IngestDone): void {
    const { record } = mapping
    const startedMs = this.#clock.monotonicMs()
    this.#counters.inFlightCount++
    this.#counters.inFlightBytes += recordBytes + EVENT_OVERHEAD_BYTES
    const partition = topic.partitions[this.#choosePartition(topic, mapping)]
    if (!partition) throw new RangeError(`topic ${topic.name} has no partitions`)
    this.#store.append(
      partition,
      record,
      (error, offset) => this.#complete({ partition, offset }, recordBytes, startedMs, error, done),
      event.state
    )
  }

  #choosePartition(topic: Topic, mapping: Mapping & { record: RecordInput }): number {
    const { key } = mapping.record
    if (key === null) return this.#partitioner.nextOf(topic.number, topic.partitions.length)
    return this.#partitionOfKey(topic, key, mapping.kind === 'event' ? mapping.memo : null)
  }

  #partitionOfKey({ partitions }: Topic, key: Uint8Array, memo: KeyMemo | null): number {
    if (memo === null) return this.#partitioner.partitionOf(this.#partitioner.hashOf(key), partitions.length)
    if (memo.keyHash < 0) memo.keyHash = this.#partitioner.hashOf(key)
    return this.#partitioner.partitionOf(memo.keyHash, partitions.length)
  }

  #complete(place: Place, recordBytes: number, startedMs: number, error: WadiError | null, done: IngestDone): void {
    this.#counters.inFlightCount--
    this.#leave(recordBytes)
    if (error) return this.#refuse(place.partition.topicName, error, done)
    this.#counters.stored++
    this.metrics.ackLatency.record(this.#clock.monotonicMs() - startedMs)
    done(null, place)
  }

  /** What was in flight is done, or is counted anew. */
  #leave(recordBytes: number): void {
    this.#counters.inFlightBytes -= recordBytes + EVENT_OVERHEAD_BYTES
    if (this.#waitingReaders.length > 0 && !this.isOverloaded) this.#callReaders()
  }

  #callReaders(): void {
    if (this.#isCallingReaders) return
    this.#isCallingReaders = true
    this.#clock.soon(() => {
      this.#isCallingReaders = false
      for (let left = this.#waitingReaders.length; left > 0 && !this.isOverloaded; left--) this.#waitingReaders.shift()?.()
      if (this.#waitingReaders.length > 0 && !this.isOverloaded) this.#callReaders()
    })
  }

  #canCreate(topicName: string): boolean {
    if (this.#createTopic === undefined) return false
    if (this.#creating.has(topicName)) return true
    if (this.#createdCount >= this.#limits.createdTopicsMax) return false
    const nowMs = this.#clock.monotonicMs()
    if (this.#hasFailedTooOften(nowMs)) return false
    return nowMs >= (this.#failed.get(topicName)?.untilMs ?? 0)
  }

  #hasFailedTooOften(nowMs: number): boolean {
    const { startedMs, count } = this.#failureWindow
    if (count === 0 || nowMs >= startedMs + FAILURE_WINDOW_MS) return false
    return count + this.#creating.size >= this.#limits.createdTopicsMax
  }

  /** Why a topic that is not there is not being made; null when it is not for a failure. */
  #whyNotCreated(topicName: string): unknown {
    const known = this.#failed.get(topicName)
    if (known) return known.error
    return this.#hasFailedTooOften(this.#clock.monotonicMs()) ? this.#failureWindow.error : null
  }

  #noteFailure(topicName: string, error: unknown): void {
    this.#createdCount--
    const nowMs = this.#clock.monotonicMs()
    const known = this.#failed.get(topicName)
    const delayMs = Math.min(known ? known.delayMs * 2 : RETRY_MS.first, RETRY_MS.max)
    this.#failed.delete(topicName)
    const [oldest] = this.#failed.keys()
    if (oldest !== undefined && this.#failed.size >= FAILED_TOPICS_MAX) this.#failed.delete(oldest)
    this.#failed.set(topicName, { error, delayMs, untilMs: nowMs + delayMs })
    if (nowMs >= this.#failureWindow.startedMs + FAILURE_WINDOW_MS) this.#failureWindow = { startedMs: nowMs, count: 0, error }
    this.#failureWindow.count++
    this.#failureWindow.error = error
  }

  /** Waiting events count as in flight, so that their number is bounded too. */
  #appendWhenCreated(
    mapping: Mapping & { record: RecordInput; topicName: string },
    recordBytes: number,
    { event, arrivalMs, done }: { event: IngestEvent; arrivalMs: number; done: IngestDone }
  ): void {
    this.#counters.inFlightBytes += recordBytes + EVENT_OVERHEAD_BYTES
    const { topicName } = mapping
    const resume = (error: unknown): void => {
      this.#leave(recordBytes)
      const topic = this.#store.topics.get(topicName)
      if (topic) this.#append(topic, mapping, recordBytes, event, done)
      else this.#withoutTopic(mapping, error, { event, arrivalMs, done })
    }
    const waiting = this.#creating.get(topicName)
    if (waiting) {
      waiting.push(resume)
      return
    }
    const first = [resume]
    this.#creating.set(topicName, first)
    this.#createdCount++
    const finish = (error: unknown): void => {
      this.#creating.delete(topicName)
      for (const next of first) next(error)
    }
    this.#createTopic?.(topicName).then(
      () => {
        this.#failed.delete(topicName)
        this.#created.add(topicName)
        finish(null)
      },
      (error: unknown) => {
        this.#noteFailure(topicName, error)
        finish(error)
      }
    )
  }

  #refuse(topicName: string, error: WadiError, done: IngestDone): void {
    this.#refused.add(topicName, error.code)
    this.#reject(error.code, error, done)
  }

  #reject(reason: string, error: WadiError, done: IngestDone): void {
    count(this.#rejected, reason)
    done(error, null)
  }
}

function count<K>(counts: Map<K, number>, key: K, events = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + events)
}

function bytesOf({ key, value, headers }: RecordInput): number {
  let bytes = RECORD_OVERHEAD_BYTES + (key?.byteLength ?? 0) + (value?.byteLength ?? 0)
  for (const header of headers) bytes += header.key.byteLength + (header.value?.byteLength ?? 0) + 4
  return bytes
}

function unmatched({ mqttTopic, clientId }: IngestEvent): WadiError {
  return new WadiError('WADI_RECORD_INVALID', {
    happened: `No route takes the MQTT topic ${JSON.stringify(mqttTopic)}.`,
    kept: 'The event is not stored and not acknowledged.',
    next: 'Add a route for it, or choose another policy under "unmatched".',
    facts: { mqttTopic, clientId }
  })
}

function tooLarge({ mqttTopic, clientId }: IngestEvent, recordBytes: number, recordBytesMax: number): WadiError {
  return new WadiError('WADI_RECORD_TOO_LARGE', {
    happened: `An event on ${JSON.stringify(mqttTopic)} takes ${recordBytes} bytes with key and headers; ${recordBytesMax} is the most.`,
    kept: 'It is not stored and not acknowledged.',
    next: 'Make it smaller at the device.',
    facts: { mqttTopic, clientId, recordBytes, recordBytesMax }
  })
}

function busy({ inFlightBytes, inFlightCount }: { inFlightBytes: number; inFlightCount: number }): WadiError {
  return new WadiError('WADI_BUSY', {
    happened: `${inFlightCount} events with ${formatBytes(inFlightBytes)} wait for the disk; there is no room for more.`,
    kept: 'The event is not stored and not acknowledged; what waits is kept.',
    next: 'Nothing to do if it passes; a disk that stays this slow needs a look.',
    facts: { inFlightBytes, inFlightCount }
  })
}

function topicUnknown(topicName: string): WadiError {
  return new WadiError('WADI_TOPIC_UNKNOWN', {
    happened: `The topic ${topicName} for dead letters does not exist.`,
    kept: 'The event is not stored and not acknowledged.',
    next: 'Create the topic.',
    facts: { topicName }
  })
}

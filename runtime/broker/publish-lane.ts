// The fast lane of ingest: PUBLISH packets from the bytes of a connection into the open commit, many with one answer. What becomes of the events of a client
// on a topic is decided once, when the topic is met first, and kept in the core as a plan.
//
// Invariants:
//   - events lie in the log in the order of the packets, among those that come by Ingest.accept(); `taken` and its answer come in that order too;
//   - what the lane does not take is left to the caller as it lies there, the first packet first;
//   - a plan is forgotten before anything that it was made from has changed (forget(), and the store's own changes of topics);
//   - while there is no room nobody is walked out of turn: those who wait for the commit come first, by the lane or not.
// Not for: packets of other kinds, whose topic it is and who may publish there (the adapter decides), acknowledgements.

import type { Core, LanePlan } from '../core/core.ts'
import type { RecordHeader } from '../core/record.ts'
import type { Clock } from '../io/clock.ts'
import type { Random } from '../io/random.ts'
import type { LaneAppends, LaneDone, LaneOpening } from '../log/contract.ts'
import type { Ingest, LaneTarget } from './ingest.ts'

export interface PublishLaneOptions {
  readonly core: Pick<Core, 'lane'>
  readonly appends: LaneAppends
  readonly ingest: Ingest
  readonly clock: Clock
  readonly random: Random
}

/** One connection. */
export interface LaneClient {
  /** Unique: LaneClients of one lane have different ones. */
  readonly number: number
  /** '' = it has none. */
  readonly clientId: string
  readonly isV5: boolean
  readonly packetBytesMax: number
  /** What is known of a topic by its bytes; null = its packets are not for the lane. Asked once for each plan. */
  topicOf(topic: Uint8Array, qos: 0 | 1): LaneTopic | null
  /** Events were taken; `acks` (PUBACKs of those of QoS 1, in their order) is good in this call only. Answered once, later. */
  taken(events: number, acks: Uint8Array): LaneDone
}

export interface LaneTopic {
  readonly mqttTopic: string
  /** Of the records, behind those of the route. */
  readonly headers: readonly RecordHeader[]
}

/** `more`: what is left is the beginning of a packet; `other`: the next packet is not for the lane; `full`: wait for onceRoom(). */
export interface LaneWalk {
  /** Bytes that are done with. */
  readonly consumed: number
  readonly stop: 'done' | 'more' | 'other' | 'full'
}

/** The last is nobody's (core-wasm/assembly/lane-plans.ts). */
const CLIENT_NUMBERS = 0xffffffff
/** By which ingest may count a record larger than the lane does. */
const RECORD_SLACK_BYTES = 1_024
/** Of events that no route takes. */
const METER_NONE = { hits: 0 }
const NO_BYTES = new Uint8Array(0)

export class PublishLane {
  readonly #options: PublishLaneOptions
  readonly #meters: { hits: number }[] = [METER_NONE]
  readonly #meterNumbers = new Map<{ hits: number }, number>([[METER_NONE, 0]])
  #clientCount = 0

  constructor(options: PublishLaneOptions) {
    this.#options = options
    const { core, random } = options
    core.lane.seed(Buffer.from(random.bytes(8)).readBigUInt64LE())
  }

  /** For LaneClient.number. */
  nextClientNumber(): number {
    this.#clientCount = (this.#clientCount + 1) % CLIENT_NUMBERS
    return this.#clientCount
  }

  /** Something that plans are made from has changed, or is about to. */
  forget(): void {
    this.#options.core.lane.forgetPlans()
  }

  /** Of the topics that a filter matches. */
  forgetMatching(filter: string): void {
    this.#options.core.lane.forgetMatching(filter)
  }

  /**
   * Takes what it can of `head` and `chunk` (from `from` on), one behind the other; `acksMax` events of QoS 1 at most.
   * The head is the beginning of a packet, of at most half of the lane's input.
   */
  walk(client: LaneClient, head: Uint8Array, chunk: Uint8Array, { from, acksMax }: { from: number; acksMax: number }): LaneWalk {
    let [consumed, isLast] = [0, false]
    let walked: LaneWalk
    let acksLeft = acksMax
    do {
      const rest = consumed < head.byteLength ? head.subarray(consumed) : NO_BYTES
      const chunkFrom = from + Math.max(0, consumed - head.byteLength)
      isLast = rest.byteLength + chunk.byteLength - chunkFrom <= this.#options.core.lane.inputBytesMax
      walked = this.#walkInput(client, rest, chunk, { from: chunkFrom, acksMax: acksLeft })
      acksLeft -= this.#options.core.lane.ackCount
      consumed += walked.consumed
    } while (!isLast && walked.consumed > 0 && (walked.stop === 'done' || walked.stop === 'more'))
    return { consumed, stop: walked.stop }
  }

  #walkInput(client: LaneClient, head: Uint8Array, chunk: Uint8Array, { from, acksMax }: { from: number; acksMax: number }): LaneWalk {
    const { appends, clock, core, ingest } = this.#options
    const { lane } = core
    const closed = stopOf(appends.begin(ingest.recordBytesMax - RECORD_SLACK_BYTES))
    if (closed !== null) return { consumed: 0, stop: closed }
    lane.load(head, chunk, from)
    const { number, isV5, packetBytesMax } = client
    const feed = { client: number, isV5, packetBytesMax, acksMax, timestampMs: clock.wallMs() }
    let stop = lane.feed(feed)
    while (stop === 'miss' || stop === 'no-batch') {
      const refused = stop === 'miss' ? (this.#plan(client) ? null : 'other') : stopOf(appends.openPart(lane.part))
      if (refused !== null) {
        stop = refused
        break
      }
      stop = lane.feed(feed)
    }
    if (lane.events > 0) this.#take(client)
    return { consumed: lane.at, stop }
  }

  #take(client: LaneClient): void {
    const { appends, clock, core, ingest } = this.#options
    const { lane } = core
    const { events } = lane
    lane.eachMeter((meter, count) => {
      const known = this.#meters[meter]
      if (known) known.hits += count
    })
    const startedMs = clock.monotonicMs()
    ingest.tookByLane(events, lane.payloadBytes)
    const answer = client.taken(events, lane.acks)
    appends.end((error, ends) => {
      ingest.doneByLane(events, startedMs, error, ends)
      answer(error, ends)
    })
  }

  /** @returns false when there is no plan now: it is asked for again */
  #plan(client: LaneClient): boolean {
    const { lane } = this.#options.core
    const known = client.topicOf(lane.topic, lane.qos)
    if (known === null) return lane.putPlan(client.number, null)
    const target = this.#options.ingest.targetOf({ mqttTopic: known.mqttTopic, clientId: client.clientId, headers: known.headers })
    if (target === 'no-topic') return false
    if (target === 'by-event') return lane.putPlan(client.number, null)
    const plan = this.#planTo(target)
    return plan !== null && lane.putPlan(client.number, plan)
  }

  /** null = there is no place for it now: its topic is being deleted, or there are too many. */
  #planTo({ topic, key, headers, meter, partitionIndex }: LaneTarget): LanePlan | null {
    const first = this.#options.appends.partsOf(topic)
    const meterNumber = this.#meterOf(meter ?? METER_NONE)
    if (first === null || meterNumber === null) return null
    const place =
      partitionIndex === null ? { part: first, partCount: topic.partitions.length } : { part: first + partitionIndex, partCount: 1 }
    return { meter: meterNumber, key, headers, ...place }
  }

  #meterOf(meter: { hits: number }): number | null {
    const known = this.#meterNumbers.get(meter)
    if (known !== undefined) return known
    const number = this.#meters.length
    if (number === this.#options.core.lane.metersMax) return null
    this.#meters.push(meter)
    this.#meterNumbers.set(meter, number)
    return number
  }

  // --- room

  /** A walk would find no room. */
  get isFull(): boolean {
    return this.#options.appends.isFull
  }

  /** Runs `turn` once, behind all who wait for room now, slow packets and Kafka clients too. It walks again, or gives its turn up. */
  onceRoom(turn: () => void): void {
    this.#options.appends.onceRoom(turn)
  }
}

const stopOf = (opening: LaneOpening): 'other' | 'full' | null => (opening === 'open' ? null : opening === 'refused' ? 'other' : 'full')

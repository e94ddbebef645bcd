// The fast lane of the core (core-wasm/assembly/lane.ts): PUBLISH packets from the bytes of a socket into the record pool.
//
// Invariants: what is counted belongs to the walk that began last; views are valid until the next call. Not for: what a topic means (runtime/broker), how
// much a commit takes (runtime/log), sockets (adapters/mqtt).

import type { Lane, LaneFeed, LanePlan, LaneStop } from './core.ts'
import type { CoreModule } from './core-module.ts'

/** Answers of laneFeed in their order (core-wasm/assembly/lane.ts). */
const STOPS: readonly LaneStop[] = ['done', 'more', 'other', 'miss', 'no-batch', 'full']
/** Fields of LANE_VIEW as indexes of the u32 and f64 views that start there. */
const AT = 0
const EVENTS = 2
const ACKS = 3
const PARTS_TOUCHED = 6
const METERS_TOUCHED = 7
const TOPIC = 8
const TOPIC_BYTES = 9
const QOS = 10
const PART = 11
const PAYLOAD_BYTES = 2
const VIEW_WORDS = 16
const ACK_BYTES = 4
const PART_WORDS = 8
const PART_RECORDS = 3
const PART_WALK_BYTES = 4
const SLOW: LanePlan = { meter: 0, part: 0, partCount: 0, key: null, headers: [] }

export class WasmLane implements Lane {
  readonly inputBytesMax: number
  readonly partsMax: number
  readonly metersMax: number
  readonly #module: CoreModule
  readonly #view: Uint32Array
  readonly #numbers: Float64Array
  readonly #parts: Uint32Array
  readonly #meters: Uint32Array
  readonly #touchedParts: Uint32Array
  readonly #touchedMeters: Uint32Array
  /** What was loaded last: the chunk, where in the input its byte 0 would stand, and where it ends there. */
  #chunk: Uint8Array | null = null
  #origin = 0
  #end = 0
  /** Where the walk begins in the input. */
  #start = 0

  constructor(module: CoreModule) {
    const { bytes, at } = module
    const { buffer } = bytes
    this.#module = module
    this.inputBytesMax = at.LANE_INPUT_BYTES
    this.partsMax = at.LANE_PARTS_MAX
    this.metersMax = at.LANE_METERS_MAX
    this.#view = new Uint32Array(buffer, at.LANE_VIEW, VIEW_WORDS)
    this.#numbers = new Float64Array(buffer, at.LANE_VIEW, VIEW_WORDS / 2)
    this.#parts = new Uint32Array(buffer, at.LANE_PARTS, at.LANE_PARTS_MAX * PART_WORDS)
    this.#meters = new Uint32Array(buffer, at.LANE_METERS, at.LANE_METERS_MAX)
    this.#touchedParts = new Uint32Array(buffer, at.LANE_TOUCHED_PARTS, at.LANE_PARTS_MAX)
    this.#touchedMeters = new Uint32Array(buffer, at.LANE_TOUCHED_METERS, at.LANE_METERS_MAX)
  }

  seed(seed: bigint): void {
    this.#module.call.laneSeedPlans(seed)
  }

  load(head: Uint8Array, chunk: Uint8Array, from: number): void {
    this.#start = head.byteLength === 0 ? this.#placeOf(chunk, from) : -1
    if (this.#start < 0) this.#copyIn(head, chunk, from)
    this.#view[AT] = this.#start
  }

  /** Of a chunk that is walked on, behind a packet that was not for the lane; -1 = it is not there. */
  #placeOf(chunk: Uint8Array, from: number): number {
    const place = this.#origin + from
    return this.#chunk === chunk && place >= 0 && place < this.#end ? place : -1
  }

  #copyIn(head: Uint8Array, chunk: Uint8Array, from: number): void {
    const { bytes, at } = this.#module
    if (head.byteLength > this.inputBytesMax) throw new RangeError(`${head.byteLength} bytes, the lane takes ${this.inputBytesMax}`)
    const taken = Math.min(chunk.byteLength - from, this.inputBytesMax - head.byteLength)
    if (head.byteLength > 0) bytes.set(head, at.LANE_INPUT)
    bytes.set(from === 0 && taken === chunk.byteLength ? chunk : chunk.subarray(from, from + taken), at.LANE_INPUT + head.byteLength)
    this.#chunk = chunk
    this.#origin = head.byteLength - from
    this.#end = head.byteLength + taken
    this.#start = 0
  }

  beginWalk({ roomBytes, recordBytesMax }: { roomBytes: number; recordBytesMax: number }): void {
    this.#module.call.laneBeginWalk(roomBytes, recordBytesMax)
  }

  feed({ client, isV5, packetBytesMax, acksMax, timestampMs }: LaneFeed): LaneStop {
    return STOPS[this.#module.call.laneFeed(client, isV5 ? 1 : 0, this.#end, packetBytesMax, acksMax, timestampMs)] as LaneStop
  }

  get at(): number {
    return (this.#view[AT] as number) - this.#start
  }

  get events(): number {
    return this.#view[EVENTS] as number
  }

  get payloadBytes(): number {
    return this.#numbers[PAYLOAD_BYTES] as number
  }

  get qos(): 0 | 1 {
    return this.#view[QOS] as 0 | 1
  }

  get topic(): Uint8Array {
    const from = this.#module.at.LANE_INPUT + (this.#view[TOPIC] as number)
    return this.#module.bytes.subarray(from, from + (this.#view[TOPIC_BYTES] as number))
  }

  get part(): number {
    return this.#view[PART] as number
  }

  get ackCount(): number {
    return this.#view[ACKS] as number
  }

  get acks(): Uint8Array {
    const from = this.#module.at.LANE_ACKS
    return this.#module.bytes.subarray(from, from + this.ackCount * ACK_BYTES)
  }

  eachPart(call: (part: number) => void): void {
    for (let i = 0; i < (this.#view[PARTS_TOUCHED] as number); i++) call(this.#touchedParts[i] as number)
  }

  walkedOf(part: number): { records: number; bytes: number } {
    return {
      records: this.#parts[part * PART_WORDS + PART_RECORDS] as number,
      bytes: this.#parts[part * PART_WORDS + PART_WALK_BYTES] as number
    }
  }

  eachMeter(call: (meter: number, events: number) => void): void {
    for (let i = 0; i < (this.#view[METERS_TOUCHED] as number); i++) {
      const meter = this.#touchedMeters[i] as number
      call(meter, this.#meters[meter] as number)
    }
  }

  putPlan(client: number, plan: LanePlan | null): boolean {
    const { call, at } = this.#module
    const { meter, part, partCount, key, headers } = plan ?? SLOW
    const headersBytes = this.#module.stageHeaders(headers)
    if (headersBytes === null) return false
    if (key !== null) this.#module.copyIn(key)
    const topic = at.LANE_INPUT + (this.#view[TOPIC] as number)
    const topicBytes = this.#view[TOPIC_BYTES] as number
    return call.lanePutPlan(client, this.qos, topic, topicBytes, meter, part, partCount, key?.byteLength ?? -1, headersBytes) === 1
  }

  forgetPlans(): void {
    this.#module.call.laneForgetPlans()
  }

  forgetMatching(filter: string): void {
    const bytes = Buffer.from(filter)
    this.#module.copyIn(bytes)
    this.#module.call.laneForgetMatching(this.#module.at.INPUT, bytes.byteLength)
  }

  openPart(part: number, batch: number, { roomBytes, batchBytes }: { roomBytes: number; batchBytes: number }): void {
    this.#module.call.laneOpenPart(part, batch, roomBytes, batchBytes)
  }

  closePart(part: number): void {
    this.#module.call.laneClosePart(part)
  }
}

// The instantiated WASM module: its exports, and views of its memory. The memory never grows, so views never detach.
// Invariants: every length is checked against its region before a byte moves; addresses come from the module itself.
// Not for: anything outside runtime/core.

import { assert } from '../base/assert.ts'
import type { RecordHeader, RecordInput } from './record.ts'

/** Fields of RECORD_VIEW as indexes of the i32 and f64 views that start there (core-wasm/assembly/record-reader.ts). */
export const VIEW_KEY_PTR = 0
export const VIEW_KEY_BYTES = 1
export const VIEW_VALUE_PTR = 2
export const VIEW_VALUE_BYTES = 3
export const VIEW_HEADER_COUNT = 4
export const VIEW_HEADERS_PTR = 5
export const VIEW_NEXT_PTR = 6
export const VIEW_TIMESTAMP = 4
export const VIEW_OFFSET = 5

export interface CoreFunctions {
  crc32c(ptr: number, length: number, previous: number): number
  murmur2(ptr: number, length: number): number
  buildBegin(baseOffset: number, bytesMax: number): void
  buildAddRecord(timestampMs: number, keyBytes: number, valueBytes: number, headersBytes: number): number
  buildFinish(producerId: bigint, producerEpoch: number, baseSequence: number, isTransactional: number): number
  checkBatch(ptr: number, length: number): number
  checkStoredBatch(ptr: number, length: number): number
  viewRecord(batchPtr: number, ptr: number, limit: number): number
  viewHeader(ptr: number, limit: number): number
  patchProducer(
    ptr: number,
    batchBytes: number,
    producerId: bigint,
    producerEpoch: number,
    baseSequence: number,
    isTransactional: number
  ): void
  commitBegin(): void
  commitLeft(): number
  commitAddPooled(topicNumber: number, partitionIndex: number, slot: number, baseOffset: number): number
  commitBatchPtr(batchBytes: number): number
  commitReserveBatch(topicNumber: number, partitionIndex: number, batchBytes: number): number
  commitReserveState(keyBytes: number, valueBytes: number): number
  stampBatch(ptr: number, baseOffset: number): void
  commitFinish(generation: number, sequence: number): number
  commitVerify(ptr: number, payloadBytes: number): number
  poolBegin(): void
  poolOpen(): number
  poolAdd(slot: number, timestampMs: number, keyBytes: number, valueBytes: number, headersBytes: number): number
  repackBeginSeal(bytesMax: number): void
  repackBeginForward(bytesMax: number, idBytes: number, prefixBytes: number, partitionIndex: number, targetCount: number): void
  repackAdd(batchBytes: number, fromOffset: number, untilOffset: number): number
  repackNextOffset(): number
  repackAddedCount(): number
  repackFinish(): number
  stageHeaders(): number
  searchOffsetIndex(ptr: number, count: number, relativeOffset: number): number
  searchTimeIndex(ptr: number, count: number, timestampMs: number): number
  targetsCount(): number
  targetOf(index: number): number
  targetGather(index: number): number
  laneSeedPlans(seed: bigint): void
  laneForgetPlans(): void
  laneForgetMatching(filterPtr: number, filterBytes: number): void
  lanePutPlan(
    client: number,
    qos: number,
    topicPtr: number,
    topicBytes: number,
    meter: number,
    part: number,
    partCount: number,
    keyBytes: number,
    headersBytes: number
  ): number
  laneBeginWalk(roomBytes: number, recordBytesMax: number): void
  laneFeed(client: number, isV5: number, end: number, packetBytesMax: number, acksMax: number, timestampMs: number): number
  laneOpenPart(part: number, slot: number, roomBytes: number, batchBytes: number): void
  laneClosePart(part: number): void
  keyMapBegin(low: bigint, high: bigint): void
  keyMapAdd(batchBytes: number, deletionsBelow: number): number
  keyMapCount(): number
  compactBatch(batchBytes: number, deletionsUntil: number, isAborted: number, keepsLast: number, stays: number): number
  compactDeletedCount(): number
  compactKeptCount(): number
  lz4Compress(length: number): number
  lz4Decompress(length: number, bytesMax: number): number
}

const addressNames = [
  'BATCH_BYTES_MAX',
  'COMMIT',
  'COMMIT_BYTES_MAX',
  'FORWARD_BYTES_MAX',
  'FORWARD_ID',
  'FORWARD_PREFIX',
  'INPUT',
  'KEY_MAP_KEYS_MAX',
  'LANE_ACKS',
  'LANE_INPUT',
  'LANE_INPUT_BYTES',
  'LANE_METERS',
  'LANE_METERS_MAX',
  'LANE_PARTS',
  'LANE_PARTS_MAX',
  'LANE_TOUCHED_METERS',
  'LANE_TOUCHED_PARTS',
  'LANE_VIEW',
  'MEMORY_END',
  'OUTPUT',
  'RECORD_VIEW',
  'REGION_BYTES',
  'REPACK'
] as const

/** The memory map, in bytes (core-wasm/assembly/memory.ts). */
type CoreAddresses = Readonly<Record<(typeof addressNames)[number], number>>

type CoreExports = CoreFunctions & { memory: { buffer: ArrayBuffer } } & Record<(typeof addressNames)[number], { value: number }>

/** The part of the global WebAssembly that is used here; Node's type package does not describe it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object, imports: object) => { exports: unknown }
}

/** Adds the record staged: one of the core's builders. */
type AddRecord = (timestampMs: number, keyBytes: number, valueBytes: number, headersBytes: number) => number

/** Of core-wasm/assembly/index.ts. */
const ABI_VERSION = 7

/** Fields up to this long are cheaper to copy byte by byte than by TypedArray.set. */
const LOOP_BYTES_MAX = 8

export class CoreModule {
  readonly call: CoreFunctions
  readonly at: CoreAddresses
  readonly bytes: Uint8Array
  readonly recordWords: Int32Array
  readonly recordNumbers: Float64Array
  readonly #stageWords: Int32Array
  readonly #input: number
  readonly #inputEnd: number
  readonly #regionBytes: number
  /** Whose encoded form lies in the core now. */
  #headers: readonly RecordHeader[] | null = null
  #headersBytes = 0

  /** @throws Error (WebAssembly.CompileError, LinkError) when the bytes are not our module */
  constructor(wasmBytes: Uint8Array) {
    const exports = new WebAssembly.Instance(new WebAssembly.Module(wasmBytes), {}).exports as CoreExports
    const buffer = exports.memory.buffer
    const abi = (exports as unknown as { ABI_VERSION?: { value: number } }).ABI_VERSION?.value
    assert(abi === ABI_VERSION, `the core has ABI ${abi}, this program needs ${ABI_VERSION}: build both from one checkout`)
    this.call = exports
    this.at = Object.fromEntries(addressNames.map((name) => [name, exports[name].value])) as CoreAddresses
    assert(
      buffer.byteLength === this.at.MEMORY_END,
      `the core has ${buffer.byteLength} bytes of memory, its map ends at ${this.at.MEMORY_END}`
    )
    this.bytes = new Uint8Array(buffer)
    this.recordWords = new Int32Array(buffer, this.at.RECORD_VIEW, 8)
    this.recordNumbers = new Float64Array(buffer, this.at.RECORD_VIEW, 6)
    this.#stageWords = new Int32Array(buffer, this.at.INPUT, this.at.REGION_BYTES >> 2)
    this.#input = this.at.INPUT
    this.#inputEnd = this.at.INPUT + this.at.REGION_BYTES
    this.#regionBytes = this.at.REGION_BYTES
  }

  /** Copies `bytes` to INPUT. @throws RangeError when they are longer than `bytesMax` or the region */
  copyIn(bytes: Uint8Array, bytesMax: number = this.#regionBytes): void {
    const length = bytes.length
    if (length > bytesMax || length > this.#regionBytes) throw new RangeError(`${length} bytes, the core takes ${bytesMax}`)
    if (length > LOOP_BYTES_MAX) this.bytes.set(bytes, this.#input)
    else for (let i = 0; i < length; i++) this.bytes[this.#input + i] = bytes[i] as number
  }

  /**
   * Adds a record with one of the core's builders. Headers are encoded once and serve every further record with the same array.
   * @returns false when it does not fit
   * @throws RangeError when the timestamp is not a safe integer
   */
  addRecord(add: AddRecord, record: RecordInput): boolean {
    const { timestampMs, key, value, headers } = record
    if (!Number.isSafeInteger(timestampMs)) throw new RangeError(`timestamp ${timestampMs} is not a safe integer`)
    const headersBytes = this.stageHeaders(headers)
    if (headersBytes === null) return false
    let at = this.#input
    if (key !== null) at = this.#stage(key, at)
    if (value !== null) at = this.#stage(value, at)
    if (at === Number.POSITIVE_INFINITY) return false
    return add(timestampMs, key === null ? -1 : key.length, value === null ? -1 : value.length, headersBytes) !== 0
  }

  /** Encodes headers to HEADERS, once for the same array. Layout: core-wasm/assembly/batch-builder.ts. @returns their bytes there; null when they do not fit */
  stageHeaders(headers: readonly RecordHeader[]): number | null {
    return headers === this.#headers ? this.#headersBytes : this.#encodeHeaders(headers)
  }

  #encodeHeaders(headers: readonly RecordHeader[]): number | null {
    this.#headers = null
    const words = this.#stageWords
    let at = this.#input + 4 + 8 * headers.length
    if (at > this.#inputEnd) return null
    words[0] = headers.length
    let word = 1
    for (const { key, value } of headers) {
      words[word++] = key.length
      words[word++] = value === null ? -1 : value.length
      at = this.#stage(key, at)
      if (value !== null) at = this.#stage(value, at)
    }
    if (at === Number.POSITIVE_INFINITY) return null
    const bytes = this.call.stageHeaders()
    if (bytes === 0) return null
    this.#headersBytes = bytes
    this.#headers = headers
    return bytes
  }

  /** @returns the place behind them, infinity when they do not fit */
  #stage(from: Uint8Array, at: number): number {
    const length = from.length
    if (length > this.#inputEnd - at) return Number.POSITIVE_INFINITY
    const bytes = this.bytes
    if (length > LOOP_BYTES_MAX) bytes.set(from, at)
    else for (let i = 0; i < length; i++) bytes[at + i] = from[i] as number
    return at + length
  }
}

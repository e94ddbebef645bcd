// The core as the rest of Wadi sees it: typed arrays and plain values over the WASM module.
// Invariants: input is copied in, results are copied out unless the contract (core.ts) says "view"; every length is
// checked before a byte moves; a fault in the bytes is a value or a RangeError, never a trap.

import { toOffset } from '../base/offset.ts'
import { OutputTooLarge } from '../io/codec.ts'
import { ATTRIBUTES_AT, BATCH_LENGTH_AT, CODEC_MASK, LENGTH_PREFIX_BYTES, RECORD_COUNT_AT, RECORDS_AT, viewOf } from './batch-header.ts'
import { BatchRepacker } from './batch-repacker.ts'
import { WasmCommitBuilder } from './commit-builder.ts'
import { COMMIT_PAYLOAD_AT, parseCommitHeader } from './commit-frames.ts'
import type { CommitBuilder, CommitHeader, Core, KeyMap, Lane, RecordPool, Repacker } from './core.ts'
import {
  CoreModule,
  VIEW_HEADER_COUNT,
  VIEW_HEADERS_PTR,
  VIEW_KEY_BYTES,
  VIEW_KEY_PTR,
  VIEW_NEXT_PTR,
  VIEW_OFFSET,
  VIEW_TIMESTAMP,
  VIEW_VALUE_BYTES,
  VIEW_VALUE_PTR
} from './core-module.ts'
import { WasmKeyMap } from './key-map.ts'
import { WasmLane } from './lane.ts'
import type { BatchFault, OpenedBatch, ProducerFields, RecordHeader, RecordInput, StoredRecord } from './record.ts'
import { WasmRecordPool } from './record-pool.ts'

/** Answers of checkBatch in their order (core-wasm/assembly/batch-check.ts). */
const batchFaults: readonly (BatchFault | null)[] = [null, 'short', 'length', 'magic', 'crc', 'attributes', 'count', 'record']
/** Inputs of the CRC are copied in pieces that stay in the processor's cache. */
const CRC_CHUNK_BYTES = 256 * 1024
const LZ4_TOO_LARGE = -2
const OFFSET_ENTRY_BYTES = 8
const TIME_ENTRY_BYTES = 12
/** Index searches copy at most this many entries in; a few steps in JavaScript narrow larger files down. */
const SEARCH_ENTRIES_MAX = 128

/** @throws Error (WebAssembly.CompileError) when the bytes are not our module */
export function instantiateCore(wasmBytes: Uint8Array): Core {
  return new WasmCore(wasmBytes)
}

export class WasmCore implements Core {
  readonly batchBytesMax: number
  readonly commitBytesMax: number
  readonly pool: RecordPool
  readonly commit: CommitBuilder
  readonly lane: Lane
  readonly repack: Repacker
  readonly #module: CoreModule
  #hasKeyMap = false

  constructor(wasmBytes: Uint8Array) {
    const module = new CoreModule(wasmBytes)
    this.#module = module
    this.batchBytesMax = module.at.BATCH_BYTES_MAX
    this.commitBytesMax = module.at.COMMIT_BYTES_MAX
    this.pool = new WasmRecordPool(module)
    this.lane = new WasmLane(module)
    this.commit = new WasmCommitBuilder(module)
    this.repack = new BatchRepacker(module)
  }

  crc32c(bytes: Uint8Array, previous = 0): number {
    const { call, at } = this.#module
    if (bytes.byteLength <= CRC_CHUNK_BYTES) {
      this.#module.copyIn(bytes)
      return call.crc32c(at.INPUT, bytes.byteLength, previous) >>> 0
    }
    let crc = previous
    for (let from = 0; from < bytes.byteLength; from += CRC_CHUNK_BYTES) {
      const chunk = bytes.subarray(from, from + CRC_CHUNK_BYTES)
      this.#module.copyIn(chunk)
      crc = call.crc32c(at.INPUT, chunk.byteLength, crc)
    }
    return crc >>> 0
  }

  /** @throws RangeError when the key is longer than 4 MiB */
  murmur2(bytes: Uint8Array): number {
    this.#module.copyIn(bytes)
    return this.#module.call.murmur2(this.#module.at.INPUT, bytes.byteLength)
  }

  /** @throws RangeError when there is no record, or the batch would be larger than batchBytesMax */
  buildBatch(records: readonly RecordInput[], options: { baseOffset: number; producer?: ProducerFields }): Uint8Array {
    const { call, bytes, at } = this.#module
    if (records.length === 0) throw new RangeError('a batch has at least one record')
    call.buildBegin(toOffset(options.baseOffset), at.BATCH_BYTES_MAX)
    for (const record of records) {
      if (!this.#module.addRecord(call.buildAddRecord, record))
        throw new RangeError(`a batch of ${records.length} records is larger than ${at.BATCH_BYTES_MAX} bytes`)
    }
    const { producer } = options
    const batchBytes =
      producer === undefined
        ? call.buildFinish(-1n, -1, -1, 0)
        : call.buildFinish(producer.producerId, producer.producerEpoch, producer.baseSequence, producer.isTransactional ? 1 : 0)
    return bytes.slice(at.OUTPUT, at.OUTPUT + batchBytes)
  }

  /** A batch larger than batchBytesMax is a 'length' fault. */
  checkBatch(batch: Uint8Array): BatchFault | null {
    const { call, at } = this.#module
    if (batch.byteLength > at.BATCH_BYTES_MAX) return 'length'
    this.#module.copyIn(batch)
    return batchFaults[call.checkBatch(at.INPUT, batch.byteLength)] as BatchFault | null
  }

  checkStoredBatch(batch: Uint8Array): BatchFault | null {
    const { call, at } = this.#module
    if (batch.byteLength > at.BATCH_BYTES_MAX) return 'length'
    this.#module.copyIn(batch)
    return batchFaults[call.checkStoredBatch(at.INPUT, batch.byteLength)] as BatchFault | null
  }

  readRecords(batch: Uint8Array): StoredRecord[] {
    if (batch.byteLength < RECORDS_AT) throw new RangeError(`batch of ${batch.byteLength} bytes`)
    return this.readOpened({ head: batch.subarray(0, RECORDS_AT), records: batch.subarray(RECORDS_AT) })
  }

  readOpened({ head, records: block }: OpenedBatch, wants?: (offset: number) => boolean): StoredRecord[] {
    const { call, at, bytes, recordNumbers, recordWords } = this.#module
    const batchBytes = head.byteLength + block.byteLength
    const header = viewOf(head)
    if ((header.getInt16(ATTRIBUTES_AT) & CODEC_MASK) !== 0) throw new RangeError('the batch is compressed')
    if (batchBytes > at.BATCH_BYTES_MAX) throw new RangeError(`${batchBytes} bytes, the core takes ${at.BATCH_BYTES_MAX}`)
    bytes.set(head, at.INPUT)
    bytes.set(block, at.INPUT + RECORDS_AT)
    const records: StoredRecord[] = []
    const end = at.INPUT + batchBytes
    /** What records are views of: one piece for all, or for some of them one each. */
    const all = wants ? null : bytes.slice(at.INPUT, end)
    let ptr = at.INPUT + RECORDS_AT
    for (let left = header.getInt32(RECORD_COUNT_AT); left > 0; left--) {
      const from = ptr
      if (call.viewRecord(at.INPUT, from, end) === 0) throw new RangeError(`malformed record at byte ${from - at.INPUT} of the batch`)
      ptr = recordWords[VIEW_NEXT_PTR] as number
      if (all) records.push(this.#viewedRecord(all, at.INPUT, ptr))
      else if (wants?.(recordNumbers[VIEW_OFFSET] as number)) records.push(this.#viewedRecord(bytes.slice(from, ptr), from, ptr))
    }
    return records
  }

  /** The record in RECORD_VIEW, that ends at `end`; `copy` is what lies from `origin` on. */
  #viewedRecord(copy: Uint8Array, origin: number, end: number): StoredRecord {
    const { recordWords, recordNumbers, call } = this.#module
    const timestampMs = recordNumbers[VIEW_TIMESTAMP] as number
    const offset = recordNumbers[VIEW_OFFSET] as number
    if (!Number.isSafeInteger(timestampMs) || !(Number.isSafeInteger(offset) && offset >= 0)) {
      throw new RangeError(`record with offset ${offset} and timestamp ${timestampMs}`)
    }
    const viewed = (ptrField: number, bytesField: number): Uint8Array | null => {
      const length = recordWords[bytesField] as number
      const from = (recordWords[ptrField] as number) - origin
      return length < 0 ? null : copy.subarray(from, from + length)
    }
    const key = viewed(VIEW_KEY_PTR, VIEW_KEY_BYTES)
    const value = viewed(VIEW_VALUE_PTR, VIEW_VALUE_BYTES)
    const headerCount = recordWords[VIEW_HEADER_COUNT] as number
    const headers: RecordHeader[] = []
    let ptr = recordWords[VIEW_HEADERS_PTR] as number
    for (let i = 0; i < headerCount; i++) {
      if (call.viewHeader(ptr, end) === 0) throw new RangeError('malformed record header')
      ptr = recordWords[VIEW_NEXT_PTR] as number
      headers.push({ key: viewed(VIEW_KEY_PTR, VIEW_KEY_BYTES) as Uint8Array, value: viewed(VIEW_VALUE_PTR, VIEW_VALUE_BYTES) })
    }
    return { offset: toOffset(offset), timestampMs, key, value, headers }
  }

  /** @throws RangeError when `batch` is not as long as its header says */
  patchProducer(batch: Uint8Array, producer: ProducerFields): void {
    const { call, bytes, at } = this.#module
    const batchBytes = batch.byteLength
    if (batchBytes < RECORDS_AT || viewOf(batch).getInt32(BATCH_LENGTH_AT) + LENGTH_PREFIX_BYTES !== batchBytes) {
      throw new RangeError(`${batchBytes} bytes are not one whole batch`)
    }
    for (let i = 0; i < RECORDS_AT; i++) bytes[at.INPUT + i] = batch[i] as number
    const { producerId, producerEpoch, baseSequence, isTransactional } = producer
    call.patchProducer(at.INPUT, batchBytes, producerId, producerEpoch, baseSequence, isTransactional ? 1 : 0)
    for (let i = 0; i < RECORDS_AT; i++) batch[i] = bytes[at.INPUT + i] as number
  }

  /** @throws RangeError when the seed has not 16 bytes */
  openKeyMap(seed: Uint8Array): KeyMap | null {
    if (this.#hasKeyMap) return null
    const keyMap = new WasmKeyMap(this.#module, seed, () => {
      this.#hasKeyMap = false
    })
    this.#hasKeyMap = true
    return keyMap
  }

  readCommitHeader(bytes: Uint8Array): CommitHeader | null {
    return parseCommitHeader(bytes, this.commitBytesMax)
  }

  verifyCommit(bytes: Uint8Array): boolean {
    const header = this.readCommitHeader(bytes)
    if (header === null || bytes.byteLength < header.blockBytes) return false
    this.#module.copyIn(bytes.subarray(0, COMMIT_PAYLOAD_AT + header.payloadBytes))
    return this.#module.call.commitVerify(this.#module.at.INPUT, header.payloadBytes) === 1
  }

  searchOffsetIndex(entries: Uint8Array, relativeOffset: number): number {
    const { first, count } = narrowed(entries, OFFSET_ENTRY_BYTES, (at) => int32At(entries, at) <= relativeOffset)
    this.#module.copyIn(entries.subarray(first * OFFSET_ENTRY_BYTES, (first + count) * OFFSET_ENTRY_BYTES))
    const found = this.#module.call.searchOffsetIndex(this.#module.at.INPUT, count, Math.min(relativeOffset, 0x7fffffff))
    return found < 0 ? -1 : first + found
  }

  searchTimeIndex(entries: Uint8Array, timestampMs: number): number {
    const isFloor = (at: number) => int32At(entries, at) * 2 ** 32 + (int32At(entries, at + 4) >>> 0) <= timestampMs
    const { first, count } = narrowed(entries, TIME_ENTRY_BYTES, isFloor)
    this.#module.copyIn(entries.subarray(first * TIME_ENTRY_BYTES, (first + count) * TIME_ENTRY_BYTES))
    const found = this.#module.call.searchTimeIndex(this.#module.at.INPUT, count, timestampMs)
    return found < 0 ? -1 : first + found
  }

  /** @throws RangeError when the block is longer than batchBytesMax */
  lz4Compress(block: Uint8Array): Uint8Array {
    const { call, bytes, at } = this.#module
    this.#module.copyIn(block, at.BATCH_BYTES_MAX)
    const frameBytes = call.lz4Compress(block.byteLength)
    return bytes.slice(at.OUTPUT, at.OUTPUT + frameBytes)
  }

  /** bytesMax above batchBytesMax counts as batchBytesMax. */
  lz4Decompress(frame: Uint8Array, bytesMax: number): Uint8Array {
    const { call, bytes, at } = this.#module
    if (!(bytesMax >= 0)) throw new RangeError(`bytesMax ${bytesMax}`)
    this.#module.copyIn(frame)
    const limit = Math.min(Math.floor(bytesMax), at.BATCH_BYTES_MAX)
    const length = call.lz4Decompress(frame.byteLength, limit)
    if (length === LZ4_TOO_LARGE) throw new OutputTooLarge(`the LZ4 frame holds more than ${limit} bytes`)
    if (length < 0) throw new RangeError('the LZ4 frame is malformed')
    return bytes.slice(at.OUTPUT, at.OUTPUT + length)
  }
}

/** Cheaper than a DataView, which would have to be made for every search. */
function int32At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
}

/** At most SEARCH_ENTRIES_MAX entries that contain the last one for which `isFloor(byte)` holds, if there is one. */
function narrowed(entries: Uint8Array, entryBytes: number, isFloor: (at: number) => boolean): { first: number; count: number } {
  if (entries.byteLength % entryBytes !== 0) throw new RangeError(`an index of ${entries.byteLength} bytes`)
  let first = 0
  let count = entries.byteLength / entryBytes
  while (count > SEARCH_ENTRIES_MAX) {
    const half = count >>> 1
    if (isFloor((first + half) * entryBytes)) {
      first += half
      count -= half
    } else {
      count = half
    }
  }
  return { first, count }
}

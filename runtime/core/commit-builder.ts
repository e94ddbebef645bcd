// Builds the commit block inside linear memory. Owned by the journal: one commit at a time, pinned from finish() to release().
// Invariants: begin … finish … release in this order; one batch open at most; nothing else writes the COMMIT region.

import { assert } from '../base/assert.ts'
import type { CommitBuilder } from './core.ts'
import type { CoreModule } from './core-module.ts'
import type { RecordInput } from './record.ts'

type Frame = { topicNumber: number; partitionIndex: number; baseOffset: number }
type Phase = 'idle' | 'building' | 'pinned'

const STATE_KEY_BYTES_MAX = 255
const PARTITION_INDEX_MAX = 0xffff
const TOPIC_NUMBER_MAX = 0xffffffff
const noBytes = new Uint8Array(0)

export class WasmCommitBuilder implements CommitBuilder {
  readonly #module: CoreModule
  #phase: Phase = 'idle'
  /** 'full' = openBatch found no room: records are refused, closeBatch has nothing to close. */
  #batch: 'none' | 'open' | 'full' = 'none'

  constructor(module: CoreModule) {
    this.#module = module
  }

  begin(): void {
    assert(this.#phase !== 'pinned', 'the last commit was not released')
    this.#module.call.commitBegin()
    this.#phase = 'building'
    this.#batch = 'none'
  }

  get bytesLeft(): number {
    assert(this.#phase === 'building', 'no commit is being built')
    return this.#module.call.commitLeft()
  }

  openBatch(frame: Frame): void {
    this.#checkFrame(frame)
    const isOpen = this.#module.call.commitOpenBatch(frame.topicNumber, frame.partitionIndex, frame.baseOffset) !== 0
    this.#batch = isOpen ? 'open' : 'full'
  }

  addRecord(record: RecordInput): boolean {
    if (this.#batch !== 'open') {
      assert(this.#batch === 'full', 'no batch is open')
      return false
    }
    return this.#module.addRecord(this.#module.call.commitAddRecord, record)
  }

  closeBatch(): { batch: Uint8Array; recordCount: number } {
    assert(this.#batch !== 'none', 'no batch is open')
    const isOpen = this.#batch === 'open'
    this.#batch = 'none'
    if (!isOpen) return { batch: noBytes, recordCount: 0 }
    const { call, bytes } = this.#module
    const recordCount = call.commitRecordCount()
    const batchBytes = call.commitCloseBatch()
    const at = call.commitBatchPtr(batchBytes)
    return { batch: bytes.subarray(at, at + batchBytes), recordCount }
  }

  addBatch(frame: Frame, batch: Uint8Array): boolean {
    this.#checkFrame(frame)
    const { call, bytes } = this.#module
    const at = call.commitReserveBatch(frame.topicNumber, frame.partitionIndex, batch.byteLength)
    if (at === 0) return false
    bytes.set(batch, at)
    call.stampBatch(at, frame.baseOffset)
    return true
  }

  addState(key: Uint8Array, value: Uint8Array | null): boolean {
    assert(this.#phase === 'building' && this.#batch === 'none', 'no commit is being built, or a batch is open')
    if (key.byteLength === 0 || key.byteLength > STATE_KEY_BYTES_MAX) throw new RangeError(`state key of ${key.byteLength} bytes`)
    const { call, bytes, at } = this.#module
    if (value !== null && value.byteLength > at.COMMIT_BYTES_MAX) return false
    const keyAt = call.commitReserveState(key.byteLength, value === null ? -1 : value.byteLength)
    if (keyAt === 0) return false
    bytes.set(key, keyAt)
    if (value !== null) bytes.set(value, keyAt + key.byteLength)
    return true
  }

  finish(block: { generation: number; sequence: number }): Uint8Array {
    assert(this.#phase === 'building' && this.#batch === 'none', 'no commit is being built, or a batch is open')
    assert(Number.isSafeInteger(block.sequence) && block.sequence >= 0, `commit sequence ${block.sequence}`)
    const { call, bytes, at } = this.#module
    const blockBytes = call.commitFinish(block.generation, block.sequence)
    this.#phase = 'pinned'
    return bytes.subarray(at.COMMIT, at.COMMIT + blockBytes)
  }

  release(): void {
    assert(this.#phase === 'pinned', 'no commit is pinned')
    this.#phase = 'idle'
  }

  #checkFrame(frame: Frame): void {
    assert(this.#phase === 'building' && this.#batch === 'none', 'no commit is being built, or a batch is open')
    const { topicNumber, partitionIndex, baseOffset } = frame
    assert(Number.isInteger(topicNumber) && topicNumber >= 0 && topicNumber <= TOPIC_NUMBER_MAX, `topic number ${topicNumber}`)
    assert(Number.isInteger(partitionIndex) && partitionIndex >= 0 && partitionIndex <= PARTITION_INDEX_MAX, `partition ${partitionIndex}`)
    assert(Number.isSafeInteger(baseOffset) && baseOffset >= 0, `base offset ${baseOffset}`)
  }
}

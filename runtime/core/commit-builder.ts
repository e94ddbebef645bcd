// Builds the commit block inside linear memory. Owned by the journal: one commit at a time, pinned from finish() to release().
// Invariants: begin … finish … release in this order; nothing else writes the COMMIT region.

import { assert } from '../base/assert.ts'
import type { CommitBuilder } from './core.ts'
import type { CoreModule } from './core-module.ts'

type Frame = { topicNumber: number; partitionIndex: number; baseOffset: number }
type Phase = 'idle' | 'building' | 'pinned'

const STATE_KEY_BYTES_MAX = 255
const PARTITION_INDEX_MAX = 0xffff
const TOPIC_NUMBER_MAX = 0xffffffff

export class WasmCommitBuilder implements CommitBuilder {
  readonly #module: CoreModule
  #phase: Phase = 'idle'

  constructor(module: CoreModule) {
    this.#module = module
  }

  begin(): void {
    assert(this.#phase !== 'pinned', 'the last commit was not released')
    this.#module.call.commitBegin()
    this.#phase = 'building'
  }

  get bytesLeft(): number {
    assert(this.#phase === 'building', 'no commit is being built')
    return this.#module.call.commitLeft()
  }

  addPooled(frame: Frame, batch: number): Uint8Array | null {
    this.#checkFrame(frame)
    const { call, bytes } = this.#module
    const batchBytes = call.commitAddPooled(frame.topicNumber, frame.partitionIndex, batch, frame.baseOffset)
    if (batchBytes === 0) return null
    const at = call.commitBatchPtr(batchBytes)
    return bytes.subarray(at, at + batchBytes)
  }

  addBatch(frame: Frame, batch: Uint8Array): Uint8Array | null {
    this.#checkFrame(frame)
    const { call, bytes } = this.#module
    const at = call.commitReserveBatch(frame.topicNumber, frame.partitionIndex, batch.byteLength)
    if (at === 0) return null
    bytes.set(batch, at)
    call.stampBatch(at, frame.baseOffset)
    return bytes.subarray(at, at + batch.byteLength)
  }

  addState(key: Uint8Array, value: Uint8Array | null): boolean {
    assert(this.#phase === 'building', 'no commit is being built')
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
    assert(this.#phase === 'building', 'no commit is being built')
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
    assert(this.#phase === 'building', 'no commit is being built')
    const { topicNumber, partitionIndex, baseOffset } = frame
    assert(Number.isInteger(topicNumber) && topicNumber >= 0 && topicNumber <= TOPIC_NUMBER_MAX, `topic number ${topicNumber}`)
    assert(Number.isInteger(partitionIndex) && partitionIndex >= 0 && partitionIndex <= PARTITION_INDEX_MAX, `partition ${partitionIndex}`)
    assert(Number.isSafeInteger(baseOffset) && baseOffset >= 0, `base offset ${baseOffset}`)
  }
}

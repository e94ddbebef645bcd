// Many batches into one inside linear memory, for sealing a tail, or into one for each target, for the uplink. The REPACK region is its own, so other
// calls of the core between add and finish do no harm.

import { assert } from '../base/assert.ts'
import { RECORD_COUNT_AT, RECORDS_AT, viewOf } from './batch-header.ts'
import type { ForwardedBatch, Repacker } from './core.ts'
import type { CoreModule } from './core-module.ts'
import type { OpenedBatch } from './record.ts'

/** Answers of repackAdd (core-wasm/assembly/repack.ts). */
const FULL = 1
const UNREADABLE = 2

type ForwardOptions = Parameters<Repacker['beginForward']>[0]
type OffsetRange = Parameters<Repacker['add']>[1]
type Added = ReturnType<Repacker['add']>

export class BatchRepacker implements Repacker {
  readonly #module: CoreModule
  #begun: 'seal' | 'one target' | 'many targets' | null = null

  constructor(module: CoreModule) {
    this.#module = module
  }

  /** @throws RangeError when bytesMax is below a batch header or above batchBytesMax */
  beginSeal(options: { bytesMax: number }): void {
    this.#module.call.repackBeginSeal(this.#checkedBytesMax(options.bytesMax))
    this.#begun = 'seal'
  }

  /** @throws RangeError when bytesMax is impossible, or id or prefix longer than about 1,000 bytes */
  beginForward(options: ForwardOptions): void {
    const { id, offsetPrefix, partitionIndex, targetCount } = options
    const { call, bytes, at } = this.#module
    const bytesMax = this.#checkedBytesMax(options.bytesMax)
    if (id.byteLength > at.FORWARD_BYTES_MAX || offsetPrefix.byteLength > at.FORWARD_BYTES_MAX) {
      throw new RangeError(`header value of ${Math.max(id.byteLength, offsetPrefix.byteLength)} bytes, at most ${at.FORWARD_BYTES_MAX}`)
    }
    bytes.set(id, at.FORWARD_ID)
    bytes.set(offsetPrefix, at.FORWARD_PREFIX)
    call.repackBeginForward(bytesMax, id.byteLength, offsetPrefix.byteLength, partitionIndex, targetCount)
    this.#begun = targetCount > 1 ? 'many targets' : 'one target'
  }

  /** @throws RangeError when the batch is compressed, a control batch, or not readable; what was added before stays */
  add(batch: Uint8Array, range: OffsetRange): Added {
    if (batch.byteLength < RECORDS_AT) throw new RangeError(`batch of ${batch.byteLength} bytes`)
    this.#module.copyIn(batch, this.#module.at.BATCH_BYTES_MAX)
    return this.#addLoaded(batch.byteLength, range)
  }

  /** As add, of two pieces that lie apart. */
  addOpened({ head, records }: OpenedBatch, range: OffsetRange): Added {
    const { bytes, at } = this.#module
    const batchBytes = head.byteLength + records.byteLength
    if (head.byteLength !== RECORDS_AT) throw new RangeError(`head of ${head.byteLength} bytes`)
    if (batchBytes > at.BATCH_BYTES_MAX) throw new RangeError(`${batchBytes} bytes, the core takes ${at.BATCH_BYTES_MAX}`)
    bytes.set(head, at.INPUT)
    bytes.set(records, at.INPUT + RECORDS_AT)
    return this.#addLoaded(batchBytes, range)
  }

  #addLoaded(batchBytes: number, range: OffsetRange): Added {
    assert(this.#begun !== null, 'repack was not begun')
    const { call } = this.#module
    const answer = call.repackAdd(batchBytes, range.fromOffset, range.untilOffset)
    if (answer === UNREADABLE) throw new RangeError('the batch to repack is compressed, a control batch, or malformed')
    return { nextOffset: call.repackNextOffset(), addedCount: call.repackAddedCount(), isFull: answer === FULL }
  }

  finish(): Uint8Array | null {
    assert(this.#begun === 'seal', 'no seal was begun')
    this.#begun = null
    return this.#finishOne()
  }

  finishForward(): ForwardedBatch[] {
    const begun = this.#begun
    assert(begun === 'one target' || begun === 'many targets', 'no forward was begun')
    this.#begun = null
    if (begun === 'one target') return forwarded(0, this.#finishOne())
    const { call, bytes, at } = this.#module
    const batches: ForwardedBatch[] = []
    for (let index = 0; index < call.targetsCount(); index++) {
      const batchBytes = call.targetGather(index)
      if (batchBytes > 0) batches.push(...forwarded(call.targetOf(index), bytes.subarray(at.OUTPUT, at.OUTPUT + batchBytes)))
    }
    return batches.sort((left, right) => left.targetIndex - right.targetIndex)
  }

  #finishOne(): Uint8Array | null {
    const { call, bytes, at } = this.#module
    const batchBytes = call.repackFinish()
    return batchBytes === 0 ? null : bytes.subarray(at.REPACK, at.REPACK + batchBytes)
  }

  #checkedBytesMax(bytesMax: number): number {
    if (!(bytesMax >= RECORDS_AT && bytesMax <= this.#module.at.BATCH_BYTES_MAX)) throw new RangeError(`batches of ${bytesMax} bytes`)
    return Math.floor(bytesMax)
  }
}

function forwarded(targetIndex: number, view: Uint8Array | null): ForwardedBatch[] {
  if (view === null) return []
  const bytes = view.slice()
  return [{ targetIndex, bytes, recordCount: viewOf(bytes).getInt32(RECORD_COUNT_AT) }]
}

// Many batches into one inside linear memory, for sealing a tail and for the uplink. The REPACK region is its own, so other
// calls of the core between add and finish do no harm.

import { assert } from '../base/assert.ts'
import { RECORDS_AT } from './batch-header.ts'
import type { Repacker } from './core.ts'
import type { CoreModule } from './core-module.ts'
import type { OpenedBatch, ProducerFields } from './record.ts'

/** Answers of repackAdd (core-wasm/assembly/repack.ts). */
const FULL = 1
const UNREADABLE = 2

type ForwardOptions = Parameters<Repacker['beginForward']>[0]
type OffsetRange = Parameters<Repacker['add']>[1]
type Added = ReturnType<Repacker['add']>

export class BatchRepacker implements Repacker {
  readonly #module: CoreModule
  #isBegun = false

  constructor(module: CoreModule) {
    this.#module = module
  }

  /** @throws RangeError when bytesMax is below a batch header or above batchBytesMax */
  beginSeal(options: { bytesMax: number }): void {
    this.#module.call.repackBeginSeal(this.#checkedBytesMax(options.bytesMax))
    this.#isBegun = true
  }

  /** @throws RangeError when bytesMax is impossible, or id or prefix longer than about 1,000 bytes */
  beginForward(options: ForwardOptions): void {
    const { id, offsetPrefix, partitionIndex, targetIndex, targetCount } = options
    const { call, bytes, at } = this.#module
    const bytesMax = this.#checkedBytesMax(options.bytesMax)
    if (id.byteLength > at.FORWARD_BYTES_MAX || offsetPrefix.byteLength > at.FORWARD_BYTES_MAX) {
      throw new RangeError(`header value of ${Math.max(id.byteLength, offsetPrefix.byteLength)} bytes, at most ${at.FORWARD_BYTES_MAX}`)
    }
    bytes.set(id, at.FORWARD_ID)
    bytes.set(offsetPrefix, at.FORWARD_PREFIX)
    call.repackBeginForward(bytesMax, id.byteLength, offsetPrefix.byteLength, partitionIndex, targetIndex, targetCount)
    this.#isBegun = true
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
    assert(this.#isBegun, 'repack was not begun')
    const { call } = this.#module
    const answer = call.repackAdd(batchBytes, range.fromOffset, range.untilOffset)
    if (answer === UNREADABLE) throw new RangeError('the batch to repack is compressed, a control batch, or malformed')
    return { nextOffset: call.repackNextOffset(), addedCount: call.repackAddedCount(), isFull: answer === FULL }
  }

  finish(producer?: ProducerFields): Uint8Array | null {
    assert(this.#isBegun, 'repack was not begun')
    this.#isBegun = false
    const { call, bytes, at } = this.#module
    const batchBytes =
      producer === undefined
        ? call.repackFinish(-1n, -1, -1, 0)
        : call.repackFinish(producer.producerId, producer.producerEpoch, producer.baseSequence, producer.isTransactional ? 1 : 0)
    return batchBytes === 0 ? null : bytes.subarray(at.REPACK, at.REPACK + batchBytes)
  }

  #checkedBytesMax(bytesMax: number): number {
    if (!(bytesMax >= RECORDS_AT && bytesMax <= this.#module.at.BATCH_BYTES_MAX)) throw new RangeError(`batches of ${bytesMax} bytes`)
    return Math.floor(bytesMax)
  }
}

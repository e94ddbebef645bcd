// The newest offset of each key, inside linear memory, and what compaction leaves of a batch by it. There is one table: one compaction at a time has it.

import { assert } from '../base/assert.ts'
import { RECORDS_AT } from './batch-header.ts'
import type { CompactedBatch, CompactRules, KeyMap } from './core.ts'
import type { CoreModule } from './core-module.ts'
import type { OpenedBatch } from './record.ts'

/** Answers of keyMapAdd (core-wasm/assembly/key-map.ts). */
const FULL = 1
const UNREADABLE = 2
export const SEED_BYTES = 16

export class WasmKeyMap implements KeyMap {
  readonly #module: CoreModule
  readonly #release: () => void
  #isClosed = false

  /** @throws RangeError when the seed has not 16 bytes */
  constructor(module: CoreModule, seed: Uint8Array, release: () => void) {
    if (seed.byteLength !== SEED_BYTES) throw new RangeError(`a seed of ${seed.byteLength} bytes`)
    this.#module = module
    this.#release = release
    const view = new DataView(seed.buffer, seed.byteOffset, seed.byteLength)
    module.call.keyMapBegin(view.getBigUint64(0), view.getBigUint64(8))
  }

  get keysMax(): number {
    return this.#module.at.KEY_MAP_KEYS_MAX
  }

  get keyCount(): number {
    return this.#module.call.keyMapCount()
  }

  add(batch: OpenedBatch, deletionsBelow = 0): boolean {
    const answer = this.#module.call.keyMapAdd(this.#load(batch), deletionsBelow)
    if (answer === UNREADABLE) throw new RangeError('malformed record in a batch to compact')
    return answer !== FULL
  }

  compact(batch: OpenedBatch, { deletionsUntil, isAborted, keepsLast, stays }: CompactRules): CompactedBatch {
    const { call, at, bytes } = this.#module
    const batchBytes = this.#load(batch)
    const keptBytes = call.compactBatch(batchBytes, deletionsUntil, Number(isAborted), Number(keepsLast), Number(stays))
    if (keptBytes < 0) throw new RangeError('malformed record in a batch to compact')
    return {
      bytes: bytes.subarray(at.OUTPUT, at.OUTPUT + keptBytes),
      recordCount: call.compactKeptCount(),
      deletedCount: call.compactDeletedCount()
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#release()
  }

  #load({ head, records }: OpenedBatch): number {
    assert(!this.#isClosed, 'the key map was closed')
    const { bytes, at } = this.#module
    const batchBytes = RECORDS_AT + records.byteLength
    if (head.byteLength !== RECORDS_AT) throw new RangeError(`head of ${head.byteLength} bytes`)
    if (batchBytes > at.BATCH_BYTES_MAX) throw new RangeError(`${batchBytes} bytes, the core takes ${at.BATCH_BYTES_MAX}`)
    bytes.set(head, at.INPUT)
    bytes.set(records, at.INPUT + RECORDS_AT)
    return batchBytes
  }
}

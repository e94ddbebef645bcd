// The records of the commit that is being filled, encoded inside linear memory (core-wasm/assembly/record-pool.ts).
// Invariant: a batch number is good until clear(). Not for: how much may be in a commit, offsets.

import type { RecordPool } from './core.ts'
import type { CoreModule } from './core-module.ts'
import type { RecordInput } from './record.ts'

export class WasmRecordPool implements RecordPool {
  readonly #module: CoreModule
  #batch = 0
  readonly #add = (timestampMs: number, keyBytes: number, valueBytes: number, headersBytes: number): number =>
    this.#module.call.poolAdd(this.#batch, timestampMs, keyBytes, valueBytes, headersBytes)

  constructor(module: CoreModule) {
    this.#module = module
    module.call.poolBegin()
  }

  clear(): void {
    this.#module.call.poolBegin()
  }

  openBatch(): number | null {
    const batch = this.#module.call.poolOpen()
    return batch < 0 ? null : batch
  }

  addRecord(batch: number, record: RecordInput): boolean {
    this.#batch = batch
    return this.#module.addRecord(this.#add, record)
  }
}

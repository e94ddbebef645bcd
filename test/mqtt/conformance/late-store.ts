// A store whose commits take their time.

import type { RecordInput } from '../../../runtime/core/record.ts'
import type { AppendDone, Partition, StateChange } from '../../../runtime/log/contract.ts'
import { ControlledStore } from '../controlled-store.ts'

/** Every commit happens this much later, one after the other. */
export class LateStore extends ControlledStore {
  readonly #delayMs: number

  constructor(delayMs: number) {
    super()
    this.#delayMs = delayMs
  }

  override append(partition: Partition, record: RecordInput, done: AppendDone, state: readonly StateChange[] = []): void {
    if (this.#delayMs === 0) super.append(partition, record, done, state)
    else setTimeout(() => super.append(partition, record, done, state), this.#delayMs)
  }
}

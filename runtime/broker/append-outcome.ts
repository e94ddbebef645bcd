// What became of a batch.

import type { FaultName } from './fault.ts'

export interface AppendOutcome {
  readonly fault: FaultName
  readonly message: string | null
  /** −1 when nothing was appended. */
  readonly baseOffset: number
  readonly logStartOffset: number
}

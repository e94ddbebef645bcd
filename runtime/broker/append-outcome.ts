// What became of a batch.

import type { FaultName } from './fault.ts'

export interface AppendOutcome {
  readonly fault: FaultName
  readonly message: string | null
  /** −1 when nothing was appended. */
  readonly baseOffset: number
  readonly logStartOffset: number
  /** The time that its records were given; null = their own. */
  readonly appendTimeMs: number | null
  /** Of a batch that was refused for some of its records: which. */
  readonly records?: readonly { readonly index: number; readonly message: string }[] | undefined
}

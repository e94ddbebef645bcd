// What looking at a data directory from outside needs, and what it can find wrong.

import type { Core } from '../core/core.ts'
import type { BlockCodec } from '../io/codec.ts'
import type { Disk } from '../io/disk.ts'

export interface Inspection {
  readonly disk: Disk
  readonly core: Core
  readonly codec: BlockCodec
  readonly directory: string
}

export interface Problem {
  readonly file: string
  readonly positionBytes: number
  readonly what: string
  /** What it means for data, in words. */
  readonly meaning: string
}

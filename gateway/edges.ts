// The real edges of the runtime: this machine's disk, clock, randomness, compression, and the WASM core. Made once per process.

import type { Core } from '../runtime/core/core.ts'
import { instantiateCore } from '../runtime/core/wasm-core.ts'
import type { Clock } from '../runtime/io/clock.ts'
import type { BlockCodec } from '../runtime/io/codec.ts'
import type { Disk } from '../runtime/io/disk.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { createNodeCodec } from '../runtime/io/node-codec.ts'
import { nodeDisk } from '../runtime/io/node-disk.ts'
import { nodeRandom } from '../runtime/io/node-random.ts'
import type { Random } from '../runtime/io/random.ts'
import { coreBytes } from './core-bytes.ts'

export interface Edges {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  readonly core: Core
  readonly codec: BlockCodec
}

export function openEdges(): Edges {
  return { disk: nodeDisk, clock: nodeClock, random: nodeRandom, core: instantiateCore(coreBytes()), codec: createNodeCodec() }
}

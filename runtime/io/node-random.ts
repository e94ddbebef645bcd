// The real randomness.

import { randomBytes } from 'node:crypto'
import type { Random } from './random.ts'

export const nodeRandom: Random = {
  fraction: () => randomBytes(4).readUInt32BE(0) / 2 ** 32,
  bytes: (count) => new Uint8Array(randomBytes(count))
}

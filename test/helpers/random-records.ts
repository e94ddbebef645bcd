// Random records for tests of batches: null and empty fields, repeated header keys, times that go back.

import type { RecordHeader, RecordInput } from '../../runtime/core/record.ts'
import type { Prng } from '../sim/prng.ts'

function randomField(prng: Prng, bytesMax: number): Uint8Array | null {
  if (prng.chance(15)) return null
  return prng.bytes(prng.chance(10) ? 0 : prng.below(bytesMax))
}

export function randomRecord(prng: Prng, valueBytesMax = 300): RecordInput {
  const headers: RecordHeader[] = []
  while (prng.chance(50)) headers.push({ key: prng.bytes(prng.below(20)), value: randomField(prng, 30) })
  return {
    timestampMs: 1_700_000_000_000 + prng.between(-100_000, 100_000),
    key: randomField(prng, 40),
    value: randomField(prng, valueBytesMax),
    headers
  }
}

/** 1 … countMax records. */
export function randomRecords(prng: Prng, countMax: number, valueBytesMax = 300): RecordInput[] {
  return Array.from({ length: prng.between(1, countMax) }, () => randomRecord(prng, valueBytesMax))
}

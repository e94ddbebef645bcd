// Offsets are branded numbers: 2^53 - 1 events last 285 years at a million per second, and BigInt costs nine times as much.

import { assert } from './assert.ts'

/** Place of a record in a partition, from 0. Ranges are [start, end). */
export type Offset = number & { readonly unit: 'offset' }

/** @throws AssertionError when `value` is not a safe non-negative integer */
export function toOffset(value: number): Offset {
  assert(Number.isSafeInteger(value) && value >= 0, `not an offset: ${value}`)
  return value as Offset
}

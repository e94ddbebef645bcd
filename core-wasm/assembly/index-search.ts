// Floor search in Kafka's index files, without branches that depend on the data.
//
//   .index      entry 8 bytes: relativeOffset i32, filePosition i32        ascending by relativeOffset
//   .timeindex  entry 12 bytes: timestamp i64, relativeOffset i32          ascending by timestamp
//
// Invariants: reads whole entries of [ptr, ptr + count * size) only.

import { load32, load64 } from './bytes'

/** Entry with the greatest relative offset <= `relativeOffset`, -1 when all are greater. */
export function searchOffsetIndex(ptr: usize, count: u32, relativeOffset: i32): i32 {
  if (count == 0) return -1
  let base: u32 = 0
  let length = count
  while (length > 1) {
    const half = length >> 1
    const middle = base + half
    base = select<u32>(middle, base, <i32>load32(ptr + (<usize>middle << 3)) <= relativeOffset)
    length -= half
  }
  return <i32>load32(ptr + (<usize>base << 3)) <= relativeOffset ? <i32>base : -1
}

/** Entry with the greatest timestamp <= `timestamp`, -1 when all are greater. */
export function searchTimeIndex(ptr: usize, count: u32, timestamp: f64): i32 {
  if (count == 0) return -1
  const wanted = <i64>timestamp
  let base: u32 = 0
  let length = count
  while (length > 1) {
    const half = length >> 1
    const middle = base + half
    base = select<u32>(middle, base, <i64>load64(ptr + <usize>middle * 12) <= wanted)
    length -= half
  }
  return <i64>load64(ptr + <usize>base * 12) <= wanted ? <i32>base : -1
}

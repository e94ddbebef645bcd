// The starts of a data directory: every start has a number (its incarnation, one more than the start before) and a random id. Two copies of
// one disk count on with the same numbers but draw other ids: so a number and an id name a start, and a list of them tells where two
// histories part. Kept in the state under meta/starts, written by each start before it takes an event.
// Not for: which offsets a start wrote (incarnation-offsets.ts), what the centre knows (runtime/uplink).

import type { Random } from '../io/random.ts'

const ID_CHARACTERS = 6
/** Of a gateway that starts so often without ever delivering, starts in the middle are forgotten: the oldest may be the ones the centre knows. */
const STARTS_MAX = 1000
const OLDEST_KEPT = 32

/** Starts that the position at the centre names, the newest last: one of them must be known to an image of the disk that is put back. */
export const STARTS_NAMED = 16

export interface Start {
  readonly incarnation: number
  /** Six characters 0-9 a-z; '' for a start of a version that drew none. */
  readonly id: string
}

/** Where a start wrote its first event of one partition. */
export interface Beginning {
  readonly incarnation: number
  readonly startOffset: number
}

/** A random id: one in two thousand million is the same as another. */
export function drawStartId(random: Random): string {
  const value = random.bytes(6).reduce((sum, byte) => sum * 256 + byte, 0)
  return (value % 36 ** ID_CHARACTERS).toString(36).padStart(ID_CHARACTERS, '0')
}

/** The list with one more start at its end. */
export function withStart(starts: readonly Start[], start: Start): Start[] {
  const all = [...starts, start]
  return all.length <= STARTS_MAX ? all : [...all.slice(0, OLDEST_KEPT), ...all.slice(OLDEST_KEPT + 1)]
}

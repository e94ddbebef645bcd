// Which incarnation wrote which offsets of one partition: where each start that wrote there began. Kafka's words: leader epochs and their start
// offsets. An entry is made with the first batch of a start, in the same commit, and kept in the state as epoch/<topic number>/<partition>/<incarnation>.
//
// Invariants: incarnations and start offsets rise; an entry goes when everything below the next one is below the log start, but not one of the
// newest starts: the position at the centre names those (runtime/uplink/position.ts).
// Not for: the starts themselves (lineage.ts).

import type { StateChange } from './contract.ts'
import { type Beginning, STARTS_NAMED } from './lineage.ts'
import { decodeNumber, encodeNumber } from './state-map.ts'

export const EPOCH_PREFIX = 'epoch/'
/** A partition that is written to in more starts than this, within its retention, forgets the second oldest. */
const ENTRIES_MAX = 500
/** Forgotten with one new entry: what travels with a commit is bounded. */
const GONE_MAX = 2
/** Upper bound of one new entry and what goes with it, as state changes of a commit. */
export const ENTRY_CHANGES_BYTES_MAX = (1 + GONE_MAX) * 80

export class IncarnationOffsets {
  readonly #prefix: string
  #entries: Beginning[] = []

  constructor(topicNumber: number, partitionIndex: number) {
    this.#prefix = `${EPOCH_PREFIX}${topicNumber}/${partitionIndex}/`
  }

  /** First offset that was written by an incarnation after `incarnation`; null when none was. */
  firstAfter(incarnation: number): number | null {
    return this.#entries.find((entry) => entry.incarnation > incarnation)?.startOffset ?? null
  }

  /** Where each incarnation from `incarnation` on began to write here, oldest first. */
  since(incarnation: number): readonly Beginning[] {
    return this.#entries.filter((entry) => entry.incarnation >= incarnation)
  }

  /** Nothing of this incarnation was written here yet. */
  isNew(incarnation: number): boolean {
    return (this.#entries.at(-1)?.incarnation ?? -1) < incarnation
  }

  /** What must be written with the first batch of `incarnation`, and what may be forgotten with it. */
  changesFor(incarnation: number, startOffset: number, logStartOffset: number): StateChange[] {
    const gone = this.#superfluous(incarnation, logStartOffset).map((entry) => ({ key: this.#keyOf(entry.incarnation), value: null }))
    return [...gone, { key: this.#keyOf(incarnation), value: encodeNumber(startOffset) }]
  }

  /** The commit with these changes is durable. */
  apply(incarnation: number, startOffset: number, logStartOffset: number): void {
    const gone = new Set(this.#superfluous(incarnation, logStartOffset))
    this.#entries = [...this.#entries.filter((entry) => !gone.has(entry)), { incarnation, startOffset }]
  }

  /** From the state, at the start. */
  restore(keys: readonly string[], read: (key: string) => Uint8Array | undefined): void {
    this.#entries = keys
      .filter((key) => key.startsWith(this.#prefix))
      .map((key) => ({ incarnation: Number(key.slice(this.#prefix.length)), startOffset: decodeNumber(read(key)) }))
      .sort((a, b) => a.incarnation - b.incarnation)
  }

  #superfluous(incarnation: number, logStartOffset: number): Beginning[] {
    const entries = this.#entries
    const isBelow = (index: number): boolean => (entries[index + 1]?.startOffset ?? Number.POSITIVE_INFINITY) <= logStartOffset
    const gone = entries.filter((entry, index) => entry.incarnation <= incarnation - STARTS_NAMED && isBelow(index)).slice(0, GONE_MAX)
    if (gone.length === 0 && entries.length >= ENTRIES_MAX) return entries.slice(1, 2)
    return gone
  }

  #keyOf(incarnation: number): string {
    return `${this.#prefix}${incarnation}`
  }
}

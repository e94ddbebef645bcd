// Which incarnation wrote which offsets of one partition: where each start that wrote there began. Kafka's words: leader epochs and their start
// offsets. An entry is made with the first batch of a start, in the same commit, and kept in the state as epoch/<topic number>/<partition>/<incarnation>.
//
// Invariants: incarnations and start offsets rise; an entry goes when everything below the next one is below the log start, but not one of the
// newest starts: the position at the centre names those (runtime/uplink/position.ts).
// Not for: the starts themselves (lineage.ts).

import type { StateChange } from './contract.ts'
import { type Beginning, STARTS_NAMED } from './lineage.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { decimal, numberedKeyBytes } from './state-codec.ts'

export const incarnationStarts = new StateArea<number>('epoch', decimal, {
  keys: '<topic number>/<partition>/<incarnation>',
  keyBytesMax: numberedKeyBytes('epoch', 3),
  valueBytesMax: decimal.bytesMax,
  entries: '500 for each partition, then the second oldest goes',
  goes: 'when everything below the next one is below the log start, but for the newest starts; with its topic'
})
/** A partition that is written to in more starts than this, within its retention, forgets the second oldest. */
const ENTRIES_MAX = 500
/** Forgotten with one new entry: what travels with a commit is bounded. */
const GONE_MAX = 2
/** Upper bound of one new entry and what goes with it, as state changes of a commit. */
export const ENTRY_CHANGES_BYTES_MAX = (1 + GONE_MAX) * 80

export class IncarnationOffsets {
  readonly #place: readonly [topicNumber: number, partitionIndex: number]
  #entries: Beginning[] = []

  constructor(topicNumber: number, partitionIndex: number) {
    this.#place = [topicNumber, partitionIndex]
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
    const gone = this.#superfluous(incarnation, logStartOffset).map((entry) => incarnationStarts.remove(this.#keyOf(entry.incarnation)))
    return [...gone, incarnationStarts.put(this.#keyOf(incarnation), startOffset)]
  }

  /** The commit with these changes is durable. */
  apply(incarnation: number, startOffset: number, logStartOffset: number): void {
    const gone = new Set(this.#superfluous(incarnation, logStartOffset))
    this.#entries = [...this.#entries.filter((entry) => !gone.has(entry)), { incarnation, startOffset }]
  }

  /** From the state, at a start or when the partition is made. `keys`: of the whole topic, listed once for all of its partitions. */
  restore(state: Pick<StateReader, 'getState'>, keys: readonly string[]): void {
    const prefix = `${incarnationStarts.key(...this.#place)}/`
    this.#entries = keys
      .filter((key) => key.startsWith(prefix))
      .map((key) => ({ incarnation: Number(incarnationStarts.namesOf(key)[2]), startOffset: incarnationStarts.get(state, key) ?? 0 }))
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
    return incarnationStarts.key(...this.#place, incarnation)
  }
}

// The damage that was found since the directory was made: a set of offsets that are gone, each counted and told once, also over restarts.
//
//   hole/<topic number>/<partition>/<start offset>   end offset of a range; behind it, after a space, how many of its events the centre did not have
//   damage/<topic number>/<partition>                sum of those counts of the ranges that are not named any more
//
// Of a range that is found only those parts are new that no other range has and that retention has not passed. Each part is a value of its own with
// its own count: whichever of them a commit, a snapshot or a crash brings, in any order, the sum is right. One that is refused (no room) is tried again
// until it is durable, and is in every snapshot until then: what makes a range be found no more (a checkpoint behind it) takes its count along.
//
// Not for: finding damage (partition-log.ts on reads, partition-recovery.ts at the start), what retention took (removals.ts).

import type { WadiError } from '../base/errors.ts'
import { inParts } from '../base/in-parts.ts'
import { toOffset } from '../base/offset.ts'
import type { DroppedRange, OffsetRange, StateChange } from './contract.ts'
import { type Hole, holeKey, holeOf, holes, putHole } from './missing-ranges.ts'
import { coveredCount, overlaps, separateCount, uncoveredParts } from './offset-ranges.ts'
import type { PartitionLog } from './partition-log.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { decimal, numberedKeyBytes } from './state-codec.ts'

/** In the state, events that damage took: damage/<topic number>/<partition> → count. */
export const damageCounts = new StateArea<number>('damage', decimal, {
  keys: '<topic number>/<partition>',
  keyBytesMax: numberedKeyBytes('damage', 2),
  valueBytesMax: decimal.bytesMax,
  entries: 'one for each partition',
  goes: 'with its topic'
})
const HOLES_PER_COMMIT = 50

export type Place = Pick<PartitionLog, 'topicNumber' | 'partitionIndex'>

export interface KnownDamageHost {
  readonly state: StateReader
  /** Through the group commit. */
  submit(changes: readonly StateChange[], done: (error: WadiError | null) => void): void
  partitionOf(range: DroppedRange): PartitionLog | undefined
  /** Retention has counted what lies below, or is about to. */
  removedUpTo(partition: PartitionLog): number
  tell(range: DroppedRange): void
}

/** What is known of one partition. */
interface PlaceDamage {
  /** By start offset. They do not overlap, but for those of older versions. */
  readonly holes: Map<number, Hole>
  /** Of ranges that are not named any more. */
  expiredRecords: number
}

export class KnownDamage {
  readonly #host: KnownDamageHost
  /** By `topicNumber/partitionIndex`. */
  readonly #places = new Map<string, PlaceDamage>()
  /** Of no commit that is known to be durable. */
  readonly #unsaved = new Set<Hole>()
  #saving: Promise<boolean> | null = null
  #isExpiring = false

  constructor(host: KnownDamageHost) {
    this.#host = host
  }

  /** As the last commit has it. */
  load(): void {
    const { state } = this.#host
    for (const key of holes.keysIn(state)) {
      const hole = holeOf(state, key)
      this.#of(hole.place).holes.set(hole.startOffset, hole)
    }
    for (const key of damageCounts.keysIn(state)) this.#of(damageCounts.restOf(key)).expiredRecords = damageCounts.get(state, key) ?? 0
  }

  /** Ranges that are known and not in front of the log start yet. */
  get count(): number {
    let count = 0
    for (const { holes } of this.#places.values()) count += separateCount(holes.values())
    return count
  }

  isKnown(range: DroppedRange): boolean {
    const partition = this.#host.partitionOf(range)
    return partition !== undefined && this.#newParts(partition, range).length === 0
  }

  /** Events of the partition that damage took and the centre does not have. */
  recordsOf(partition: Place): number {
    const known = this.#places.get(placeOf(partition))
    if (!known) return 0
    let records = known.expiredRecords
    for (const hole of known.holes.values()) records += hole.records
    return records
  }

  /** Events that damage took of the places that `isWanted`, by topic number. */
  recordsByNumber(isWanted: (place: Place) => boolean): [number, number][] {
    const sums = new Map<number, number>()
    for (const place of [...this.#places.keys()].map(decodePlace)) {
      const records = isWanted(place) ? this.recordsOf(place) : 0
      if (records > 0) sums.set(place.topicNumber, (sums.get(place.topicNumber) ?? 0) + records)
    }
    return [...sums]
  }

  /** The greatest topic number of which damage is known, also when nothing else names it: 0 without any. */
  get lastNumber(): number {
    return Math.max(0, ...[...this.#places.keys()].map((place) => decodePlace(place).topicNumber))
  }

  /** Behind all that is known to be lost of the partition: what comes into it must not be taken for that. */
  endOf(partition: Place): number {
    const holes = this.#places.get(placeOf(partition))?.holes.values() ?? []
    return Math.max(0, ...[...holes].map(({ endOffset }) => endOffset))
  }

  /** Offsets of the range that damage took: whoever counts the range otherwise leaves them out. */
  countWithin(partition: Place, range: OffsetRange): number {
    return coveredCount(range, this.#places.get(placeOf(partition))?.holes.values() ?? [])
  }

  /** All places of which something is known. */
  places(): Place[] {
    return [...this.#places.keys()].map(decodePlace)
  }

  /**
   * What is known of `from`, which nothing names, becomes that of `to`, which is being made from what is left of it: state changes for that commit. null
   * when there is nothing, or too much, or some of it is not durable yet.
   */
  changesForMove(from: Place, to: Place): StateChange[] | null {
    const [fromPlace, toPlace] = [placeOf(from), placeOf(to)]
    const known = this.#places.get(fromPlace)
    if (!known || known.holes.size + known.expiredRecords === 0 || known.holes.size > HOLES_PER_COMMIT) return null
    for (const hole of this.#unsaved) if (hole.place === fromPlace) return null
    const changes = [...known.holes.values()].flatMap((hole) => [holes.remove(holeKey(hole)), putHole({ ...hole, place: toPlace })])
    if (known.expiredRecords === 0) return changes
    return [
      ...changes,
      damageCounts.remove(damageCounts.keyAt(fromPlace)),
      damageCounts.put(damageCounts.keyAt(toPlace), known.expiredRecords)
    ]
  }

  /** The commit with the changes for it is durable. */
  move(from: Place, to: Place): void {
    const known = this.#places.get(placeOf(from))
    this.#places.delete(placeOf(from))
    const moved = this.#of(placeOf(to))
    for (const hole of known?.holes.values() ?? []) moved.holes.set(hole.startOffset, { ...hole, place: placeOf(to) })
    moved.expiredRecords += known?.expiredRecords ?? 0
  }

  #of(place: string): PlaceDamage {
    const known = this.#places.get(place) ?? { holes: new Map<number, Hole>(), expiredRecords: 0 }
    this.#places.set(place, known)
    return known
  }

  #newParts(partition: PartitionLog, { startOffset, endOffset }: OffsetRange): OffsetRange[] {
    const from = Math.max(startOffset, this.#host.removedUpTo(partition))
    if (from >= endOffset) return []
    return uncoveredParts({ startOffset: from, endOffset }, this.#places.get(placeOf(partition))?.holes.values() ?? [])
  }

  /** The topic was deleted: what is known of it goes with it. */
  forget(topicNumber: number): void {
    for (const [place, { holes }] of this.#places) {
      if (!place.startsWith(`${topicNumber}/`)) continue
      for (const hole of holes.values()) this.#unsaved.delete(hole)
      this.#places.delete(place)
    }
  }

  /** What is new of a range of a partition that nothing names is known and counted from now on; save() commits it. What the centre has of it is not known: none. */
  noteUnnamed({ place, startOffset, endOffset }: OffsetRange & { readonly place: string }): void {
    for (const part of uncoveredParts({ startOffset, endOffset }, this.#of(place).holes.values()))
      this.#add({ place, ...part, records: part.endOffset - part.startOffset })
  }

  /** What is new of a range is known and counted from now on, also in a snapshot that is written before any commit has it. @returns that, for reportNoted */
  note(range: DroppedRange): DroppedRange[] {
    const partition = this.#host.partitionOf(range)
    if (!partition) return [] // its topic was deleted
    const place = placeOf(partition)
    return this.#newParts(partition, range).map(({ startOffset, endOffset }) => {
      const isDelivered = range.isDelivered || endOffset <= partition.deliveredOffset
      const records = isDelivered ? 0 : endOffset - Math.max(startOffset, Math.min(endOffset, partition.deliveredOffset))
      this.#add({ place, startOffset, endOffset, records })
      return { ...range, startOffset: toOffset(startOffset), endOffset: toOffset(endOffset), isDelivered }
    })
  }

  #add(hole: Hole): void {
    this.#of(hole.place).holes.set(hole.startOffset, hole)
    this.#unsaved.add(hole)
  }

  /** Tells of what was noted when its count is durable, or was refused. */
  async reportNoted(noted: readonly DroppedRange[]): Promise<void> {
    await this.save()
    for (const part of noted) this.#host.tell(part)
  }

  /** Counts what is new of a range and tells of it. Resolves when the count of all of it is durable, or was refused: then it is tried again. */
  async report(range: DroppedRange): Promise<void> {
    const noted = this.note(range)
    const partition = this.#host.partitionOf(range)
    while (partition && this.#isUnsaved(placeOf(partition), range) && (await this.#saveSome()));
    for (const part of noted) this.#host.tell(part)
  }

  #isUnsaved(place: string, range: OffsetRange): boolean {
    for (const hole of this.#unsaved) if (hole.place === place && overlaps(hole, range)) return true
    return false
  }

  /** What could not be committed, again. Resolves also when it is refused again. */
  async save(): Promise<void> {
    while (this.#unsaved.size > 0 && (await this.#saveSome()));
  }

  /** For the snapshot: what no commit is known to have. */
  unsaved(): StateChange[] {
    return [...this.#unsaved].map(putHole)
  }

  /** One commit at a time. @returns false when it was refused */
  #saveSome(): Promise<boolean> {
    if (this.#saving) return this.#saving
    const batch = [...this.#unsaved].slice(0, HOLES_PER_COMMIT)
    this.#saving = this.#submit(batch.map(putHole)).then((isSaved) => {
      if (isSaved) for (const hole of batch) this.#unsaved.delete(hole)
      this.#saving = null
      return isSaved
    })
    return this.#saving
  }

  #submit(changes: readonly StateChange[]): Promise<boolean> {
    return new Promise((resolve) => this.#host.submit(changes, (error) => resolve(error === null)))
  }

  /** A range below the log start of a durable snapshot is found by no start any more: its memory goes, its count stays. */
  expire(points: readonly RecoveryPoint[]): void {
    if (this.#isExpiring) return // what is left goes behind the next checkpoint
    this.#isExpiring = true
    const starts = new Map(points.map(([number, index, logStartOffset]) => [`${number}/${index}`, logStartOffset]))
    void this.#expireBelow(starts).finally(() => {
      this.#isExpiring = false
    })
  }

  async #expireBelow(starts: ReadonlyMap<string, number>): Promise<void> {
    for (const [place, known] of this.#places) {
      const isExpired = (hole: Hole): boolean => hole.endOffset <= (starts.get(place) ?? 0) && !this.#unsaved.has(hole)
      const expired = [...known.holes.values()].filter(isExpired)
      for (const some of inParts(expired, HOLES_PER_COMMIT)) {
        const records = some.reduce((sum, hole) => sum + hole.records, 0)
        const changes: StateChange[] = some.map((hole) => holes.remove(holeKey(hole)))
        if (records > 0) changes.push(damageCounts.put(damageCounts.keyAt(place), known.expiredRecords + records))
        if (this.#places.get(place) !== known || !(await this.#submit(changes))) return // deleted, or behind the next checkpoint
        known.expiredRecords += records
        for (const { startOffset } of some) known.holes.delete(startOffset)
      }
    }
  }
}

function placeOf({ topicNumber, partitionIndex }: Place): string {
  return `${topicNumber}/${partitionIndex}`
}

export function decodePlace(place: string): Place {
  const [topicNumber = 0, partitionIndex = 0] = place.split('/').map(Number)
  return { topicNumber, partitionIndex }
}

// The damage that was found since the directory was made: ranges of offsets that are gone, each counted and told once, also over restarts.
//
//   hole/<topic number>/<partition>/<start offset>   end offset of a range
//   damage/<topic number>/<partition>                events that damage took and the centre does not have
//
// A range and what it adds to the count travel in one commit. One that is refused (no room) is tried again until it is durable, and is in every
// snapshot until then: what makes a range be found no more (a checkpoint behind it) takes its count along.
//
// Not for: finding damage (partition-log.ts on reads, partition-recovery.ts at the start), what retention took (removals.ts).

import type { WadiError } from '../base/errors.ts'
import type { DroppedRange, StateChange } from './contract.ts'
import { HOLE_PREFIX } from './missing-ranges.ts'
import type { PartitionLog } from './partition-log.ts'
import { decodeNumber, encodeNumber, type StateMap } from './state-map.ts'
import type { RecoveryPoint } from './state-snapshot.ts'

/** In the state, events that damage took: damage/<topic number>/<partition> → count. */
export const DAMAGE_PREFIX = 'damage/'
const HOLES_PER_COMMIT = 50

export interface KnownDamageHost {
  readonly state: StateMap
  /** Through the group commit. */
  submit(changes: readonly StateChange[], done: (error: WadiError | null) => void): void
  partitionOf(range: DroppedRange): PartitionLog | undefined
  tell(range: DroppedRange): void
}

interface Unsaved {
  readonly holeKey: string
  readonly endOffset: number
  readonly damageKey: string
  /** Events that the centre does not have. */
  readonly records: number
}

export class KnownDamage {
  readonly #host: KnownDamageHost
  /** Keys of ranges that are not in front of the log start of a durable snapshot. */
  readonly #known = new Set<string>()
  readonly #unsaved = new Map<string, Unsaved>()
  readonly #expiring = new Set<string>()
  /** The commit on its way, with what is in it. */
  #saving: { readonly batch: readonly Unsaved[]; readonly ended: Promise<boolean> } | null = null

  constructor(host: KnownDamageHost) {
    this.#host = host
  }

  /** As the last commit has it. */
  load(): void {
    for (const key of this.#host.state.list(HOLE_PREFIX)) this.#known.add(key)
  }

  /** Ranges that are known and not in front of the log start yet. */
  get count(): number {
    return this.#known.size
  }

  isKnown(range: DroppedRange): boolean {
    return this.#known.has(this.#holeKey(range))
  }

  /** Events of the partition that damage took and the centre does not have. */
  recordsOf(partition: PartitionLog): number {
    const key = damageKeyOf(partition)
    let records = decodeNumber(this.#host.state.get(key))
    for (const unsaved of this.#unsaved.values()) if (unsaved.damageKey === key && !this.#isInState(unsaved)) records += unsaved.records
    return records
  }

  #holeKey(range: DroppedRange): string {
    return `${HOLE_PREFIX}${this.#host.partitionOf(range)?.topicNumber ?? 0}/${range.partitionIndex}/${range.startOffset}`
  }

  /** The topic was deleted: what is known of it goes with it. */
  forget(topicNumber: number): void {
    const prefix = `${HOLE_PREFIX}${topicNumber}/`
    for (const key of this.#known) if (key.startsWith(prefix)) this.#known.delete(key)
    for (const key of this.#unsaved.keys()) if (key.startsWith(prefix)) this.#unsaved.delete(key)
  }

  /** Counts a range and tells of it, once. Resolves when the count is durable, or was refused: then it is tried again. */
  async report(range: DroppedRange): Promise<void> {
    const holeKey = this.#holeKey(range)
    const isNew = !this.#known.has(holeKey)
    if (isNew) {
      this.#known.add(holeKey)
      const partition = this.#host.partitionOf(range)
      const { startOffset, endOffset, isDelivered } = range
      const records = partition && !isDelivered ? endOffset - Math.max(startOffset, Math.min(endOffset, partition.deliveredOffset)) : 0
      this.#unsaved.set(holeKey, { holeKey, endOffset, damageKey: partition ? damageKeyOf(partition) : '', records })
    }
    while (this.#unsaved.has(holeKey) && (await this.#saveSome()));
    if (isNew) this.#host.tell(range)
  }

  /** What could not be committed, again. Resolves also when it is refused again. */
  async save(): Promise<void> {
    while (this.#unsaved.size > 0 && (await this.#saveSome()));
  }

  /** For the snapshot: what no commit is known to have. Never more than the next commit brings, or its count would go back. */
  unsaved(): StateChange[] {
    return this.#changesFor(this.#saving?.batch ?? this.#nextBatch())
  }

  /** The commit is written, its answer still on its way: what it counts is in the state. */
  #isInState({ holeKey }: Unsaved): boolean {
    return this.#host.state.get(holeKey) !== undefined
  }

  #nextBatch(): Unsaved[] {
    return [...this.#unsaved.values()].slice(0, HOLES_PER_COMMIT)
  }

  #changesFor(batch: readonly Unsaved[]): StateChange[] {
    const counts = new Map<string, number>()
    for (const unsaved of batch) {
      const { damageKey, records } = unsaved
      if (records === 0 || this.#isInState(unsaved)) continue
      counts.set(damageKey, (counts.get(damageKey) ?? decodeNumber(this.#host.state.get(damageKey))) + records)
    }
    return [
      ...batch.map(({ holeKey, endOffset }) => ({ key: holeKey, value: encodeNumber(endOffset) })),
      ...[...counts].map(([key, count]) => ({ key, value: encodeNumber(count) }))
    ]
  }

  /** One commit at a time: each count follows from the one before. @returns false when it was refused */
  #saveSome(): Promise<boolean> {
    if (this.#saving) return this.#saving.ended
    const batch = this.#nextBatch()
    const ended = new Promise<boolean>((resolve) => {
      // Not in this turn: a refusal may come at once, before the commit is known to be on its way.
      queueMicrotask(() =>
        this.#host.submit(this.#changesFor(batch), (error) => {
          if (error === null) for (const { holeKey } of batch) this.#unsaved.delete(holeKey)
          this.#saving = null
          resolve(error === null)
        })
      )
    })
    this.#saving = { batch, ended }
    return ended
  }

  /** A range below the log start of a durable snapshot is found by no start any more: its memory goes. */
  expire(points: readonly RecoveryPoint[]): void {
    const starts = new Map(points.map(([number, index, logStartOffset]) => [`${number}/${index}`, logStartOffset]))
    const expired = this.#host.state.list(HOLE_PREFIX).filter((key) => {
      const place = key.slice(HOLE_PREFIX.length, key.lastIndexOf('/'))
      return !this.#expiring.has(key) && decodeNumber(this.#host.state.get(key)) <= (starts.get(place) ?? 0)
    })
    for (let at = 0; at < expired.length; at += HOLES_PER_COMMIT) {
      const some = expired.slice(at, at + HOLES_PER_COMMIT)
      for (const key of some) this.#expiring.add(key)
      this.#host.submit(
        some.map((key) => ({ key, value: null })),
        (error) => {
          for (const key of some) {
            this.#expiring.delete(key)
            if (error === null) this.#known.delete(key) // else behind the next checkpoint
          }
        }
      )
    }
  }
}

function damageKeyOf({ topicNumber, partitionIndex }: PartitionLog): string {
  return `${DAMAGE_PREFIX}${topicNumber}/${partitionIndex}`
}

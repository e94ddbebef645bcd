// Appends of the core's lane: which part belongs to which partition, and what has to be so before a record goes there.
//
// Invariants: a part is opened for a commit only when its topic could take a whole commit; of a topic that is being deleted, or that has changed, no part
// stays open and no plan is left. Not for: the commit (open-commit.ts), plans (runtime/broker).

import { assert } from '../base/assert.ts'
import type { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import type { LaneAppends, LaneDone, LaneOpening, Topic } from './contract.ts'
import type { GroupCommit } from './group-commit.ts'
import type { LaneRecords, WalkedRecords } from './open-commit.ts'
import type { PartitionLog } from './partition-log.ts'
import type { StoredTopic } from './stored-topic.ts'

export interface LaneLogOptions {
  readonly core: Core
  readonly commit: () => GroupCommit
  /** Of one record. */
  readonly batchBytesMax: number
  topicWith(number: number): StoredTopic | undefined
  /** Why a topic would not take a whole commit. */
  refusalFor(topic: StoredTopic): WadiError | null
  /** Before something is appended. */
  onAppend(): void
}

interface Part {
  readonly topic: StoredTopic
  readonly partition: PartitionLog
}

export class LaneLog implements LaneAppends {
  readonly #options: LaneLogOptions
  readonly #parts: (Part | null)[] = []
  /** Of the walk under way: what the commit has of a part already. */
  readonly #counted = new Map<number, { readonly records: number; readonly bytes: number }>()
  /** By topic number: the first of its parts. */
  readonly #firsts = new Map<number, { readonly first: number; readonly count: number }>()

  constructor(options: LaneLogOptions) {
    this.#options = options
    options.core.lane.forgetPlans() // of a store that was open before
  }

  partsOf({ number }: Topic): number | null {
    const known = this.#firsts.get(number)
    if (known) return known.first
    const topic = this.#options.topicWith(number)
    return topic && !topic.isEnding ? this.#assign(topic) : null
  }

  /** It has more partitions, is being deleted, or gone. */
  changed({ number }: StoredTopic): void {
    const known = this.#firsts.get(number)
    if (known) this.#release(number, known)
  }

  #release(topicNumber: number, { first, count }: { first: number; count: number }): void {
    const { lane } = this.#options.core
    lane.forgetPlans()
    for (let part = first; part < first + count; part++) {
      lane.closePart(part)
      this.#parts[part] = null
    }
    this.#firsts.delete(topicNumber)
  }

  #assign(topic: StoredTopic): number | null {
    const count = topic.partitions.length
    const first = this.#freeRun(count)
    if (count === 0 || first === null) return null
    for (const partition of topic.partitions) this.#parts[first + partition.partitionIndex] = { topic, partition }
    this.#firsts.set(topic.number, { first, count })
    return first
  }

  /** So many free places one behind the other. */
  #freeRun(count: number): number | null {
    let first = 0
    for (let part = 0; part - first < count; part++) {
      if (part >= this.#options.core.lane.partsMax) return null
      if (this.#parts[part]) first = part + 1
    }
    return first
  }

  begin(recordBytesMax: number): LaneOpening {
    const commit = this.#options.commit()
    const roomBytes = commit.laneRoomBytes()
    if (typeof roomBytes === 'string') return roomBytes
    const { core, batchBytesMax } = this.#options
    this.#counted.clear()
    core.lane.beginWalk({ roomBytes, recordBytesMax: Math.min(recordBytesMax, batchBytesMax, commit.laneRecordBytesMax) })
    return 'open'
  }

  openPart(part: number): LaneOpening {
    const place = this.#parts[part]
    if (!place) return 'refused'
    const { refusalFor, onAppend, commit } = this.#options
    if (refusalFor(place.topic)) return 'refused'
    onAppend()
    const soFar = this.#uncounted(part, place.partition)
    const answer = commit().openLanePart(part, soFar)
    this.#counted.set(part, this.#options.core.lane.walkedOf(part))
    return answer
  }

  end(done: LaneDone): void {
    const { lane } = this.#options.core
    const walked: WalkedRecords[] = []
    lane.eachPart((part) => {
      const place = this.#parts[part]
      assert(place, `the lane has put records into part ${part}, which nobody has`)
      walked.push({ ...this.#uncounted(part, place.partition), walked: lane.walkedOf(part).records })
    })
    this.#options.commit().addWalk(walked, done)
  }

  /** A part may get a new batch within a walk: what it has put into the one before is counted by then. */
  #uncounted(part: number, partition: PartitionLog): LaneRecords {
    const { records, bytes } = this.#options.core.lane.walkedOf(part)
    const counted = this.#counted.get(part)
    return { partition, records: records - (counted?.records ?? 0), bytes: bytes - (counted?.bytes ?? 0) }
  }

  get isFull(): boolean {
    return this.#options.commit().laneRoomBytes() === 'full'
  }

  onceRoom(turn: () => void): void {
    this.#options.commit().onceLaneRoom(turn)
  }
}

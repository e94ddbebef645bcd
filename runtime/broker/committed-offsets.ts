// Which offset each group has committed per partition: durable before it is acknowledged, in memory for reading.
// Persisted under offsets/<group>/<topicNumber>/<partition>. Pending ones of open transactions are the coordinator's (transactions.ts).

import type { Clock } from '../io/clock.ts'
import type { StateChange, Store, Topic } from '../log/contract.ts'
import { deleteState, fitsStateKey, namesOfKey, putState, readState, stateKey } from '../log/state-codec.ts'

const AREA = 'offsets'
const ORPHANS_AT_ONCE = 1000
/** Objects, maps, numbers, and the value in the state. */
const ENTRY_OVERHEAD_BYTES = 400
export const OFFSET_METADATA_CHARACTERS_MAX = 4096

export interface TopicPartition {
  readonly topicName: string
  readonly partitionIndex: number
}

export interface CommittedOffset {
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

/** One offset on its way to be committed. */
export interface OffsetToCommit extends TopicPartition, CommittedOffset {
  readonly groupId: string
}

/** As it is kept. */
export interface KeptOffset extends OffsetToCommit {
  /** When it was committed, by the wall clock; null when the version that did it did not note it. */
  readonly timeMs: number | null
}

interface StoredOffset {
  offset: number
  epoch: number
  metadata: string
  time?: number
}

export class CommittedOffsets {
  readonly #store: Store
  readonly #clock: Clock
  readonly #groups = new Map<string, Map<string, KeptOffset>>()
  readonly #bytesMax: number
  /** Keys of topics that are gone. */
  #orphans: string[] = []
  /** About what all of them take in memory. */
  #bytes = 0

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  constructor(store: Store, clock: Clock, bytesMax: number) {
    this.#store = store
    this.#bytesMax = bytesMax
    this.#clock = clock
    const nameOf = new Map([...store.topics.values()].map((topic) => [String(topic.number), topic.name]))
    for (const key of store.listState(`${AREA}/`)) {
      const [groupId, topicNumber, partitionIndex] = namesOfKey(key)
      const topicName = nameOf.get(topicNumber ?? '')
      const value = store.getState(key)
      if (groupId !== undefined && topicName === undefined) this.#orphans.push(key)
      if (groupId === undefined || topicName === undefined || !value) continue
      const stored = readState<StoredOffset>(key, value)
      const { offset, epoch: leaderEpoch, metadata, time } = stored
      this.apply([{ groupId, topicName, partitionIndex: Number(partitionIndex), offset, leaderEpoch, metadata }], time ?? null)
    }
  }

  find(groupId: string, place: TopicPartition): CommittedOffset | null {
    return this.#groups.get(groupId)?.get(placeKey(place)) ?? null
  }

  groupIds(): readonly string[] {
    return [...this.#groups.keys()]
  }

  list(groupId: string): readonly KeptOffset[] {
    return [...(this.#groups.get(groupId)?.values() ?? [])]
  }

  /** Is the group's name short enough for a state key on the longest place? */
  canStore(groupId: string): boolean {
    return fitsStateKey(stateKey(AREA, groupId, 2 ** 31, 2 ** 31))
  }

  /** False when what all groups have committed would take more than its bound with these. What is committed anew takes little more. */
  hasRoomFor(offsets: readonly OffsetToCommit[]): boolean {
    let bytes = this.#bytes
    for (const entry of offsets) bytes += bytesOf(entry) - bytesOf(this.#groups.get(entry.groupId)?.get(placeKey(entry)))
    return bytes <= this.#bytesMax || bytes <= this.#bytes
  }

  /** @throws WadiError when the store refuses: nothing is committed */
  async commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    const timeMs = this.#clock.wallMs()
    await this.#store.commit([], this.changesFor(offsets, timeMs))
    this.apply(offsets, timeMs)
  }

  /** Durable when it resolves. What was committed anew meanwhile stays. @throws WadiError when the store refuses: nothing is forgotten */
  async forget(offsets: readonly KeptOffset[]): Promise<void> {
    await this.#store.commit(
      [],
      offsets.flatMap((entry) => this.#keyOf(entry) ?? []).map((key) => deleteState(key))
    )
    for (const entry of offsets) {
      const group = this.#groups.get(entry.groupId)
      if (group?.get(placeKey(entry)) !== entry) continue
      group.delete(placeKey(entry))
      this.#bytes -= bytesOf(entry)
      if (group.size === 0) this.#groups.delete(entry.groupId)
    }
  }

  /** The topic was deleted: its offsets are none any more. Their keys go with the next forgetOrphans(). */
  forgetTopic(topic: Pick<Topic, 'name' | 'number'>): void {
    for (const [groupId, group] of this.#groups) {
      for (const [place, entry] of group) {
        if (entry.topicName !== topic.name) continue
        group.delete(place)
        this.#bytes -= bytesOf(entry)
        this.#orphans.push(stateKey(AREA, groupId, topic.number, entry.partitionIndex))
      }
      if (group.size === 0) this.#groups.delete(groupId)
    }
  }

  /** Durable when it resolves. @throws WadiError when the store refuses: the rest goes later */
  async forgetOrphans(): Promise<void> {
    while (this.#orphans.length > 0) {
      const keys = this.#orphans.slice(0, ORPHANS_AT_ONCE)
      await this.#store.commit(
        [],
        keys.map((key) => deleteState(key))
      )
      const gone = new Set(keys)
      this.#orphans = this.#orphans.filter((key) => !gone.has(key))
    }
  }

  #keyOf({ groupId, topicName, partitionIndex }: OffsetToCommit): string | null {
    const topic = this.#store.topics.get(topicName)
    return topic ? stateKey(AREA, groupId, topic.number, partitionIndex) : null
  }

  /** The state changes that make `offsets` durable, for a commit of the caller, who calls apply() after it. Topics must exist. */
  changesFor(offsets: readonly OffsetToCommit[], timeMs: number): StateChange[] {
    return offsets.flatMap((entry) => {
      const key = this.#keyOf(entry)
      if (key === null) return []
      const stored: StoredOffset = { offset: entry.offset, epoch: entry.leaderEpoch, metadata: entry.metadata, time: timeMs }
      return [putState(key, { ...stored })]
    })
  }

  apply(offsets: readonly OffsetToCommit[], timeMs: number | null): void {
    for (const entry of offsets) {
      if (!this.#store.topics.has(entry.topicName)) continue // deleted meanwhile: nothing was stored of it
      let group = this.#groups.get(entry.groupId)
      if (!group) {
        group = new Map()
        this.#groups.set(entry.groupId, group)
      }
      const key = placeKey(entry)
      this.#bytes += bytesOf(entry) - bytesOf(group.get(key))
      group.set(key, { ...entry, timeMs })
    }
  }
}

/** In memory and as state. */
function bytesOf(entry: OffsetToCommit | undefined): number {
  return entry === undefined ? 0 : ENTRY_OVERHEAD_BYTES + 2 * (entry.groupId.length + entry.topicName.length + entry.metadata.length)
}

export function placeKey(place: TopicPartition): string {
  return `${place.topicName}/${place.partitionIndex}`
}

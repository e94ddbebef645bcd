// Which offset each group has committed per partition: durable before it is acknowledged, in memory for reading.
// Persisted under offsets/<group>/<topicNumber>/<partition>. Pending ones of open transactions are the coordinator's (transactions.ts).
//
// Invariants
// - What is committed, what is on its way and what open transactions hold takes no more than a bound (offset-room.ts).
// - Nothing is forgotten of a place for which something is on its way: on disk the deletion would come behind it.

import type { Clock } from '../io/clock.ts'
import type { StateChange, Store, Topic } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea } from '../log/state-area.ts'
import { fitsStateKey, versioned } from '../log/state-codec.ts'
import { fields, integer, optional, words } from '../log/state-shape.ts'
import { OffsetRoom, offsetBytes } from './offset-room.ts'
import { type OnFull, quoted } from './shared-bound.ts'

const ORPHANS_AT_ONCE = 1000
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
  /** Of the topic that is meant, when it may be another one of that name by the time of the commit. */
  readonly topicNumber?: number
}

/** As it is kept. */
export interface KeptOffset extends OffsetToCommit {
  /** When it was committed, by the wall clock; null when the version that did it did not note it. */
  readonly timeMs: number | null
}

/** Offsets in a commit of the store. While they are on their way nothing of their places is forgotten: every one has to be ended. */
export interface ComingOffsets {
  /** What the commit has to hold. Topics must exist. */
  readonly changes: readonly StateChange[]
  /** The commit is durable. */
  apply(): void
  /** It is durable or refused. */
  end(): void
}

interface StoredOffset {
  readonly offset: number
  readonly epoch: number
  readonly metadata: string
  readonly time?: number | undefined
}

const offsetShape = fields<StoredOffset>({ offset: integer, epoch: integer, metadata: words, time: optional(integer) })

export const storedOffsets = new StateArea<StoredOffset>('offsets', versioned(offsetShape), {
  keys: '<group>/<topic number>/<partition>',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  entries: 'about 20,000: together about 8 MiB, of which each takes 400 bytes at least',
  goes: 'seven days after the group became empty; with its topic'
})

export class CommittedOffsets {
  readonly #store: Store
  readonly #clock: Clock
  readonly #groups = new Map<string, Map<string, KeptOffset>>()
  /** Keys of topics that are gone. */
  #orphans: string[] = []
  /** Place → how many commits for it are on their way. */
  readonly #coming = new Map<string, number>()
  readonly #room: OffsetRoom

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  constructor(store: Store, clock: Clock, bound: { readonly bytesMax: number; readonly onFull: OnFull }) {
    this.#store = store
    this.#room = new OffsetRoom(bound.bytesMax, () => bound.onFull('committed offsets', () => this.#holders()))
    this.#clock = clock
    const nameOf = new Map([...store.topics.values()].map((topic) => [String(topic.number), topic.name]))
    for (const key of storedOffsets.keysIn(store)) {
      const [groupId, topicNumber, partitionIndex] = storedOffsets.namesOf(key)
      const topicName = nameOf.get(topicNumber ?? '')
      if (groupId !== undefined && topicName === undefined) this.#orphans.push(key)
      if (groupId === undefined || topicName === undefined) continue
      const { offset, epoch: leaderEpoch, metadata, time } = storedOffsets.get(store, key) as StoredOffset
      this.#set({ groupId, topicName, partitionIndex: Number(partitionIndex), offset, leaderEpoch, metadata, timeMs: time ?? null })
    }
  }

  find(groupId: string, place: TopicPartition): CommittedOffset | null {
    return this.#groups.get(groupId)?.get(placeKey(place)) ?? null
  }

  hasGroup(groupId: string): boolean {
    return this.#groups.has(groupId)
  }

  groupIds(): readonly string[] {
    return [...this.#groups.keys()]
  }

  list(groupId: string): readonly KeptOffset[] {
    return [...(this.#groups.get(groupId)?.values() ?? [])]
  }

  /** Is the group's name short enough for a state key on the longest place? */
  canStore(groupId: string): boolean {
    return fitsStateKey(storedOffsets.key(groupId, 2 ** 31, 2 ** 31))
  }

  /** @throws BrokerFault when there is no room, WadiError when the store refuses: nothing is committed */
  async commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    const reserved = this.#room.reserve(this.#growthOf(offsets))
    const coming = this.coming(offsets, this.#clock.wallMs())
    try {
      await this.#store.commit([], coming.changes)
      coming.apply()
    } finally {
      coming.end()
      this.#room.giveBack(reserved)
    }
  }

  /** Room for what an open transaction will commit; to be given back by letGo(). @throws BrokerFault when there is none */
  hold(offsets: readonly OffsetToCommit[]): void {
    this.#room.hold(bytesOfAll(offsets), this.#growthOf(offsets))
  }

  /** As hold(), of what is there already. */
  holdStored(offsets: readonly OffsetToCommit[]): void {
    this.#room.holdStored(bytesOfAll(offsets))
  }

  letGo(offsets: readonly OffsetToCommit[]): void {
    this.#room.letGo(bytesOfAll(offsets))
  }

  /** For a commit of the caller that makes them durable. */
  coming(offsets: readonly OffsetToCommit[], timeMs: number): ComingOffsets {
    const places = offsets.map(fullKey)
    const keys = offsets.map((entry) => this.#keyOf(entry))
    for (const place of places) this.#coming.set(place, (this.#coming.get(place) ?? 0) + 1)
    return {
      changes: offsets.flatMap((entry) => this.#changeFor(entry, timeMs) ?? []),
      apply: () => {
        for (const [at, entry] of offsets.entries()) {
          const key = keys[at] ?? null
          if (key !== null && key === this.#keyOf(entry)) this.#set({ ...entry, timeMs })
          else if (key !== null) this.#orphans.push(key) // the topic was deleted meanwhile
        }
      },
      end: () => {
        for (const place of places) {
          const left = (this.#coming.get(place) ?? 0) - 1
          if (left > 0) this.#coming.set(place, left)
          else this.#coming.delete(place)
        }
      }
    }
  }

  /** Durable when it resolves. What is or was committed anew meanwhile stays. @throws WadiError when the store refuses: nothing is forgotten */
  async forget(offsets: readonly KeptOffset[]): Promise<void> {
    const unused = offsets.filter((entry) => this.#isKept(entry) && !this.#coming.has(fullKey(entry)))
    await this.#store.commit(
      [],
      unused.flatMap((entry) => this.#keyOf(entry) ?? []).map((key) => storedOffsets.remove(key))
    )
    for (const entry of unused) {
      if (!this.#isKept(entry)) continue
      const group = this.#groups.get(entry.groupId)
      group?.delete(placeKey(entry))
      this.#room.change(offsetBytes(entry), 0)
      if (group?.size === 0) this.#groups.delete(entry.groupId)
    }
  }

  /** The topic was deleted: its offsets are none any more. Their keys go with the next forgetOrphans(). */
  forgetTopic(topic: Pick<Topic, 'name' | 'number'>): void {
    for (const [groupId, group] of this.#groups) {
      for (const [place, entry] of group) {
        if (entry.topicName !== topic.name) continue
        group.delete(place)
        this.#room.change(offsetBytes(entry), 0)
        this.#orphans.push(storedOffsets.key(groupId, topic.number, entry.partitionIndex))
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
        keys.map((key) => storedOffsets.remove(key))
      )
      const gone = new Set(keys)
      this.#orphans = this.#orphans.filter((key) => !gone.has(key))
    }
  }

  #holders(): string {
    let count = 0
    let [most, mostCount] = ['', 0]
    for (const [groupId, { size }] of this.#groups) {
      count += size
      if (size > mostCount) [most, mostCount] = [groupId, size]
    }
    return `${count} offsets of ${this.#groups.size} groups, group ${quoted(most)} has most: ${mostCount}`
  }

  #isKept(entry: KeptOffset): boolean {
    return this.#known(entry) === entry
  }

  #known(place: OffsetToCommit): KeptOffset | undefined {
    return this.#groups.get(place.groupId)?.get(placeKey(place))
  }

  /** Of a place that is named more than once the last one counts: so it is committed. */
  #growthOf(offsets: readonly OffsetToCommit[]): number {
    let bytes = 0
    for (const entry of new Map(offsets.map((one) => [fullKey(one), one])).values())
      bytes += offsetBytes(entry) - offsetBytes(this.#known(entry))
    return bytes
  }

  #keyOf({ groupId, topicName, partitionIndex, topicNumber }: OffsetToCommit): string | null {
    const topic = this.#store.topics.get(topicName)
    return topic && (topicNumber === undefined || topicNumber === topic.number)
      ? storedOffsets.key(groupId, topic.number, partitionIndex)
      : null
  }

  #changeFor(entry: OffsetToCommit, timeMs: number): StateChange | null {
    const key = this.#keyOf(entry)
    if (key === null) return null
    const stored: StoredOffset = { offset: entry.offset, epoch: entry.leaderEpoch, metadata: entry.metadata, time: timeMs }
    return storedOffsets.put(key, stored)
  }

  #set(entry: KeptOffset): void {
    let group = this.#groups.get(entry.groupId)
    if (!group) {
      group = new Map()
      this.#groups.set(entry.groupId, group)
    }
    const key = placeKey(entry)
    this.#room.change(offsetBytes(group.get(key)), offsetBytes(entry))
    group.set(key, entry)
  }
}

function bytesOfAll(offsets: readonly OffsetToCommit[]): number {
  return offsets.reduce((sum, entry) => sum + offsetBytes(entry), 0)
}

function fullKey(entry: OffsetToCommit): string {
  return `${placeKey(entry)}/${entry.groupId}`
}

export function placeKey(place: TopicPartition): string {
  return `${place.topicName}/${place.partitionIndex}`
}

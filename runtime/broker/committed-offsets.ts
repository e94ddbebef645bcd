// Which offset each group has committed per partition: durable before it is acknowledged, in memory for reading.
// Persisted under offsets/<group>/<topicNumber>/<partition>. Pending ones of open transactions are the coordinator's (transactions.ts).

import type { StateChange, Store } from '../log/contract.ts'
import { fitsStateKey, namesOfKey, putState, readState, stateKey } from '../log/state-codec.ts'

const AREA = 'offsets'
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

interface StoredOffset {
  offset: number
  epoch: number
  metadata: string
}

export class CommittedOffsets {
  readonly #store: Store
  readonly #groups = new Map<string, Map<string, OffsetToCommit>>()

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  constructor(store: Store) {
    this.#store = store
    const nameOf = new Map([...store.topics.values()].map((topic) => [String(topic.number), topic.name]))
    for (const key of store.listState(`${AREA}/`)) {
      const [groupId, topicNumber, partitionIndex] = namesOfKey(key)
      const topicName = nameOf.get(topicNumber ?? '')
      const value = store.getState(key)
      if (groupId === undefined || topicName === undefined || !value) continue
      const stored = readState<StoredOffset>(key, value)
      const { offset, epoch: leaderEpoch, metadata } = stored
      this.apply([{ groupId, topicName, partitionIndex: Number(partitionIndex), offset, leaderEpoch, metadata }])
    }
  }

  find(groupId: string, place: TopicPartition): CommittedOffset | null {
    return this.#groups.get(groupId)?.get(placeKey(place)) ?? null
  }

  list(groupId: string): readonly OffsetToCommit[] {
    return [...(this.#groups.get(groupId)?.values() ?? [])]
  }

  /** Is the group's name short enough for a state key on the longest place? */
  canStore(groupId: string): boolean {
    return fitsStateKey(stateKey(AREA, groupId, 2 ** 31, 2 ** 31))
  }

  /** @throws WadiError when the store refuses: nothing is committed */
  async commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    await this.#store.commit([], this.changesFor(offsets))
    this.apply(offsets)
  }

  /** The state changes that make `offsets` durable, for a commit of the caller, who calls apply() after it. Topics must exist. */
  changesFor(offsets: readonly OffsetToCommit[]): StateChange[] {
    return offsets.flatMap((entry) => {
      const topic = this.#store.topics.get(entry.topicName)
      if (!topic) return []
      const stored: StoredOffset = { offset: entry.offset, epoch: entry.leaderEpoch, metadata: entry.metadata }
      return [putState(stateKey(AREA, entry.groupId, topic.number, entry.partitionIndex), { ...stored })]
    })
  }

  apply(offsets: readonly OffsetToCommit[]): void {
    for (const entry of offsets) {
      let group = this.#groups.get(entry.groupId)
      if (!group) {
        group = new Map()
        this.#groups.set(entry.groupId, group)
      }
      group.set(placeKey(entry), entry)
    }
  }
}

export function placeKey(place: TopicPartition): string {
  return `${place.topicName}/${place.partitionIndex}`
}

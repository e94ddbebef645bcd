// A topic as the store keeps it: its settings, its partitions, and how many bytes they hold.

import { assert } from '../base/assert.ts'
import { type DirectoryAccount, TopicAccount } from './accounts.ts'
import type { Topic, TopicConfig } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import type { TopicEntry } from './topic-catalogue.ts'

export class StoredTopic implements Topic {
  readonly name: string
  readonly number: number
  readonly id: Uint8Array
  config: TopicConfig
  /** It was never to be delivered. */
  isLocal: boolean
  readonly #partitions: PartitionLog[] = []
  #isEnded = false
  readonly account: TopicAccount
  /** It is being deleted: nothing more is taken. */
  isEnding = false

  constructor(name: string, entry: TopicEntry, directory: DirectoryAccount) {
    this.name = name
    this.number = entry.number
    this.id = new Uint8Array(Buffer.from(entry.id, 'hex'))
    this.config = entry.config
    this.isLocal = entry.isLocal === true
    this.account = new TopicAccount(directory, () => this.#countBytes())
  }

  get partitions(): readonly PartitionLog[] {
    return this.#partitions
  }

  /** The next partition: its index is the count of those before it. */
  add(partition: PartitionLog): void {
    assert(partition.partitionIndex === this.#partitions.length, `${this.name}-${partition.partitionIndex} is not the next partition`)
    this.#partitions.push(partition)
  }

  /** It was deleted: its bytes count no more. */
  end(): void {
    this.#isEnded = true
    this.account.refresh()
  }

  /** Segments and tails: what a quota counts as stored. */
  #countBytes(): number {
    if (this.#isEnded) return 0
    let bytes = 0
    for (const partition of this.#partitions) bytes += partition.segmentBytes + partition.tail.bytes
    return bytes
  }
}

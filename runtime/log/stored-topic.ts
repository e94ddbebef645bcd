// A topic as the store keeps it: its settings, its partitions, and whether it refuses appends for want of room.

import type { WadiError } from '../base/errors.ts'
import type { Topic, TopicConfig } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import type { TopicEntry } from './topic-catalogue.ts'

export class StoredTopic implements Topic {
  readonly name: string
  readonly number: number
  readonly id: Uint8Array
  config: TopicConfig
  readonly partitions: PartitionLog[] = []
  /** Set while appends are refused because there is no room. */
  refusal: WadiError | null = null

  constructor(name: string, entry: TopicEntry) {
    this.name = name
    this.number = entry.number
    this.id = new Uint8Array(Buffer.from(entry.id, 'hex'))
    this.config = entry.config
  }
}

// A topic as the store keeps it: its settings, its partitions, and how many bytes they hold.

import type { Topic, TopicConfig } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import { type DirectoryAccount, TopicAccount } from './quota.ts'
import { topicBytes } from './retention.ts'
import type { TopicEntry } from './topic-catalogue.ts'

export class StoredTopic implements Topic {
  readonly name: string
  readonly number: number
  readonly id: Uint8Array
  config: TopicConfig
  readonly partitions: PartitionLog[] = []
  readonly account: TopicAccount

  constructor(name: string, entry: TopicEntry, directory: DirectoryAccount) {
    this.name = name
    this.number = entry.number
    this.id = new Uint8Array(Buffer.from(entry.id, 'hex'))
    this.config = entry.config
    this.account = new TopicAccount(directory, () => topicBytes(this))
  }
}

// Topics as clients of the broker make and find them: Kafka's name rules, Kafka's setting names, one creation per name at a time.

import { collidingTopic, topicNameFault } from '../base/topic-names.ts'
import type { Store, Topic, TopicConfig } from '../log/contract.ts'
import { BrokerFault } from './fault.ts'
import { KeyedLock } from './keyed-lock.ts'

export interface NewTopic {
  readonly name: string
  /** −1 = the broker's default. */
  readonly partitionCount: number
  /** −1 = the broker's default, which is 1: there is one node. */
  readonly replicationFactor: number
  /** Kafka's names and values. */
  readonly settings: ReadonlyMap<string, string | null>
}

export interface TopicDefaults {
  readonly partitionCount: number
  readonly partitionCountMax: number
}

/** What every Kafka client can read, unless the topic says otherwise. */
const SEAL_CODEC = 'gzip'
const CODECS: Readonly<Record<string, TopicConfig['codec']>> = {
  producer: SEAL_CODEC,
  uncompressed: 'none',
  gzip: 'gzip',
  lz4: 'lz4',
  zstd: 'zstd'
}

export class Topics {
  readonly #store: Store
  readonly #defaults: TopicDefaults
  readonly #lock = new KeyedLock()

  constructor(store: Store, defaults: TopicDefaults) {
    this.#store = store
    this.#defaults = defaults
  }

  find(name: string): Topic | null {
    return this.#store.topics.get(name) ?? null
  }

  /** By the 16 bytes of a topic id. */
  findById(id: Uint8Array): Topic | null {
    for (const topic of this.#store.topics.values()) if (topic.id.every((byte, at) => byte === id[at])) return topic
    return null
  }

  list(): readonly Topic[] {
    return [...this.#store.topics.values()]
  }

  /**
   * What would be created. Nothing is written.
   * @throws BrokerFault INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_CONFIG
   */
  check(topic: NewTopic): { partitionCount: number; config: Partial<TopicConfig> } {
    this.#checkName(topic.name)
    if (this.#store.topics.has(topic.name)) throw new BrokerFault('TOPIC_ALREADY_EXISTS', `there is a topic "${topic.name}" already`)
    const partitionCount = topic.partitionCount === -1 ? this.#defaults.partitionCount : topic.partitionCount
    if (partitionCount < 1 || partitionCount > this.#defaults.partitionCountMax) {
      throw new BrokerFault('INVALID_PARTITIONS', `a topic has 1 to ${this.#defaults.partitionCountMax} partitions, not ${partitionCount}`)
    }
    if (topic.replicationFactor !== -1 && topic.replicationFactor !== 1) {
      throw new BrokerFault('INVALID_REPLICATION_FACTOR', `there is one node, the replication factor cannot be ${topic.replicationFactor}`)
    }
    return { partitionCount, config: { partitionCount, isForwarded: false, codec: SEAL_CODEC, ...configOf(topic.settings) } }
  }

  /** Durable before it resolves. @throws BrokerFault as check(); WadiError when the store refuses */
  create(topic: NewTopic): Promise<Topic> {
    return this.#lock.run('create', async () => this.#store.createTopic(topic.name, this.check(topic).config))
  }

  /** The topic of this name, made with the defaults when absent. @throws BrokerFault INVALID_TOPIC_EXCEPTION; WadiError when the store refuses */
  ensure(name: string): Promise<Topic> {
    return this.#lock.run('create', async () => {
      const known = this.find(name)
      if (known) return known
      return this.#store.createTopic(name, this.check({ name, partitionCount: -1, replicationFactor: -1, settings: new Map() }).config)
    })
  }

  #checkName(name: string): void {
    const fault = topicNameFault(name)
    if (fault) throw new BrokerFault('INVALID_TOPIC_EXCEPTION', fault)
    const other = collidingTopic(name, this.#store.topics.keys())
    if (other !== null) throw new BrokerFault('INVALID_TOPIC_EXCEPTION', `"${name}" and "${other}" differ only in "." and "_"`)
  }
}

function configOf(settings: ReadonlyMap<string, string | null>): Partial<TopicConfig> {
  const config: { -readonly [Name in keyof TopicConfig]?: TopicConfig[Name] } = {}
  for (const [name, value] of settings) {
    if (value === null) throw new BrokerFault('INVALID_CONFIG', `${name} has no value`)
    switch (name) {
      case 'retention.ms':
        config.retentionMs = limitOf(name, value)
        break
      case 'retention.bytes':
        config.retentionBytes = limitOf(name, value)
        break
      case 'compression.type': {
        const codec = CODECS[value]
        if (!codec) throw new BrokerFault('INVALID_CONFIG', `compression.type "${value}" is not supported`)
        config.codec = codec
        break
      }
      case 'cleanup.policy':
        if (value !== 'delete') throw new BrokerFault('INVALID_CONFIG', `cleanup.policy "${value}" is not supported, only "delete"`)
        break
      case 'min.insync.replicas':
        if (value !== '1') throw new BrokerFault('INVALID_CONFIG', `min.insync.replicas "${value}": there is one node`)
        break
      default:
        throw new BrokerFault('INVALID_CONFIG', `the setting ${name} is not supported`)
    }
  }
  return config
}

function limitOf(name: string, value: string): number | null {
  const number = Number(value)
  if (value.trim() === '' || !Number.isSafeInteger(number) || number < -1)
    throw new BrokerFault('INVALID_CONFIG', `${name} "${value}" is not a number ≥ -1`)
  return number === -1 ? null : number
}

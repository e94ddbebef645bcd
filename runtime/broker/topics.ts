// Topics as clients of the broker make, alter and find them: Kafka's name rules, Kafka's setting names, one change at a time.

import { WadiError } from '../base/errors.ts'
import type { Offset } from '../base/offset.ts'
import { collidingTopic, topicNameFault } from '../base/topic-names.ts'
import { defaultTopicConfig, type Partition, type Store, type Topic, type TopicConfig } from '../log/contract.ts'
import { BrokerFault, type FaultName, faultOfStoreError } from './fault.ts'
import { KeyedLock } from './keyed-lock.ts'
import { type SettingChange, settingsAfter } from './setting-changes.ts'
import { alteredConfig, type BrokerValues, configOf, givenTo, SEAL_CODEC, settingNamed, valueIn } from './topic-settings.ts'

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

export type TopicChange = 'make' | 'alter' | 'delete' | 'delete records of'

/** All of what a client gives a topic, or what it changes. */
export type NewSettings = { readonly all: ReadonlyMap<string, string | null> } | { readonly changes: readonly SettingChange[] }

export interface RefusedChange {
  /** As the client wrote it: anything. */
  readonly name: string
  readonly change: TopicChange
  readonly fault: FaultName
  /** With the name of the fault, or what the store says. */
  readonly message: string
}

/** The word of whoever owns the store on what clients make. */
export interface TopicRules {
  /**
   * What a topic of this name is, as far as the client does not say otherwise. isForwarded is never the client's to say.
   * @throws BrokerFault POLICY_VIOLATION, INVALID_TOPIC_EXCEPTION when clients may not make it
   */
  configOf(name: string): Partial<TopicConfig>
  /** @throws BrokerFault POLICY_VIOLATION when clients may not make so many more */
  checkPartitions(count: number): void
  /** It is durable. The owner's own come by ensureOwn(). */
  onCreated(topic: Topic, maker: 'client' | 'owner'): void
  /** A client is about to be told. */
  onRefused(refusal: RefusedChange): void
  /** As configOf(), of a topic that there is: what of its settings goes back to. */
  defaultsOf(name: string): Partial<TopicConfig>
  /** What clients have changed is durable. */
  onAltered(topic: Topic, words: string): void
  /** The log of the partition starts at `startOffset` now, because a client said so. */
  onRecordsDeleted(partition: Partition, startOffset: Offset): void
  /** @throws BrokerFault POLICY_VIOLATION, INVALID_TOPIC_EXCEPTION when clients may not do that to it */
  checkChange(topic: Topic, change: Exclude<TopicChange, 'make'>): void
  /** Clients read it and do not write it. */
  isReserved(name: string): boolean
}

/** A server that is alone with its store. */
const noRules: TopicRules = {
  configOf: () => ({ isForwarded: false }),
  checkPartitions: () => undefined,
  onCreated: () => undefined,
  onRefused: () => undefined,
  defaultsOf: () => ({ codec: SEAL_CODEC }),
  onAltered: () => undefined,
  onRecordsDeleted: () => undefined,
  checkChange: () => undefined,
  isReserved: () => false
}

export class Topics {
  readonly #store: Store
  readonly #defaults: TopicDefaults
  readonly #values: BrokerValues
  readonly #rules: TopicRules
  readonly #lock = new KeyedLock()
  /** Of all topics; empty when one went, until somebody asks. */
  readonly #namesById = new Map<string, string>()

  constructor(
    store: Store,
    { defaults, values, rules = noRules }: { defaults: TopicDefaults; values: BrokerValues; rules?: TopicRules | undefined }
  ) {
    this.#store = store
    this.#defaults = defaults
    this.#values = values
    this.#rules = rules
  }

  /** Not for clients to write. */
  isReserved(name: string): boolean {
    return this.#rules.isReserved(name)
  }

  find(name: string): Topic | null {
    return this.#store.topics.get(name) ?? null
  }

  /** By the 16 bytes of a topic id. */
  findById(id: Uint8Array): Topic | null {
    const { topics } = this.#store
    if (this.#namesById.size !== topics.size) for (const { id: known, name } of topics.values()) this.#namesById.set(hexOf(known), name)
    return topics.get(this.#namesById.get(hexOf(id)) ?? '') ?? null
  }

  list(): readonly Topic[] {
    return [...this.#store.topics.values()]
  }

  /**
   * What would be created. Nothing is written.
   * @throws BrokerFault INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_CONFIG,
   * POLICY_VIOLATION
   */
  check(topic: NewTopic): { partitionCount: number; config: Partial<TopicConfig> } {
    this.#checkName(topic.name)
    if (this.#store.topics.has(topic.name)) throw new BrokerFault('TOPIC_ALREADY_EXISTS', `there is a topic "${topic.name}" already`)
    const rules = this.#rules.configOf(topic.name)
    const partitionCount = topic.partitionCount === -1 ? (rules.partitionCount ?? this.#defaults.partitionCount) : topic.partitionCount
    if (partitionCount < 1 || partitionCount > this.#defaults.partitionCountMax) {
      throw new BrokerFault('INVALID_PARTITIONS', `a topic has 1 to ${this.#defaults.partitionCountMax} partitions, not ${partitionCount}`)
    }
    this.#rules.checkPartitions(partitionCount)
    if (topic.replicationFactor !== -1 && topic.replicationFactor !== 1) {
      throw new BrokerFault('INVALID_REPLICATION_FACTOR', `there is one node, the replication factor cannot be ${topic.replicationFactor}`)
    }
    return { partitionCount, config: { codec: SEAL_CODEC, ...rules, ...configOf(topic.settings, this.#values), partitionCount } }
  }

  /** Durable before it resolves. @throws BrokerFault as check(); WadiError when the store refuses */
  create(topic: NewTopic): Promise<Topic> {
    return this.#lock.run('create', () => this.#told('make', topic.name, () => this.#make(topic)))
  }

  /** The topic of this name, made with the defaults when absent. @throws BrokerFault as check(); WadiError when the store refuses */
  ensure(name: string): Promise<Topic> {
    return this.#lock.run('create', async () => {
      const known = this.find(name)
      if (known) return known
      return this.#told('make', name, () => this.#make({ name, partitionCount: -1, replicationFactor: -1, settings: new Map() }))
    })
  }

  /** The topic of this name. That a client hoped to make it by asking is told. */
  findOnly(name: string): Topic | null {
    const known = this.find(name)
    if (known) return known
    const { fault, message } = new BrokerFault('UNKNOWN_TOPIC_OR_PARTITION', 'there is no such topic, and asking for it makes none')
    this.#rules.onRefused({ name, change: 'make', fault, message })
    return null
  }

  /** As ensure(), for whoever owns the store: with his settings, whatever clients may do. @throws WadiError when the store refuses */
  ensureOwn(name: string, config: Partial<TopicConfig>): Promise<Topic> {
    return this.#lock.run(
      'create',
      async () => this.find(name) ?? this.#store.createTopic(name, config).then((made) => this.#tell(made, 'owner'))
    )
  }

  /**
   * Gone before it resolves, for everybody. Events that the centre should get and does not have keep it.
   * @throws BrokerFault UNKNOWN_TOPIC_OR_PARTITION, POLICY_VIOLATION; WadiError when the store refuses
   */
  delete(topic: Topic): Promise<void> {
    return this.#lock.run('create', async () => {
      const { name } = topic
      if (this.find(name)?.number !== topic.number) throw new BrokerFault('UNKNOWN_TOPIC_OR_PARTITION', `there is no topic "${name}"`)
      await this.#told('delete', name, async () => {
        this.#rules.checkChange(topic, 'delete')
        await this.#store.deleteTopic(name, { undelivered: 'refuse' })
      })
    })
  }

  /**
   * Its settings, all or some. Durable before it resolves; validateOnly: nothing is written.
   * @throws BrokerFault UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, INVALID_REQUEST, POLICY_VIOLATION, INVALID_TOPIC_EXCEPTION; WadiError when the store refuses
   */
  alterSettings(name: string, settings: NewSettings, options: { validateOnly: boolean }): Promise<void> {
    return this.#change(name, 'alter', async (topic) => {
      const base = { ...topic.config, ...defaultTopicConfig, codec: SEAL_CODEC, ...this.#rules.defaultsOf(name) } as const
      const context = { base, broker: this.#values }
      const config = alteredConfig(this.#givenAfter(topic, settings, base), context)
      if (options.validateOnly || JSON.stringify({ ...topic.config, ...config }) === JSON.stringify(topic.config)) return
      await this.#store.alterTopic(name, config, { holds: 'when durable' })
      const words = Object.entries(config.given ?? {}).map(([setting, value]) => `${setting}=${value}`)
      this.#rules.onAltered(topic, words.length === 0 ? 'no settings of its own' : words.join(', '))
    })
  }

  /**
   * More partitions. Durable before it resolves; validateOnly: nothing is made.
   * @throws BrokerFault UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, POLICY_VIOLATION, INVALID_TOPIC_EXCEPTION; WadiError when the store refuses
   */
  grow(name: string, partitionCount: number, options: { validateOnly: boolean }): Promise<void> {
    return this.#change(name, 'alter', async (topic) => {
      const { length } = topic.partitions
      const countMax = this.#defaults.partitionCountMax
      if (partitionCount <= length) {
        throw new BrokerFault(
          'INVALID_PARTITIONS',
          `Topic ${name} has ${length} partition(s): ${partitionCount} are not more, and partitions are never taken away`
        )
      }
      if (partitionCount > countMax)
        throw new BrokerFault('INVALID_PARTITIONS', `a topic has 1 to ${countMax} partitions, not ${partitionCount}`)
      this.#rules.checkPartitions(partitionCount - length)
      if (options.validateOnly) return
      await this.#store.alterTopic(name, { partitionCount }, { holds: 'when durable' })
      this.#rules.onAltered(topic, `${partitionCount} partitions, ${length} before`)
    })
  }

  /**
   * The log of the partition starts at `offset`; null = at its end. Durable before it resolves. Events that the centre should get and does not have stay.
   * @returns where it starts
   * @throws BrokerFault OFFSET_OUT_OF_RANGE, POLICY_VIOLATION, UNKNOWN_TOPIC_OR_PARTITION; WadiError when the store refuses
   */
  deleteRecords(partition: Partition, offset: Offset | null): Promise<Offset> {
    const name = partition.topicName
    const topic = this.find(name)
    return this.#told('delete records of', name, async () => {
      if (topic?.partitions[partition.partitionIndex] !== partition)
        throw new BrokerFault('UNKNOWN_TOPIC_OR_PARTITION', `there is no topic "${name}"`)
      this.#rules.checkChange(topic, 'delete records of')
      if (topic.config.cleanup === 'compact')
        throw new BrokerFault('POLICY_VIOLATION', `records of ${name} are not deleted: its cleanup.policy is compact`)
      const before = partition.logStartOffset
      const start = await this.#store.deleteRecords(partition, offset ?? partition.highWatermark)
      if (start > before) this.#rules.onRecordsDeleted(partition, start)
      return start
    })
  }

  #givenAfter(topic: Topic, settings: NewSettings, base: TopicConfig): ReadonlyMap<string, string | null> {
    const broker = this.#values
    if ('changes' in settings) {
      return settingsAfter(givenTo(topic.config, { base, broker }), settings.changes, (name) => {
        const setting = settingNamed(name)
        return setting ? valueIn(setting, topic.config, broker) : ''
      })
    }
    for (const [name, value] of settings.all)
      if (value === null) throw new BrokerFault('INVALID_REQUEST', `Null value not supported for : ${name}`)
    return settings.all
  }

  /** One change at a time, of a topic that clients may change. */
  #change(name: string, change: 'alter', work: (topic: Topic) => Promise<void>): Promise<void> {
    return this.#lock.run('create', () =>
      this.#told(change, name, async () => {
        const topic = this.find(name)
        if (!topic) throw new BrokerFault('UNKNOWN_TOPIC_OR_PARTITION', `there is no topic "${name}"`)
        this.#rules.checkChange(topic, change)
        await work(topic)
      })
    )
  }

  /** It was deleted. */
  forgetTopic(): void {
    this.#namesById.clear()
  }

  async #make(topic: NewTopic): Promise<Topic> {
    return this.#tell(await this.#store.createTopic(topic.name, this.check(topic).config), 'client')
  }

  #tell(made: Topic, maker: 'client' | 'owner'): Topic {
    this.#rules.onCreated(made, maker)
    return made
  }

  async #told<T>(change: TopicChange, name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof BrokerFault || error instanceof WadiError)
        this.#rules.onRefused({ name, change, fault: faultOfStoreError(error, 'KAFKA_STORAGE_ERROR'), message: error.message })
      throw error
    }
  }

  #checkName(name: string): void {
    const fault = topicNameFault(name)
    if (fault) throw new BrokerFault('INVALID_TOPIC_EXCEPTION', fault)
    const other = collidingTopic(name, this.#store.topics.keys())
    if (other !== null) throw new BrokerFault('INVALID_TOPIC_EXCEPTION', `"${name}" and "${other}" differ only in "." and "_"`)
  }
}

function hexOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('hex')
}

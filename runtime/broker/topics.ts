// Topics as clients of the broker make and find them: Kafka's name rules, Kafka's setting names, one creation per name at a time.

import { WadiError } from '../base/errors.ts'
import { collidingTopic, topicNameFault } from '../base/topic-names.ts'
import type { Store, Topic, TopicConfig } from '../log/contract.ts'
import { BrokerFault, type FaultName, faultOfStoreError } from './fault.ts'
import { KeyedLock } from './keyed-lock.ts'
import { type BrokerValues, configOf, SEAL_CODEC } from './topic-settings.ts'

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

export interface RefusedChange {
  /** As the client wrote it: anything. */
  readonly name: string
  readonly change: 'make' | 'delete'
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
  /** @throws BrokerFault POLICY_VIOLATION when clients may not delete it */
  checkDeletion(topic: Topic): void
  /** Clients read it and do not write it. */
  isReserved(name: string): boolean
}

/** A server that is alone with its store. */
const noRules: TopicRules = {
  configOf: () => ({ isForwarded: false }),
  checkPartitions: () => undefined,
  onCreated: () => undefined,
  onRefused: () => undefined,
  checkDeletion: () => undefined,
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
        this.#rules.checkDeletion(topic)
        await this.#store.deleteTopic(name, { undelivered: 'refuse' })
      })
    })
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

  async #told<T>(change: RefusedChange['change'], name: string, work: () => Promise<T>): Promise<T> {
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

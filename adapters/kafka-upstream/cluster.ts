// The central cluster as far as it has to be known: who leads which partition, who coordinates us, and connections to them.
// What is known may be stale: callers say so (forget…) when an answer shows it, and ask again.

import { assert } from '../../runtime/base/assert.ts'
import type { Clock } from '../../runtime/io/clock.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { api } from '../kafka-protocol/apis.ts'
import type { MetadataTopic } from '../kafka-protocol/messages/metadata.ts'
import type { Address } from './address.ts'
import { Connection } from './connection.ts'
import { checkCode, readOnly } from './faults.ts'

type CoordinatorKind = 'group' | 'transaction'

/** Of one group or one transactional id. */
export interface Coordinator {
  readonly kind: CoordinatorKind
  readonly key: string
}

export interface ClusterOptions {
  /** Where to begin: at least one. */
  readonly bootstrap: readonly Address[]
  readonly clientId: string
  readonly requestTimeoutMs: number
  readonly dialTimeoutMs: number
  readonly clock: Clock
  /** No connection is open any more, and none can be made. */
  onLost(fault: UpstreamFault): void
}

/** The cause of a fault after every known broker was tried: trying again at once is pointless. */
export class NoBrokerAnswers extends Error {
  override readonly name = 'NoBrokerAnswers'
}

const KEY_TYPE: Readonly<Record<CoordinatorKind, number>> = { group: 0, transaction: 1 }

const addressKey = ({ host, port }: Address): string => `${host}:${port}`

export class Cluster {
  readonly wireBytes = { sent: 0, received: 0 }
  readonly #options: ClusterOptions
  readonly #connections = new Map<string, Promise<Connection>>()
  readonly #open = new Set<Connection>()
  readonly #coordinators = new Map<string, Address>()
  readonly #topics = new Map<string, MetadataTopic>()
  #brokers: ReadonlyMap<number, Address> = new Map()
  #controllerId = -1
  #isClosed = false
  #isLooking = false

  constructor(options: ClusterOptions) {
    assert(options.bootstrap.length > 0, 'no broker to begin with')
    this.#options = options
  }

  /** Connection to one broker, shared by all callers. @throws UpstreamFault unreachable */
  async at(address: Address): Promise<Connection> {
    const key = addressKey(address)
    const known = this.#connections.get(key)
    if (known) {
      const connection = await known
      if (connection.isUsable) return connection
      connection.close()
      this.#open.delete(connection)
      if (this.#connections.get(key) === known) this.#connections.delete(key)
      return this.at(address)
    }
    if (this.#isClosed) throw new UpstreamFault('unreachable', 'the client is closed')
    const dialled = this.#dial(address)
    this.#connections.set(key, dialled)
    dialled.catch(() => {
      if (this.#connections.get(key) === dialled) this.#connections.delete(key)
    })
    return dialled
  }

  async #dial(address: Address): Promise<Connection> {
    const { clientId, requestTimeoutMs, dialTimeoutMs, clock } = this.#options
    const connection = new Connection({
      ...address,
      clientId,
      requestTimeoutMs,
      dialTimeoutMs,
      clock,
      wireBytes: this.wireBytes,
      onEnded: () => void this.#onEnded()
    })
    this.#open.add(connection)
    try {
      await connection.open()
      return connection
    } catch (error) {
      this.#open.delete(connection)
      throw error
    }
  }

  /** Brokers close what is idle, or die: which of both it is, a new connection tells, unless another one is open. */
  async #onEnded(): Promise<void> {
    if (this.#isClosed || this.#isLooking) return
    this.#isLooking = true
    try {
      await this.any()
    } catch (error) {
      if (!(error instanceof UpstreamFault)) throw error
      const isOpen = [...this.#open].some((connection) => connection.isUsable)
      if (!this.#isClosed && !isOpen) this.#options.onLost(error)
    } finally {
      this.#isLooking = false
    }
  }

  /** Any broker that answers: first one we are connected to, then those the cluster named, then the bootstrap addresses. */
  async any(): Promise<Connection> {
    for (const connection of this.#open) if (connection.isUsable) return connection
    const candidates = new Map([...this.#brokers.values(), ...this.#options.bootstrap].map((address) => [addressKey(address), address]))
    const failures: string[] = []
    for (const address of candidates.values()) {
      try {
        return await this.at(address)
      } catch (error) {
        if (!(error instanceof UpstreamFault)) throw error
        if (error.kind === 'refused') throw error
        failures.push(error.message)
      }
    }
    throw new UpstreamFault('unreachable', `no broker answers (${failures.join('; ')})`, { cause: new NoBrokerAnswers() })
  }

  /** Reads metadata of these topics; what was known of other topics stays. Errors per topic are left to the caller. */
  async refresh(topicNames: readonly string[]): Promise<readonly MetadataTopic[]> {
    const connection = await this.any()
    const answer = await readOnly(
      connection.request(api.Metadata, () => ({ topics: topicNames.map((name) => ({ name })), allowAutoTopicCreation: false }))
    )
    if (answer.brokers.length > 0) this.#brokers = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    for (const topic of answer.topics) if (topic.name !== null) this.#topics.set(topic.name, topic)
    this.#controllerId = answer.controllerId
    return answer.topics
  }

  /** null when not known: refresh. */
  leaderOf(topicName: string, partitionIndex: number): Address | null {
    const partition = this.#topics.get(topicName)?.partitions.find((candidate) => candidate.partitionIndex === partitionIndex)
    return partition === undefined ? null : (this.#brokers.get(partition.leaderId) ?? null)
  }

  forgetTopics(): void {
    this.#topics.clear()
  }

  /** The broker that takes administration, or any. */
  async controller(): Promise<Connection> {
    const address = this.#brokers.get(this.#controllerId)
    return address ? this.at(address) : this.any()
  }

  /** @throws UpstreamFault unreachable; KafkaErrorAnswer when the cluster does not say */
  async coordinator({ kind, key }: Coordinator): Promise<Connection> {
    const known = this.#coordinators.get(`${kind}/${key}`)
    if (known) return this.at(known)
    const connection = await this.any()
    const answer = await readOnly(
      connection.request(api.FindCoordinator, (version) =>
        version < 4 ? { key, keyType: KEY_TYPE[kind] } : { keyType: KEY_TYPE[kind], coordinatorKeys: [key] }
      )
    )
    const found = answer.coordinators[0] ?? answer
    checkCode(found.errorCode, `FindCoordinator of ${kind} ${key}`)
    const address = { host: found.host, port: found.port }
    this.#coordinators.set(`${kind}/${key}`, address)
    return this.at(address)
  }

  forgetCoordinator({ kind, key }: Coordinator): void {
    this.#coordinators.delete(`${kind}/${key}`)
  }

  /** Ends every connection at once; what is under way fails. */
  close(): void {
    this.#isClosed = true
    for (const connection of this.#open) connection.close()
    this.#open.clear()
    this.#connections.clear()
  }
}

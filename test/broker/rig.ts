// A broker on a store in memory and a simulated clock, and batches as producers send them.

import type { AppendOutcome } from '../../runtime/broker/append-outcome.ts'
import { type Broker, type BrokerSettings, openBroker } from '../../runtime/broker/broker.ts'
import type { FetchedPartition, Isolation } from '../../runtime/broker/fetch.ts'
import { CONTROL_BIT, readBatchHeader } from '../../runtime/core/batch-header.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { loadTestCore } from '../helpers/core.ts'
import { MemoryStore } from '../helpers/memory-store.ts'
import { Prng } from '../sim/prng.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { simCodec } from '../sim/sim-codec.ts'

export const NOW_MS = 1_700_000_000_000

export interface ProducerInput {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly isTransactional?: boolean
}

export class Rig {
  readonly core = loadTestCore()
  readonly clock = new SimClock({ wallStartMs: NOW_MS })
  readonly settings: { -readonly [Name in keyof BrokerSettings]?: BrokerSettings[Name] }
  /** Of bounds that were reached. */
  readonly told: string[] = []
  store: MemoryStore
  broker: Broker
  readonly #random = new Prng(1)

  constructor(settings: Partial<BrokerSettings> = {}) {
    this.settings = { initialRebalanceDelayMs: 0, ...settings }
    this.store = new MemoryStore(this.core)
    this.broker = this.#open()
  }

  #open(): Broker {
    return openBroker({
      store: this.store,
      core: this.core,
      clock: this.clock,
      random: this.#random,
      codec: simCodec,
      settings: this.settings,
      onFull: (bound, holders) => void this.told.push(`${bound}: ${holders()}`)
    })
  }

  /** A restart: what was durable, and nothing else. */
  restart(): void {
    this.broker.close()
    this.store = this.store.reopen()
    this.broker = this.#open()
  }

  async topic(name: string, partitionCount = 1): Promise<readonly Partition[]> {
    return (await this.store.createTopic(name, { partitionCount })).partitions
  }

  partition(topicName: string, partitionIndex = 0): Partition {
    const partition = this.store.topics.get(topicName)?.partitions[partitionIndex]
    if (!partition) throw new Error(`no ${topicName}-${partitionIndex}`)
    return partition
  }

  batch(values: readonly string[], producer?: ProducerInput, timestampMs = NOW_MS): Uint8Array {
    const records = values.map((value) => ({ timestampMs, key: null, value: new TextEncoder().encode(value), headers: [] }))
    return this.core.buildBatch(records, { baseOffset: 0, ...(producer ? { producer: { isTransactional: false, ...producer } } : {}) })
  }

  async append(topicName: string, records: Uint8Array | null, partitionIndex = 0): Promise<AppendOutcome> {
    const options = { isZstdAllowed: true, hasTransactionalId: true }
    const [outcome] = await this.broker.appends.append([{ topicName, partitionIndex, records }], options)
    return outcome as AppendOutcome
  }

  async fetch(
    topicName: string,
    options: { from?: number; isolation?: Isolation; partitionIndex?: number } = {}
  ): Promise<FetchedPartition> {
    const place = {
      topicName,
      partitionIndex: options.partitionIndex ?? 0,
      fetchOffset: options.from ?? 0,
      bytesMax: 2 ** 20,
      leaderEpoch: -1
    }
    const request = { places: [place], isolation: options.isolation ?? 'read_committed', maxWaitMs: 0, bytesMin: 1, bytesMax: 2 ** 20 }
    return (await this.broker.fetches.fetch(request))[0] as FetchedPartition
  }

  /** Values as a careful consumer delivers them: without markers and without what was aborted. */
  async values(topicName: string, isolation: Isolation = 'read_committed'): Promise<string[]> {
    return committedValues(this.core, await this.fetch(topicName, { isolation })).values
  }
}

/** What a consumer makes of a fetch: values without markers and without what was aborted, and where it goes on (null: nothing came). */
export function committedValues(core: Core, fetched: FetchedPartition): { values: string[]; nextOffset: number | null } {
  const pending = [...(fetched.abortedTransactions ?? [])]
  const aborting = new Set<bigint>()
  const values: string[] = []
  let nextOffset: number | null = null
  for (const batch of fetched.batches) {
    const header = readBatchHeader(batch)
    if (!header) throw new Error('not a batch')
    nextOffset = header.lastOffset + 1
    for (let next = pending[0]; next && next.firstOffset <= header.baseOffset; next = pending[0]) {
      aborting.add(next.producerId)
      pending.shift()
    }
    if ((header.attributes & CONTROL_BIT) !== 0) aborting.delete(header.producerId)
    else if (!aborting.has(header.producerId)) {
      values.push(...core.readRecords(batch).map((record) => new TextDecoder().decode(record.value ?? new Uint8Array(0))))
    }
  }
  return { values, nextOffset }
}

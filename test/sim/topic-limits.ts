// Limits in the simulated world: quotas that refuse or drop, on topics that stay on the gateway and on those that are forwarded, and a quota
// of the whole directory. Topics that stay have devices and books of their own, because nothing of them reaches the centre.
//
//   a topic that stays, when_full: reject        never loses an acknowledged event and never holds more than its quota
//   a topic that stays, when_full: drop_oldest   loses only from its start, and every event below it is in the durable count
//   a forwarded topic without drop_undelivered   loses nothing that was not delivered (the world's ledger says so)
//   any quota                                    is exceeded by at most one commit, and by what may exceed it (markers, dead letters; of the
//                                                directory also by what the state file has grown: that has bounds of its own)
//   any undelivered event that was dropped       is in the count that a restart finds
//   no segment is empty in front of others       or nothing behind it could be deleted, and its topic would be full for ever

import { WadiError } from '../../runtime/base/errors.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { DroppedRange, Partition, Topic, TopicConfig } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { contentBytesBound } from '../../runtime/log/open-commit.ts'
import { PartitionLog } from '../../runtime/log/partition-log.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { Prng } from './prng.ts'
import { readPartition } from './read-partition.ts'
import type { SimClock } from './sim-clock.ts'

/** Batch headers are not known when room is asked for. */
const FRAMING_BYTES = 512
const LOOK_MS = 40

export interface LimitsHost {
  readonly clock: SimClock
  /** The store that runs now. */
  store(): LogStore | null
  isCalm(): boolean
  violate(sentence: string): void
  count(what: string): void
}

interface LocalDevice {
  readonly name: string
  readonly topicName: string
  readonly partitionIndex: number
  readonly pauseMs: number
  readonly valueBytesMax: number
  next: number
  waiting: string | null
  sentTo: LogStore | null
}

type LocalTopic = readonly [name: string, config: Partial<TopicConfig>]

export class TopicLimits {
  /** Of the forwarded topics; null = they have none. */
  readonly forwarded: Pick<TopicConfig, 'quotaBytes' | 'whenFull'> | null
  /** What the whole directory may hold besides its journal; null = no limit. */
  readonly directoryBytes: number | null
  readonly #local: readonly LocalTopic[]
  /** Those of one array send at the same moment. */
  readonly #devices: LocalDevice[][] = []
  readonly #prng: Prng
  readonly #host: LimitsHost
  readonly #commitBytesMax: number
  readonly #sent = new Set<string>()
  /** "<topic>/<partition>" → offset → value */
  readonly #acked = new Map<string, Map<number, string>>()
  /** "<topic>/<partition>" → offsets of undelivered events that the store said it dropped. */
  readonly #reported = new Map<string, Set<number>>()
  /** Topic → offsets given out when this life began. What the journal brings back is not compressed yet, and nobody was let in for it. */
  readonly #before = new Map<string, number>()
  #directoryQuota: number | null = null
  /** The smallest state file of each life. */
  readonly #stateBytes = new WeakMap<LogStore, number>()
  /** What may exceed a quota, by topic. offset: null until its commit is answered; a kill may keep that answer. */
  readonly #exempt = new Map<string, { readonly partition: number; readonly bytes: number; offset: number | null }[]>()

  constructor(seed: number, host: LimitsHost, options: { commitBytesMax: number }) {
    const prng = new Prng(seed ^ 0x71d5)
    this.#prng = prng
    this.#host = host
    this.#commitBytesMax = options.commitBytesMax
    this.directoryBytes = prng.chance(12) ? prng.pick([24, 40]) * KIB : null
    this.forwarded = prng.chance(25)
      ? { quotaBytes: prng.pick([6, 10]) * KIB, whenFull: prng.pick(['reject', 'drop_oldest'] as const) }
      : null
    // A full topic that keeps everything would keep a full directory full for ever.
    const kinds = this.directoryBytes === null ? prng.pick([[], [], ['reject'], ['drop_oldest'], ['reject', 'drop_oldest']] as const) : []
    this.#local = kinds.map((whenFull): LocalTopic => {
      const quotaBytes = prng.pick([5, 12]) * KIB
      const partitionCount = prng.pick([1, 1, 2])
      return [`local.${whenFull}`, { partitionCount, quotaBytes, whenFull, retentionMs: null, isForwarded: false }]
    })
    for (const [topicName, { partitionCount = 1 }] of this.#local) {
      for (let index = prng.between(1, 2); index > 0; index--) {
        const place = { topicName, partitionIndex: prng.below(partitionCount) }
        const pace = { pauseMs: prng.pick([20, 80, 300]), valueBytesMax: prng.pick([100, 1_200]) }
        const name = `${topicName}.${index}`
        const burst = Array.from({ length: prng.pick([1, 1, 6]) }, (_, one) => ({ ...place, ...pace, name: `${name}.${one}` }))
        this.#devices.push(burst.map((device) => ({ ...device, next: 0, waiting: null, sentTo: null })))
      }
    }
  }

  /** Of topics that are delivered, or of all: such limits tell losses of their own. */
  get areLocal(): boolean {
    return this.forwarded === null && this.directoryBytes === null
  }

  /** Its books do not follow an older disk. */
  get keepsBooks(): boolean {
    return this.#local.length > 0 || this.forwarded !== null || this.directoryBytes !== null
  }

  /** Quota of the directory for a journal of that size, or null. */
  directoryQuota(journalBytes: number): number | null {
    this.#directoryQuota = this.directoryBytes === null ? null : journalBytes + this.directoryBytes
    return this.#directoryQuota
  }

  async create(store: LogStore): Promise<void> {
    this.#noteExempt(store)
    for (const [name, config] of this.#local) if (!store.topics.has(name)) await store.createTopic(name, config)
  }

  #noteExempt(store: LogStore): void {
    const commit = store.commit.bind(store)
    store.commit = async (appends, state) => {
      const noted = appends.map(({ partition: { topicName, partitionIndex }, content, mayExceedQuota }) => {
        const entries = this.#exempt.get(topicName) ?? []
        this.#exempt.set(topicName, entries)
        const entry = { partition: partitionIndex, bytes: mayExceedQuota ? contentBytesBound(content) : 0, offset: null as number | null }
        if (mayExceedQuota) entries.push(entry)
        return { entry, entries }
      })
      try {
        const offsets = await commit(appends, state)
        for (const [index, { entry }] of noted.entries()) entry.offset = offsets[index] ?? null
        return offsets
      } catch (error) {
        // When the log failed, the commit may be in the journal all the same.
        if (error instanceof WadiError && error.code !== 'WADI_LOG_FAILED')
          for (const { entry, entries } of noted) if (entries.includes(entry)) entries.splice(entries.indexOf(entry), 1)
        throw error
      }
    }
  }

  /** Of what the topic holds, about: what lies in front of its log start is gone. */
  #exemptBytes({ name, partitions }: Topic): number {
    const isHeld = ({ partition, offset }: { partition: number; offset: number | null }): boolean =>
      offset === null || offset >= (partitions[partition]?.logStartOffset ?? 0)
    return (this.#exempt.get(name) ?? []).filter(isHeld).reduce((sum, { bytes }) => sum + bytes, 0)
  }

  start(): void {
    for (const burst of this.#devices) this.#loop(burst)
    this.#watch()
  }

  onDropped({ topicName, partitionIndex, startOffset, endOffset, isDelivered, reason }: DroppedRange): void {
    const isLocal = this.#isLocal(topicName)
    if (isDelivered && !isLocal) {
      // A power cut may have undone an earlier deletion (see check); since then the centre got them.
      const before = this.#reported.get(`${topicName}/${partitionIndex}`)
      for (let offset: number = startOffset; offset < endOffset; offset++) before?.delete(offset)
      return
    }
    if (reason === 'damage' || reason === 'hole') return
    this.#host.count(isLocal ? 'dropped-local' : 'dropped-counted')
    const key = `${topicName}/${partitionIndex}`
    const offsets = this.#reported.get(key) ?? new Set<number>()
    for (let offset: number = startOffset; offset < endOffset; offset++) offsets.add(offset)
    this.#reported.set(key, offsets)
  }

  /** At every start and at the end. `missing`: topic → acknowledged events that did not reach the centre, known at the end only. */
  async check(store: LogStore, core: Core, missing: ReadonlyMap<string, number> = new Map()): Promise<void> {
    for (const topic of store.topics.values()) this.#before.set(topic.name, this.#takenBesideExempt(topic))
    for (const [name] of this.#local) {
      const partitions = store.topics.get(name)?.partitions ?? []
      for (const partition of partitions) await this.#checkPartition(partition, core)
      const startOffsets = partitions.reduce((sum, { logStartOffset }) => sum + logStartOffset, 0)
      const counted = removedRecords(store, name)
      if (counted !== startOffsets) this.#host.violate(`${name}: ${startOffsets} events are gone, the durable count says ${counted}`)
    }
    for (const { name, partitions } of store.topics.values()) {
      if (partitions.some(hasEmptyInFront)) this.#host.violate(`${name}: an empty segment in front of others`)
      // A deletion that no commit could say may be undone by a power cut: what is there again is not gone.
      const isGone = (key: string, start: number): number => [...(this.#reported.get(key) ?? [])].filter((offset) => offset < start).length
      const reported = partitions.reduce((sum, p) => sum + isGone(`${name}/${p.partitionIndex}`, p.logStartOffset), 0)
      const counted = removedRecords(store, name)
      if (counted < reported) this.#host.violate(`${name}: ${reported} events were said to be dropped, the durable count says ${counted}`)
    }
    for (const [name, count] of missing) {
      const counted = removedRecords(store, name)
      if (counted < count) this.#host.violate(`${name}: ${count} events never arrived, the durable count says ${counted}`)
    }
  }

  async #checkPartition(partition: Partition, core: Core): Promise<void> {
    const key = `${partition.topicName}/${partition.partitionIndex}`
    const { start, end, records } = await readPartition(partition, core)
    if (start > 0 && partition.topicName === 'local.reject') this.#host.violate(`${key} keeps everything, and starts at ${start}`)
    const found = new Map(records.map((record) => [record.offset, record.value]))
    for (let offset = start; offset < end; offset++) {
      const value = found.get(offset)
      if (typeof value !== 'string') this.#host.violate(`${key}/${offset} is missing between ${start} and ${end}`)
      else if (!this.#sent.has(value)) this.#host.violate(`${key}/${offset} holds what nobody sent`)
    }
    for (const [offset, value] of this.#acked.get(key) ?? []) {
      if (offset >= end) this.#host.violate(`${key}/${offset} was acknowledged, the log ends at ${end}`)
      else if (offset >= start && found.get(offset) !== value) this.#host.violate(`${key}/${offset} is not what was acknowledged there`)
    }
  }

  // -- What is looked at all the time

  #watch(): void {
    this.#host.clock.after(LOOK_MS, () => {
      const store = this.#host.store()
      if (store) this.#look(store)
      if (!this.#host.isCalm()) this.#watch()
    })
  }

  #look(store: LogStore): void {
    for (const topic of store.topics.values()) {
      const { quotaBytes, whenFull } = topic.config
      if (quotaBytes === null) continue
      const isStrict = this.#isLocal(topic.name) && whenFull === 'reject'
      const bytesMax = quotaBytes + FRAMING_BYTES + (isStrict ? 0 : this.#commitBytesMax) + this.#exemptBytes(topic)
      const bytes = storedBytes(topic)
      if (bytes > bytesMax && this.#hasTaken(topic)) this.#host.violate(`${topic.name} holds ${bytes} bytes, its quota is ${quotaBytes}`)
    }
    const quota = this.#directoryQuota
    if (quota === null) return
    const { usedBytes, tailBytes } = store.metrics
    const exemptBytes = [...store.topics.values()].reduce((sum, topic) => sum + this.#exemptBytes(topic), 0) + this.#stateGrowth(store)
    if (
      usedBytes + tailBytes > quota + FRAMING_BYTES + this.#commitBytesMax + exemptBytes &&
      [...store.topics.values()].some((topic) => this.#hasTaken(topic))
    )
      this.#host.violate(`the directory holds ${usedBytes + tailBytes} bytes, its quota is ${quota}`)
  }

  /** What the state file takes more than it did in this life. */
  #stateGrowth(store: LogStore): number {
    let stateBytes = store.metrics.usedBytes - ((this.#directoryQuota ?? 0) - (this.directoryBytes ?? 0))
    for (const { partitions } of store.topics.values()) for (const { segmentBytes } of partitions) stateBytes -= segmentBytes
    const leastBytes = Math.min(stateBytes, this.#stateBytes.get(store) ?? stateBytes)
    this.#stateBytes.set(store, leastBytes)
    return stateBytes - leastBytes
  }

  #hasTaken(topic: Topic): boolean {
    return this.#takenBesideExempt(topic) !== this.#before.get(topic.name)
  }

  /**
   * What ends transactions is taken by a full topic too, also by one that came back from the journal larger than its quota. What is on its way is not taken yet; and
   * what a kill kept the answer of is the same number from the start of a life to its end.
   */
  #takenBesideExempt(topic: Topic): number {
    return takenRecords(topic) - (this.#exempt.get(topic.name) ?? []).filter(({ offset }) => offset !== null).length
  }

  #isLocal(topicName: string): boolean {
    return this.#local.some(([name]) => name === topicName)
  }

  // -- Devices of the topics that stay

  #loop(burst: readonly LocalDevice[]): void {
    const pauseMs = burst[0]?.pauseMs ?? 0
    this.#host.clock.after(pauseMs * (0.2 + this.#prng.fraction() * 1.6), () => {
      if (this.#host.isCalm()) return
      for (const device of burst) this.#send(device)
      this.#loop(burst)
    })
  }

  #send(device: LocalDevice): void {
    const store = this.#host.store()
    const partition = store?.topics.get(device.topicName)?.partitions[device.partitionIndex]
    if (!store || !partition || device.sentTo === store) return
    device.waiting ??= `${device.name}:${device.next++} ${'v'.repeat(this.#prng.below(device.valueBytesMax))}`
    const value = device.waiting
    device.sentTo = store
    this.#sent.add(value)
    store.append(
      partition,
      { timestampMs: this.#host.clock.wallMs(), key: null, value: new TextEncoder().encode(value), headers: [] },
      (error, offset) => {
        if (this.#host.store() !== store) return
        device.sentTo = null
        if (error) return this.#host.count(`local-refused:${error.code}`)
        device.waiting = null
        const key = `${device.topicName}/${device.partitionIndex}`
        const acked = this.#acked.get(key) ?? new Map<number, string>()
        acked.set(offset, value)
        this.#acked.set(key, acked)
      }
    )
  }
}

function hasEmptyInFront(partition: Partition): boolean {
  return partition instanceof PartitionLog && partition.segments.slice(0, -1).some((segment) => segment.sizeBytes === 0)
}

function takenRecords(topic: Topic): number {
  return topic.partitions.reduce((sum, { highWatermark }) => sum + highWatermark, 0)
}

function storedBytes(topic: Topic): number {
  return topic.partitions.reduce((sum, partition) => sum + partition.bytesFrom(partition.logStartOffset), 0)
}

/** What the store's books say of a topic: events that retention or a quota took and nobody had. */
function removedRecords(store: LogStore, topicName: string): number {
  let records = 0
  for (const removal of store.metrics.removals) {
    if (removal.topicName === topicName && removal.reason !== 'damage') records += removal.records
  }
  return records
}

// Gathers the status report of a running gateway. Reading it costs a walk over topics; nothing here is on the path of an event.

import type { KafkaListener } from '../adapters/kafka-server/listener.ts'
import type { MqttBroker } from '../adapters/mqtt/mqtt-broker.ts'
import type { Broker } from '../runtime/broker/broker.ts'
import type { Ingest } from '../runtime/broker/ingest.ts'
import type { RefusedTopics } from '../runtime/broker/refused-topics.ts'
import type { Removal, StoreMetrics } from '../runtime/log/contract.ts'
import type { LogStore } from '../runtime/log/log-store.ts'
import { missingEvents } from '../runtime/log/missing-ranges.ts'
import type { RecoveryReport } from '../runtime/log/recovery-report.ts'
import { isUp } from '../runtime/uplink/link-state.ts'
import type { UplinkStatus } from '../runtime/uplink/uplink.ts'
import type { Config } from './config/schema.ts'
import type { Edges } from './edges.ts'
import { RateMeter } from './rate.ts'
import type { KafkaStatus, StatusReport, TopicStatus, UplinkReport } from './status-report.ts'
import type { TopicsSetup } from './topics-setup.ts'
import { VERSION } from './version.ts'

const SAMPLE_MS = 1000

export interface StatusSources {
  readonly config: Config
  readonly store: LogStore
  readonly topicsSetup: TopicsSetup
  readonly edges: Edges
  readonly ingest: Ingest
  readonly mqtt: MqttBroker
  readonly kafka: KafkaListener | null
  readonly broker: Broker
  /** Of Kafka clients. */
  readonly refusedBatches: RefusedTopics
  readonly uplink: { status(): UplinkStatus } | null
}

export class StatusReporter {
  readonly #sources: StatusSources
  readonly #startedMs: number
  readonly #rate = new RateMeter()
  readonly #timer: NodeJS.Timeout

  constructor(sources: StatusSources) {
    this.#sources = sources
    this.#startedMs = sources.edges.clock.monotonicMs()
    const sample = (): void => this.#rate.sample(this.#nowMs(), sources.ingest.metrics.stored)
    sample()
    this.#timer = setInterval(sample, SAMPLE_MS)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #nowMs(): number {
    return this.#sources.edges.clock.monotonicMs()
  }

  async report(): Promise<StatusReport> {
    const { config, store, mqtt, ingest } = this.#sources
    const { metrics } = ingest
    const stored = store.metrics
    return {
      gateway: {
        id: config.gateway.id,
        version: VERSION,
        pid: process.pid,
        upMs: Math.round(this.#nowMs() - this.#startedMs),
        directory: config.gateway.data,
        residentBytes: process.memoryUsage.rss()
      },
      ingest: {
        listeners: mqtt.addresses.map(({ host, port }) => `${host}:${port}`),
        clients: mqtt.metrics.connections,
        storedEvents: metrics.stored,
        eventsPerSecond: this.#rate.perSecond(this.#nowMs(), metrics.stored),
        refusedEvents: sum(metrics.rejected) - (metrics.rejected.get('unmatched') ?? 0),
        unmatchedEvents: (metrics.rejected.get('unmatched') ?? 0) + metrics.dropped,
        unmatchedTopics: metrics.unrouted.list,
        refusedTopics: metrics.refused.list.map(({ topic, reason, count }) => ({ topic, reason, events: count })),
        deadLetters: sum(metrics.deadLettered),
        recordsPerSync: stored.commits > 0 ? stored.committedRecords / stored.commits : 0
      },
      kafka: this.#kafka(),
      storage: await this.#storage(stored),
      uplink: this.#uplink(),
      topics: this.#topics(stored)
    }
  }

  #kafka(): KafkaStatus | null {
    const { kafka, broker, refusedBatches } = this.#sources
    if (!kafka) return null
    const { connectionCount, requests, receivedBytes, sentBytes, closesByReason } = kafka.metrics
    return {
      listener: `${kafka.address.host}:${kafka.address.port}`,
      connections: connectionCount,
      requests,
      receivedBytes,
      sentBytes,
      ...broker.appends.counters,
      refusedTopics: refusedBatches.list.map(({ topic, reason, count }) => ({ topic, reason, batches: count })),
      refusedConnections: closesByReason.full ?? 0
    }
  }

  async #storage(metrics: StoreMetrics): Promise<StatusReport['storage']> {
    const { config, store, topicsSetup, edges } = this.#sources
    const { report } = store
    const writtenBytes = Object.values(metrics.writtenBytes).reduce((total, bytes) => total + bytes, 0)
    return {
      usedBytes: metrics.usedBytes,
      preallocatedBytes: config.storage.journal.files * config.storage.journal.file_size,
      quotaBytes: config.storage.quota,
      freeBytes: await edges.disk.freeBytes(config.gateway.data).catch(() => null),
      writtenBytes,
      amplification: metrics.committedPayloadBytes > 0 ? writtenBytes / metrics.committedPayloadBytes : null,
      failure: store.failure ? store.failure.story.happened : null,
      droppedEvents: metrics.droppedRecords,
      lostEvents: metrics.lostRecords,
      damagedRanges: metrics.damagedRanges,
      deletedTopics: lossesOf(metrics.removals.filter(({ topicName }) => !store.topics.has(topicName))),
      waitingTopics: topicsSetup.waiting,
      recovery: {
        durationMs: report.durationMs,
        findings: recoveryFindings(report),
        replayedEvents: report.replayedRecords,
        wasCleanStop: !report.wasUnclean
      }
    }
  }

  #uplink(): UplinkReport | null {
    const { uplink, edges } = this.#sources
    if (!uplink) return null
    const status = uplink.status()
    const nowMs = edges.clock.wallMs()
    return {
      description: status.description,
      link: isUp(status.state) ? 'up' : status.state === 'waiting' || status.state === 'connecting' ? 'down' : status.state,
      sinceMs: Math.max(0, nowMs - status.sinceMs),
      lastError: status.lastError,
      retryInMs: status.retryAtMs === null ? null : Math.max(0, status.retryAtMs - nowMs),
      attempts: status.counters.failures,
      deliveredEvents: status.counters.deliveredEvents,
      eventsPerSecond: status.eventsPerSecond,
      wireBytes: status.wireBytes.sent + status.wireBytes.received,
      etaMs: status.etaMs
    }
  }

  #topics({ removals }: StoreMetrics): TopicStatus[] {
    const { store, uplink } = this.#sources
    const lags = new Map(uplink?.status().topics.map((lag) => [lag.edgeTopic, lag]))
    return [...store.topics.values()]
      .filter(({ name }) => !name.startsWith('__'))
      .map((topic) => {
        const { name, partitions } = topic
        const lag = lags.get(name)
        const offsets = partitions.reduce((total, { highWatermark, logStartOffset }) => total + highWatermark - logStartOffset, 0)
        return {
          name,
          partitionCount: partitions.length,
          events: offsets - missingEvents(store, topic),
          lost: {
            quota: removedRecords(removals, { topicName: name, reason: 'quota', isLoss: true }),
            retention: removedRecords(removals, { topicName: name, reason: 'retention', isLoss: true }),
            damage: removedRecords(removals, { topicName: name, reason: 'damage', isLoss: true }),
            deletion: removedRecords(removals, { topicName: name, reason: 'deletion', isLoss: true })
          },
          droppedEvents: removedRecords(removals, { topicName: name, reason: 'quota', isLoss: false }),
          lagEvents: lag?.lagEvents ?? null,
          lagBytes: lag?.lagBytes ?? null,
          lagMs: lag ? (lag.lagMs ?? 0) : null,
          isLagAtLeast: lag?.isLagAtLeast ?? false,
          stoppedBecause: lag?.stoppedBecause ?? null
        }
      })
      .sort((left, right) => (left.name < right.name ? -1 : 1))
  }
}

function removedRecords(removals: readonly Removal[], of: Omit<Removal, 'records'>): number {
  return removals.reduce(
    (sum, { topicName, reason, isLoss, records }) =>
      sum + (topicName === of.topicName && reason === of.reason && isLoss === of.isLoss ? records : 0),
    0
  )
}

function lossesOf(removals: readonly Removal[]): { name: string; lostEvents: number }[] {
  const sums = new Map<string, number>()
  for (const { topicName, records, isLoss } of removals) if (isLoss) sums.set(topicName, (sums.get(topicName) ?? 0) + records)
  return [...sums].map(([name, lostEvents]) => ({ name, lostEvents })).sort((left, right) => (left.name < right.name ? -1 : 1))
}

/** What a start found that is worth a line; empty after a clean stop, and after a power cut that took nothing. */
export function recoveryFindings(report: RecoveryReport): string[] {
  const findings = [...report.notes]
  for (const { topicName, partitionIndex, startOffset, endOffset } of report.holes) {
    findings.push(`${topicName}-${partitionIndex}: offsets ${startOffset} to ${endOffset - 1} are gone: damage of the storage device`)
  }
  for (const file of report.damagedFiles) findings.push(`${file} is damaged or missing: only what verifies in it is used`)
  return findings
}

function sum(counters: ReadonlyMap<string, number>): number {
  let total = 0
  for (const count of counters.values()) total += count
  return total
}

// Gathers the status report of a running gateway: numbers from the registry, words from those who know them. Reading it costs a walk over topics;
// nothing here is on the path of an event.

import type { KafkaListener } from '../adapters/kafka-server/listener.ts'
import type { MqttBroker } from '../adapters/mqtt/mqtt-broker.ts'
import type { Metrics } from '../runtime/base/metrics.ts'
import type { Ingest } from '../runtime/broker/ingest.ts'
import type { RefusedTopics } from '../runtime/broker/refused-topics.ts'
import type { Removal } from '../runtime/log/contract.ts'
import type { LogStore } from '../runtime/log/log-store.ts'
import { missingEvents } from '../runtime/log/missing-ranges.ts'
import type { RecoveryReport } from '../runtime/log/recovery-report.ts'
import { isUp } from '../runtime/uplink/link-state.ts'
import type { UplinkStatus } from '../runtime/uplink/uplink.ts'
import { formatAddress } from './config/address.ts'
import type { Config } from './config/schema.ts'
import type { Edges } from './edges.ts'
import { RateMeter } from './rate.ts'
import type { CertificateStatus, KafkaStatus, MqttStatus, StatusReport, TopicStatus, UnusedFile, UplinkReport } from './status-report.ts'
import type { TlsDoors } from './tls-doors.ts'
import type { TopicsSetup } from './topics-setup.ts'
import { VERSION } from './version.ts'

const SAMPLE_MS = 1000

export interface StatusSources {
  readonly config: Config
  /** Where every number below is read that somebody counts. */
  readonly metrics: Metrics
  readonly store: LogStore
  readonly topicsSetup: TopicsSetup
  readonly edges: Edges
  readonly tls: Pick<TlsDoors, 'counts'>
  readonly ingest: Ingest
  readonly mqtt: MqttBroker
  readonly kafka: KafkaListener | null
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
    const sample = (): void => this.#rate.sample(this.#nowMs(), this.#value('wadi_ingest_stored_events_total'))
    sample()
    this.#timer = setInterval(sample, SAMPLE_MS)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #value(name: string): number {
    return this.#sources.metrics.value(name) ?? 0
  }

  #sum(name: string): number {
    return this.#sources.metrics.sum(name)
  }

  #nowMs(): number {
    return this.#sources.edges.clock.monotonicMs()
  }

  async report(): Promise<StatusReport> {
    const { config, mqtt, ingest } = this.#sources
    const storedEvents = this.#value('wadi_ingest_stored_events_total')
    const refused = new Map(
      this.#sources.metrics.samples('wadi_ingest_refused_events_total').map(({ labels, value }) => [labels[0], value])
    )
    const unmatchedEvents = refused.get('unmatched') ?? 0
    const commits = this.#value('wadi_storage_commits_total')
    return {
      gateway: {
        id: config.gateway.id,
        version: VERSION,
        pid: process.pid,
        upMs: Math.round(this.#nowMs() - this.#startedMs),
        directory: config.gateway.data,
        residentBytes: this.#value('wadi_process_resident_memory_bytes')
      },
      ingest: {
        listeners: mqtt.addresses.map(formatAddress),
        clients: this.#value('wadi_mqtt_connections'),
        storedEvents,
        eventsPerSecond: this.#rate.perSecond(this.#nowMs(), storedEvents),
        refusedEvents: this.#sum('wadi_ingest_refused_events_total') - unmatchedEvents,
        unmatchedEvents: unmatchedEvents + this.#value('wadi_ingest_dropped_events_total'),
        unmatchedTopics: ingest.metrics.unrouted.list,
        refusedTopics: ingest.metrics.refused.list.map(({ topic, reason, count }) => ({ topic, reason, events: count })),
        deadLetters: this.#sum('wadi_ingest_dead_letters_total'),
        recordsPerSync: commits > 0 ? this.#value('wadi_storage_committed_events_total') / commits : 0
      },
      mqtt: this.#mqtt(),
      kafka: this.#kafka(),
      certificates: this.#certificates(),
      unusedFiles: this.#unusedFiles(),
      storage: await this.#storage(),
      uplink: this.#uplink(),
      topics: this.#topics()
    }
  }

  #mqtt(): MqttStatus | null {
    if (this.#sources.config.mqtt.length === 0) return null
    return {
      clients: this.#value('wadi_mqtt_clients'),
      sessions: this.#value('wadi_mqtt_sessions'),
      retained: this.#value('wadi_mqtt_retained_messages'),
      retainedBytes: this.#value('wadi_mqtt_retained_bytes'),
      refusedRetained: this.#value('wadi_mqtt_refused_retained_messages_total'),
      waiting: this.#value('wadi_mqtt_queued_messages'),
      queuedBytes: this.#value('wadi_mqtt_queued_bytes'),
      dropped: this.#value('wadi_mqtt_dropped_deliveries_total') + this.#value('wadi_mqtt_dropped_offline_messages_total')
    }
  }

  #kafka(): KafkaStatus | null {
    const { kafka, metrics, refusedBatches } = this.#sources
    if (!kafka) return null
    const closed = metrics.samples('wadi_kafka_closed_connections_total')
    return {
      listener: `${kafka.address.host}:${kafka.address.port}`,
      isTls: this.#sources.config.kafka?.tls !== null,
      connections: this.#value('wadi_kafka_connections'),
      requests: this.#sum('wadi_kafka_requests_total'),
      receivedBytes: this.#value('wadi_kafka_received_bytes_total'),
      sentBytes: this.#value('wadi_kafka_sent_bytes_total'),
      storedEvents: this.#value('wadi_kafka_stored_events_total'),
      refusedBatches: this.#value('wadi_kafka_refused_batches_total'),
      refusedTopics: refusedBatches.list.map(({ topic, reason, count }) => ({ topic, reason, batches: count })),
      refusedConnections: closed.find(({ labels }) => labels[0] === 'full')?.value ?? 0
    }
  }

  #certificates(): CertificateStatus[] {
    return this.#sources.tls.counts.flatMap(({ listener, certificates }) =>
      certificates.map(({ setting, subject, remainingMs }) => ({ key: `${listener}.${setting}`, subject, remainingMs }))
    )
  }

  #unusedFiles(): UnusedFile[] {
    return this.#sources.tls.counts.flatMap(({ listener, notUsed }) =>
      notUsed.map(({ setting, severity, message }) => ({
        key: `${listener}.${setting}`,
        message,
        isFitToStart: severity !== 'unusable'
      }))
    )
  }

  async #storage(): Promise<StatusReport['storage']> {
    const { config, store, topicsSetup, edges } = this.#sources
    const { report } = store
    const writtenBytes = this.#sum('wadi_storage_written_bytes_total')
    const payloadBytes = this.#value('wadi_storage_committed_payload_bytes_total')
    return {
      usedBytes: this.#value('wadi_storage_used_bytes'),
      preallocatedBytes: config.storage.journal.files * config.storage.journal.file_size,
      quotaBytes: config.storage.quota,
      freeBytes: await edges.disk.freeBytes(config.gateway.data).catch(() => null),
      writtenBytes,
      amplification: payloadBytes > 0 ? writtenBytes / payloadBytes : null,
      failure: store.failure ? store.failure.story.happened : null,
      droppedEvents: this.#value('wadi_storage_dropped_events_total'),
      lostEvents: this.#value('wadi_storage_lost_events_total'),
      damagedRanges: this.#value('wadi_storage_damaged_ranges'),
      deletedTopics: lossesOf(store.metrics.removals.filter(({ topicName }) => !store.topics.has(topicName))),
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
      attempts: this.#value('wadi_uplink_failures_total'),
      deliveredEvents: this.#value('wadi_uplink_delivered_events_total'),
      eventsPerSecond: this.#value('wadi_uplink_delivered_events_per_second'),
      wireBytes: this.#sum('wadi_uplink_wire_bytes_total'),
      etaMs: status.etaMs
    }
  }

  #topics(): TopicStatus[] {
    const { store, uplink, metrics } = this.#sources
    const lags = new Map(uplink?.status().topics.map((lag) => [lag.edgeTopic, lag]))
    const removed = new Map(metrics.samples('wadi_storage_removed_events').map(({ labels, value }) => [labels.join(' '), value]))
    const lost = (name: string, reason: Removal['reason']): number => removed.get(`${name} ${reason} true`) ?? 0
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
            quota: lost(name, 'quota'),
            retention: lost(name, 'retention'),
            damage: lost(name, 'damage'),
            deletion: lost(name, 'deletion')
          },
          droppedEvents: removed.get(`${name} quota false`) ?? 0,
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

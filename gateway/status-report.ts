// What `wadi status` knows: one plain object, made by the gateway and printed here or anywhere.
// Numbers carry their unit in their name; null = does not apply.

import type { WaitingTopic } from './topics-setup.ts'

export interface TopicStatus {
  readonly name: string
  readonly partitionCount: number
  /** Events stored now. */
  readonly events: number
  /** Events that were gone before anybody had them, since the directory was made. */
  readonly lost: { readonly quota: number; readonly retention: number; readonly damage: number; readonly deletion: number }
  /** Events that a quota took although nobody forwards this topic. */
  readonly droppedEvents: number
  /** Events not yet delivered; null when nobody delivers this topic. */
  readonly lagEvents: number | null
  readonly lagBytes: number | null
  /** Since the oldest event that is not delivered arrived; 0 when nothing waits, null when nobody delivers this topic. */
  readonly lagMs: number | null
  /** Why nothing of this topic is sent to the centre; null when it is, or nobody delivers it. */
  readonly stoppedBecause: string | null
  /** It was here before this start: it is older than lagMs. */
  readonly isLagAtLeast: boolean
}

export interface UnmatchedTopic {
  readonly mqttTopic: string
  /** The last client that published to it; '' when it has no id. */
  readonly clientId: string
  readonly events: number
}

export interface UplinkReport {
  readonly description: string
  /** One word: up, down, paused … */
  readonly link: string
  readonly sinceMs: number
  readonly lastError: string | null
  readonly retryInMs: number | null
  readonly attempts: number
  readonly deliveredEvents: number
  readonly eventsPerSecond: number
  readonly wireBytes: number
  readonly etaMs: number | null
}

export interface MqttStatus {
  /** Connected now. */
  readonly clients: number
  /** Those of absent clients included. */
  readonly sessions: number
  readonly retained: number
  readonly retainedBytes: number
  /** Since start: had no room and are not retained. */
  readonly refusedRetained: number
  /** Messages that wait in the log for sessions that outlive their connections. */
  readonly waiting: number
  /** Memory of what waits otherwise. */
  readonly queuedBytes: number
  /** Messages that subscribers did not get, since start. */
  readonly dropped: number
}

export interface CertificateStatus {
  /** Of the configuration: mqtt[0].tls.cert, kafka.tls.ca … */
  readonly key: string
  readonly subject: string
  /** Until it expires; negative = since it has. */
  readonly remainingMs: number
}

/** Of a TLS listener: on disk, changed, and not used. What was in use before still is, until a restart. */
export interface UnusedFile {
  /** Of the configuration: mqtt[0].tls.cert … */
  readonly key: string
  /** Why, behind its key. */
  readonly message: string
  /** Whether the gateway starts with it all the same (it has expired). */
  readonly isFitToStart: boolean
}

export interface KafkaStatus {
  readonly listener: string
  readonly isTls: boolean
  /** Open now. */
  readonly connections: number
  /** Since start. */
  readonly requests: number
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Of clients, since start; a transaction's count when they are written. */
  readonly storedEvents: number
  /** Of Produce requests: their clients heard why. */
  readonly refusedBatches: number
  /** Of them, by topic and Kafka's word for the reason, most first: of a bounded number. */
  readonly refusedTopics: readonly { readonly topic: string; readonly reason: string; readonly batches: number }[]
  /** Connections that were refused because the most were open. */
  readonly refusedConnections: number
}

export interface RecoveryStatus {
  readonly durationMs: number
  /** In words, one line each; empty = nothing out of the ordinary. */
  readonly findings: readonly string[]
  readonly replayedEvents: number
  readonly wasCleanStop: boolean
}

export interface StatusReport {
  readonly gateway: {
    readonly id: string
    readonly version: string
    readonly pid: number
    readonly upMs: number
    readonly directory: string
    readonly residentBytes: number
  }
  readonly ingest: {
    readonly listeners: readonly string[]
    readonly clients: number
    readonly storedEvents: number
    readonly eventsPerSecond: number
    readonly refusedEvents: number
    /** No route took them: refused or dropped, as `unmatched` says. */
    readonly unmatchedEvents: number
    /** Of them, by MQTT topic, most first: of a bounded number of topics. */
    readonly unmatchedTopics: readonly UnmatchedTopic[]
    readonly deadLetters: number
    /** Of the refused, by topic and code (docs/errors.md), most first: of a bounded number. */
    readonly refusedTopics: readonly { readonly topic: string; readonly reason: string; readonly events: number }[]
    readonly recordsPerSync: number
  }
  /** null without a listener for MQTT clients. */
  readonly mqtt: MqttStatus | null
  /** null without a listener for Kafka clients. */
  readonly kafka: KafkaStatus | null
  /** Those that TLS listeners use; empty without one. */
  readonly certificates: readonly CertificateStatus[]
  readonly unusedFiles: readonly UnusedFile[]
  readonly storage: {
    readonly usedBytes: number
    /** Of them, of the journal: taken at the first start, however few events there are. */
    readonly preallocatedBytes: number
    readonly quotaBytes: number | null
    readonly freeBytes: number | null
    readonly writtenBytes: number
    /** Bytes handed to the device per payload byte; null before the first event. */
    readonly amplification: number | null
    readonly failure: string | null
    /** Sums of the topics; see docs/retention.md. lostEvents also has what versions before counted for all topics together. */
    readonly droppedEvents: number
    readonly lostEvents: number
    readonly damagedRanges: number
    /** That are not there any more, and were deleted or lost events before the centre had them. */
    readonly deletedTopics: readonly { readonly name: string; readonly lostEvents: number }[]
    /** Not as the configuration says, for want of room: made or altered by itself when there is some. */
    readonly waitingTopics: readonly WaitingTopic[]
    readonly recovery: RecoveryStatus
  }
  readonly uplink: UplinkReport | null
  readonly topics: readonly TopicStatus[]
}

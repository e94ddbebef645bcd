// What a program that embeds the gateway can ask of it: the words of `openGateway`, without how it works (gateway.ts).

import type { SessionDetail, SessionFacts, SessionQuery } from '../adapters/mqtt/session-facts.ts'
import type { WadiError } from '../runtime/base/errors.ts'
import type { MetricFamily } from '../runtime/base/metrics.ts'
import type { DeleteOptions } from '../runtime/log/contract.ts'
import type { StatusReport } from './status-report.ts'
import type { MissingRange, PlacedRecord } from './tail-cursor.ts'

export interface RecordsOptions {
  /** Default: end, what comes from now on. */
  readonly from?: 'start' | 'end'
  readonly follow?: boolean
  readonly signal?: AbortSignal
  /** Told, in its place in the order, of what cannot be read any more: damage, or retention that was faster than the reader. */
  readonly onMissing?: (range: MissingRange) => void
}

export interface Gateway {
  /** kafka: null when there is no listener for Kafka clients. */
  readonly addresses: { readonly mqtt: readonly string[]; readonly kafka: string | null }
  /** Set when storage failed for good: it only reads until a restart. */
  readonly failure: WadiError | null
  /** Since it was opened. */
  readonly storedEvents: number
  status(): Promise<StatusReport>
  /** Everything that is counted, by name (docs/metrics.md). */
  metrics(): readonly MetricFamily[]
  /**
   * What is durable and committed, each partition in its order. `topicNames` may hold MQTT filters; empty = everything.
   * Ends with `signal`, with `break`, or with what is stored now when `follow` is false.
   * @throws WadiError WADI_TOPIC_UNKNOWN at the first step when there is no such topic
   */
  records(topicNames: readonly string[], options?: RecordsOptions): AsyncGenerator<PlacedRecord, void, void>
  /**
   * Takes a topic away, with all its events: one that a template, a Kafka client or an older configuration made. Durable when it resolves.
   * @throws WadiError WADI_TOPIC_UNKNOWN; WADI_TOPIC_IN_USE when the configuration names it; WADI_TOPIC_UNDELIVERED when the centre does not have
   * all of it, unless `undelivered` is 'lose': then what is missing there is counted as lost
   */
  deleteTopic(name: string, options?: Partial<DeleteOptions>): Promise<void>
  /**
   * MQTT sessions, those of absent clients included, in the order of their client ids. Others have their turns while it goes on: what comes or ends
   * meanwhile may be among them or not. @throws WadiError WADI_USAGE at the first step when `topic` is a filter
   */
  sessions(query?: SessionQuery): AsyncGenerator<SessionFacts, void, void>
  /** One of them, with its subscriptions. @throws WadiError WADI_SESSION_UNKNOWN */
  session(clientId: string): Promise<SessionDetail>
  /**
   * Ends the session of an MQTT client: its connection, its subscriptions, and what waits for it. Its will is sent, as the standard wants it when a session ends.
   * Durable when it resolves, with what there was. @throws WadiError WADI_SESSION_UNKNOWN; what storage says: then it has ended, and a kill brings
   * it back until that could be written
   */
  endSession(clientId: string): Promise<SessionDetail>
  /**
   * Looks at the files of all `tls` sections now and not only at the next minute. What is new is used for connections from now on, those that stand are left
   * alone; files that cannot be used change nothing, and the log says why. Resolves with false when no listener has TLS.
   */
  reloadCertificates(): Promise<boolean>
  /** Refuses new events, finishes what was begun, seals, unlocks. */
  close(): Promise<void>
}

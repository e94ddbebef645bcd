// What TLS listeners count, for the registry. Not for: counting (handshakes.ts), connections (each listener's own metrics).

import { type Metrics, oncePerTurn } from '../../runtime/base/metrics.ts'
import type { TlsFinding } from './finding.ts'
import type { HandshakeMetrics } from './handshakes.ts'

export interface TlsCounts {
  /** Its section of the configuration: mqtt[0].tls. */
  readonly listener: string
  readonly handshakes: HandshakeMetrics
  /** Of the files on disk, which are not those in use: what keeps them from it. */
  readonly notUsed: readonly TlsFinding[]
  readonly certificates: readonly {
    readonly setting: string
    readonly subject: string
    readonly serial: string
    readonly remainingMs: number
  }[]
}

type Series = readonly (readonly [labels: readonly string[], value: number])[]

export function registerTls(metrics: Metrics, counts: () => readonly TlsCounts[]): void {
  const now = oncePerTurn(counts)
  const each = (value: (handshakes: HandshakeMetrics) => number): Series =>
    now().map(({ listener, handshakes }) => [[listener], value(handshakes)])
  metrics.gauges(
    { name: 'wadi_tls_pending_handshakes', help: 'TLS handshakes under way, or waiting for a place', labels: ['listener'] },
    () => each(({ pending }) => pending)
  )
  metrics.counters({ name: 'wadi_tls_handshakes_total', help: 'TLS handshakes that were completed', labels: ['listener'] }, () =>
    each(({ done }) => done)
  )
  metrics.counters({ name: 'wadi_tls_resumed_handshakes_total', help: 'Of them, those that resumed a session', labels: ['listener'] }, () =>
    each(({ resumed }) => resumed)
  )
  metrics.counters({ name: 'wadi_tls_failed_handshakes_total', help: 'TLS handshakes that failed', labels: ['listener', 'reason'] }, () =>
    now().flatMap(({ listener, handshakes }) => [...handshakes.failed].map(([reason, count]) => [[listener, reason], count] as const))
  )
  metrics.gauges(
    {
      name: 'wadi_tls_files_unusable',
      help: '1 = the files of a TLS listener have changed and are not used: those of before are, until a restart',
      labels: ['listener']
    },
    () => now().map(({ listener, notUsed }) => [[listener], notUsed.length > 0 ? 1 : 0] as const)
  )
  metrics.gauges(
    {
      name: 'wadi_tls_certificate_remaining_seconds',
      unit: 'seconds',
      help: 'Until a certificate of a TLS listener expires; negative = since it has expired',
      labels: ['listener', 'setting', 'subject', 'serial']
    },
    () =>
      now().flatMap(({ listener, certificates }) =>
        certificates.map(({ setting, subject, serial, remainingMs }) => [[listener, setting, subject, serial], remainingMs / 1000] as const)
      )
  )
}

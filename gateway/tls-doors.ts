// The TLS of a gateway's listeners: opened from their files, looked at again once a minute and when somebody asks, and what is to be said of them.
//
// Invariants: no connection ends because a file changes; a bad new file is told and changes nothing; a certificate that expires within 30 days is told once a day.
// Not for: reading and judging files (adapters/tls), accepting connections (the listeners).

import { dateText } from '../adapters/tls/certificate-facts.ts'
import { judgeFiles, type KnownCertificate } from '../adapters/tls/certificate-files.ts'
import type { TlsFinding } from '../adapters/tls/finding.ts'
import type { HandshakeFault } from '../adapters/tls/handshake-fault.ts'
import { Handshakes } from '../adapters/tls/handshakes.ts'
import { LiveCertificates } from '../adapters/tls/live-certificates.ts'
import type { TlsCounts } from '../adapters/tls/tls-metrics.ts'
import { clientNetworkOf } from '../runtime/base/client-network.ts'
import { WadiError } from '../runtime/base/errors.ts'
import type { Clock } from '../runtime/io/clock.ts'
import type { Config } from './config/schema.ts'
import { type TlsListener, tlsListenersOf } from './config/tls-config.ts'
import type { Log } from './log.ts'
import { oncePerMinute } from './once-per-minute.ts'

const LOOK_MS = 60_000
const DAY_MS = 86_400_000
export const EXPIRY_WARNING_MS = 30 * DAY_MS
/** As MQTT names itself to those who share a port between protocols. Kafka has no name. */
const PROTOCOLS = { mqtt: ['mqtt'], kafka: [] } as const

interface Door extends TlsListener {
  readonly handshakes: Handshakes
  readonly live: LiveCertificates
}

export interface TlsDoorsOptions {
  readonly log: Log
  readonly clock: Pick<Clock, 'wallMs'>
}

export class TlsDoors {
  readonly #doors: readonly Door[]
  readonly #log: Log
  readonly #clock: TlsDoorsOptions['clock']
  readonly #timer: NodeJS.Timeout | null
  /** When its end was told last, by listener and serial. */
  readonly #toldMs = new Map<string, number>()
  #looking: Promise<unknown> = Promise.resolve()

  /** @throws WadiError WADI_CERTIFICATE_UNUSABLE that names every file that cannot be used */
  static async open(config: Config, options: TlsDoorsOptions): Promise<TlsDoors> {
    const listeners = tlsListenersOf(config)
    const judged = await Promise.all(listeners.map(({ settings }) => judgeFiles(settings, options.clock.wallMs())))
    const unusable: string[] = []
    const onFailure = handshakeLog(options.log)
    const doors = listeners.flatMap((listener, index): Door[] => {
      const files = judged[index]
      for (const line of linesOf(listener, files?.findings ?? [], 'unusable')) unusable.push(line)
      if (!files?.material) return []
      const handshakes = new Handshakes({
        material: files.material,
        clientCertificates: listener.settings.clientCertificates,
        protocols: PROTOCOLS[listener.protocol],
        onFailure: (fault) => onFailure(listener.key, fault)
      })
      return [{ ...listener, handshakes, live: new LiveCertificates(listener.settings, files, (material) => handshakes.use(material)) }]
    })
    if (unusable.length > 0) throw unusableError(unusable)
    return new TlsDoors(doors, options)
  }

  private constructor(doors: readonly Door[], { log, clock }: TlsDoorsOptions) {
    this.#doors = doors
    this.#log = log
    this.#clock = clock
    for (const { key, live } of doors) this.#tellWarnings(key, live.inUse.findings)
    this.#tellExpiry()
    this.#timer = doors.length === 0 ? null : setInterval(() => void this.look({ isAsked: false }), LOOK_MS)
    this.#timer?.unref()
  }

  /** @param key of the section: mqtt[0].tls; undefined = that listener has no TLS */
  handshakesOf(key: string): Handshakes | undefined {
    return this.#doors.find((door) => door.key === key)?.handshakes
  }

  get counts(): TlsCounts[] {
    const nowMs = this.#clock.wallMs()
    return this.#doors.map(({ key, handshakes, live }) => ({
      listener: key,
      handshakes: handshakes.metrics,
      notUsed: live.notUsed,
      certificates: distinct(live.inUse.certificates).map(({ setting, subject, serial, untilMs }) => ({
        setting,
        subject,
        serial,
        remainingMs: untilMs - nowMs
      }))
    }))
  }

  /**
   * Reads the files of all listeners again and takes what is new. Says what it found; what is as it was only when `isAsked`.
   * @returns false when no listener has TLS
   */
  async look({ isAsked }: { isAsked: boolean }): Promise<boolean> {
    const before = this.#looking
    const looking = before.then(async () => {
      for (const door of this.#doors) await this.#lookAt(door, isAsked)
      this.#tellExpiry()
    })
    this.#looking = looking
    await looking
    return this.#doors.length > 0
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer)
  }

  async #lookAt({ key, live }: Door, isAsked: boolean): Promise<void> {
    const found = await live.look(this.#clock.wallMs(), isAsked)
    if (found.kind === 'same') {
      if (isAsked) this.#log('info', `${key}: the files are as they were`)
      return
    }
    if (found.kind === 'kept') {
      for (const { setting, message } of found.findings)
        this.#log('warn', `${key}: the files have changed and are not used, those of before stay in use: ${setting} ${message}`, { key })
      return
    }
    const [own] = live.inUse.certificates
    this.#log(
      'info',
      `${key}: the files have changed and are used from now on${own ? `: ${own.subject}, until ${dateText(own.untilMs)}` : ''}`,
      {
        key
      }
    )
    this.#tellWarnings(key, found.findings)
  }

  /** Of dates: see #tellExpiry. */
  #tellWarnings(key: string, findings: readonly TlsFinding[]): void {
    for (const { severity, setting, message } of findings) if (severity === 'warning') this.#log('warn', `${key}.${setting} ${message}`)
  }

  #tellExpiry(): void {
    const nowMs = this.#clock.wallMs()
    for (const { key, live } of this.#doors) {
      for (const certificate of distinct(live.inUse.certificates)) {
        if (certificate.untilMs - nowMs > EXPIRY_WARNING_MS) continue
        const name = `${key} ${certificate.setting} ${certificate.serial}`
        // Also when the clock was ahead then, and is right now.
        if (Math.abs(nowMs - (this.#toldMs.get(name) ?? Number.NEGATIVE_INFINITY)) < DAY_MS) continue
        this.#toldMs.set(name, nowMs)
        const isExpired = certificate.untilMs < nowMs
        this.#log(isExpired ? 'error' : 'warn', `${key}.${certificate.setting}: ${expiryWords(certificate, nowMs)}`, { key })
      }
    }
  }
}

/** What `wadi status` and the log say of a certificate near its end. */
export function expiryWords(
  { setting, subject, untilMs }: Pick<KnownCertificate, 'setting' | 'subject' | 'untilMs'>,
  nowMs: number
): string {
  const who = setting === 'ca' ? 'clients with a certificate of it are' : 'the gateway is'
  const whose = setting === 'ca' ? `let in no more` : `trusted no more by clients that look at the date`
  if (untilMs < nowMs) return `${subject} expired on ${dateText(untilMs)}: ${who} ${whose}`
  const days = Math.floor((untilMs - nowMs) / DAY_MS)
  const left = days === 0 ? 'today' : days === 1 ? 'in 1 day' : `in ${days} days`
  return `${subject} expires ${left} (${dateText(untilMs)}): then ${who} ${whose}; a new file is taken without a restart`
}

/** Failed handshakes come in floods: one line a minute for each listener, cause and network (an IPv4 address, a /64 of IPv6). */
export function handshakeLog(log: Log, nowMs?: () => number): (key: string, fault: HandshakeFault) => void {
  const isDue = oncePerMinute(nowMs)
  return (key, { reason, detail, remoteAddress }) => {
    const untold = isDue(`${key} ${reason} ${detail} ${clientNetworkOf(remoteAddress)}`)
    if (untold === null) return
    const more = untold > 0 ? `, and ${untold} more before` : ''
    log('warn', `no TLS with ${remoteAddress || 'a client'} on ${key}: ${reason}, ${detail}${more}`, { key, reason, remoteAddress })
  }
}

/** One file may name a certificate twice; a series of a metric exists once. */
function distinct(certificates: readonly KnownCertificate[]): KnownCertificate[] {
  return [...new Map(certificates.map((one) => [`${one.setting} ${one.subject} ${one.serial}`, one])).values()]
}

function linesOf({ key }: TlsListener, findings: readonly TlsFinding[], severity: TlsFinding['severity']): string[] {
  return findings.filter((finding) => finding.severity === severity).map(({ setting, message }) => `${key}.${setting} ${message}`)
}

function unusableError(lines: readonly string[]): WadiError {
  return new WadiError('WADI_CERTIFICATE_UNUSABLE', {
    happened: `The files of TLS cannot be used:\n${lines.map((line) => `  ${line}`).join('\n')}\n`,
    kept: 'Nothing was started and nothing was changed.',
    next: 'Correct the files above; "wadi config check" looks at them, "wadi tls show FILE" tells what is in one.',
    facts: { problems: lines.length }
  })
}

// A certificate as people and counters want to know it. Not for: whether it is good for anything (certificate-files.ts).

import type { X509Certificate } from 'node:crypto'

export interface CertificateFacts {
  /** RFC 2253, as Kafka names principals: CN=gateway,O=Plant. */
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  readonly fromMs: number
  readonly untilMs: number
}

export function factsOf({ subject, issuer, serialNumber, validFrom, validTo }: X509Certificate): CertificateFacts {
  return {
    subject: nameText(subject),
    issuer: nameText(issuer),
    serial: serialNumber,
    fromMs: Date.parse(validFrom),
    untilMs: Date.parse(validTo)
  }
}

/** @param lines as node:crypto gives a name: one attribute in each line, escaped as RFC 2253 says, the most general first; undefined = an empty name */
export function nameText(lines: string | undefined): string {
  return (lines ?? '').split('\n').reverse().join(',')
}

/** In words for a log: 2026-11-27. */
export function dateText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

// wadi tls show: what is in a file of certificates or keys, in words. Prints nothing of a private key but its kind.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { visibleLine } from '../../runtime/base/visible-line.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { columns, print } from '../terminal.ts'
import { certificateError } from '../tls-directory.ts'
import { jsonLine } from '../visible-text.ts'

const DAY_MS = 86_400_000

export const tlsShow: Command = {
  name: 'tls show',
  operands: 'FILE',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'Show what is in a file of certificates or keys',
  details: `Exits with 1 when a certificate in it has expired or is not valid yet. Of a private key it tells the kind and nothing else.`,
  options: [{ name: 'json', doc: 'JSON lines, one for each certificate or key' }],
  examples: ['wadi tls show /etc/wadi/tls/server.pem'],

  async run(input) {
    const [path = ''] = input.operands
    const { readTextFile } = await import('../../adapters/tls/text-file.ts')
    const file = await readTextFile(path)
    if ('why' in file) throw certificateError(`The file is ${path}, ${file.why}.`, 'Name a file of certificates or keys (PEM).')
    const blocks = file.text.match(/-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g) ?? []
    if (blocks.length === 0)
      throw certificateError(`${path} has no certificate and no key in PEM.`, 'A file of DER: openssl x509 -inform der -in FILE.')
    const nowMs = Date.now()
    const shown = await Promise.all(blocks.map((block) => describe(block, nowMs)))
    for (const one of shown) {
      const rows = Object.entries(one).map(([name, value]) => [name, visibleLine(Array.isArray(value) ? value.join(', ') : String(value))])
      await print(input.flag('json') ? jsonLine(one) : `${columns(rows)}\n${shown.length > 1 && one !== shown.at(-1) ? '\n' : ''}`)
    }
    return shown.every((one) => one.valid !== false) ? EXIT.ok : EXIT.no
  }
}

async function describe(block: string, nowMs: number): Promise<Record<string, string | number | boolean | string[]>> {
  const { dateText, factsOf } = await import('../../adapters/tls/certificate-facts.ts')
  const [, kind = ''] = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(block) ?? []
  if (kind.endsWith('PRIVATE KEY')) return describeKey(block)
  if (!kind.endsWith('CERTIFICATE')) return { kind: kind.toLowerCase() }
  try {
    const certificate = new X509Certificate(block)
    const { subject, issuer, serial, fromMs, untilMs } = factsOf(certificate)
    return {
      kind: certificate.ca ? 'CA certificate' : 'certificate',
      subject,
      issuer: subject === issuer ? 'itself' : issuer,
      hosts: (certificate.subjectAltName ?? '').split(', ').filter((host) => host !== ''),
      from: dateText(fromMs),
      until: dateText(untilMs),
      'days left': Math.floor((untilMs - nowMs) / DAY_MS),
      valid: fromMs <= nowMs && nowMs < untilMs,
      key: `${certificate.publicKey.asymmetricKeyType} ${keySizeOf(certificate.publicKey.asymmetricKeyDetails)}`,
      serial,
      'sha-256': certificate.fingerprint256
    }
  } catch {
    return { kind: 'certificate', valid: false, fault: 'it cannot be read: damaged or cut off' }
  }
}

function describeKey(block: string): Record<string, string | boolean> {
  if (/ENCRYPTED/.test(block)) return { kind: 'private key', encrypted: true }
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(block)
    return { kind: 'private key', encrypted: false, key: `${asymmetricKeyType} ${keySizeOf(asymmetricKeyDetails)}` }
  } catch {
    return { kind: 'private key', valid: false, fault: 'it cannot be read: damaged or of an unknown kind' }
  }
}

const keySizeOf = (details: { namedCurve?: string; modulusLength?: number } | undefined): string =>
  details?.namedCurve ?? (details?.modulusLength === undefined ? '' : `${details.modulusLength} bits`)

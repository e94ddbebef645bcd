// The files of a TLS listener, read and judged: what a handshake needs, what is wrong with them, and until when they are good.
//
// Invariants: nothing is used of files that do not fit together (`material` is null then); each finding names one setting and says what to do; no part of a
// key or a passphrase is in a finding.
// Not for: when they are read again (live-certificates.ts), handshakes (handshakes.ts).

import { createHash, createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { type CertificateFacts, dateText, factsOf } from './certificate-facts.ts'
import { certificatesIn } from './certificates-in.ts'
import type { TlsFinding } from './finding.ts'
import { hasEncryptedKey, hasPrivateKey } from './pem.ts'
import { readTextFile, type TextFile } from './text-file.ts'
import { contextOptionsOf } from './tls-policy.ts'
import type { IdentityFiles, TlsSettings } from './tls-settings.ts'

/** Of one file. */
export interface KnownCertificate extends CertificateFacts {
  /** Below `tls`: cert, ca, sni[0].cert. */
  readonly setting: string
}

/** What handshakes are made with. */
export interface TlsMaterial {
  readonly options: SecureContextOptions
  /** By the name that a client asks for, in small letters; *.example for all of one level. */
  readonly byHost: ReadonlyMap<string, SecureContext>
}

export interface JudgedFiles {
  /** null = they cannot be used. */
  readonly material: TlsMaterial | null
  readonly findings: readonly TlsFinding[]
  readonly certificates: readonly KnownCertificate[]
  /** Its own, of the listener itself; null = it cannot be read. */
  readonly own: X509Certificate | null
  /** The same for the same bytes. */
  readonly digest: string
}

const HAS_CERTIFICATE = /-----BEGIN CERTIFICATE-----/
const DER_BEGIN = '0' // 0x30

/** Reads all of them anew. Never rejects. @param nowMs wall clock, for what is expired */
export async function judgeFiles(settings: TlsSettings, nowMs: number): Promise<JudgedFiles> {
  const judge = new Judge(nowMs)
  const own = await judge.identity('', settings)
  const others = await Promise.all(settings.sni.map(sniEntry).map(([prefix, files]) => judge.identity(prefix, files)))
  const ca = settings.ca === null ? null : await judge.authorities(settings.ca)
  const material = judge.isUsable ? judge.material(settings, own, others, ca) : null
  return { material, findings: judge.findings, certificates: judge.certificates, own: own?.certificate ?? null, digest: judge.digest }
}

/** Of the files as they are now, as JudgedFiles has it: opens no key, which may take long (a passphrase). Never rejects. */
export async function digestFiles(settings: TlsSettings): Promise<string> {
  const judge = new Judge(0)
  await judge.read(settings)
  return judge.digest
}

/** PEM. */
interface Identity {
  readonly certificate: X509Certificate
  readonly cert: string
  readonly key: string
  readonly passphrase: string | undefined
}

class Judge {
  readonly findings: TlsFinding[] = []
  readonly certificates: KnownCertificate[] = []
  readonly #nowMs: number
  readonly #texts = new Map<string, string>()

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  get isUsable(): boolean {
    return this.findings.every(({ severity }) => severity !== 'unusable')
  }

  get digest(): string {
    const hash = createHash('sha256')
    for (const name of [...this.#texts.keys()].sort()) hash.update(`${name}\0${this.#texts.get(name)}\0`)
    return hash.digest('hex')
  }

  /** Reads all files and judges none. */
  async read(settings: TlsSettings): Promise<void> {
    for (const [prefix, { cert, key, keyPassphrase }] of [['', settings] as const, ...settings.sni.map(sniEntry)]) {
      await this.#read(`${prefix}cert`, cert)
      await this.#read(`${prefix}key`, key)
      if (keyPassphrase !== null) await this.#read(`${prefix}key_passphrase`, keyPassphrase)
    }
    if (settings.ca !== null) await this.#read('ca', settings.ca)
  }

  /** null after a finding. @param prefix of its settings */
  async identity(prefix: string, files: IdentityFiles): Promise<Identity | null> {
    const cert = await this.#read(`${prefix}cert`, files.cert)
    const keyFile = await this.#read(`${prefix}key`, files.key, { isSecret: true })
    const passphrase = files.keyPassphrase === null ? undefined : await this.#passphrase(`${prefix}key_passphrase`, files.keyPassphrase)
    const chain = cert === null ? null : this.#chain(`${prefix}cert`, files.cert, cert)
    const key = keyFile === null || passphrase === null ? null : this.#key(`${prefix}key`, files.key, { pem: keyFile, passphrase })
    if (!chain || !key || cert === null || keyFile === null || passphrase === null) return null
    if (!this.#fits(prefix, files, chain, key)) return null
    this.#judgeChain(`${prefix}cert`, files.cert, chain)
    return { certificate: chain[0] as X509Certificate, cert: chain.map(String).join('\n'), key: keyFile, passphrase }
  }

  /** PEM of those who sign certificates of clients; null after a finding. */
  async authorities(path: string): Promise<string | null> {
    const text = await this.#read('ca', path)
    const found = text === null ? null : this.#chain('ca', path, text)
    if (!found) return null
    const leaf = found.find(({ ca }) => !ca)
    if (leaf)
      return this.#unusable('ca', `is ${path}, and ${subjectOf(leaf)} in it is no CA: it cannot have signed the certificates of clients`)
    for (const certificate of found) this.#remember('ca', certificate)
    const expired = found.filter(({ validTo }) => Date.parse(validTo) < this.#nowMs)
    const all = expired.length === found.length
    for (const certificate of expired)
      this.#find(
        'ca',
        all ? 'expired' : 'warning',
        `is ${path}, and ${subjectOf(certificate)} in it expired on ${until(certificate)}: no client with a certificate of it is let in`
      )
    return found.map(String).join('\n')
  }

  /** null after a finding: OpenSSL has rules of its own (a key that is too short, a signature that is too weak). */
  material(settings: TlsSettings, own: Identity | null, others: readonly (Identity | null)[], ca: string | null): TlsMaterial | null {
    const optionsOf = ({ cert, key, passphrase }: Identity): SecureContextOptions => ({
      ...contextOptionsOf(settings.minVersion),
      cert,
      key,
      ...(passphrase !== undefined && { passphrase }),
      ...(ca !== null && { ca })
    })
    const contextOf = (setting: string, identity: Identity): SecureContext | null => {
      try {
        return createSecureContext(optionsOf(identity))
      } catch (error) {
        return this.#unusable(setting, `is not taken by OpenSSL: ${(error as Error).message}`)
      }
    }
    if (!own || !contextOf('cert', own)) return null
    const byHost = new Map<string, SecureContext>()
    for (const [index, { host }] of settings.sni.entries()) {
      const identity = others[index]
      const context = identity ? contextOf(`sni[${index}].cert`, identity) : null
      if (!context) return null
      byHost.set(host.toLowerCase(), context)
    }
    return { options: optionsOf(own), byHost }
  }

  async #read(setting: string, path: string, { isSecret = false } = {}): Promise<string | null> {
    const file: TextFile = await readTextFile(path)
    this.#texts.set(setting, 'text' in file ? file.text : file.why)
    if ('why' in file) return this.#unusable(setting, `is ${path}, ${file.why}`)
    if (isSecret && file.mayOthersRead) {
      this.#find(
        setting,
        'warning',
        `is ${path}, which every user of this machine may read: chmod o-r it (0600, or 0640 with a group of the gateway)`
      )
    }
    return file.text
  }

  async #passphrase(setting: string, path: string): Promise<string | null> {
    const text = await this.#read(setting, path, { isSecret: true })
    if (text === null) return null
    const [line = ''] = Buffer.from(text, 'latin1').toString().split(/\r?\n/)
    return line === '' ? this.#unusable(setting, `is ${path}, whose first line is empty: it should be the passphrase of the key`) : line
  }

  #chain(setting: string, path: string, text: string): readonly X509Certificate[] | null {
    const found = certificatesIn(text)
    if (!('fault' in found)) return found
    if (found.fault === 'cut off') return this.#unusable(setting, `is ${path}, ${found.words}`)
    if (found.fault === 'none') return this.#unusable(setting, `is ${path}, ${noCertificateWords(text)}`)
    return this.#unusable(setting, `is ${path}, and its certificate number ${found.place} cannot be read: it is damaged or cut off`)
  }

  #key(setting: string, path: string, { pem, passphrase }: { pem: string; passphrase: string | undefined }): KeyObject | null {
    if (!hasPrivateKey(pem)) {
      const words = HAS_CERTIFICATE.test(pem)
        ? 'which holds certificates and no private key'
        : 'which has no -----BEGIN PRIVATE KEY----- (PEM)'
      return this.#unusable(setting, `is ${path}, ${words}`)
    }
    const needsPassphrase = hasEncryptedKey(pem)
    if (needsPassphrase && passphrase === undefined)
      return this.#unusable(setting, `is ${path}, which is encrypted: name a file with its passphrase as key_passphrase`)
    if (!needsPassphrase && passphrase !== undefined)
      this.#find(setting, 'warning', `is ${path}, which is not encrypted: key_passphrase has no effect`)
    try {
      return createPrivateKey({ key: pem, ...(needsPassphrase && { passphrase }) })
    } catch {
      const words = needsPassphrase
        ? 'which the passphrase does not open (or it is damaged)'
        : 'which cannot be read as a private key: it is damaged or of an unknown kind'
      return this.#unusable(setting, `is ${path}, ${words}`)
    }
  }

  #fits(prefix: string, files: IdentityFiles, chain: readonly X509Certificate[], key: KeyObject): boolean {
    const at = chain.findIndex((certificate) => certificate.checkPrivateKey(key))
    if (at === 0) return true
    const words =
      at > 0
        ? `is ${files.cert}, where the certificate of the key stands at place ${at + 1}: it has to be the first`
        : `is ${files.cert}, and the key ${files.key} is not the key of ${subjectOf(chain[0])}: they do not belong together`
    this.#unusable(`${prefix}cert`, words)
    return false
  }

  #judgeChain(setting: string, path: string, chain: readonly X509Certificate[]): void {
    const [own] = chain
    for (const certificate of chain) {
      this.#remember(setting, certificate)
      this.#judgeDates(setting, path, certificate)
    }
    chain.forEach((certificate, index) => {
      const next = chain[index + 1]
      if (next && !certificate.checkIssued(next))
        this.#find(
          setting,
          'warning',
          `is ${path}, whose chain is broken: ${subjectOf(next)} has not signed ${subjectOf(certificate)}, and clients may not find the way to their CA`
        )
    })
    if (own?.subjectAltName === undefined)
      this.#find(setting, 'warning', `is ${path}, which names no host (subjectAltName): clients that look for one refuse it`)
  }

  #judgeDates(setting: string, path: string, certificate: X509Certificate): void {
    const { fromMs, untilMs } = factsOf(certificate)
    if (untilMs < this.#nowMs)
      this.#find(
        setting,
        'expired',
        `is ${path}, and ${subjectOf(certificate)} in it expired on ${dateText(untilMs)}: put a new one in its place`
      )
    else if (fromMs > this.#nowMs)
      this.#find(
        setting,
        'warning',
        `is ${path}, and ${subjectOf(certificate)} in it is not valid before ${dateText(fromMs)}; the clock of this machine says ${dateText(this.#nowMs)}: is it right?`
      )
  }

  #remember(setting: string, certificate: X509Certificate): void {
    this.certificates.push({ setting, ...factsOf(certificate) })
  }

  #find(setting: string, severity: TlsFinding['severity'], message: string): void {
    this.findings.push({ setting, severity, message })
  }

  #unusable(setting: string, message: string): null {
    this.#find(setting, 'unusable', message)
    return null
  }
}

const sniEntry = (files: IdentityFiles, index: number): [prefix: string, IdentityFiles] => [`sni[${index}].`, files]

function noCertificateWords(text: string): string {
  if (hasPrivateKey(text)) return 'which holds a private key and no certificate'
  if (text.startsWith(DER_BEGIN)) return 'which is DER and not PEM: openssl x509 -inform der -in FILE -out FILE.pem'
  return 'which has no -----BEGIN CERTIFICATE----- (PEM)'
}

const subjectOf = (certificate: X509Certificate | undefined): string =>
  certificate ? factsOf(certificate).subject || 'a certificate without a name' : ''
const until = ({ validTo }: X509Certificate): string => dateText(Date.parse(validTo))

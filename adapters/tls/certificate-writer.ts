// Certificates for a site that has no authority of its own: a small CA, and what it signs for the gateway and its clients. X.509 version 3 (RFC 5280) with EC keys
// on P-256, which small devices sign with fastest; a CA of somebody else may have RSA.
//
// Invariants: the serial has 127 random bits; a certificate is for one purpose only (server, client, or signing others); keys leave as PKCS #8 PEM, and are
// nowhere else.
// Not for: files (bin/commands/tls-*.ts), judging certificates (certificate-files.ts), revoking them: a CA that is replaced ends what it has signed.

import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import {
  bitString,
  contentOf,
  explicit,
  implicit,
  integer,
  NULL,
  objectId,
  octetString,
  sequence,
  set,
  TRUE,
  time,
  utf8String,
  valuesIn
} from './der.ts'

/** Both as PEM. */
export interface KeyAndCertificate {
  readonly certificate: string
  readonly key: string
}

/** From when until when; whole seconds are kept. */
export interface Validity {
  readonly fromMs: number
  readonly untilMs: number
}

export interface LeafRequest extends Validity {
  /** Of the subject, 1 to 64 characters: for people, and what a client is called (its user name, later). */
  readonly commonName: string
  readonly purpose: 'server' | 'client'
  /** What a server is reached as: host names and addresses. Of a client: none. */
  readonly hosts: readonly string[]
}

const OID = {
  commonName: '2.5.4.3',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  altNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  rsaSha256: '1.2.840.113549.1.1.11'
} as const
const VERSION_3 = 2
/** Bits from the left: digitalSignature is the first, keyCertSign the sixth, cRLSign the seventh. */
const USAGE_SIGNATURE = bitString(Buffer.of(0x80), 7)
const USAGE_CA = bitString(Buffer.of(0x06), 1)
const SERIAL_BYTES = 16
const HOST_NAME = /^(\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/
const HOST_NAME_BYTES_MAX = 253

/** Also *.example. */
export function isHostName(text: string): boolean {
  return isIP(text) === 0 && text.length <= HOST_NAME_BYTES_MAX && HOST_NAME.test(text)
}

/** A host name or an address, as it can stand in a certificate. */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || isHostName(text)
}

/** A CA that signs leaves and no other CAs. */
export function makeCa({ commonName, ...validity }: Validity & { readonly commonName: string }): KeyAndCertificate {
  const { privateKey, publicKey } = newKeys()
  const name = nameOf(commonName)
  const keyId = keyIdOf(publicKey)
  const extensions = [
    extension(OID.basicConstraints, sequence(TRUE, integer(Buffer.of(0))), true),
    extension(OID.keyUsage, USAGE_CA, true),
    extension(OID.subjectKeyId, octetString(keyId))
  ]
  return signed({ issuer: name, issuerKey: privateKey, subject: name, privateKey, publicKey, validity, extensions })
}

/**
 * A new key and its certificate.
 * @param ca certificate and key of the CA, PEM
 * @throws Error when the CA's key is none that signs here (EC or RSA), or a host cannot stand in a certificate
 */
export function issueLeaf(ca: KeyAndCertificate, { commonName, purpose, hosts, ...validity }: LeafRequest): KeyAndCertificate {
  const { privateKey, publicKey } = newKeys()
  const issuer = new X509Certificate(ca.certificate)
  const issuerKeyId = subjectKeyIdOf(issuer.raw)
  const extensions = [
    extension(OID.basicConstraints, sequence(), true),
    extension(OID.keyUsage, USAGE_SIGNATURE, true),
    extension(OID.extendedKeyUsage, sequence(objectId(purpose === 'server' ? OID.server : OID.client))),
    extension(OID.subjectKeyId, octetString(keyIdOf(publicKey))),
    ...(issuerKeyId ? [extension(OID.authorityKeyId, sequence(implicit(0, issuerKeyId)))] : []),
    ...(hosts.length > 0 ? [extension(OID.altNames, sequence(...hosts.map(altNameOf)))] : [])
  ]
  const subject = nameOf(commonName)
  return signed({
    issuer: subjectOf(issuer.raw),
    issuerKey: createPrivateKey(ca.key),
    subject,
    privateKey,
    publicKey,
    validity,
    extensions
  })
}

interface Unsigned {
  /** DER. */
  readonly issuer: Uint8Array
  readonly issuerKey: KeyObject
  readonly subject: Uint8Array
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly validity: Validity
  readonly extensions: readonly Uint8Array[]
}

function signed({ issuer, issuerKey, subject, privateKey, publicKey, validity, extensions }: Unsigned): KeyAndCertificate {
  const algorithm = algorithmOf(issuerKey)
  const serial = randomBytes(SERIAL_BYTES)
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40 // positive, and always as long
  const content = sequence(
    explicit(0, integer(Buffer.of(VERSION_3))),
    integer(serial),
    algorithm,
    issuer,
    sequence(time(validity.fromMs), time(validity.untilMs)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...extensions))
  )
  const bytes = sequence(content, algorithm, bitString(sign('sha256', content, issuerKey)))
  return { certificate: new X509Certificate(bytes).toString(), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

const newKeys = (): { privateKey: KeyObject; publicKey: KeyObject } => generateKeyPairSync('ec', { namedCurve: 'P-256' })

function algorithmOf({ asymmetricKeyType }: KeyObject): Uint8Array {
  if (asymmetricKeyType === 'ec') return sequence(objectId(OID.ecdsaSha256))
  if (asymmetricKeyType === 'rsa') return sequence(objectId(OID.rsaSha256), NULL)
  throw new Error(`a CA key of the kind ${asymmetricKeyType}: EC and RSA sign here`)
}

const nameOf = (commonName: string): Uint8Array => sequence(set(sequence(objectId(OID.commonName), utf8String(commonName))))

const extension = (id: string, value: Uint8Array, isCritical = false): Uint8Array =>
  sequence(objectId(id), ...(isCritical ? [TRUE] : []), octetString(value))

/** SHA-1 of the key's bits, as RFC 5280 4.2.1.2 proposes: a name of the key, no protection. */
function keyIdOf(publicKey: KeyObject): Uint8Array {
  const [, bits = new Uint8Array(0)] = valuesIn(contentOf(publicKey.export({ type: 'spki', format: 'der' })))
  return createHash('sha1').update(contentOf(bits).subarray(1)).digest()
}

/** The id that a certificate gives its own key; null = it gives none, and none may be named then. */
function subjectKeyIdOf(certificate: Uint8Array): Uint8Array | null {
  const before = objectId(OID.subjectKeyId)
  const at = Buffer.from(certificate).indexOf(before)
  return at < 0 ? null : contentOf(contentOf(certificate.subarray(at + before.byteLength)))
}

/** The subject as its issuer has written it: names are compared byte by byte. */
function subjectOf(certificate: Uint8Array): Uint8Array {
  const [content = certificate] = valuesIn(contentOf(certificate))
  const [version, ...others] = valuesIn(contentOf(content))
  const fields = version?.[0] === 0xa0 ? others : [version, ...others]
  return fields[4] as Uint8Array // serial, algorithm, issuer, validity, subject
}

/** GeneralName: [2] a host name, [7] an address. */
function altNameOf(host: string): Uint8Array {
  if (!isHost(host)) throw new Error(`"${host}" is no host name and no address`)
  return isIP(host) === 0 ? implicit(2, Buffer.from(host)) : implicit(7, addressBytes(host))
}

function addressBytes(address: string): Uint8Array {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number))
  const [digits = ''] = address.split('%')
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(digits)
  const pair = (high: string | undefined, low: string | undefined): string => (Number(high) * 256 + Number(low)).toString(16)
  const whole = dotted ? `${dotted[1]}${pair(dotted[2], dotted[3])}:${pair(dotted[4], dotted[5])}` : digits
  const [before = '', behind] = whole.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const head = groups(before)
  const tail = behind === undefined ? [] : groups(behind)
  const all = [...head, ...new Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

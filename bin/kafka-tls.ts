// TLS of commands that ask over Kafka: their files (--ca, --cert, --key), and what to do when the other side does not agree. Not for: the connection
// (kafka-admin.ts), TLS of a gateway's own listeners (adapters/tls/certificate-files.ts).

import { createPrivateKey, type X509Certificate } from 'node:crypto'
import type { ClientTls } from '../adapters/kafka-upstream/connection.ts'
import { certificatesIn } from '../adapters/tls/certificates-in.ts'
import { hasEncryptedKey, hasPrivateKey } from '../adapters/tls/pem.ts'
import { readTextFile } from '../adapters/tls/text-file.ts'
import { certificateError } from './tls-directory.ts'

export interface ClientTlsPaths {
  readonly ca: string
  /** Both, or neither. */
  readonly cert: string | undefined
  readonly key: string | undefined
}

/** @throws WadiError WADI_CERTIFICATE_UNUSABLE that names the option */
export async function readClientTls({ ca: caPath, cert: certPath, key: keyPath }: ClientTlsPaths): Promise<ClientTls> {
  const ca = await readOption('ca', caPath)
  certificatesOf('ca', caPath, ca)
  if (certPath === undefined || keyPath === undefined) return { ca }
  const cert = await readOption('cert', certPath)
  const key = await readOption('key', keyPath)
  const [own] = certificatesOf('cert', certPath, cert)
  if (!hasPrivateKey(key)) throw optionError('key', keyPath, 'which has no private key (PEM)')
  if (hasEncryptedKey(key)) throw optionError('key', keyPath, 'which is encrypted: openssl pkey -in FILE -out PLAIN')
  let isOurs: boolean | undefined
  try {
    isOurs = own?.checkPrivateKey(createPrivateKey(key))
  } catch {
    throw optionError('key', keyPath, 'which cannot be read as a private key: it is damaged or of an unknown kind')
  }
  if (!isOurs) throw optionError('cert', certPath, `and --key ${keyPath} is not its key: they do not belong together`)
  return { ca, cert, key }
}

/** @param why of a connection that failed: begins or ends with a code of OpenSSL or node:tls. @returns undefined = TLS has nothing to do with it */
export function tlsAdvice(why: string, tls: ClientTls | undefined): string | undefined {
  const isClosed = /closed by the other side|ECONNRESET/.test(why)
  if (!tls) {
    return isClosed
      ? 'Check that the gateway runs; when its Kafka listener has TLS, name the CA of its certificate with --ca FILE.'
      : undefined
  }
  if (isClosed && tls.cert !== undefined)
    return 'It may not take the certificate of --cert: its log says. Else check that it runs, and that this listener has TLS.'
  return ADVICE.find(([codes]) => codes.test(why))?.[1]
}

const ADVICE: readonly (readonly [codes: RegExp, next: string])[] = [
  [
    /ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/,
    'It lets nobody in without a certificate: name one of ours with --cert FILE --key FILE ("wadi tls client" makes them).'
  ],
  [
    /_ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_|UNSUPPORTED_CERTIFICATE|DECRYPT_ERROR)/,
    'It does not take the certificate of --cert: its log says why.'
  ],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID/,
    'Its certificate is not for this host: name it as the certificate does ("wadi tls show FILE" lists its hosts).'
  ],
  [/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/, 'Its certificate is not valid today: renew it, or check the clock of this machine.'],
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(VERIFY|GET)|CERT_SIGNATURE_FAILURE|INVALID_CA/,
    'Its certificate is not signed by the CA in --ca: name the file of the right CA.'
  ],
  [/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/, 'What answers there has no TLS: leave --ca out, or name the listener that has it.'],
  [/closed by the other side|ECONNRESET|EPROTO/, 'Check that the gateway runs, and that this listener has TLS: without it, leave --ca out.']
]

async function readOption(option: string, path: string): Promise<string> {
  const file = await readTextFile(path)
  if ('text' in file) return file.text
  throw optionError(option, path, file.why)
}

function certificatesOf(option: string, path: string, text: string): readonly X509Certificate[] {
  const found = certificatesIn(text)
  if (!('fault' in found)) return found
  if (found.fault === 'cut off') throw optionError(option, path, found.words)
  throw optionError(
    option,
    path,
    found.fault === 'none' ? 'which has no certificate (PEM)' : 'whose certificate cannot be read: it is damaged'
  )
}

const optionError = (option: string, path: string, why: string): Error =>
  certificateError(`--${option} is ${path}, ${why}.`, 'Name the right file; "wadi tls show FILE" tells what is in one.')

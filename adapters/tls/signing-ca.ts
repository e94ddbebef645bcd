// A CA as two files hold it, asked whether it can sign: which of the certificates is that of the key, is it a CA, is it still valid.
// Invariant: what is returned as a CA signs leaves that verify by its certificate. Not for: signing (certificate-writer.ts), the files (bin/tls-directory.ts).

import { createPrivateKey, type KeyObject } from 'node:crypto'
import { dateText, factsOf } from './certificate-facts.ts'
import type { KeyAndCertificate } from './certificate-writer.ts'
import { type CertificatesFault, certificatesIn } from './certificates-in.ts'
import { hasEncryptedKey } from './pem.ts'

export interface SigningCa extends KeyAndCertificate {
  /** Nothing that it signs is valid for longer. */
  readonly untilMs: number
}

export interface CaFault {
  /** The file it is told of; fits: of both together. */
  readonly of: 'certificate' | 'key' | 'fits'
  /** Behind its name. */
  readonly words: string
}

/**
 * Of several certificates the one of the key; of several of them (a CA that was renewed with its key) the one that is valid longest.
 * @param pair PEM; one or more certificates
 */
export function signingCaOf(pair: KeyAndCertificate, nowMs: number): SigningCa | CaFault {
  const key = keyOf(pair.key)
  if ('of' in key) return key
  const certificates = certificatesIn(pair.certificate)
  if ('fault' in certificates) return faultOf(certificates)
  const ours = certificates.filter((one) => one.checkPrivateKey(key)).sort((a, b) => factsOf(b).untilMs - factsOf(a).untilMs)
  const [best] = ours
  if (!best) return { of: 'fits', words: 'do not belong together: the key is not that of a certificate in the other file' }
  const { subject, untilMs } = factsOf(best)
  if (!best.ca) return { of: 'certificate', words: `holds ${subject}, which is no CA: nobody believes what it signs` }
  if (untilMs <= nowMs) return { of: 'certificate', words: `holds ${subject}, which expired on ${dateText(untilMs)}` }
  return { certificate: best.toString(), key: pair.key, untilMs }
}

function keyOf(pem: string): KeyObject | CaFault {
  if (hasEncryptedKey(pem)) return { of: 'key', words: 'is encrypted: openssl pkey -in FILE -out PLAIN, for as long as it signs here' }
  try {
    const key = createPrivateKey(pem)
    const { asymmetricKeyType: kind } = key
    return kind === 'ec' || kind === 'rsa' ? key : { of: 'key', words: `is a key of the kind ${kind}: EC and RSA sign here` }
  } catch {
    return { of: 'key', words: 'cannot be read as a private key (PEM): it is another file, or damaged' }
  }
}

const faultOf = (fault: CertificatesFault): CaFault => ({ of: 'certificate', words: wordsOf(fault) })

function wordsOf(fault: CertificatesFault): string {
  if (fault.fault === 'cut off') return `is a file ${fault.words}`
  return fault.fault === 'none' ? 'has no certificate (PEM)' : 'has a certificate that cannot be read: it is damaged'
}

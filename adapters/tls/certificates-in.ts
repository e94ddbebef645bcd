// The certificates of a PEM text, read, or what keeps them from being read; the words are those of who asks. Not for: what is to be thought of them.

import { X509Certificate } from 'node:crypto'
import { certificateBlocksIn, cutOffWords } from './pem.ts'

export type CertificatesFault =
  | { readonly fault: 'cut off' /** Behind the name of a file. */; readonly words: string }
  | { readonly fault: 'none' }
  /** `place` counts from 1. */
  | { readonly fault: 'damaged'; readonly place: number }

/** At least one, in the order of the text. */
export function certificatesIn(text: string): readonly X509Certificate[] | CertificatesFault {
  const found = certificateBlocksIn(text)
  if (found.begunCount > found.blocks.length) return { fault: 'cut off', words: cutOffWords(found) }
  if (found.blocks.length === 0) return { fault: 'none' }
  const certificates: X509Certificate[] = []
  for (const [index, block] of found.blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block))
    } catch {
      return { fault: 'damaged', place: index + 1 }
    }
  }
  return certificates
}

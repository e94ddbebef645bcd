// Blocks of PEM (RFC 7468) in a text, found and not read. Not for: what stands in them (certificate-files.ts, signing-ca.ts).

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g
/** Also one whose first line is cut off by the end of the file. */
const CERTIFICATE_BEGIN = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----|^-{1,5}(?:B[A-Z0-9 ]*-{0,4})?(?![\s\S])/gm
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/
const IS_ENCRYPTED = /ENCRYPTED/

export interface CertificateBlocks {
  /** Whole ones. */
  readonly blocks: readonly string[]
  /** More than `blocks`: the text is cut off. */
  readonly begunCount: number
}

export function certificateBlocksIn(text: string): CertificateBlocks {
  return { blocks: text.match(CERTIFICATE) ?? [], begunCount: text.match(CERTIFICATE_BEGIN)?.length ?? 0 }
}

export const hasPrivateKey = (text: string): boolean => PRIVATE_KEY.test(text)
/** Of a text with a private key. */
export const hasEncryptedKey = (text: string): boolean => IS_ENCRYPTED.test(text)
/** Behind the name of a file. */
export const cutOffWords = ({ blocks, begunCount }: CertificateBlocks): string =>
  `which is cut off: it begins ${begunCount} certificates, and ${blocks.length} of them end`

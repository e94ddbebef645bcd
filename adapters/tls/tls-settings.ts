// What a listener with TLS is told: which files, and what is asked of clients. Not for: reading the files (certificate-files.ts).

/** optional: who shows a certificate must show one of `ca`; who shows none comes in too. */
export type ClientCertificates = 'none' | 'optional' | 'required'

/** Paths. */
export interface IdentityFiles {
  /** Its own certificate first, then those that lead to the root. */
  readonly cert: string
  readonly key: string
  /** null = the key is not encrypted. */
  readonly keyPassphrase: string | null
}

export interface TlsSettings extends IdentityFiles {
  /** Other certificates for clients that ask for another name (SNI). */
  readonly sni: readonly (IdentityFiles & { readonly host: string })[]
  /** Who signs the certificates of clients; null = nobody. */
  readonly ca: string | null
  readonly clientCertificates: ClientCertificates
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
}

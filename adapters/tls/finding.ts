// What is wrong with a file of a TLS listener, in words that can stand behind the name of its setting. Not for: handshakes (handshake-fault.ts).

export interface TlsFinding {
  /** Below `tls`: cert, key, sni[0].cert … */
  readonly setting: string
  /** unusable: no handshake can be made. expired: it can, and clients that look at the date refuse it. */
  readonly severity: 'unusable' | 'expired' | 'warning'
  readonly message: string
}

// Why a handshake failed, as one of a list that is counted, and in words for the log. Not for: what is wrong with our own files (certificate-files.ts).

export const handshakeReasons = [
  /** What came is not TLS. */
  'not-tls',
  'timeout',
  /** Gave way to others that waited. */
  'crowded',
  'protocol-version',
  'cipher',
  /** The client offers other protocols above TLS only (ALPN). */
  'application-protocol',
  'no-client-certificate',
  'client-certificate',
  /** The client does not take our certificate. */
  'refused-by-client',
  'closed',
  'other'
] as const

export type HandshakeReason = (typeof handshakeReasons)[number]

export interface HandshakeFault {
  readonly reason: HandshakeReason
  /** For a log; holds nothing that a client has written. */
  readonly detail: string
  readonly remoteAddress: string
}

type Words = readonly [reason: HandshakeReason, detail: string]

const NOT_TLS: Words = ['not-tls', 'what it sends is not TLS; this address takes TLS only: does the client have it switched on?']
const UNTRUSTED: Words = ['refused-by-client', 'it does not trust the certificate of this gateway: give it the CA that has signed it']
const NO_CERTIFICATE: Words = ['no-client-certificate', 'it showed no certificate, and client_certificates is required']

const WORDS: Readonly<Record<string, Words>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  ERR_SSL_HTTP_REQUEST: NOT_TLS,
  ERR_SSL_HTTPS_PROXY_REQUEST: NOT_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: ['protocol-version', 'it offers no version of TLS that is allowed here (min_version)'],
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: ['protocol-version', 'it takes no version of TLS that is allowed here (min_version)'],
  ERR_SSL_NO_SHARED_CIPHER: ['cipher', 'it offers no cipher that is allowed here (AES-GCM or ChaCha20 with ECDHE)'],
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: ['cipher', 'it offers no signature that the key of this gateway can make'],
  ERR_SSL_NO_SHARED_GROUPS: ['cipher', 'it offers no curve that is allowed here'],
  ERR_SSL_NO_SUITABLE_KEY_SHARE: ['cipher', 'it offers no curve that is allowed here'],
  ERR_SSL_NO_APPLICATION_PROTOCOL: ['application-protocol', 'it asks for another protocol than is spoken here (ALPN)'],
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: NO_CERTIFICATE,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: UNTRUSTED,
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: UNTRUSTED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: UNTRUSTED,
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR: UNTRUSTED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: [
    'refused-by-client',
    'for it the certificate of this gateway has expired: check the date of both'
  ],
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: ['refused-by-client', 'it does not take a certificate of this kind'],
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: ['refused-by-client', 'it refuses the certificate of this gateway'],
  ECONNRESET: ['closed', 'it closed the connection before TLS was agreed on: perhaps it does not trust the certificate of this gateway'],
  EPIPE: ['closed', 'it closed the connection before TLS was agreed on'],
  ETIMEDOUT: ['closed', 'it is gone']
}

/** Codes of OpenSSL for certificates of clients (authorizationError of node:tls). */
const CERTIFICATE_WORDS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: check the date of this gateway',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself and not by the CA of this listener (ca)',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by another CA than that of this listener (ca)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by another CA than that of this listener (ca), or those between are missing',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is signed by another CA than that of this listener (ca), or those between are missing',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate is signed by another CA than that of this listener (ca), or those between are missing',
  CERT_SIGNATURE_FAILURE: 'its certificate is not signed by the CA that it names',
  INVALID_PURPOSE: 'its certificate is not for clients (extendedKeyUsage)'
}

/** @param code of the error that ended it */
export function faultOfError(code: string): Words {
  return WORDS[code] ?? ['other', `OpenSSL says ${code}`]
}

/** @param code why its certificate is not trusted */
export function faultOfCertificate(code: string): Words {
  return ['client-certificate', CERTIFICATE_WORDS[code] ?? `its certificate is not taken (${code})`]
}

export const timeoutFault = (deadlineMs: number): Words => ['timeout', `TLS was not agreed on within ${deadlineMs / 1000} s`]

/** It had its time, and others wait for its place. */
export const crowdedFault: Words = ['crowded', 'it was slow, and too many others wanted to agree on TLS at the same time']

// What is offered to clients: versions and ciphers, the same at every listener. Forward secrecy and authenticated encryption only, in the order of the client: a
// device without AES instructions asks for ChaCha20. Not for: certificates.

import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import type { TlsSettings } from './tls-settings.ts'

const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305'
]

/** Without certificates and keys. Renegotiation (TLS 1.2) is refused: nobody needs it, and it costs us a handshake whenever a client likes. */
export function contextOptionsOf(minVersion: TlsSettings['minVersion']): SecureContextOptions {
  return { minVersion, ciphers: CIPHERS.join(':'), honorCipherOrder: false, secureOptions: constants.SSL_OP_NO_RENEGOTIATION }
}

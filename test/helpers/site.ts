// The certificates of a plant for tests: a CA, a server and clients, as text and as files of a temporary directory.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { issueLeaf, type KeyAndCertificate, type LeafRequest, makeCa } from '../../adapters/tls/certificate-writer.ts'
import type { TlsSettings } from '../../adapters/tls/tls-settings.ts'

export const DAY_MS = 86_400_000

export interface Site {
  readonly directory: string
  readonly ca: KeyAndCertificate
  readonly server: KeyAndCertificate
  /** For localhost and 127.0.0.1, or as `request` says. */
  issue(commonName: string, purpose: LeafRequest['purpose'], request?: Partial<LeafRequest>): KeyAndCertificate
  /** Writes a file, with the mode of a key. @returns its path */
  write(name: string, text: string, mode?: number): string
  /** Of the server's files, written as server.pem and server.key, and ca.pem. */
  settings(more?: Partial<TlsSettings>): TlsSettings
}

/** Valid from yesterday, for a year. */
export function makeSite(t: { teardown(work: () => unknown): void }, name = 'plant'): Site {
  const directory = mkdtempSync(join(tmpdir(), 'wadi-site-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const validity = { fromMs: Date.now() - DAY_MS, untilMs: Date.now() + 365 * DAY_MS }
  const ca = makeCa({ commonName: `CA of ${name}`, ...validity })
  const write = (file: string, text: string, mode = 0o600): string => {
    const path = join(directory, file)
    writeFileSync(path, text, { mode })
    return path
  }
  const issue: Site['issue'] = (commonName, purpose, request = {}) =>
    issueLeaf(ca, { commonName, purpose, hosts: purpose === 'server' ? ['localhost', '127.0.0.1'] : [], ...validity, ...request })
  const server = issue('gateway', 'server')
  const files = {
    cert: write('server.pem', server.certificate),
    key: write('server.key', server.key),
    ca: write('ca.pem', ca.certificate)
  }
  return {
    directory,
    ca,
    server,
    issue,
    write,
    settings: (more = {}) => ({ ...files, keyPassphrase: null, sni: [], clientCertificates: 'none', minVersion: 'TLSv1.2', ...more })
  }
}

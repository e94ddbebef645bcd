// A server with our handshakes for tests, that sends back what it gets, and clients for it.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { judgeFiles, type TlsMaterial } from '../../adapters/tls/certificate-files.ts'
import type { HandshakeFault } from '../../adapters/tls/handshake-fault.ts'
import { Handshakes, type HandshakesOptions } from '../../adapters/tls/handshakes.ts'
import type { TlsSettings } from '../../adapters/tls/tls-settings.ts'
import type { Site } from '../helpers/site.ts'

export interface Rig {
  readonly port: number
  readonly handshakes: Handshakes
  readonly faults: HandshakeFault[]
  /** Subjects of those who came in. */
  readonly came: (string | null)[]
  /** What clients of TLS show by default: the CA of the site. */
  tls(options?: ConnectionOptions): TLSSocket
  raw(localAddress?: string): Socket
}

export async function materialOf(settings: TlsSettings): Promise<TlsMaterial> {
  const { material, findings } = await judgeFiles(settings, Date.now())
  if (!material) throw new Error(findings.map(({ setting, message }) => `${setting} ${message}`).join('\n'))
  return material
}

export async function startRig(
  t: Test,
  site: Site,
  {
    settings = {},
    allowHalfOpen = false,
    ...options
  }: Partial<HandshakesOptions> & { settings?: Partial<TlsSettings>; allowHalfOpen?: boolean } = {}
): Promise<Rig> {
  const all = site.settings(settings)
  const faults: HandshakeFault[] = []
  const came: (string | null)[] = []
  const open = new Set<Socket>()
  const handshakes = new Handshakes({
    material: await materialOf(all),
    clientCertificates: all.clientCertificates,
    onFailure: (fault) => faults.push(fault),
    ...options
  })
  const server = createServer({ pauseOnConnect: true, allowHalfOpen }, (socket) => {
    open.add(socket)
    socket.on('error', () => {})
    handshakes.begin(socket, ({ socket: secured, certificateSubject }) => {
      came.push(certificateSubject)
      secured.on('error', () => {})
      secured.on('data', (bytes: Buffer) => void secured.write(bytes))
      if (allowHalfOpen) secured.on('end', () => setTimeout(() => secured.end('bye'), 20))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  t.teardown(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  const watched = <S extends Socket>(socket: S): S => {
    open.add(socket)
    return socket.on('error', () => {})
  }
  return {
    port,
    handshakes,
    faults,
    came,
    tls: (more = {}) => watched(connectTls({ port, host: '127.0.0.1', ca: site.ca.certificate, ...more })),
    raw: (localAddress = '127.0.0.1') => watched(connect({ port, host: '127.0.0.1', localAddress }))
  }
}

/** Resolves with what comes back, and ends the connection. @throws Error of the connection; 'closed' when it ends before */
export function echo(socket: TLSSocket, text = 'hello'): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject).once('close', () => reject(new Error('closed')))
    socket.once('data', (bytes: Buffer) => {
      resolve(String(bytes))
      socket.end()
    })
    socket.write(text)
  })
}

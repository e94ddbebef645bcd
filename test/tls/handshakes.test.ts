// Proves for adapters/tls/handshakes.ts, in TLS 1.2 and 1.3: who comes in and who does not, with the reason that is counted; sessions are resumed until the
// certificates are exchanged; nothing that trickles in outlasts the deadline; a client may not renegotiate.

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectionOptions, SecureVersion, TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { HandshakeReason } from '../../adapters/tls/handshake-fault.ts'
import { DAY_MS, makeSite, type Site } from '../helpers/site.ts'
import { echo, materialOf, type Rig, startRig } from './rig.ts'

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
const only = (version: SecureVersion): ConnectionOptions => ({ minVersion: version, maxVersion: version })
const showing = ({ certificate, key }: { certificate: string; key: string }): ConnectionOptions => ({ cert: certificate, key })

async function refused(t: Test, rig: Rig, options: ConnectionOptions, reason: HandshakeReason, words: RegExp): Promise<void> {
  const before = rig.faults.length
  const socket = rig.tls(options)
  await t.rejects(echo(socket))
  while (rig.faults.length === before) await delay(5)
  t.match(rig.faults.slice(before), [{ reason, detail: words, remoteAddress: '127.0.0.1' }], reason)
}

for (const version of VERSIONS) {
  t.test(`client certificates: none, optional, required (${version})`, async (t) => {
    const site = makeSite(t)
    const device = showing(site.issue('press-7', 'client'))
    const stranger = showing(makeSite(t, 'elsewhere').issue('press-7', 'client'))
    const expired = showing(site.issue('old', 'client', { fromMs: Date.now() - 9 * DAY_MS, untilMs: Date.now() - DAY_MS }))
    for (const clientCertificates of ['none', 'optional', 'required'] as const) {
      const rig = await startRig(t, site, { settings: { clientCertificates } })
      if (clientCertificates !== 'required') t.equal(await echo(rig.tls(only(version))), 'hello', clientCertificates)
      else await refused(t, rig, only(version), 'no-client-certificate', /it showed no certificate/)
      t.equal(await echo(rig.tls({ ...only(version), ...device })), 'hello', clientCertificates)
      t.equal(rig.came.at(-1), clientCertificates === 'none' ? null : 'CN=press-7')
      if (clientCertificates === 'none') continue
      await refused(t, rig, { ...only(version), ...stranger }, 'client-certificate', /signed by another CA/)
      await refused(t, rig, { ...only(version), ...expired }, 'client-certificate', /its certificate has expired/)
      await refused(t, rig, { ...only(version), ...showing(site.server) }, 'client-certificate', /is not for clients/)
      t.match(rig.handshakes.metrics, { pending: 0, failed: new Map([['client-certificate', 3]]) })
    }
  })

  t.test(`a session is resumed, and not after the certificates were exchanged (${version})`, async (t) => {
    const site = makeSite(t)
    const rig = await startRig(t, site, { settings: { clientCertificates: 'required' } })
    const device = { ...only(version), ...showing(site.issue('press-7', 'client')) }
    const first = rig.tls(device)
    const session = once(first, 'session')
    await echo(first)
    const [ticket] = (await session) as [Buffer]
    const again = rig.tls({ ...device, session: ticket })
    await echo(again)
    t.ok(again.isSessionReused())
    t.same(rig.came, ['CN=press-7', 'CN=press-7'], 'it is still known by its certificate')
    t.equal(rig.handshakes.metrics.resumed, 1)

    const other = makeSite(t, 'other')
    rig.handshakes.use(await materialOf({ ...site.settings(), ca: other.settings().ca, clientCertificates: 'required' }))
    await refused(t, rig, { ...device, session: ticket }, 'client-certificate', /signed by another CA/)
    t.equal(rig.handshakes.metrics.resumed, 1, 'a CA that is gone lets nobody in')
  })

  t.test(`who ends its side is answered where the listener does that, and has gone before TLS is agreed on (${version})`, async (t) => {
    const rig = await startRig(t, makeSite(t), { allowHalfOpen: true })
    const gone = rig.raw().end()
    await once(gone.resume(), 'close')
    t.match(rig.faults, [{ reason: 'closed' }])
    const halfOpen = { ...only(version), allowHalfOpen: true }
    const client = rig.tls(halfOpen)
    const read: Buffer[] = []
    client.on('data', (bytes: Buffer) => read.push(bytes)).end('hello')
    await once(client, 'close')
    t.equal(String(Buffer.concat(read)), 'hellobye')
  })

  t.test(`a session is not resumed when the certificate of its client has expired (${version})`, async (t) => {
    const site = makeSite(t)
    const rig = await startRig(t, site, { settings: { clientCertificates: 'required' } })
    const untilMs = Date.now() + 3_000
    const device = { ...only(version), ...showing(site.issue('press-7', 'client', { untilMs })) }
    const first = rig.tls(device)
    const session = once(first, 'session')
    await echo(first)
    const [ticket] = (await session) as [Buffer]
    await delay(untilMs + 100 - Date.now())
    await refused(t, rig, { ...device, session: ticket }, 'client-certificate', /its certificate has expired/)
    t.equal(rig.handshakes.metrics.resumed, 0)
  })

  t.test(`connections stand while certificates are exchanged, new ones see the new one (${version})`, async (t) => {
    const site = makeSite(t)
    const rig = await startRig(t, site)
    const standing = rig.tls(only(version))
    await once(standing, 'secureConnect')
    const next = site.issue('gateway-2', 'server')
    site.write('server.pem', next.certificate)
    site.write('server.key', next.key)
    rig.handshakes.use(await materialOf(site.settings()))
    const later = rig.tls(only(version))
    await once(later, 'secureConnect')
    t.equal(later.getPeerCertificate().subject.CN, 'gateway-2')
    t.equal(standing.getPeerCertificate().subject.CN, 'gateway')
    t.equal(await echo(standing), 'hello')
    t.equal(await echo(later), 'hello')
  })

  t.test(`another certificate for another name (${version})`, async (t) => {
    const site = makeSite(t)
    const entry = (host: string, name: string) => {
      const pair = site.issue(name, 'server', { hosts: [host] })
      return { host, cert: site.write(`${name}.pem`, pair.certificate), key: site.write(`${name}.key`, pair.key), keyPassphrase: null }
    }
    const sni = [entry('GW.example', 'exact'), entry('*.east.example', 'wild')]
    const rig = await startRig(t, site, { settings: { sni, clientCertificates: 'optional' } })
    const nameFor = async (servername: string): Promise<unknown> => {
      const socket = rig.tls({ ...only(version), servername, checkServerIdentity: () => undefined })
      await once(socket, 'secureConnect')
      return socket.getPeerCertificate().subject.CN
    }
    t.equal(await nameFor('gw.example'), 'exact')
    t.equal(await nameFor('a.east.example'), 'wild')
    t.equal(await nameFor('a.b.east.example'), 'gateway')
    t.equal(await nameFor('other.example'), 'gateway')
    const stranger = { ...only(version), ...showing(makeSite(t).issue('x', 'client')), servername: 'gw.example' }
    await refused(t, rig, { ...stranger, checkServerIdentity: () => undefined }, 'client-certificate', /another CA/)
  })
}

t.test('what is not offered is refused by name', async (t) => {
  const site = makeSite(t)
  const rig = await startRig(t, site, { protocols: ['mqtt'] })
  await refused(t, rig, { ALPNProtocols: ['h2'] }, 'application-protocol', /ALPN/)
  await refused(t, rig, { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }, 'cipher', /AES-GCM or ChaCha20/)
  await refused(t, rig, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'protocol-version', /min_version/)
  const agreed = rig.tls({ ALPNProtocols: ['mqtt', 'h2'] })
  await once(agreed, 'secureConnect')
  t.equal(agreed.alpnProtocol, 'mqtt')
  t.equal(await echo(rig.tls()), 'hello', 'who asks for no protocol comes in')
  const strict = await startRig(t, site, { settings: { minVersion: 'TLSv1.3' } })
  await refused(t, strict, { maxVersion: 'TLSv1.2' }, 'protocol-version', /min_version/)
  t.equal(await echo(strict.tls()), 'hello')
})

t.test('a client that does not trust us is told as that', async (t) => {
  const rig = await startRig(t, makeSite(t))
  const before = rig.faults.length
  await t.rejects(echo(rig.tls({ ...only('TLSv1.3'), ca: makeSite(t, 'other').ca.certificate })), { code: 'SELF_SIGNED_CERT_IN_CHAIN' })
  while (rig.faults.length === before) await delay(5)
  t.match(rig.faults, [{ reason: 'closed', detail: /does not trust the certificate/ }])
})

t.test('what is not TLS is told as that: MQTT, Kafka, HTTP, junk', async (t) => {
  const rig = await startRig(t, makeSite(t))
  const mqtt = Buffer.from('101000044d5154540402003c0003616263', 'hex')
  const kafka = Buffer.from('00000023001200030000000100', 'hex')
  for (const bytes of [mqtt, kafka, Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(100, 0xff), Buffer.alloc(100)]) {
    const before = rig.faults.length
    const socket = rig.raw().resume()
    socket.write(bytes)
    await once(socket, 'close')
    t.match(rig.faults.slice(before), [{ reason: 'not-tls', detail: /what it sends is not TLS/ }])
  }
})

t.test('the deadline is for the whole handshake, whatever trickles in', async (t) => {
  const site = makeSite(t)
  const rig = await startRig(t, site, { deadlineMs: 300 })
  const hello = await clientHello(site)
  const silent = rig.raw().resume()
  const slow = rig.raw().resume()
  let sent = 0
  const drip = setInterval(() => slow.write(hello.subarray(sent, ++sent)), 10)
  await Promise.all([once(silent, 'close'), once(slow, 'close')])
  clearInterval(drip)
  t.ok(sent < hello.byteLength - 1, 'it was not through')
  t.same([...rig.handshakes.metrics.failed], [['timeout', 2]])
  t.equal(rig.handshakes.metrics.pending, 0)
})

t.test('a client may not renegotiate', async (t) => {
  const rig = await startRig(t, makeSite(t))
  const socket = rig.tls(only('TLSv1.2'))
  await once(socket, 'secureConnect')
  const outcome = await new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    socket.renegotiate({}, (error) => resolve(error ? (error as NodeJS.ErrnoException).code : 'renegotiated'))
  })
  t.equal(outcome, 'ERR_SSL_NO_RENEGOTIATION')
  t.equal(await echo(rig.tls()), 'hello')
})

t.test('who waits for a place comes in when those before are through; half-open ones give way', async (t) => {
  const site = makeSite(t)
  const rig = await startRig(t, site)
  const hello = await clientHello(site)
  const halfOpen = Array.from({ length: 100 }, () => rig.raw('127.0.0.9').resume())
  for (const socket of halfOpen) socket.write(hello.subarray(0, 60))
  while (rig.handshakes.metrics.pending < halfOpen.length) await delay(5)
  const good = Array.from({ length: 20 }, () => echo(rig.tls()))
  t.same(await Promise.all(good), Array(20).fill('hello'))
  t.match(rig.faults, [{ reason: 'crowded', remoteAddress: '127.0.0.9' }])
  t.ok(rig.handshakes.metrics.pending > 0, 'the others of them still wait')
})

/** The first message of a client, as it is sent. */
async function clientHello(site: Site): Promise<Buffer> {
  const { connect: connectTls } = await import('node:tls')
  const { createServer } = await import('node:net')
  return new Promise((resolve) => {
    let client: TLSSocket | null = null
    const server = createServer((socket) => {
      socket.once('data', (bytes: Buffer) => {
        resolve(bytes)
        client?.destroy()
        socket.destroy()
        server.close()
      })
    }).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      client = connectTls({ port, host: '127.0.0.1', ca: site.ca.certificate }).on('error', () => {})
    })
  })
}

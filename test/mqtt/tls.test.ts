// Proves for MQTT over TLS: clients publish and subscribe as without it, by the fast lane too; who they are by their certificate reaches the authorizer; the limits
// of a listener hold before TLS is agreed on; who comes to the wrong door is told so; what connects before the gateway is open is served.

import { once } from 'node:events'
import { connect } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { IClientOptions } from 'mqtt'
import t, { type Test } from 'tap'
import { type ClientIdentity, everybody } from '../../adapters/mqtt/authorizer.ts'
import { Listener } from '../../adapters/mqtt/listener.ts'
import type { Transport } from '../../adapters/mqtt/socket-input.ts'
import { Handshakes, type HandshakesOptions } from '../../adapters/tls/handshakes.ts'
import type { TlsSettings } from '../../adapters/tls/tls-settings.ts'
import { makeSite, type Site } from '../helpers/site.ts'
import { Prng } from '../sim/prng.ts'
import { materialOf } from '../tls/rig.ts'
import { textOf } from './controlled-store.ts'
import { openLaneGateway, readTopic } from './lane-rig.ts'
import { publishPacket, RawClient } from './packets.ts'
import { startGateway, turns } from './rig.ts'

async function handshakesOf(site: Site, settings: Partial<TlsSettings> = {}, more: Partial<HandshakesOptions> = {}): Promise<Handshakes> {
  const all = site.settings(settings)
  return new Handshakes({ material: await materialOf(all), clientCertificates: all.clientCertificates, protocols: ['mqtt'], ...more })
}

function rawTls(t: Test, site: Site, port: number, options: ConnectionOptions = {}): RawClient {
  const client = new RawClient(connectTls({ host: '127.0.0.1', port, ca: site.ca.certificate, ...options }))
  t.teardown(() => client.destroy())
  return client
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`MQTT.js publishes, subscribes and is known by its certificate (${version})`, async (t) => {
    const site = makeSite(t)
    const seen: ClientIdentity[] = []
    const authorizer = {
      ...everybody,
      connect: (client: ClientIdentity) => {
        seen.push(client)
        return 'allowed' as const
      }
    }
    const handshakes = await handshakesOf(site, { clientCertificates: 'optional' })
    const { client, store, otherPort } = await startGateway(t, { handshakes, authorizer })
    const { certificate, key } = site.issue('press-7', 'client')
    const versions: ConnectionOptions = { minVersion: version, maxVersion: version } // handed on to node:tls
    const tls: IClientOptions = { protocol: 'mqtts', ca: site.ca.certificate, ALPNProtocols: ['mqtt'], ...(versions as object) }
    const subscriber = await client({ ...tls, clientId: 'named', cert: certificate, key })
    await subscriber.subscribeAsync('d/#', { qos: 1 })
    const received = new Promise<string>((resolve) => subscriber.once('message', (_, payload) => resolve(String(payload))))
    const publisher = await client({ ...tls, clientId: 'nameless' })
    await publisher.publishAsync('d/x', 'over TLS', { qos: 1 })
    t.equal(await received, 'over TLS')
    const large = Buffer.alloc(300_000, 'x')
    await publisher.publishAsync('d/large', large, { qos: 2 })
    const plain = await client({ port: otherPort, clientId: 'plain' })
    await plain.publishAsync('d/y', 'in the clear', { qos: 1 })
    t.same(
      store.recordsOf('events').map(({ value }) => textOf(value)),
      ['over TLS', String(large), 'in the clear']
    )
    t.same(
      seen.map(({ clientId, certificateSubject }) => [clientId, certificateSubject]),
      [
        ['named', 'CN=press-7'],
        ['nameless', null],
        ['plain', null]
      ]
    )
  })
}

t.test('clients that reset right behind the handshake give the places of their address back', async (t) => {
  const site = makeSite(t)
  const handshakes = await handshakesOf(site)
  const { port, broker } = await startGateway(t, { handshakes, limits: { connectionsPerAddressMax: 10 } })
  for (let index = 0; index < 20; index++) {
    const raw = connect(port, '127.0.0.1').on('error', () => undefined)
    const socket = connectTls({ socket: raw, rejectUnauthorized: false }).on('error', () => undefined)
    socket.once('secureConnect', () => {
      socket.write('neither MQTT nor anything else')
      setImmediate(() => raw.resetAndDestroy())
    })
    await once(raw, 'close')
  }
  await turns(() => broker.metrics.connections === 0)
  for (let index = 0; index < 10; index++) await rawTls(t, site, port).connected({ clientId: `c${index}` })
  t.equal(broker.metrics.connections, 10)
})

t.test('a flood cut anywhere goes by the fast lane, is acknowledged in order and stored in order', async (t) => {
  const site = makeSite(t)
  const handshakes = await handshakesOf(site)
  const lane = await openLaneGateway(t, { handshakes, topic: { partitionCount: 1 } })
  const { gateway, plans } = lane
  const client = await rawTls(t, site, gateway.port).connected({ clientId: 'flood' })
  const random = new Prng(7)
  const payloads = Array.from({ length: 1_500 }, (_, index) => `${index} ${'x'.repeat(random.below(random.chance(2) ? 60_000 : 200))}`)
  const bytes = Buffer.concat(payloads.map((payload, index) => publishPacket({ topic: 'd/a', payload, qos: 1, packetId: index + 1 })))
  for (let at = 0; at < bytes.byteLength; ) {
    const end = at + 1 + random.below(random.chance(10) ? 80_000 : 3_000)
    if (!client.socket.write(bytes.subarray(at, end))) await once(client.socket, 'drain')
    at = end
  }
  await client.until(() => client.received.length === payloads.length + 1)
  t.same(
    client.received.slice(1),
    payloads.map((_, index) => `puback ${index + 1}`)
  )
  const stored = await readTopic(lane, 'events')
  t.same(
    stored.map(({ value }) => value),
    payloads
  )
  t.equal(plans.fast, 1)
})

t.test('what a client sends and leaves at once is stored, also while nothing is read', async (t) => {
  const site = makeSite(t)
  const { store, port, ingest } = await startGateway(t, {
    handshakes: await handshakesOf(site),
    ingestLimits: { inFlightCountMin: 100 }
  })
  store.isHeld = true
  const count = 200
  for (let round = 0; round < 5; round++) {
    const client = rawTls(t, site, port)
    const packets = Array.from({ length: count }, () => publishPacket({ topic: 'd/x', payload: 'x'.repeat(400), qos: 0 }))
    await client.connected({ clientId: `leaves-${round}` })
    client.socket.end(Buffer.concat(packets))
  }
  await turns(() => ingest.isOverloaded)
  t.ok(ingest.isOverloaded)
  await turns(undefined, 100)
  store.release()
  await turns(() => store.recordsOf('events').length === 5 * count)
  t.equal(store.recordsOf('events').length, 5 * count)
})

t.test('the caps of a listener hold before TLS is agreed on, and the places come back', async (t) => {
  const site = makeSite(t)
  const handshakes = await handshakesOf(site, {}, { deadlineMs: 400 })
  const { raw, port, broker, events } = await startGateway(t, { handshakes, limits: { connectionsPerAddressMax: 3 } })
  const halfOpen = [raw(), raw(), raw()]
  await turns(() => broker.metrics.connections === 3)
  const fourth = raw()
  await fourth.closed()
  t.match(events, [{ reason: 'connections-full', detail: /more than 3 from one address/ }])
  for (const one of halfOpen) await one.closed()
  t.equal(broker.metrics.connections, 0)
  t.same([...handshakes.metrics.failed], [['timeout', 3]])
  const good = await rawTls(t, site, port).connected({ clientId: 'good' })
  good.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }))
  await good.saw('puback 1')
})

t.test('a client that agrees on TLS and says nothing has the time of a CONNECT', async (t) => {
  const site = makeSite(t)
  const { port, events } = await startGateway(t, { handshakes: await handshakesOf(site), limits: { connectTimeoutMs: 200 } })
  const silent = rawTls(t, site, port)
  await silent.closed()
  t.match(events, [{ reason: 'connect-timeout', remoteAddress: '127.0.0.1' }])
})

t.test('TLS to a door without it, and plain MQTT to one with it, are told as that', async (t) => {
  const site = makeSite(t)
  const details: string[] = []
  const handshakes = await handshakesOf(site, {}, { onFailure: ({ detail }) => details.push(detail) })
  const { raw, otherPort, events } = await startGateway(t, { handshakes })
  const lost = rawTls(t, site, otherPort)
  await lost.closed()
  t.match(events, [{ reason: 'packet-flags', detail: /^it begins TLS, and this address has none/ }])
  const plain = raw()
  await t.rejects(plain.connected())
  await plain.closed()
  t.match(details, [/^what it sends is not TLS/])
})

t.test('what connects before the broker is open is served then', async (t) => {
  const site = makeSite(t)
  const listener = new Listener({ port: 0, handshakes: await handshakesOf(site) })
  t.teardown(() => listener.stopAccepting())
  await listener.bind()
  const socket = connectTls({ host: '127.0.0.1', port: listener.address?.port ?? 0, ca: site.ca.certificate })
  t.teardown(() => socket.destroy())
  let isSecure = false
  socket.once('secureConnect', () => {
    isSecure = true
  })
  await turns(() => listener.openCount === 1)
  await turns(undefined, 30)
  t.notOk(isSecure, 'it is held')
  const served = new Promise<Transport>((resolve) => listener.open({ onConnection: resolve, onRefused: () => undefined }))
  await once(socket, 'secureConnect')
  t.equal((await served).socket.remotePort, socket.localPort)
})

t.test('who has not agreed on TLS keeps no broker from closing', async (t) => {
  const { raw, broker } = await startGateway(t, { handshakes: await handshakesOf(makeSite(t)) })
  const halfOpen = raw()
  await turns(() => broker.metrics.connections === 1)
  await broker.close()
  await halfOpen.closed()
  t.equal(broker.metrics.connections, 0)
})

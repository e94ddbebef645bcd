// Proves for a TLS listener under attack: 500 handshakes that never end, junk, and clients that renegotiate take a bounded amount of memory and end in time; a
// good client beside them, from another address, is served as if they were not there.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import t from 'tap'
import { Handshakes } from '../../adapters/tls/handshakes.ts'
import { collector } from '../helpers/collector.ts'
import { makeSite, type Site } from '../helpers/site.ts'
import { Prng } from '../sim/prng.ts'
import { materialOf } from '../tls/rig.ts'
import { publishPacket, RawClient } from './packets.ts'
import { startGateway, turns } from './rig.ts'

t.setTimeout(120_000)

const collect = collector()

const STRANGERS = 500
const MEMORY_BYTES_MAX = 16 * 2 ** 20
const DEADLINE_MS = 8_000

/** Kinds of strangers, each with what it does when it is connected. Linux has all of 127/8. */
async function attack(kind: 'silent' | 'half' | 'long' | 'junk', site: Site, port: number): Promise<Socket[]> {
  const hello = await clientHello(site)
  const random = new Prng(11)
  const sockets = Array.from({ length: STRANGERS }, () => connect({ port, host: '127.0.0.1', localAddress: '127.0.0.66' }))
  for (const socket of sockets) {
    socket.on('error', () => undefined).resume()
    if (kind === 'half') socket.write(hello.subarray(0, 1 + random.below(hello.byteLength - 1)))
    // The beginning of a first message as long as a record may be.
    else if (kind === 'long') socket.write(Buffer.concat([Buffer.from('160301400001003ffc0303', 'hex'), Buffer.alloc(16_000, 1)]))
    else if (kind === 'junk') socket.write(Buffer.from(Array.from({ length: 100 }, () => random.below(256))))
  }
  return sockets
}

for (const kind of ['silent', 'half', 'long', 'junk'] as const) {
  t.test(`${STRANGERS} strangers, ${kind}`, async (t) => {
    const site = makeSite(t)
    const handshakes = new Handshakes({
      material: await materialOf(site.settings()),
      clientCertificates: 'none',
      protocols: ['mqtt'],
      deadlineMs: DEADLINE_MS
    })
    const { port, broker } = await startGateway(t, { handshakes })
    const publishOnce = async (): Promise<void> => {
      const client = new RawClient(connectTls({ host: '127.0.0.1', port, ca: site.ca.certificate }))
      try {
        await client.connected({ clientId: 'good' })
        client.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }))
        await client.saw('puback 1')
      } finally {
        client.destroy()
      }
    }
    for (let round = 0; round < 5; round++) await publishOnce() // what the first one loads is not the strangers'
    collect()
    const before = process.memoryUsage().rss
    const strangers = await attack(kind, site, port)
    if (kind !== 'junk') await turns(() => handshakes.metrics.pending === STRANGERS || ended(handshakes) > 0, 5_000)
    for (let round = 0; round < 20; round++) await publishOnce()
    const held = process.memoryUsage().rss - before
    t.ok(held < MEMORY_BYTES_MAX, `${Math.round(held / 1024)} KiB more, their own sockets in this process included`)
    t.equal(handshakes.metrics.done, 25, 'each good one came in at the first attempt')
    if (kind !== 'junk') t.ok(handshakes.metrics.pending > STRANGERS / 2, 'the strangers were there all the time')
    await Promise.all(strangers.map(closed))
    t.equal(handshakes.metrics.pending, 0)
    t.equal(ended(handshakes), STRANGERS)
    await turns(() => broker.metrics.connections === 0)
    t.equal(broker.metrics.connections, 0, 'no place is lost')
    await publishOnce()
  })
}

t.test('clients that ask for a new handshake again and again have none, and harm nobody', async (t) => {
  const site = makeSite(t)
  const handshakes = new Handshakes({ material: await materialOf(site.settings()), clientCertificates: 'none' })
  const { port, broker } = await startGateway(t, { handshakes })
  const good = await new RawClient(connectTls({ host: '127.0.0.1', port, ca: site.ca.certificate })).connected({ clientId: 'good' })
  for (let round = 0; round < 20; round++) {
    const socket = connectTls({ host: '127.0.0.1', port, ca: site.ca.certificate, maxVersion: 'TLSv1.2' })
    socket.on('error', () => undefined).resume()
    await once(socket, 'secureConnect')
    socket.renegotiate({}, () => undefined)
    await closed(socket)
  }
  good.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }))
  await good.saw('puback 1')
  t.equal(handshakes.metrics.done, 21)
  good.destroy()
  await turns(() => broker.metrics.connections === 0)
  t.equal(broker.metrics.connections, 0)
})

/** Whatever its end is. */
const closed = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => (socket.closed ? resolve(null) : socket.once('close', resolve)))

function ended(handshakes: Handshakes): number {
  return [...handshakes.metrics.failed.values()].reduce((sum, count) => sum + count, 0)
}

/** The first message of a client, as it is sent. */
async function clientHello(site: Site): Promise<Buffer> {
  let client: TLSSocket | null = null
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  client = connectTls({ port, host: '127.0.0.1', ca: site.ca.certificate }).on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  await delay(0)
  return bytes
}

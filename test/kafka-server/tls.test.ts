// Proves for Kafka over TLS, with kafkajs: producers, consumers and administrators work as without it, in TLS 1.2 and 1.3; large batches pass; a client
// without a certificate stays outside where one is required; who comes to the wrong door is told so; closing waits for nobody who has not agreed on TLS.

import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { Kafka, logLevel } from 'kafkajs'
import t, { type Test } from 'tap'
import { Handshakes } from '../../adapters/tls/handshakes.ts'
import type { TlsSettings } from '../../adapters/tls/tls-settings.ts'
import { makeSite, type Site } from '../helpers/site.ts'
import { materialOf } from '../tls/rig.ts'
import { type Centre, startCentre, until } from './centre.ts'

type TlsCentre = Centre & { readonly details: string[]; readonly handshakes: Handshakes }

async function startTlsCentre(t: Test, site: Site, settings: Partial<TlsSettings> = {}): Promise<TlsCentre> {
  const details: string[] = []
  const all = site.settings(settings)
  const handshakes = new Handshakes({
    material: await materialOf(all),
    clientCertificates: all.clientCertificates,
    onFailure: ({ reason, detail }) => details.push(`${reason}, ${detail}`)
  })
  const onClose = (reason: string, detail: string): void => void details.push(`${reason}, ${detail}`)
  return Object.assign(await startCentre(t, { handshakes, onClose, limits: { idleMsMax: 60_000 } }), { details, handshakes })
}

/** Whatever its end is. */
const closed = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => (socket.closed ? resolve(null) : socket.once('close', resolve)))

const clientOf = (port: number, ssl: ConnectionOptions | false): Kafka =>
  new Kafka({
    clientId: 'test',
    brokers: [`127.0.0.1:${port}`],
    ssl,
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    retry: { initialRetryTime: 10, retries: 1 }
  })

t.test('strangers without a certificate keep nobody out, and take no place of who is in', async (t) => {
  const site = makeSite(t)
  const all = site.settings({ clientCertificates: 'required' })
  const handshakes = new Handshakes({ material: await materialOf(all), clientCertificates: 'required' })
  const centre = await startCentre(t, { handshakes, connectionCountMax: 40 })
  const { certificate, key } = site.issue('historian', 'client')
  const kafka = clientOf(centre.port, { ca: [site.ca.certificate], cert: certificate, key })
  let isOn = true
  const silent = new Set<Socket>()
  const dial = (): void => {
    if (!isOn) return
    const socket = connect({ port: centre.port, host: '127.0.0.1', localAddress: '127.0.0.66' })
    silent.add(socket.on('error', () => undefined).resume())
    socket.once('close', () => {
      silent.delete(socket)
      setTimeout(dial, 5)
    })
  }
  t.teardown(() => {
    isOn = false
    for (const socket of silent) socket.destroy()
  })
  for (let stranger = 0; stranger < 60; stranger++) dial()
  await until(() => (centre.listener.metrics.closesByReason.full ?? 0) > 20, 'a crowd')
  let entered = 0
  for (let client = 0; client < 10; client++) {
    const admin = kafka.admin()
    await admin.connect().then(
      () => entered++,
      () => undefined
    )
    await admin.disconnect().catch(() => undefined)
  }
  t.ok(entered >= 9, `${entered} of 10`)
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`kafkajs produces and consumes as a group, with a certificate (${version})`, async (t) => {
    const site = makeSite(t)
    const centre = await startTlsCentre(t, site, { clientCertificates: 'required' })
    const { certificate, key } = site.issue('historian', 'client')
    const kafka = clientOf(centre.port, { ca: [site.ca.certificate], cert: certificate, key, minVersion: version, maxVersion: version })
    const values = Array.from({ length: 40 }, (_, index) => `${index} ${randomBytes(index % 4 === 0 ? 120_000 : 20).toString('base64')}`)
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    for (let at = 0; at < values.length; at += 10)
      await producer.send({ topic: 'events', messages: values.slice(at, at + 10).map((value) => ({ key: 'k', value })) })
    await producer.disconnect()
    const consumer = kafka.consumer({ groupId: 'g', maxWaitTimeInMs: 100 })
    const read: string[] = []
    await consumer.connect()
    await consumer.subscribe({ topic: 'events', fromBeginning: true })
    await consumer.run({ eachMessage: async ({ message }) => void read.push(String(message.value)) })
    await until(() => read.length >= values.length, 'all of them')
    await consumer.disconnect()
    t.same(read, values)
    t.equal(centre.listener.metrics.waitingRequests, 0)
    await until(() => centre.listener.metrics.connectionCount === 0, 'the end of all connections')
    t.same(centre.listener.metrics.answerBytes, 0)
  })
}

t.test('without a certificate nobody gets in where one is required', async (t) => {
  const site = makeSite(t)
  const centre = await startTlsCentre(t, site, { clientCertificates: 'required' })
  await t.rejects(
    clientOf(centre.port, { ca: [site.ca.certificate] })
      .admin()
      .connect()
  )
  t.match(centre.details, [/^no-client-certificate, it showed no certificate/])
  t.equal(centre.listener.metrics.acceptedConnections, 0)
})

t.test('TLS to a door without it, and plain Kafka to one with it, are told as that', async (t) => {
  const site = makeSite(t)
  const details: string[] = []
  const plain = await startCentre(t, { onClose: (reason, detail) => details.push(`${reason}, ${detail}`) })
  const lost = connectTls({ host: '127.0.0.1', port: plain.port, ca: site.ca.certificate }).on('error', () => undefined)
  await closed(lost)
  t.match(details, [/^frame, it begins TLS, and this address has none/])
  const centre = await startTlsCentre(t, site)
  await t.rejects(clientOf(centre.port, false).admin().connect())
  t.match(centre.details, [/^not-tls, what it sends is not TLS/])
})

t.test('clients that go before TLS is agreed on hold no place', async (t) => {
  const site = makeSite(t)
  const centre = await startTlsCentre(t, site)
  for (const first of [Buffer.alloc(0), Buffer.from('160301', 'hex')]) {
    const scan = Array.from({ length: 70 }, () => connect({ port: centre.port, host: '127.0.0.1', allowHalfOpen: true }))
    for (const socket of scan) {
      t.teardown(() => socket.destroy())
      socket.on('error', () => undefined).resume()
      socket.end(first)
    }
    const before = centre.details.length
    await until(() => centre.details.length === before + 70, 'the end of all of them')
  }
  t.same(centre.handshakes.metrics.failed, new Map([['closed', 140]]))
  t.equal(centre.handshakes.metrics.pending, 0)
})

t.test('a place is taken from accept on, and who has not agreed on TLS keeps nothing from closing', async (t) => {
  const site = makeSite(t)
  const handshakes = new Handshakes({ material: await materialOf(site.settings()), clientCertificates: 'none' })
  const centre = await startCentre(t, { handshakes, connectionCountMax: 2 })
  const dial = () =>
    connect(centre.port, '127.0.0.1')
      .on('error', () => undefined)
      .resume()
  const halfOpen = [dial(), dial()]
  await until(() => handshakes.metrics.pending === 2, 'both')
  await closed(dial())
  t.equal(centre.listener.metrics.closesByReason.full, 1)
  await centre.listener.close()
  await Promise.all(halfOpen.map(closed))
  await until(() => handshakes.metrics.pending === 0, 'the end of both')
})

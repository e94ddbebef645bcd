// Proves for a gateway with TLS: it starts only with files that can be used and names all others; certificates are exchanged under connections of both kinds and
// none ends; a bad new file changes nothing and is told; the end of a certificate is told once a day, counted, and in the status; failed handshakes are counted,
// and told once a minute for each reason and address.

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { openGateway } from '../../gateway/gateway.ts'
import { handshakeLog, TlsDoors } from '../../gateway/tls-doors.ts'
import { checkTlsFiles } from '../../gateway/tls-files.ts'
import { DAY_MS, makeSite, type Site } from '../helpers/site.ts'
import { connectPacket, publishPacket, RawClient } from '../mqtt/packets.ts'

const yamlOf = (site: Site, { more = '', kafka = '' } = {}): string => {
  const { cert, key, ca } = site.settings()
  return `
gateway: { id: g7, data: ${join(site.directory, 'data')} }
storage: { journal: { file_size: 4MiB } }
mqtt: [{ listen: "127.0.0.1:0", tls: { cert: ${cert}, key: ${key}, ca: ${ca}, client_certificates: optional${more} } }, { listen: "127.0.0.1:0" }]
kafka: { listen: "127.0.0.1:0", tls: { cert: ${cert}, key: ${key} }${kafka} }
routes: [{ filter: "#rest", topic: events, key: none }]
`
}

const configOf = (yaml: string) => loadConfig(yaml, { fileName: 'inline', environment: {} })

async function open(t: Test, site: Site, lines: string[]): Promise<Gateway> {
  const log = (level: string, words: string): void => void lines.push(`${level} ${words}`)
  const gateway = await openGateway(configOf(yamlOf(site)), { log })
  t.teardown(() => gateway.close())
  return gateway
}

async function dial(t: Test, site: Site, address: string | null | undefined): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port: Number(address?.split(':').at(-1)), ca: site.ca.certificate })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket.on('error', () => undefined)
}

t.test('a gateway does not start with files that cannot be used, and names all of them', async (t) => {
  const site = makeSite(t)
  rmSync(site.settings().key)
  await t.rejects(openGateway(configOf(yamlOf(site, { more: `, sni: [{ host: a.example, cert: /none.pem, key: /none.key }]` }))), {
    code: 'WADI_CERTIFICATE_UNUSABLE',
    message:
      /mqtt\[0\]\.tls\.key is .*server\.key, and there is no such file[\s\S]*mqtt\[0\]\.tls\.sni\[0\]\.cert is \/none\.pem[\s\S]*kafka\.tls\.key is/
  })
})

t.test('certificates are exchanged under a hundred connections of each kind, and none ends', { timeout: 120_000 }, async (t) => {
  const site = makeSite(t)
  const lines: string[] = []
  const gateway = await open(t, site, lines)
  const [mqttAddress] = gateway.addresses.mqtt
  const devices: RawClient[] = []
  const kafkaSockets: TLSSocket[] = []
  for (let index = 0; index < 100; index++) {
    const device = new RawClient(await dial(t, site, mqttAddress))
    devices.push(await device.connected({ clientId: `d${index}` }))
    kafkaSockets.push(await dial(t, site, gateway.addresses.kafka))
  }
  const next = site.issue('gateway-2', 'server')
  site.write('server.pem', next.certificate)
  site.write('server.key', next.key)
  t.equal(await gateway.reloadCertificates(), true)
  for (const address of [mqttAddress, gateway.addresses.kafka])
    t.equal((await dial(t, site, address)).getPeerCertificate().subject.CN, 'gateway-2')
  t.match(
    lines.filter((line) => line.includes('the files have changed')),
    [
      /^info mqtt\[0\]\.tls: the files have changed and are used from now on: CN=gateway-2, until \d{4}-/,
      /^info kafka\.tls: the files have changed and are used from now on: CN=gateway-2/
    ]
  )

  site.write('server.pem', site.issue('gateway-3', 'server').certificate)
  t.equal(await gateway.reloadCertificates(), true)
  t.match(
    lines.at(-1),
    /^warn kafka\.tls: the files have changed and are not used, those of before stay in use: cert is .* is not the key of CN=gateway-3/
  )
  t.equal((await dial(t, site, mqttAddress)).getPeerCertificate().subject.CN, 'gateway-2')
  const unusable = () => {
    const family = gateway.metrics().find(({ name }) => name === 'wadi_tls_files_unusable')
    return family?.kind === 'gauge' ? family.samples.map(({ labels, value }) => [labels.join(' '), value]) : []
  }
  t.match((await gateway.status()).unusedFiles, [
    { key: 'mqtt[0].tls.cert', message: /is not the key of CN=gateway-3/, isFitToStart: false },
    { key: 'kafka.tls.cert' }
  ])
  t.same(unusable(), [
    ['mqtt[0].tls', 1],
    ['kafka.tls', 1]
  ])
  site.write('server.pem', next.certificate)
  await gateway.reloadCertificates()
  t.same((await gateway.status()).unusedFiles, [])
  t.same(unusable(), [
    ['mqtt[0].tls', 0],
    ['kafka.tls', 0]
  ])

  for (const device of devices) device.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 9 }))
  for (const device of devices) await device.saw('puback 9')
  const versions = Buffer.from('00000012001200000000000100067072656d6965', 'hex') // ApiVersions 0
  for (const socket of kafkaSockets) {
    socket.write(Buffer.concat([Buffer.of(0, 0, 0, versions.byteLength - 4), versions.subarray(4)]))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    t.equal(answer.readInt32BE(4), 1, 'the answer to its request')
  }
  for (const device of devices) device.destroy()
})

t.test('without TLS there is nothing to reload', async (t) => {
  const site = makeSite(t)
  const yaml = `gateway: { data: ${join(site.directory, 'data')} }\nstorage: { journal: { file_size: 4MiB } }\nkafka: { listen: "127.0.0.1:0" }\n`
  const gateway = await openGateway(configOf(yaml))
  t.teardown(() => gateway.close())
  t.equal(await gateway.reloadCertificates(), false)
  t.same((await gateway.status()).certificates, [])
  t.notOk(gateway.metrics().some(({ name }) => name.startsWith('wadi_tls')))
})

t.test('counted and in the status: handshakes, failures, and the time that is left', async (t) => {
  const site = makeSite(t)
  const lines: string[] = []
  const gateway = await open(t, site, lines)
  const [address = '', plain = ''] = gateway.addresses.mqtt
  const device = new RawClient(await dial(t, site, address))
  await device.connected({ clientId: 'd' })
  for (let index = 0; index < 3; index++) {
    const lost = new RawClient(Number(address.split(':')[1]))
    lost.send(connectPacket({ clientId: 'lost' }))
    await lost.closed()
  }
  const astray = connectTls({ host: '127.0.0.1', port: Number(plain.split(':')[1]) }).on('error', () => undefined)
  await new Promise((resolve) => astray.once('close', resolve))
  const samples = (name: string): [string, number][] => {
    const family = gateway.metrics().find((one) => one.name === name)
    return family && family.kind !== 'histogram' ? family.samples.map(({ labels, value }) => [labels.join(' '), value]) : []
  }
  t.same(samples('wadi_tls_handshakes_total'), [
    ['mqtt[0].tls', 1],
    ['kafka.tls', 0]
  ])
  t.same(samples('wadi_tls_failed_handshakes_total'), [['mqtt[0].tls not-tls', 3]])
  const remaining = samples('wadi_tls_certificate_remaining_seconds')
  t.equal(remaining.length, 3)
  for (const [, seconds] of remaining) t.ok(seconds > 364 * 86_400 && seconds <= 365 * 86_400)
  t.match((await gateway.status()).certificates, [
    { key: 'mqtt[0].tls.cert', subject: 'CN=gateway', remainingMs: Number },
    { key: 'mqtt[0].tls.ca', subject: 'CN=CA of plant' },
    { key: 'kafka.tls.cert', subject: 'CN=gateway' }
  ])
  t.equal((await gateway.status()).kafka?.isTls, true)
  const told = lines.filter((line) => line.includes('no TLS with'))
  t.match(told, [/^warn no TLS with 127\.0\.0\.1 on mqtt\[0\]\.tls: not-tls, what it sends is not TLS/])
  t.equal(told.length, 1, 'once a minute')
  t.match(lines.join('\n'), /packet-flags, it begins TLS, and this address has none \(mqtt\[\]\.tls\)/)
  device.destroy()
})

t.test('failed handshakes are told once a minute for each listener, reason and address', async (t) => {
  const lines: string[] = []
  let nowMs = 0
  const tell = handshakeLog(
    (_level, words) => void lines.push(words),
    () => nowMs
  )
  const fault = { reason: 'timeout', detail: 'TLS was not agreed on within 10 s', remoteAddress: '192.0.2.1' } as const
  for (let index = 0; index < 4; index++) tell('kafka.tls', fault)
  tell('kafka.tls', { ...fault, remoteAddress: '192.0.2.2' })
  tell('mqtt[0].tls', fault)
  tell('kafka.tls', { ...fault, reason: 'closed' })
  t.equal(lines.length, 4)
  for (let index = 1; index < 400; index++) tell('kafka.tls', { ...fault, remoteAddress: `2001:db8::${index.toString(16)}` })
  t.equal(lines.length, 5, 'one host has all addresses of its /64')
  tell('kafka.tls', { ...fault, detail: 'another cause' })
  t.equal(lines.length, 6)
  nowMs = 60_000
  tell('kafka.tls', fault)
  t.equal(lines.at(-1), 'no TLS with 192.0.2.1 on kafka.tls: timeout, TLS was not agreed on within 10 s, and 3 more before')
})

t.test('the end of a certificate is told from 30 days before on, once a day, and then each day as an error', async (t) => {
  const site = makeSite(t)
  const lines: string[] = []
  let nowMs = Date.now()
  const clock = { wallMs: () => nowMs }
  const doors = await TlsDoors.open(configOf(yamlOf(site)), { log: (level, words) => void lines.push(`${level} ${words}`), clock })
  t.teardown(() => doors.close())
  const look = async (day: number): Promise<string[]> => {
    nowMs = Date.now() + day * DAY_MS
    await doors.look({ isAsked: false })
    return lines.splice(0)
  }
  t.same(await look(334), [])
  t.match(await look(336), [
    /^warn mqtt\[0\]\.tls\.cert: CN=gateway expires in 28 days \(\d{4}-\d\d-\d\d\): then the gateway is trusted no more by clients .* a new file is taken without a restart/,
    /^warn mqtt\[0\]\.tls\.ca: CN=CA of plant expires in 28 days .* clients with a certificate of it are let in no more/,
    /^warn kafka\.tls\.cert: CN=gateway expires in 28 days/
  ])
  t.same(await look(336.9), [], 'the same day')
  t.equal((await look(337.1)).length, 3)
  nowMs = Date.now() + 336 * DAY_MS
  await doors.look({ isAsked: false })
  t.same(lines.splice(0).length, 3, 'the clock was ahead, and is right again')
  t.match(await look(364.5), [/expires today/, /expires today/, /expires today/])
  t.match(await look(400), [/^error mqtt\[0\]\.tls\.cert: CN=gateway expired on /, /^error mqtt\[0\]\.tls\.ca: .* expired/, /^error kafka/])
})

t.test('a gateway starts with an expired certificate, and says so', async (t) => {
  const site = makeSite(t)
  const lines: string[] = []
  const clock = { wallMs: () => Date.now() + 500 * DAY_MS }
  const doors = await TlsDoors.open(configOf(yamlOf(site)), { log: (level, words) => void lines.push(`${level} ${words}`), clock })
  doors.close()
  t.match(lines, [/^error mqtt\[0\]\.tls\.cert: CN=gateway expired on/, /^error/, /^error/])
  t.ok(doors.handshakesOf('kafka.tls'))
  t.equal(doors.handshakesOf('mqtt[1].tls'), undefined)
})

t.test('a certificate that is not for the address which Kafka clients are told', async (t) => {
  const site = makeSite(t)
  const found = await checkTlsFiles(configOf(yamlOf(site, { kafka: ', advertised: "gw.example:9093"' })), Date.now())
  t.match(found, [
    {
      path: 'kafka.tls.cert',
      severity: 'warning',
      message: 'is not for gw.example, which Kafka clients are told to connect to (kafka.advertised): they refuse it'
    }
  ])
  t.same(await checkTlsFiles(configOf(yamlOf(site)), Date.now()), [])
})

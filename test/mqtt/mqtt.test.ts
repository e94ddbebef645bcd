// Proves for adapters/mqtt: durable acknowledgement (nothing before the sync, order, refusal), refused packets close their sender
// and nobody else, local subscribers never hold up ingest, policies for what has no route. Raw sockets see the wire as it is;
// mqtt.js is the well-behaved neighbour.

import t from 'tap'
import { Listener } from '../../adapters/mqtt/listener.ts'
import { PublishIntake } from '../../adapters/mqtt/publish-intake.ts'
import type { GateReason } from '../../adapters/mqtt/reasons.ts'
import { diskFull, headersOf, textOf } from './controlled-store.ts'
import { connectPacket, disconnectPacket, packet, pingPacket, publishPacket, pubrelPacket, string, subscribePacket } from './packets.ts'
import { startGateway, turns } from './rig.ts'

const values = (records: readonly { value: Uint8Array | null }[]): string[] => records.map(({ value }) => textOf(value))

t.test('with a stalled disk no acknowledgement leaves; afterwards they leave in order', async (t) => {
  const { store, raw, ingest } = await startGateway(t)
  const client = await raw().connected()
  store.isHeld = true
  const publish = (packetId: number): Uint8Array =>
    publishPacket({ topic: 'd/x', payload: `${packetId}`, qos: packetId % 3 === 0 ? 2 : 1, packetId })
  client.send(...Array.from({ length: 20 }, (_, index) => publish(index + 1)))
  await turns(() => store.waitingCount === 20)
  t.equal(store.waitingCount, 20)
  await turns(undefined, 50)
  t.same(client.received, ['connack 0'], 'nothing was acknowledged')
  store.release()
  await client.until(() => client.received.length === 21)
  const ids = (name: string): number[] => client.received.filter((line) => line.startsWith(name)).map((line) => Number(line.split(' ')[1]))
  t.same(ids('puback'), [1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20])
  t.same(ids('pubrec'), [3, 6, 9, 12, 15, 18])
  t.same(
    values(store.recordsOf('events')),
    Array.from({ length: 20 }, (_, index) => `${index + 1}`)
  )
  t.match(ingest.metrics, { stored: 20, inFlightBytes: 0 })
})

t.test('an event that is dropped at once does not overtake the acknowledgements before it', async (t) => {
  const { store, raw } = await startGateway(t, { unmatched: { action: 'drop' } })
  const client = await raw().connected()
  store.isHeld = true
  client.send(
    publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }),
    publishPacket({ topic: 'nobody', qos: 1, packetId: 2 }),
    publishPacket({ topic: 'd/x', qos: 1, packetId: 3 })
  )
  await turns(() => store.waitingCount === 2)
  t.same(client.received, ['connack 0'])
  store.release()
  await client.saw('puback 3')
  t.same(client.received, ['connack 0', 'puback 1', 'puback 2', 'puback 3'])
})

t.test('when storage refuses, the connection closes without an acknowledgement and the next one works', async (t) => {
  const { store, raw, broker, events } = await startGateway(t)
  for (const qos of [1, 2]) {
    const client = await raw().connected({ clientId: `c${qos}`, clean: false })
    store.refusal = diskFull()
    client.send(publishPacket({ topic: 'd/x', payload: 'again', qos, packetId: 1 }), publishPacket({ topic: 'd/x', qos, packetId: 2 }))
    await client.closed()
    t.same(client.received, ['connack 0'])
    store.refusal = null
  }
  t.equal(broker.metrics.closed.get('storage'), 2)
  t.match(events[0], { kind: 'closed', reason: 'storage', clientId: 'c1', detail: /WADI_DISK_FULL/ })
  const again = await raw().connected({ clientId: 'c2', clean: false })
  again.send(publishPacket({ topic: 'd/x', payload: 'again', qos: 2, packetId: 1, dup: true }))
  await again.saw('pubrec 1')
  t.same(values(store.recordsOf('events')), ['again'])
  t.equal(broker.metrics.qos2Repeats, 0, 'a refused event is not remembered')
})

t.test('what is stored is acknowledged before a refused packet closes its connection; what came behind it is not taken', async (t) => {
  const { store, raw, broker } = await startGateway(t, { unmatched: { action: 'reject' } })
  for (const isHeld of [false, true]) {
    const client = await raw().connected({ clientId: `bridge-${isHeld}`, clean: false })
    const before = store.recordsOf('events').length
    store.isHeld = isHeld
    const publish = (packetId: number, topic = 'd/x'): Uint8Array =>
      publishPacket({ topic, payload: `${packetId}`, qos: packetId % 3 === 0 ? 2 : 1, packetId })
    client.send(
      ...[1, 2, 3, 4, 5, 6].map((packetId) => publish(packetId)),
      publish(7, 'nobody'),
      ...[8, 9].map((packetId) => publish(packetId))
    )
    if (isHeld) {
      await turns(() => store.waitingCount === 6)
      await turns(undefined, 50)
      t.same(client.received, ['connack 0'], 'it waits for the disk')
      store.release()
    }
    await client.closed()
    t.same([...client.received].sort(), ['connack 0', 'puback 1', 'puback 2', 'puback 4', 'puback 5', 'pubrec 3', 'pubrec 6'])
    t.same(values(store.recordsOf('events')).slice(before), ['1', '2', '3', '4', '5', '6'])
  }
  t.equal(broker.metrics.closed.get('unmatched'), 2)
})

t.test('a QoS 0 event that storage refuses is lost and counted, and reaches no subscriber', async (t) => {
  const { store, raw, broker } = await startGateway(t)
  const subscriber = await raw().connected({ clientId: 'sub' })
  subscriber.send(subscribePacket(1, 'd/#'))
  await subscriber.saw('suback 1')
  const client = await raw().connected()
  store.refusal = diskFull()
  client.send(publishPacket({ topic: 'd/lost' }))
  await turns(() => broker.metrics.qos0Lost === 1)
  store.refusal = null
  client.send(publishPacket({ topic: 'd/kept' }), pingPacket())
  await client.saw('pingresp')
  await subscriber.saw('publish d/kept')
  t.notOk(subscriber.received.includes('publish d/lost'))
  t.notOk(client.isClosed)
  t.equal(broker.metrics.qos0Lost, 1)
})

t.test('what may not be sent closes its sender with a named reason; a neighbour notices nothing', async (t) => {
  const { raw, client, store, broker, events } = await startGateway(t, { limits: { packetBytesMax: 2048 } })
  const neighbour = await client({ clientId: 'neighbour' })
  let hasNeighbourClosed = false
  neighbour.on('close', () => (hasNeighbourClosed = true))
  const faults: [GateReason, Uint8Array][] = [
    ['packet-too-large', publishPacket({ topic: 'd/x', payload: Buffer.alloc(2048), qos: 1 })],
    ['packet-too-large', Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])],
    ['packet-length', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])],
    ['packet-type', Buffer.from([0xf0, 0])],
    ['packet-type', packet(0x20, [0, 0])],
    ['packet-flags', Buffer.from([0x36])],
    ['topic-utf8', publishPacket({ topic: Buffer.from([0x64, 0x2f, 0xff]), qos: 1 })],
    ['topic-nul', publishPacket({ topic: 'd/\0', qos: 1 })],
    ['topic-control-character', publishPacket({ topic: 'd/\u0007', qos: 1 })],
    ['topic-empty', publishPacket({ topic: '', qos: 1 })],
    ['topic-wildcard', publishPacket({ topic: 'd/#', qos: 1 })],
    ['packet-id-zero', publishPacket({ topic: 'd/x', qos: 2, packetId: 0 })],
    ['second-connect', connectPacket()]
  ]
  for (const [index, [reason, bytes]] of faults.entries()) {
    const offender = await raw().connected({ clientId: `offender${index}` })
    offender.send(bytes)
    await offender.closed()
    t.same(offender.received, ['connack 0'], reason)
    t.match(events.at(-1), { kind: 'closed', reason, clientId: `offender${index}`, remoteAddress: /127\.0\.0\.1/ })
    await neighbour.publishAsync('d/good', `${index}`, { qos: 1 })
  }
  const early = raw()
  early.send(publishPacket({ topic: 'd/x' }))
  await early.closed()
  t.match(events.at(-1), { reason: 'connect-expected', clientId: null })
  t.notOk(hasNeighbourClosed)
  t.same(
    values(store.recordsOf('events')),
    faults.map((_, index) => `${index}`)
  )
  t.equal(broker.metrics.closed.get('packet-too-large'), 2)
})

t.test('topics under $, too many levels and broken packets close their sender', async (t) => {
  const { raw, events, store } = await startGateway(t)
  const cases: [string, Uint8Array][] = [
    ['topic-reserved', publishPacket({ topic: '$SYS/x', qos: 1 })],
    ['topic-reserved', publishPacket({ topic: '$share/g/t' })],
    ['topic-levels', publishPacket({ topic: 'd' + '/x'.repeat(101), qos: 1 })],
    ['packet-length', packet(0x82, [0, 1], [0, 9, 1])],
    ['unmatched', publishPacket({ topic: 'nobody', qos: 1 })],
    ['unmatched', publishPacket({ topic: 'nobody', qos: 0 })]
  ]
  for (const [reason, bytes] of cases) {
    const offender = await raw().connected()
    offender.send(bytes)
    await offender.closed()
    t.same(offender.received, ['connack 0'])
    t.equal(events.at(-1)?.reason, reason)
  }
  t.equal(store.commitCount, 0)
})

t.test('what is stored is acknowledged before a reserved topic closes its connection', async (t) => {
  const { raw, events, store } = await startGateway(t)
  const client = await raw().connected()
  store.isHeld = true
  client.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }), publishPacket({ topic: '$SYS/x', qos: 1, packetId: 2 }))
  await turns(() => store.waitingCount === 1)
  await turns(undefined, 50)
  store.release()
  await client.closed()
  t.same(client.received, ['connack 0', 'puback 1'])
  t.equal(events.at(-1)?.reason, 'topic-reserved')
})

t.test('canary: a refusal that is not put behind what waits takes its acknowledgement away', async (t) => {
  const { take } = PublishIntake.prototype
  PublishIntake.prototype.take = function (session, packet, done) {
    if (packet.topic.startsWith('$')) done(new Error('reserved'), 'lost')
    else take.call(this, session, packet, done)
  }
  t.teardown(() => {
    PublishIntake.prototype.take = take
  })
  const { raw, store } = await startGateway(t)
  const client = await raw().connected()
  store.isHeld = true
  client.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }), publishPacket({ topic: '$SYS/x', qos: 1, packetId: 2 }))
  await client.closed()
  t.same(client.received, ['connack 0'])
})

t.test('client ids that are no names are refused with CONNACK 2, words of Object.prototype are names', async (t) => {
  const { raw, events } = await startGateway(t)
  const refused = [
    connectPacket({ clientId: '', clean: false }),
    connectPacket({ clientId: 'a\nb' }),
    connectPacket({ clientId: 'x'.repeat(200) }),
    packet(0x10, string('MQTT'), [4, 2], [0, 0], string(Buffer.from([0x61, 0xff])))
  ]
  for (const bytes of refused) {
    const client = raw()
    client.send(bytes)
    await client.closed()
    t.same(client.received, ['connack 2'])
    t.equal(events.at(-1)?.reason, 'client-id')
  }
  for (const clientId of ['constructor', '__proto__', 'toString', 'hasOwnProperty', '']) {
    const client = await raw().connected({ clientId })
    client.send(publishPacket({ topic: 'd/x', qos: 2, packetId: 1 }))
    await client.saw('pubrec 1')
    client.destroy()
  }
})

t.test('a version that is not served is answered', async (t) => {
  const { raw, events } = await startGateway(t)
  const client = raw()
  client.send(packet(0x10, string('MQTT'), [6, 2], [0, 0], [0], string('v6')))
  await client.closed()
  t.same(client.received, ['connack 1'])
  t.match(events.at(-1), { reason: 'protocol-version', detail: 'protocol level 6 of MQTT' })
})

t.test('a CONNECT that does not come in time, and one connection too many, are closed', async (t) => {
  const { raw, events, broker } = await startGateway(t, { limits: { connectTimeoutMs: 50, connectionsMax: 2 } })
  const slow = raw()
  slow.send(connectPacket().subarray(0, 5))
  await slow.closed()
  t.equal(events.at(-1)?.reason, 'connect-timeout')
  await raw().connected({ clientId: '1' })
  await raw().connected({ clientId: '2' })
  const third = raw()
  await third.closed()
  t.equal(events.at(-1)?.reason, 'connections-full')
  t.equal(broker.metrics.connections, 2)
})

t.test('a client that sends everything in one go, CONNECT to DISCONNECT, is served', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = raw()
  const publishes = Array.from({ length: 200 }, (_, index) =>
    publishPacket({ topic: 'd/x', payload: `${index}`, qos: 1, packetId: index + 1 })
  )
  client.send(connectPacket(), ...publishes)
  await client.saw('puback 200')
  client.send(publishPacket({ topic: 'd/x', payload: 'last' }), disconnectPacket())
  await client.closed()
  await turns(() => store.recordsOf('events').length === 201)
  t.equal(store.recordsOf('events').length, 201, 'what stood before DISCONNECT is stored')
})

t.test('local subscribers get a message after its commit', async (t) => {
  const { raw, client, store } = await startGateway(t)
  const subscriber = await client({ clientId: 'sub' })
  const got: string[] = []
  subscriber.on('message', (topic, payload) => got.push(`${topic} ${payload.toString()}`))
  await subscriber.subscribeAsync(['d/+', 'd/#'], { qos: 1 })
  const publisher = await raw().connected()
  store.isHeld = true
  publisher.send(publishPacket({ topic: 'd/x', payload: 'early', qos: 1, packetId: 1 }))
  await turns(() => store.waitingCount === 1)
  await turns(undefined, 50)
  t.same(got, [])
  store.release()
  await turns(() => got.length > 0)
  t.same(new Set(got), new Set(['d/x early']))
  await subscriber.unsubscribeAsync(['d/+', 'd/#'])
  publisher.send(publishPacket({ topic: 'd/y', payload: 'late', qos: 1, packetId: 2 }))
  await publisher.saw('puback 2')
  await turns(undefined, 50)
  t.notOk(got.includes('d/y late'))
})

t.test('subscriptions to $ topics other than $SYS are refused', async (t) => {
  const { client } = await startGateway(t)
  const subscriber = await client({ clean: false, clientId: 'sub' })
  const granted: number[] = []
  for (const filter of ['$SYS', '$wadi/#', '$share/g/d/#', '$SYS/#', 'd/#']) {
    const result = await subscriber.subscribeAsync(filter, { qos: 1 }).catch(() => [])
    granted.push(result[0]?.qos ?? 128)
  }
  t.same(granted, [128, 128, 128, 1, 1])
})

for (const qos of [0, 1]) {
  t.test(`a frozen subscriber of QoS ${qos} does not hold up ingest; who does not read is closed`, async (t) => {
    const { raw, store, events, broker } = await startGateway(t, { limits: { drainTimeoutMs: 100, outboundBytesMax: 256 * 1024 } })
    const frozen = await raw().connected({ clientId: 'frozen' })
    frozen.send(subscribePacket(1, 'd/#', qos))
    await frozen.saw('suback 1')
    frozen.socket.pause()
    const publisher = await raw().connected({ clientId: 'pub' })
    const payload = Buffer.alloc(100_000)
    const count = 200
    for (let packetId = 1; packetId <= count; packetId++) {
      publisher.send(publishPacket({ topic: 'd/x', payload, qos: 1, packetId }))
      await publisher.saw(`puback ${packetId}`)
    }
    t.equal(store.recordsOf('events').length, count, 'all stored and acknowledged')
    t.ok(broker.metrics.deliveriesDropped > 0, 'what it did not take was dropped, not kept')
    if (qos === 1) return t.ok(broker.metrics.queuedBytes <= 256 * 1024, 'it is sent no more than it acknowledges')
    await turns(() => events.length > 0)
    t.match(events[0], { reason: 'drain-timeout', clientId: 'frozen' })
  })
}

t.test('a queue that is full, of this or of an absent session, closes no subscriber', async (t) => {
  const { raw, broker } = await startGateway(t, { limits: { queuedPlacesPerClientMax: 2, offlineBytesMax: 600 } })
  const absent = await raw().connected({ clientId: 'absent', clean: false })
  absent.send(subscribePacket(1, 'd/#', 2))
  await absent.saw('suback 1')
  absent.destroy()
  await turns(() => broker.metrics.connections === 0)
  const subscriber = await raw().connected({ clientId: 'sub', clean: false })
  subscriber.send(subscribePacket(1, 'd/#', 2))
  await subscriber.saw('suback 1')
  const publisher = await raw().connected({ clientId: 'pub' })
  for (let packetId = 1; packetId <= 6; packetId++) {
    publisher.send(publishPacket({ topic: `d/${packetId}`, payload: Buffer.alloc(50), qos: 1 + (packetId % 2), packetId }))
    await subscriber.saw(`publish d/${packetId}`)
  }
  t.ok(broker.metrics.offlineDropped > 0)
  for (let packetId = 1; packetId <= 9; packetId++) subscriber.send(packet(0x50, [0, packetId]))
  subscriber.send(pingPacket())
  await subscriber.saw('pingresp')
  t.notOk(subscriber.isClosed)
})

t.test('the will of a client that vanishes is an event', async (t) => {
  const { raw, store, events } = await startGateway(t)
  const client = await raw().connected({ clientId: 'w', will: { topic: 'd/will', payload: Buffer.from('gone') } })
  client.destroy()
  await turns(() => store.recordsOf('events').length === 1)
  const [will] = store.recordsOf('events')
  t.equal(textOf(will?.value), 'gone')
  t.match(will && headersOf(will), { 'mqtt.topic': 'd/will', 'mqtt.client': 'w' })
  const polite = await raw().connected({ clientId: 'p', will: { topic: 'd/will', payload: Buffer.from('no') } })
  polite.send(disconnectPacket())
  await polite.closed()
  for (const topic of ['$SYS/x', 'd/#', 'd/\n', '']) {
    const refused = raw()
    refused.send(connectPacket({ clientId: 'r', will: { topic, payload: Buffer.from('x') } }))
    await refused.closed()
    t.ok(['will', 'protocol'].includes(events.at(-1)?.reason ?? ''), `will topic ${JSON.stringify(topic)}`)
  }
  await turns(undefined, 50)
  t.equal(store.recordsOf('events').length, 1)
})

t.test('a bridge of Mosquitto says below $SYS how it is: that is acknowledged in its order, and nothing comes of it', async (t) => {
  const { raw, store, broker } = await startGateway(t)
  const state = { topic: '$SYS/broker/connection/host.plant/state', payload: Buffer.from('0') }
  for (const qos of [1, 2]) {
    const bridge = await raw().connected({ clientId: 'host.plant', clean: false, will: state })
    bridge.send(
      publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }),
      publishPacket({ ...state, payload: '1', qos, packetId: 2, retain: true }),
      publishPacket({ topic: 'd/x', qos: 1, packetId: 3 })
    )
    await bridge.saw('puback 3')
    t.same(bridge.received.slice(1), ['puback 1', qos === 1 ? 'puback 2' : 'pubrec 2', 'puback 3'])
    if (qos === 2) bridge.send(pubrelPacket(2))
    if (qos === 2) await bridge.saw('pubcomp 2')
    bridge.destroy()
    await turns(() => broker.metrics.clients === 0)
  }
  await turns(undefined, 50)
  t.equal(store.recordsOf('events').length, 4)
  const { wills, retained, qos2Remembered } = broker.metrics
  t.same({ wills, retained, qos2Remembered }, { wills: 0, retained: 0, qos2Remembered: 0 })
})

t.test('events that cannot be mapped are acknowledged as dead letters', async (t) => {
  const { client, store, ingest } = await startGateway(t)
  const device = await client({ clientId: 'dev' })
  await device.publishAsync('json/a', '{"broken', { qos: 1 })
  const [dead] = store.recordsOf('_wadi.dlq')
  t.equal(textOf(dead?.value), '{"broken')
  t.match(dead && headersOf(dead), { 'wadi.error': /^payload-undecodable: /, 'mqtt.topic': 'json/a', 'mqtt.client': 'dev' })
  t.equal(ingest.metrics.deadLettered.get('payload-undecodable'), 1)
})

t.test('an event without a route can be stored to a topic', async (t) => {
  const { client, store } = await startGateway(t, { unmatched: { topic: 'misc' } })
  await store.createTopic('misc')
  const device = await client()
  await device.publishAsync('nobody', 'x', { qos: 1 })
  t.same(values(store.recordsOf('misc')), ['x'])
})

t.test('retained messages reach later subscribers and are bounded', async (t) => {
  const { client, broker } = await startGateway(t, { limits: { retainedCountMax: 2 } })
  const device = await client()
  for (const name of ['a', 'b', 'c']) await device.publishAsync(`d/${name}`, name, { qos: 1, retain: true })
  const got: string[] = []
  device.on('message', (topic) => got.push(topic))
  await device.subscribeAsync('d/#')
  await turns(() => got.length === 2)
  await turns(undefined, 50)
  t.same(got.sort(), ['d/a', 'd/b'])
  t.equal(broker.metrics.retainedRefused, 1)
})

t.test('an overloaded disk stops reading, and what was sent meanwhile is stored afterwards', async (t) => {
  const { raw, store, ingest } = await startGateway(t, { ingestLimits: { inFlightBytesMax: 400_000 } })
  store.isHeld = true
  const count = 500
  const bytes = Buffer.concat(
    Array.from({ length: count }, (_, index) => publishPacket({ topic: 'd/x', payload: Buffer.alloc(1000), qos: 1, packetId: index + 1 }))
  )
  const clients = await Promise.all(Array.from({ length: 12 }, (_, index) => raw().connected({ clientId: `c${index}` })))
  for (const client of clients) client.send(bytes)
  await turns(() => ingest.isOverloaded)
  await turns(undefined, 100)
  t.ok(ingest.isOverloaded)
  t.ok(ingest.metrics.inFlightBytes <= 400_000, `${ingest.metrics.inFlightBytes} bytes in flight`)
  store.release()
  for (const client of clients) await client.saw(`puback ${count}`)
  t.notOk(clients.some(({ isClosed }) => isClosed))
  t.equal(store.recordsOf('events').length, count * clients.length)
  t.equal(ingest.metrics.rejected.size, 0)
})

t.test('close lets what is in flight be acknowledged and ends every connection', async (t) => {
  const { raw, store, broker } = await startGateway(t)
  const client = await raw().connected()
  store.isHeld = true
  client.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }))
  await turns(() => store.waitingCount === 1)
  const closing = broker.close()
  await turns(undefined, 30)
  store.release()
  await client.closed()
  await closing
  t.same(client.received, ['connack 0', 'puback 1'])
  t.same(broker.addresses, [])
})

t.test('an address that is taken is an error of bind, and leaves nothing behind', async (t) => {
  const first = await startGateway(t)
  await t.rejects(new Listener({ port: first.port }).bind(), { code: 'EADDRINUSE' })
})

t.test('between bind and open a listener holds what connects, unread and capped, and hands it over', async (t) => {
  const { broker, raw } = await startGateway(t)
  const listener = new Listener({ port: 0, limits: { connectionsMax: 2 } })
  await listener.bind()
  const { port = 0 } = listener.address ?? {}
  const early = [raw(port), raw(port)]
  for (const [index, client] of early.entries()) client.send(connectPacket({ clientId: `early${index}` }))
  await turns(() => listener.sockets.size === 2)
  await raw(port).closed()
  await turns(undefined, 30)
  t.same(
    early.map(({ received }) => received),
    [[], []],
    'nothing is answered before it is open'
  )
  broker.addListener(listener)
  for (const client of early) await client.saw('connack 0')
})

t.test('$SYS tells what the broker counts, retained, to those that ask for it by name', async (t) => {
  const { client, raw } = await startGateway(t)
  const everything = await raw().connected({ clientId: 'all' })
  everything.send(subscribePacket(1, '#'))
  await everything.saw('suback 1')
  const reader = await client({ clientId: 'dashboard' })
  const got = new Map<string, { value: string; retain: boolean }>()
  reader.on('message', (topic, payload, { retain }) => got.set(topic, { value: payload.toString(), retain }))
  await reader.publishAsync('d/x', 'x', { qos: 1, retain: true })
  await reader.subscribeAsync('$SYS/#')
  await turns(() => got.has('$SYS/broker/version'))
  const valueAt = (name: string): string | undefined => got.get(`$SYS/broker/${name}`)?.value
  t.same(
    ['clients/connected', 'clients/total', 'subscriptions/count', 'retained messages/count', 'publish/messages/received'].map(valueAt),
    ['2', '2', '2', '1', '1']
  )
  t.match(valueAt('uptime'), /^[0-9]+ seconds$/)
  t.ok([...got.values()].every(({ retain }) => retain))
  got.clear()
  await reader.subscribeAsync('$SYS/broker/+')
  await turns(() => got.size === 2)
  await turns(undefined, 30)
  t.same([...got.keys()].sort(), ['$SYS/broker/uptime', '$SYS/broker/version'])
  t.notOk(everything.received.some((line) => line.includes('$SYS')))
})

t.test('packets that never end take no more memory together than is allowed; who ends his has room', async (t) => {
  const { raw, events, broker, store } = await startGateway(t, { limits: { unfinishedBytesMax: 90_000 } })
  const begin = publishPacket({ topic: 'd/x', payload: Buffer.alloc(60_000), qos: 1, packetId: 1 })
  const first = await raw().connected({ clientId: 'first' })
  first.send(begin.subarray(0, 50_000))
  const second = await raw().connected({ clientId: 'second' })
  second.send(begin.subarray(0, 50_000))
  await second.closed()
  t.match(events.at(-1), { reason: 'busy', clientId: 'second' })
  first.send(begin.subarray(50_000))
  await first.saw('puback 1')
  first.send(begin.subarray(0, 50_000))
  first.destroy()
  await turns(() => broker.metrics.connections === 0)
  const third = await raw().connected({ clientId: 'third' })
  third.send(begin.subarray(0, 50_000))
  await turns(undefined, 30)
  third.send(begin.subarray(50_000))
  await third.saw('puback 1')
  t.equal(store.recordsOf('events').length, 2)
})

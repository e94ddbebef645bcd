// What MQTT 5 alone says of CONNECT and CONNACK: properties, limits of the client, session expiry, AUTH.

import assert from 'node:assert/strict'
import { type Packet, propOf, propsOf } from './decode.ts'
import { auth, connect, frame, join, prop, publish, subscribe, text, u16, type Version } from './encode.ts'
import { durable, FORBIDDEN, openRig } from './gateway.ts'
import { sleep } from './raw-client.ts'
import { runStatements, v5 } from './statements.ts'

const rig = await openRig()

v5('3.1.2-24', 'no packet is larger than the client takes', async (version) => {
  const topic = rig.topic()
  const limit = 200
  const client = await rig.subscriber(version, topic, 2, { props: [prop(39, limit)] })
  const publisher = await rig.connect(version)
  for (const qos of [0, 1, 2]) await publisher.publish({ topic, payload: Buffer.alloc(limit), qos })
  const exact = limit - publish(version, { topic, qos: 1 }).length - 1 // the length takes a second byte
  await publisher.publish({ topic, payload: Buffer.alloc(exact, 1), qos: 1 })
  assert.equal((await client.receive()).bytes.length, limit)
  assert.ok(client.received.every(({ bytes }) => bytes.length <= limit))
})

v5('3.1.2-24', 'not even CONNACK', async (version) => {
  const client = rig.open(version)
  client.send(connect(version, { clientId: rig.clientId(), props: [prop(39, 10)] }))
  await sleep(150)
  assert.ok(
    client.received.every(({ bytes }) => bytes.length <= 10),
    client.story
  )
})

v5('3.1.2-25', 'what is too large is dropped as if it had been delivered', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 2, { props: [prop(39, 100), prop(33, 1)] })
  const publisher = await rig.connect(version)
  for (const qos of [1, 2, 1, 2]) await publisher.publish({ topic, payload: Buffer.alloc(200), qos })
  for (const payload of ['a', 'b']) await publisher.publish({ topic, payload, qos: 1 })
  assert.equal((await client.receive()).text, 'a')
  assert.equal((await client.receive()).text, 'b')
})

v5('3.1.2-26', 'no alias is larger than the client takes', async (version) => {
  const topics = [rig.topic(), rig.topic(), rig.topic()]
  const client = await rig.connect(version, { props: [prop(34, 1)] })
  await client.subscribe(topics.map((topic) => [topic, 0]))
  const publisher = await rig.connect(version)
  for (const topic of [...topics, ...topics]) await publisher.publish({ topic, payload: topic })
  for (let index = 0; index < 6; index++) {
    const alias = propOf(await client.receive(), 35)
    assert.ok(alias === undefined || alias === 1, `alias ${alias}`)
  }
})

v5('3.1.2-27', 'a client that takes no aliases is sent none', async (version) => {
  const topic = rig.topic()
  for (const props of [[], [prop(34, 0)]]) {
    const client = await rig.subscriber(version, topic, 0, { props })
    const publisher = await rig.connect(version)
    for (let index = 0; index < 3; index++) await publisher.publish({ topic, props: [prop(35, 1)] })
    for (let index = 0; index < 3; index++) {
      const packet = await client.receive()
      assert.equal(packet.topic, topic)
      assert.equal(propOf(packet, 35), undefined)
    }
  }
})

v5('3.1.2-28', 'response information is not sent unasked', async (version) => {
  for (const props of [[], [prop(25, 0)]]) {
    const connack = await rig.open(version).connect({ clientId: rig.clientId(), props })
    assert.equal(connack.code, 0)
    assert.equal(propOf(connack, 26), undefined)
  }
})

v5('3.1.2-29', 'without problem information no reason string and no user property but in PUBLISH, CONNACK, DISCONNECT', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version, { props: [prop(23, 0)] })
  await client.subscribe(`${FORBIDDEN}/x`)
  await client.publish({ topic: `${FORBIDDEN}/x`, qos: 1 })
  await client.publish({ topic: `${FORBIDDEN}/x`, qos: 2 })
  await client.unsubscribe('t/nothing')
  client.send(join(0x62, 2, u16(4_711)))
  await client.next('pubcomp')
  for (const packet of client.received) {
    if (packet.kind !== 'connack') assert.deepEqual(propsOf(packet, 31).concat(propsOf(packet, 38)), [], packet.kind)
  }
  await client.subscribe(topic)
  await client.publish({ topic, props: [prop(38, ['k', 'v'])] })
  assert.deepEqual(propOf(await client.receive(), 38), ['k', 'v'], 'of a PUBLISH they stay')
})

v5('3.1.3-7', 'an assigned client id is told, and is the id of the session', async (version) => {
  const topic = rig.topic()
  const first = rig.open(version)
  const connack = await first.connect({ clientId: '', clean: false, props: [prop(17, 60)] })
  const assigned = propOf(connack, 18)
  assert.ok(typeof assigned === 'string' && assigned !== '', first.story)
  await first.subscribe(topic, 1)
  await first.leave()
  await (await rig.connect(version)).publish({ topic, payload: 'kept', qos: 1 })
  const second = rig.open(version)
  assert.equal((await second.connect(durable(version, assigned as string))).sessionPresent, true)
  assert.equal((await second.receive()).text, 'kept')
})

v5('3.2.2-16', 'every assigned client id is another one', async (version) => {
  const connacks = await Promise.all(Array.from({ length: 20 }, () => rig.open(version).connect({ clientId: '' })))
  const ids = connacks.map((connack) => propOf(connack, 18))
  assert.ok(ids.every((id) => typeof id === 'string' && id.length > 0))
  assert.equal(new Set(ids).size, 20)
})

v5('3.1.4-2', 'a client that is not let in is closed, after a CONNACK that says so', async (version) => {
  const client = rig.open(version)
  const connack = await client.connectRefused(connect(version, { user: 'user', password: 'wrong' }), 0x86, 0x87)
  assert.ok(connack)
})

v5('3.1.4-2', 'a password without a user name is allowed', async (version) => {
  await (await rig.connect(version, { password: 'right' })).ping()
})

v5('3.2.0-2', 'one CONNACK on a connection', async (version) => {
  const client = await rig.connect(version)
  await client.ping()
  client.send(connect(version, { clientId: client.clientId }))
  await client.closed()
  assert.equal(client.received.filter(({ kind }) => kind === 'connack').length, 1)
})

v5('3.2.2-1', 'reserved bits of the acknowledge flags are zero', async (version) => {
  const clientId = rig.clientId()
  for (const flags of [0, 1, 1]) {
    const client = rig.open(version)
    assert.equal((await client.connect(durable(version, clientId))).bytes[2], flags)
    await client.leave()
  }
})

v5('3.2.2-8', 'CONNACK has a reason code of its list', async (version) => {
  const refusals = [
    connect(version, { clientId: 'x'.repeat(3_000) }),
    connect(version, { user: 'user', password: 'wrong' }),
    connect(version, { props: [prop(21, 'SCRAM-SHA-1')] }),
    connect(version, { flags: 3 }),
    connect(version, { props: [prop(17, 1), prop(17, 1)] })
  ]
  for (const bytes of refusals) await rig.open(version).connectRefused(bytes) // decode.ts knows the list
})

const announced = async (version: Version): Promise<Packet> => await rig.open(version).connect({ clientId: rig.clientId() })

v5('3.2.2-9', 'QoS 1 and 2 are supported, no maximum is announced', async (version) => {
  assert.equal(propOf(await announced(version), 36), undefined)
  const client = await rig.connect(version)
  assert.equal((await client.publish({ topic: rig.topic(), qos: 1 }))?.kind, 'puback')
  assert.equal((await client.publish({ topic: rig.topic(), qos: 2 }))?.kind, 'pubcomp')
})

v5('3.2.2-10', 'SUBSCRIBE of every QoS is accepted', async (version) => {
  const client = await rig.connect(version)
  for (const qos of [0, 1, 2]) assert.deepEqual((await client.subscribe(rig.topic(), qos)).codes, [qos])
})

v5(
  '3.2.2-17',
  'the server announces 16 aliases, a receive maximum and its largest packet, and no shared subscriptions',
  async (version) => {
    const connack = await announced(version)
    assert.equal(propOf(connack, 34), 16)
    assert.equal(propOf(connack, 39), 512 * 1024)
    assert.equal(propOf(connack, 42), 0)
    assert.ok((propOf(connack, 33) as number) >= 1, 'receive maximum')
    for (const id of [36, 37, 40, 41]) assert.notEqual(propOf(connack, id), 0, `property ${id} says that something is missing`)
  }
)

v5('3.2.2-15', 'a packet that is larger than the server announces is refused with 0x95', async (version) => {
  const client = await rig.connect(version)
  client.send(publish(version, { topic: rig.topic(), payload: Buffer.alloc(512 * 1024), qos: 1 }))
  await client.refused(0x95)
})

v5('3.2.2-15', 'a packet of exactly that size is taken, and handed on', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 1)
  const client = await rig.connect(version)
  const overhead = publish(version, { topic, payload: Buffer.alloc(20_000), qos: 1 }).length - 20_000
  const payload = Buffer.alloc(512 * 1024 - overhead, 7)
  assert.equal((await client.publish({ topic, payload, qos: 1 }))?.code, 0)
  assert.deepEqual((await subscriber.receive()).payload, payload)
})

v5('3.1.2-23', 'with clean start and an expiry the new session is stored', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await (await rig.subscriber(version, topic, 1, { clientId, clean: true, props: [prop(17, 600)] })).vanish()
  await (await rig.connect(version)).publish({ topic, payload: 'kept', qos: 1 })
  const second = await rig.connect(version, durable(version, clientId))
  assert.equal((await second.receive()).text, 'kept')
})

v5('4.1.0-2', 'the expiry of the last CONNECT counts', async (version) => {
  const clientId = rig.clientId()
  await (await rig.connect(version, durable(version, clientId))).leave()
  await (await rig.connect(version, { clientId, clean: false })).leave()
  assert.equal((await rig.open(version).connect({ clientId, clean: false })).sessionPresent, false)
})

v5('3.2.2-19', 'a reason string does not make CONNACK larger than the client takes', async (version) => {
  for (const props of [[prop(39, 10)], [prop(39, 40)]]) {
    const limit = props[0]?.readUInt32BE(1) as number
    const connack = await rig.open(version).connectRefused(connect(version, { user: 'user', password: 'wrong', props }))
    if (connack) assert.ok(connack.bytes.length <= limit, `${connack.bytes.length} > ${limit}`)
  }
})

v5('3.2.2-20', 'user properties do not make CONNACK larger than the client takes', async (version) => {
  const client = rig.open(version)
  const connack = await client.connect({ clientId: rig.clientId(), props: [prop(39, 64)] })
  assert.equal(connack.code, 0)
  assert.ok(connack.bytes.length <= 64)
})

v5('3.2.2-22', 'without a server keep alive that of the client counts', async (version) => {
  const client = rig.open(version)
  const connack = await client.connect({ clientId: rig.clientId(), keepAlive: 1 })
  const keepAlive = (propOf(connack, 19) as number | undefined) ?? 1
  const startMs = Date.now()
  await client.closed('the end of the keep alive')
  const tookMs = Date.now() - startMs
  assert.ok(tookMs >= keepAlive * 1_000 && tookMs <= keepAlive * 3_500, `${tookMs} ms`)
})

v5('4.1.0-2', 'a session ends when its expiry has passed', async (version) => {
  const clientId = rig.clientId()
  await (await rig.connect(version, { clientId, clean: false, props: [prop(17, 1)] })).vanish()
  assert.equal((await rig.open(version).connect({ clientId, clean: false, props: [prop(17, 1)] })).sessionPresent, true)
  const second = await rig.connect(version, { clientId, clean: false, props: [prop(17, 1)] })
  await second.leave()
  await sleep(1_500)
  assert.equal((await rig.open(version).connect({ clientId, clean: false })).sessionPresent, false)
})

v5('4.1.0-2', 'without an expiry the session ends with the connection', async (version) => {
  const clientId = rig.clientId()
  await (await rig.subscriber(version, rig.topic(), 1, { clientId, clean: false })).leave()
  assert.equal((await rig.open(version).connect({ clientId, clean: false })).sessionPresent, false)
})

v5('4.1.0-2', 'DISCONNECT may prolong the expiry', async (version) => {
  const clientId = rig.clientId()
  await (await rig.connect(version, { clientId, clean: false, props: [prop(17, 1)] })).leave(0, [prop(17, 600)])
  await sleep(2_800)
  assert.equal((await rig.open(version).connect({ clientId, clean: false })).sessionPresent, true)
})

v5('4.1.0-2', 'DISCONNECT may change the expiry', async (version) => {
  const clientId = rig.clientId()
  await (await rig.connect(version, durable(version, clientId))).leave(0, [prop(17, 0)])
  const second = rig.open(version)
  assert.equal((await second.connect(durable(version, clientId))).sessionPresent, false)
})

v5('4.1.0-1', 'the session lasts as long as the connection, whatever its expiry', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 1, { props: [prop(17, 1)] })
  await sleep(1_300)
  await (await rig.connect(version)).publish({ topic, payload: 'there', qos: 1 })
  assert.equal((await client.receive()).text, 'there')
})

v5('4.12.0-1', 'an authentication method is refused with 0x8C and closed', async (version) => {
  const client = rig.open(version)
  const connack = await client.connectRefused(connect(version, { props: [prop(21, 'SCRAM-SHA-256'), prop(22, Buffer.from([1]))] }))
  assert.equal(connack?.code, 0x8c)
})

v5('4.12.0-6', 'without a method there is no AUTH and no method in CONNACK', async (version) => {
  const client = rig.open(version)
  const connack = await client.connect({ clientId: rig.clientId(), user: 'user', password: 'right' })
  assert.equal(propOf(connack, 21), undefined)
  await client.ping()
  assert.ok(!client.received.some(({ kind }) => kind === 'auth'))
})

v5('4.12.0-7', 'AUTH from a client that named no method closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(auth(0x19, [prop(21, 'x')])).refused(0x82, 0x8c)
})

v5('3.15.1-1', 'AUTH with flags that are not zero closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(Buffer.from([0xf1, 0])).refused(0x81, 0x82)
})

v5('3.1.4-6', 'AUTH before CONNECT closes the connection', async (version) => {
  const client = rig.open(version)
  await client.send(auth(0x18, [prop(21, 'x')])).closed()
  assert.deepEqual(client.received, [])
})

const badProperties = (): Buffer[][] => [
  [prop(17, 1), prop(17, 1)],
  [prop(33, 10), prop(33, 10)],
  [prop(33, 0)],
  [prop(39, 0)],
  [prop(23, 2)],
  [prop(25, 2)],
  [prop(22, Buffer.from([1]))], // data without a method
  [prop(11, 1)],
  [prop(35, 1)],
  [prop(24, 1)],
  [Buffer.from([0x7f, 0])],
  [Buffer.from([17, 0, 0])]
]

v5('3.1.4-1', 'properties that CONNECT may not have, twice, or with values that do not exist, are refused', async (version) => {
  for (const props of badProperties()) await rig.open(version).connectRefused(connect(version, { props }), 0x81, 0x82)
})

v5('3.1.4-1', 'a length of properties beyond the packet is refused', async (version) => {
  const bytes = frame(0x10, text('MQTT'), 5, 2, u16(0), [0x40], text('raw'))
  await rig.open(version).connectRefused(bytes, 0x81, 0x82)
})

v5('3.14.0-1', 'no DISCONNECT before a CONNACK that accepts', async (version) => {
  for (const bytes of [connect(version, { flags: 3 }), subscribe(version, 1, [['t/x', 0]]), connect(version, { props: [prop(33, 0)] })]) {
    const client = rig.open(version)
    await client.send(bytes).closed()
    assert.ok(!client.received.some(({ kind }) => kind === 'disconnect'), client.story)
  }
})

runStatements('connect-5')

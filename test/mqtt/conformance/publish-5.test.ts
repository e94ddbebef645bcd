// What MQTT 5 alone says of PUBLISH and its acknowledgements: properties, aliases, expiry, subscription ids, reason codes.

import assert from 'node:assert/strict'
import { propOf, propsOf } from './decode.ts'
import { ack, join, prop, publish, subscribe, text, type Version } from './encode.ts'
import { durable, FORBIDDEN, openRig, type Rig, smallestLimit } from './gateway.ts'
import { sleep } from './raw-client.ts'
import { runStatements, v5 } from './statements.ts'

const rig: Rig = await openRig()

/** What a subscriber gets of a PUBLISH with these properties; live, and from what is retained. */
async function carried(version: Version, props: readonly Uint8Array[], id: number): Promise<unknown[]> {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 1)
  await (await rig.connect(version)).publish({ topic, payload: 'x', qos: 1, retain: true, props })
  const live = await subscriber.receive()
  const later = await (await rig.subscriber(version, topic, 1)).receive()
  return [propsOf(live, id), propsOf(later, id)]
}

v5('3.3.2-4', 'the payload format is handed on as it came', async (version) => {
  for (const value of [0, 1]) assert.deepEqual(await carried(version, [prop(1, value)], 1), [[value], [value]])
  assert.deepEqual(await carried(version, [], 1), [[], []])
})

v5('3.3.2-5', 'a message that expired before its delivery began is not delivered', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await (await rig.subscriber(version, topic, 1, durable(version, clientId))).leave()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'short', qos: 1, props: [prop(2, 1)] })
  await publisher.publish({ topic, payload: 'long', qos: 1, props: [prop(2, 100)] })
  await publisher.publish({ topic: `${topic}/r`, payload: 'retained', qos: 1, retain: true, props: [prop(2, 1)] })
  await sleep(1_600)
  const second = await rig.connect(version, durable(version, clientId))
  assert.equal((await second.receive()).text, 'long')
  await second.subscribe(`${topic}/r`)
  await second.quiet()
})

v5('3.3.2-5', 'also when it expired because the client has its hands full', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 1, { props: [prop(33, 1)] })
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'first', qos: 1 })
  const first = await subscriber.next('publish')
  await publisher.publish({ topic, payload: 'short', qos: 1, props: [prop(2, 1)] })
  await publisher.publish({ topic, payload: 'long', qos: 1, props: [prop(2, 100)] })
  await sleep(1_600)
  await subscriber.acknowledge(first)
  assert.equal((await subscriber.receive()).text, 'long')
})

v5('3.3.2-6', 'the expiry of a delivery is what is left of it', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const live = await rig.subscriber(version, topic, 1)
  await (await rig.subscriber(version, topic, 1, durable(version, clientId))).leave()
  await (await rig.connect(version)).publish({ topic, payload: 'x', qos: 1, props: [prop(2, 100)] })
  const now = propOf(await live.receive(), 2) as number
  assert.ok(now === 100 || now === 99, `${now}`)
  await sleep(2_100)
  const left = propOf(await (await rig.connect(version, durable(version, clientId))).receive(), 2) as number
  assert.ok(left >= 96 && left <= 98, `${left}`)
})

v5('3.3.2-6', 'the expiry of a retained message is what is left of it', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'x', qos: 1, retain: true, props: [prop(2, 100)] })
  await sleep(1_100)
  const left = propOf(await (await rig.subscriber(version, topic)).receive(), 2) as number
  assert.ok(left >= 97 && left <= 99, `${left}`)
})

v5('3.3.2-7', 'aliases end with the connection', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.connect(version, durable(version, clientId))
  await first.publish({ topic, qos: 1, props: [prop(35, 3)] })
  await first.publish({ topic: '', qos: 1, props: [prop(35, 3)] })
  await first.leave()
  const second = await rig.connect(version, durable(version, clientId))
  await second.send(publish(version, { topic: '', qos: 1, props: [prop(35, 3)] })).refused(0x82, 0x94)
})

v5('3.3.2-8', 'alias 0 closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(publish(version, { topic: rig.topic(), props: [prop(35, 0)] })).refused(0x94, 0x82)
})

v5('3.3.2-9', 'an alias beyond what the server announced closes the connection', async (version) => {
  for (const alias of [17, 0xffff]) {
    const client = await rig.connect(version)
    await client.send(publish(version, { topic: rig.topic(), props: [prop(35, alias)] })).refused(0x94)
  }
})

v5('3.3.2-11', 'a delivery has no alias beyond what the client takes', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.connect(version, { props: [prop(34, 2)] })
  await subscriber.subscribe(`${topic}/#`)
  const publisher = await rig.connect(version)
  for (let index = 0; index < 5; index++) await publisher.publish({ topic: `${topic}/${index}`, props: [prop(35, 9)] })
  for (let index = 0; index < 5; index++) {
    const alias = propOf(await subscriber.receive(), 35) as number | undefined
    assert.ok(alias === undefined || alias <= 2, `${alias}`)
  }
})

v5('3.3.2-12', 'aliases from 1 to what the server announced are taken, and may be given anew', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, `${topic}/#`)
  const publisher = await rig.connect(version)
  for (let alias = 1; alias <= 16; alias++) await publisher.publish({ topic: `${topic}/${alias}`, qos: 1, props: [prop(35, alias)] })
  for (let alias = 1; alias <= 16; alias++) await publisher.publish({ topic: '', qos: 1, props: [prop(35, alias)] })
  await publisher.publish({ topic: `${topic}/new`, qos: 1, props: [prop(35, 16)] })
  await publisher.publish({ topic: '', qos: 1, props: [prop(35, 16)] })
  const topics: string[] = []
  for (let index = 0; index < 34; index++) topics.push((await subscriber.receive()).topic.slice(topic.length + 1))
  const numbers = Array.from({ length: 16 }, (_, index) => `${index + 1}`)
  assert.deepEqual(topics, [...numbers, ...numbers, 'new', 'new'])
})

v5('3.3.2-12', 'an alias stands for its topic in retained messages and in every QoS', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'a', qos: 0, props: [prop(35, 1)] })
  await publisher.publish({ topic: '', payload: 'b', qos: 2, retain: true, props: [prop(35, 1)] })
  const packet = await (await rig.subscriber(version, topic, 2)).receive()
  assert.deepEqual([packet.topic, packet.text, packet.qos], [topic, 'b', 2])
})

v5('3.3.2-13', 'a response topic that is not UTF-8 closes the connection', async (version) => {
  for (const bytes of [[0xff], [0x61, 0], [0xed, 0xa0, 0x80]]) {
    const client = await rig.connect(version)
    await client.send(publish(version, { topic: rig.topic(), props: [prop(8, Buffer.from(bytes))] })).refused(0x81, 0x82, 0x90)
  }
})

v5('3.3.2-14', 'a response topic with a wildcard closes the connection', async (version) => {
  for (const reply of ['a/#', '+/a']) {
    const client = await rig.connect(version)
    await client.send(publish(version, { topic: rig.topic(), props: [prop(8, reply)] })).refused(0x81, 0x82, 0x90)
  }
})

v5('3.3.2-15', 'the response topic is handed on as it came', async (version) => {
  assert.deepEqual(await carried(version, [prop(8, 'reply/ä')], 8), [['reply/ä'], ['reply/ä']])
})

v5('3.3.2-16', 'correlation data is handed on as it came', async (version) => {
  const data = Buffer.from([0, 0xff, 1])
  assert.deepEqual(await carried(version, [prop(9, data)], 9), [[data], [data]])
})

const PAIRS = [
  ['b', '1'],
  ['a', '2'],
  ['b', '1'],
  ['', ''],
  ['b', '3']
] as const

v5('3.3.2-17', 'user properties are handed on as they came', async (version) => {
  const pairs = [
    ['name', 'wert ä'],
    ['__proto__', 'x']
  ] as const
  const expected = pairs.map((pair) => [...pair])
  const props = pairs.map((pair) => prop(38, pair))
  assert.deepEqual(await carried(version, props, 38), [expected, expected])
})

v5('3.3.2-18', 'user properties keep their order, also across names', async (version) => {
  const props = PAIRS.map((pair) => prop(38, pair))
  const expected = PAIRS.map((pair) => [...pair])
  assert.deepEqual(await carried(version, props, 38), [expected, expected])
})

v5('3.3.2-19', 'a content type that is not UTF-8 closes the connection', async (version) => {
  for (const bytes of [[0xff], [0x61, 0]]) {
    const client = await rig.connect(version)
    await client.send(publish(version, { topic: rig.topic(), props: [prop(3, Buffer.from(bytes))] })).refused(0x81, 0x82)
  }
})

v5('3.3.2-20', 'the content type is handed on as it came', async (version) => {
  assert.deepEqual(await carried(version, [prop(3, 'text/plain; ä')], 3), [['text/plain; ä'], ['text/plain; ä']])
})

/** Subscriptions of one client, each with its id, and what of them a message has. */
async function idsOf(version: Version, topic: string, filters: readonly (readonly [string, number | null])[]): Promise<unknown[]> {
  const subscriber = await rig.connect(version)
  for (const [filter, id] of filters) await subscriber.subscribe(filter, 1, id === null ? [] : [prop(11, id)])
  await (await rig.connect(version)).publish({ topic, qos: 1 })
  await sleep(100)
  const packets = subscriber.received.filter(({ kind }) => kind === 'publish')
  return packets.flatMap((packet) => propsOf(packet, 11)).sort((a, b) => Number(a) - Number(b))
}

v5('3.3.4-3', 'a message has the id of the subscription that brings it', async (version) => {
  const topic = rig.topic()
  assert.deepEqual(await idsOf(version, topic, [[topic, 7]]), [7])
  assert.deepEqual(await idsOf(version, topic, [[topic, 268_435_455]]), [268_435_455])
  assert.deepEqual(await idsOf(version, topic, [[topic, null]]), [])
})

v5('3.3.4-3', 'retained and queued messages have the ids as well', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'kept', qos: 1, retain: true })
  const first = await rig.connect(version, durable(version, clientId))
  await first.subscribe(topic, 1, [prop(11, 21)])
  assert.deepEqual(propsOf(await first.receive(), 11), [21])
  await first.leave()
  await publisher.publish({ topic, payload: 'queued', qos: 1 })
  const second = await rig.connect(version, durable(version, clientId))
  assert.deepEqual(propsOf(await second.receive(), 11), [21])
})

v5('3.3.4-4', 'a message has the ids of all subscriptions that match', async (version) => {
  const topic = rig.topic()
  const filters: [string, number | null][] = [
    [topic, 1],
    [`${topic}/#`, 200],
    [`+${topic.slice(1)}`, null],
    ['t/nothing', 9]
  ]
  assert.deepEqual(await idsOf(version, topic, filters), [1, 200])
})

v5('3.3.4-5', 'of several copies each has the id of its subscription', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.connect(version)
  await subscriber.subscribe(topic, 1, [prop(11, 1)])
  await subscriber.subscribe(`${topic}/#`, 1, [prop(11, 2)])
  await (await rig.connect(version)).publish({ topic, qos: 1 })
  await sleep(100)
  const copies = subscriber.received.filter(({ kind }) => kind === 'publish').map((packet) => propsOf(packet, 11))
  assert.ok(copies.length === 1 || copies.length === 2, `${copies.length} copies`)
  assert.deepEqual(copies.flat().sort(), [1, 2])
})

v5('3.3.4-6', 'a subscription id in a PUBLISH of a client closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(publish(version, { topic: rig.topic(), props: [prop(11, 1)] })).refused(0x81, 0x82)
})

v5('3.4.2-1', 'PUBACK has a reason code of its list, and the connection stays', async (version) => {
  const client = await rig.connect(version)
  const refused = await client.publish({ topic: `${FORBIDDEN}/x`, qos: 1 })
  assert.equal(refused?.code, 0x87)
  const accepted = await client.publish({ topic: rig.topic(), qos: 1 })
  assert.ok(accepted?.code === 0 || accepted?.code === 0x10, `${accepted?.code}`)
})

v5('3.5.2-1', 'PUBREC has a reason code of its list, and the connection stays', async (version) => {
  const client = await rig.connect(version)
  const refused = await client.publish({ topic: `${FORBIDDEN}/x`, qos: 2 })
  assert.deepEqual([refused?.kind, refused?.code], ['pubrec', 0x87])
  assert.equal((await client.publish({ topic: rig.topic(), qos: 2 }))?.kind, 'pubcomp')
})

v5('3.6.2-1', 'PUBREL of an id that is not known has code 0x92', async (version) => {
  const client = await rig.connect(version)
  client.send(ack('pubrec', 999))
  assert.equal((await client.next('pubrel')).code, 0x92)
})

v5('3.7.2-1', 'PUBCOMP of an id that is not known has code 0x92', async (version) => {
  const client = await rig.connect(version)
  client.send(ack('pubrel', 999))
  const { packetId, code } = await client.next('pubcomp')
  assert.deepEqual([packetId, code], [999, 0x92])
})

async function smallAcks(version: Version, id: number): Promise<void> {
  const limit = await smallestLimit(rig, version)
  const client = await rig.connect(version, { props: [prop(39, limit), prop(23, 1)] })
  await client.publish({ topic: `${FORBIDDEN}/x`, qos: 1 })
  await client.publish({ topic: `${FORBIDDEN}/x`, qos: 2 })
  client.send(ack('pubrec', 999), ack('pubrel', 998))
  await client.next('pubrel')
  await client.next('pubcomp')
  for (const packet of client.received)
    assert.ok(packet.bytes.length <= limit, `${packet.kind} with property ${id}: ${propsOf(packet, id)}`)
}

v5('3.4.2-2', 'a reason string does not make PUBACK larger than the client takes', (version) => smallAcks(version, 31))
v5('3.4.2-3', 'user properties do not make PUBACK larger than the client takes', (version) => smallAcks(version, 38))
v5('3.5.2-2', 'a reason string does not make PUBREC larger than the client takes', (version) => smallAcks(version, 31))
v5('3.5.2-3', 'user properties do not make PUBREC larger than the client takes', (version) => smallAcks(version, 38))
v5('3.6.2-2', 'a reason string does not make PUBREL larger than the client takes', (version) => smallAcks(version, 31))
v5('3.6.2-3', 'user properties do not make PUBREL larger than the client takes', (version) => smallAcks(version, 38))
v5('3.7.2-2', 'a reason string does not make PUBCOMP larger than the client takes', (version) => smallAcks(version, 31))
v5('3.7.2-3', 'user properties do not make PUBCOMP larger than the client takes', (version) => smallAcks(version, 38))

v5('4.13.1-1', 'reason codes that an acknowledgement may not have close the connection', async (version) => {
  const wrong = [ack('puback', 1, 0x92), ack('pubrec', 1, 0x01), ack('pubrel', 1, 0x10), ack('pubcomp', 1, 0x87), ack('puback', 0)]
  for (const bytes of wrong) await (await rig.connect(version)).send(bytes).refused(0x81, 0x82)
})

v5('4.13.1-1', 'properties that PUBLISH may not have, twice, or cut off, close the connection', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const wrong = [
    [prop(1, 2)],
    [prop(1, 0), prop(1, 0)],
    [prop(2, 1), prop(2, 1)],
    [prop(35, 1), prop(35, 1)],
    [prop(3, 'a'), prop(3, 'a')],
    [prop(17, 1)],
    [prop(31, 'x')],
    [join(8, [0, 9], Buffer.from('x'))],
    [join(38, text('k'))],
    [join(2, [0, 0, 1])],
    [Buffer.from([0x80])]
  ]
  for (const props of wrong) {
    await (await rig.connect(version)).send(publish(version, { topic, qos: 1, props })).refused(0x81, 0x82, 0x94)
  }
  await watcher.quiet()
})

v5('4.13.1-1', 'an empty topic without an alias closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(publish(version, { topic: '', qos: 1 })).refused(0x82, 0x90)
})

v5('4.13.1-1', 'subscription id 0 closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(subscribe(version, 1, [[rig.topic(), 0]], [prop(11, 0)])).refused(0x81, 0x82)
})

runStatements('publish-5')

// PUBLISH and its flags as far as 3.1.1 and 5.0 say the same: DUP, QoS, RETAIN, topic names.

import assert from 'node:assert/strict'
import { ack, frame, publish, RETAIN_AS_PUBLISHED, text, u16, type Version } from './encode.ts'
import { durable, FORBIDDEN, openRig, type Rig } from './gateway.ts'
import { both, runStatements, v4, v5 } from './statements.ts'

const rig: Rig = await openRig()

both('3.3.1-1', '3.3.1-1', 'DUP is set when a delivery is sent again', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 2, durable(version, clientId))
  const publisher = await rig.connect(version)
  for (const qos of [1, 2]) await publisher.publish({ topic, payload: `q${qos}`, qos })
  for (const qos of [1, 2]) assert.deepEqual([(await first.next('publish')).dup, qos], [false, qos])
  await first.vanish()
  const second = await rig.connect(version, durable(version, clientId))
  for (const qos of [1, 2]) {
    const { dup, text } = await second.receive()
    assert.deepEqual([dup, text], [true, `q${qos}`])
  }
})

both('3.3.1-2', '3.3.1-2', 'DUP is not set with QoS 0, and closes the connection of who does', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic)
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, qos: 1, dup: true })
  assert.equal((await subscriber.receive()).dup, false)
  await publisher.send(publish(version, { topic, dup: true })).refused(0x81, 0x82)
  await subscriber.quiet()
})

both('3.3.1-3', '3.3.1-3', 'DUP of a publisher is not handed on', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2)
  const publisher = await rig.connect(version)
  for (const qos of [1, 2]) {
    await publisher.publish({ topic, qos, dup: true })
    const packet = await subscriber.receive()
    assert.deepEqual([packet.dup, packet.qos], [false, qos])
  }
})

both('3.3.1-4', '3.3.1-4', 'QoS 3 closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(publish(version, { topic: rig.topic(), qos: 3 })).refused(0x81, 0x82)
})

both('3.3.1-5', '3.3.1-5', 'a retained message that finds no room replaces the one before, and is not kept', async (version) => {
  const topic = rig.topic()
  const [publisher, subscriber] = [await rig.connect(version), await rig.subscriber(version, topic, 1)]
  await publisher.publish({ topic, payload: 'before', qos: 1, retain: true })
  assert.equal((await subscriber.receive()).text, 'before')
  const payload = Buffer.alloc(400_000, 7)
  assert.equal((await publisher.publish({ topic, payload, qos: 1, retain: true }))?.kind, 'puback')
  assert.deepEqual((await subscriber.receive()).payload, payload)
  const late = await rig.subscriber(version, topic, 1)
  await late.quiet()
})

both('3.3.1-5', '3.3.1-5', 'a retained message replaces the one before, and is kept with its QoS', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'old', qos: 1, retain: true })
  await publisher.publish({ topic, payload: 'new', qos: 2, retain: true })
  const subscriber = await rig.subscriber(version, topic, 2)
  const packet = await subscriber.receive()
  assert.deepEqual([packet.text, packet.qos, packet.retain], ['new', 2, true])
  await subscriber.quiet()
  const lower = await (await rig.subscriber(version, topic, 0)).receive()
  assert.deepEqual([lower.text, lower.qos], ['new', 0])
})

both('3.3.1-6', '3.3.1-9', 'a new subscription is sent the retained message of every matching topic', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  for (const name of ['a', 'b', 'c/d']) await publisher.publish({ topic: `${topic}/${name}`, payload: name, qos: 1, retain: true })
  const subscriber = await rig.subscriber(version, `${topic}/#`, 1)
  const texts = [await subscriber.receive(), await subscriber.receive(), await subscriber.receive()].map(({ text }) => text)
  assert.deepEqual(texts.sort(), ['a', 'b', 'c/d'])
  await subscriber.quiet()
})

v4('3.3.1-7', 'a retained message of QoS 0 discards the one before', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'old', qos: 1, retain: true })
  await publisher.publish({ topic, payload: 'new', retain: true })
  await publisher.ping()
  const subscriber = await rig.subscriber(version, topic, 1)
  const packet = await subscriber.receive()
  assert.deepEqual([packet.text, packet.qos], ['new', 0])
})

v4('3.3.1-8', 'RETAIN is set on what a new subscription brings', async (version) => {
  const topic = rig.topic()
  await (await rig.connect(version)).publish({ topic, payload: 'x', qos: 1, retain: true })
  assert.equal((await (await rig.subscriber(version, topic)).receive()).retain, true)
})

both('3.3.1-9', '3.3.1-12', 'RETAIN is not set on what an existing subscription brings', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 1)
  const publisher = await rig.connect(version)
  for (const retain of [true, false]) {
    await publisher.publish({ topic, payload: 'x', qos: 1, retain })
    assert.equal((await subscriber.receive()).retain, false)
  }
})

v5('3.3.1-13', 'with retain as published RETAIN is as it was sent', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 1 | RETAIN_AS_PUBLISHED)
  const publisher = await rig.connect(version)
  for (const retain of [true, false]) {
    await publisher.publish({ topic, payload: 'x', qos: 1, retain })
    assert.equal((await subscriber.receive()).retain, retain)
  }
})

both('3.3.1-10', '3.3.1-6', 'an empty retained message is handed on, and removes the one that was retained', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'x', qos: 1, retain: true })
  const subscriber = await rig.subscriber(version, topic, 1)
  await subscriber.receive()
  await publisher.publish({ topic, qos: 1, retain: true })
  const packet = await subscriber.receive()
  assert.deepEqual([packet.payload.length, packet.retain], [0, false])
  await (await rig.subscriber(version, topic)).quiet()
})

both('3.3.1-11', '3.3.1-7', 'an empty retained message is not retained', async (version) => {
  const topic = rig.topic()
  await (await rig.connect(version)).publish({ topic, qos: 1, retain: true })
  await (await rig.subscriber(version, topic)).quiet()
})

both('3.3.1-12', '3.3.1-8', 'a message without RETAIN is not retained and removes nothing', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic: `${topic}/none`, payload: 'live', qos: 1 })
  await publisher.publish({ topic: `${topic}/some`, payload: 'kept', qos: 1, retain: true })
  await publisher.publish({ topic: `${topic}/some`, payload: 'live', qos: 1 })
  await publisher.publish({ topic: `${topic}/some`, payload: '', qos: 1 })
  const subscriber = await rig.subscriber(version, `${topic}/+`)
  assert.equal((await subscriber.receive()).text, 'kept')
  await subscriber.quiet()
})

both('3.3.2-1', '3.3.2-1', 'the topic is the first field and UTF-8', async (version) => {
  const topic = `${rig.topic()}/ä/€/𝄞`
  const subscriber = await rig.subscriber(version, topic)
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'x' })
  const { bytes } = await subscriber.receive()
  assert.ok(bytes.subarray(2).indexOf(text(topic)) === 0)
  await publisher.send(frame(0x30, u16(9), Buffer.from('t/x'))).refused(0x81, 0x82, 0x90) // longer than its packet
  const other = await rig.connect(version)
  await other.send(publish(version, { topic: Buffer.from([0x74, 0xc3, 0x28]) })).refused(0x81, 0x82, 0x90)
})

both('3.3.2-2', '3.3.2-2', 'a topic with a wildcard is refused', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, `${topic}/#`)
  for (const name of ['#', '+', 'a+', 'a/#/b']) {
    const client = await rig.connect(version)
    await client.send(publish(version, { topic: `${topic}/${name}`, qos: 1 })).refused(0x81, 0x82, 0x90)
  }
  await watcher.quiet()
})

both('3.3.2-3', '3.3.2-3', 'the topic of a delivery is the one published, and matches the filter', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.connect(version)
  await subscriber.subscribe([
    [`${topic}/+/x`, 0],
    [`${topic}/b/#`, 0]
  ])
  const publisher = await rig.connect(version)
  for (const name of ['a/x', 'a/y', 'b', 'b/1/2', 'c/x/1', 'x']) await publisher.publish({ topic: `${topic}/${name}`, qos: 1 })
  const topics: string[] = []
  for (let index = 0; index < 3; index++) topics.push((await subscriber.receive()).topic)
  assert.deepEqual(topics.sort(), [`${topic}/a/x`, `${topic}/b`, `${topic}/b/1/2`])
  await subscriber.quiet()
})

both('3.3.4-1', '3.3.4-1', 'PUBACK answers QoS 1, PUBREC QoS 2, nothing QoS 0', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  client.send(publish(version, { topic }))
  await client.ping()
  assert.equal(client.inbox.length, 0)
  client.send(publish(version, { topic, qos: 1, packetId: 7 }))
  await client.ping()
  client.send(publish(version, { topic, qos: 2, packetId: 8 }))
  assert.equal((await client.next('puback')).packetId, 7)
  assert.equal((await client.next('pubrec')).packetId, 8)
  client.send(ack('pubrel', 8))
  await client.next('pubcomp')
  assert.equal(client.inbox.length, 0)
})

both('3.3.5-1', '3.3.4-2', 'overlapping subscriptions deliver with the largest QoS', async (version) => {
  const topic = `${rig.topic()}/x`
  const filters = [topic, topic.replace('/x', '/+'), topic.replace('/x', '/#')]
  for (const ordered of [filters, [...filters].reverse()]) {
    const subscriber = await rig.connect(version)
    await subscriber.subscribe(ordered.map((filter, index) => [filter, index % 3]))
    await (await rig.connect(version)).publish({ topic, payload: 'x', qos: 2 })
    await subscriber.quiet('pingresp')
    const qos = subscriber.received.filter(({ kind }) => kind === 'publish').map((packet) => packet.qos)
    assert.equal(Math.max(...qos), 2, `${qos}`)
    assert.ok(qos.length <= 3, `${qos}`)
  }
})

async function notAuthorized(version: Version): Promise<void> {
  for (const qos of [1, 2]) {
    const client = await rig.connect(version)
    client.send(publish(version, { topic: `${FORBIDDEN}/x`, qos, packetId: 5 }))
    await client.until(() => client.isClosed || client.inbox.length > 0, 'an answer', { endsWithConnection: false })
    if (client.isClosed) continue
    assert.equal((await client.next(qos === 1 ? 'puback' : 'pubrec')).packetId, 5)
  }
}

v4('3.3.5-2', 'a PUBLISH without the right to is acknowledged or closes the connection', notAuthorized)

both('3.6.1-1', '3.6.1-1', 'PUBREL with other flags than 2 closes the connection', async (version) => {
  for (const flags of [0, 1, 3, 4, 8, 10]) {
    const client = await rig.connect(version)
    client.send(publish(version, { topic: rig.topic(), qos: 2, packetId: 3 }))
    await client.next('pubrec')
    await client.send(Buffer.from([0x60 | flags, 2, 0, 3])).refused(0x81, 0x82)
  }
})

runStatements('publish')

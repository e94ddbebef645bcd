// Chapters 4.1 to 4.6: sessions, QoS, redelivery and order, as far as 3.1.1 and 5.0 say the same.

import assert from 'node:assert/strict'
import { ack, publish, type Version } from './encode.ts'
import { durable, openRig, type Rig, texts } from './gateway.ts'
import { both, runStatements, v4, v5 } from './statements.ts'

const rig: Rig = await openRig()

v4('4.1.0-1', 'session state is kept for the whole session', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await (await rig.subscriber(version, topic, 1, durable(version, clientId))).leave()
  const publisher = await rig.connect(version)
  for (const payload of ['a', 'b', 'c']) {
    await publisher.publish({ topic, payload, qos: 1 })
    const client = await rig.connect(version, durable(version, clientId))
    assert.equal((await client.receive()).text, payload)
    await client.ping()
    await client.leave()
  }
})

v4('4.1.0-2', 'a session lasts at least as long as its connection', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 2)
  const publisher = await rig.connect(version)
  for (let index = 0; index < 20; index++) {
    await publisher.publish({ topic, payload: `${index}`, qos: 1 + (index % 2) })
    assert.equal((await client.receive()).text, `${index}`)
  }
})

both('4.3.1-1', '4.3.1-1', 'QoS 0 is sent once, without DUP', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 0, durable(version, clientId))
  await (await rig.connect(version)).publish({ topic, payload: 'x', qos: 1 })
  const packet = await first.next('publish')
  assert.deepEqual([packet.qos, packet.dup], [0, false])
  await first.vanish()
  await (await rig.connect(version, durable(version, clientId))).quiet()
})

/** A message of this QoS that the subscriber has got and not acknowledged. */
async function unacknowledged(version: Version, qos: number) {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const subscriber = await rig.subscriber(version, topic, 2, durable(version, clientId))
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'x', qos })
  const packet = await subscriber.next('publish')
  return { topic, clientId, subscriber, publisher, packet }
}

/** Another delivery gets another id, the first one stays what it is until it is acknowledged. */
async function firstSend(version: Version, qos: number): Promise<void> {
  const { topic, subscriber, publisher, packet } = await unacknowledged(version, qos)
  assert.deepEqual([packet.qos, packet.dup], [qos, false])
  assert.ok(packet.packetId > 0)
  await publisher.publish({ topic, payload: 'y', qos })
  const other = await subscriber.next('publish')
  assert.notEqual(other.packetId, packet.packetId)
}

async function sentAgain(version: Version, qos: number): Promise<void> {
  const { clientId, subscriber, packet } = await unacknowledged(version, qos)
  await subscriber.quiet()
  await subscriber.vanish()
  const second = await rig.connect(version, durable(version, clientId))
  const again = await second.receive()
  assert.deepEqual([again.text, again.qos, again.packetId], ['x', qos, packet.packetId])
  await second.ping()
  await second.vanish()
  await (await rig.connect(version, durable(version, clientId))).quiet()
}

v4('4.3.2-1', 'QoS 1 as sender: a new id, DUP 0, unacknowledged until PUBACK', async (version) => {
  await firstSend(version, 1)
  await sentAgain(version, 1)
})
v5('4.3.2-1', 'QoS 1 as sender: a packet id that is not in use', (version) => firstSend(version, 1))
v5('4.3.2-2', 'QoS 1 as sender: PUBLISH with QoS 1 and DUP 0', (version) => firstSend(version, 1))
v5('4.3.2-3', 'QoS 1 as sender: unacknowledged until PUBACK', (version) => sentAgain(version, 1))

async function puback(version: Version): Promise<void> {
  const topic = rig.topic()
  const client = await rig.connect(version)
  for (const packetId of [1, 0xffff]) assert.equal((await client.publish({ topic, qos: 1, packetId }))?.packetId, packetId)
}

/** The same id with and without DUP, each acknowledged before the next. */
async function newAfterPuback(version: Version): Promise<void> {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 1)
  const client = await rig.connect(version)
  for (const dup of [false, true, false]) await client.publish({ topic, payload: `${dup}`, qos: 1, packetId: 5, dup })
  for (const dup of [false, true, false]) assert.equal((await subscriber.receive()).text, `${dup}`)
}

v4('4.3.2-2', 'QoS 1 as receiver: PUBACK with the id, afterwards the id is a new message', async (version) => {
  await puback(version)
  await newAfterPuback(version)
})
v5('4.3.2-4', 'QoS 1 as receiver: PUBACK with the packet id', puback)
v5('4.3.2-5', 'QoS 1 as receiver: after PUBACK the id is a new message, whatever DUP says', newAfterPuback)

/** PUBREC → PUBREL, which is sent again after a reconnect, and never the PUBLISH. */
async function releasedAgain(version: Version): Promise<void> {
  const { clientId, subscriber, packet } = await unacknowledged(version, 2)
  subscriber.send(ack('pubrec', packet.packetId))
  assert.equal((await subscriber.next('pubrel')).packetId, packet.packetId)
  await subscriber.quiet('pubrel')
  await subscriber.vanish()
  const second = await rig.connect(version, durable(version, clientId))
  assert.equal((await second.next('pubrel')).packetId, packet.packetId)
  await second.quiet()
  second.send(ack('pubcomp', packet.packetId))
  await second.ping()
  await second.vanish()
  const third = await rig.connect(version, durable(version, clientId))
  await third.quiet('pubrel')
  await third.quiet('publish', 1)
}

v4('4.3.3-1', 'QoS 2 as sender: a new id, DUP 0, PUBREL after PUBREC, never the PUBLISH after PUBREL', async (version) => {
  await firstSend(version, 2)
  await sentAgain(version, 2)
  await releasedAgain(version)
})
v5('4.3.3-1', 'QoS 2 as sender: a packet id that is not in use', (version) => firstSend(version, 2))
v5('4.3.3-2', 'QoS 2 as sender: PUBLISH with QoS 2 and DUP 0', (version) => firstSend(version, 2))
v5('4.3.3-3', 'QoS 2 as sender: unacknowledged until PUBREC', (version) => sentAgain(version, 2))
v5('4.3.3-4', 'QoS 2 as sender: PUBREL with the id answers PUBREC', releasedAgain)
v5('4.3.3-5', 'QoS 2 as sender: PUBREL is sent again until PUBCOMP', releasedAgain)
v5('4.3.3-6', 'QoS 2 as sender: no PUBLISH again after PUBREL', releasedAgain)

async function pubrecOnce(version: Version): Promise<void> {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const subscriber = await rig.subscriber(version, topic, 2)
  const first = await rig.connect(version, durable(version, clientId))
  for (const dup of [false, true]) {
    first.send(publish(version, { topic, payload: 'x', qos: 2, packetId: 5, dup }))
    assert.equal((await first.next('pubrec')).packetId, 5)
  }
  await first.vanish()
  const second = await rig.connect(version, durable(version, clientId))
  second.send(publish(version, { topic, payload: 'x', qos: 2, packetId: 5, dup: true }))
  assert.equal((await second.next('pubrec')).packetId, 5)
  assert.equal((await subscriber.receive()).text, 'x')
  await subscriber.quiet()
  second.send(ack('pubrel', 5))
  await second.next('pubcomp')
}

async function pubcomp(version: Version): Promise<void> {
  const client = await rig.connect(version)
  client.send(publish(version, { topic: rig.topic(), qos: 2, packetId: 0x0a0b }))
  await client.next('pubrec')
  client.send(ack('pubrel', 0x0a0b))
  assert.equal((await client.next('pubcomp')).packetId, 0x0a0b)
  client.send(ack('pubrel', 0x0a0b))
  assert.equal((await client.next('pubcomp')).packetId, 0x0a0b, 'a PUBREL that is repeated is answered')
}

async function newAfterPubcomp(version: Version): Promise<void> {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2)
  const client = await rig.connect(version)
  for (const payload of ['a', 'b']) await client.publish({ topic, payload, qos: 2, packetId: 5 })
  for (const payload of ['a', 'b']) assert.equal((await subscriber.receive()).text, payload)
}

v4('4.3.3-2', 'QoS 2 as receiver: PUBREC, no duplicate until PUBREL, PUBCOMP, then the id is new', async (version) => {
  await pubrecOnce(version)
  await pubcomp(version)
  await newAfterPubcomp(version)
})
v5('4.3.3-8', 'QoS 2 as receiver: PUBREC with the packet id', async (version) => {
  const client = await rig.connect(version)
  client.send(publish(version, { topic: rig.topic(), qos: 2, packetId: 0xfffe }))
  const { packetId, code } = await client.next('pubrec')
  assert.ok(packetId === 0xfffe && (code === 0 || code === 0x10))
})
v5('4.3.3-10', 'QoS 2 as receiver: until PUBREL the id is the same message, answered and not delivered again', pubrecOnce)
v5('4.3.3-11', 'QoS 2 as receiver: PUBCOMP with the id answers PUBREL', pubcomp)
v5('4.3.3-12', 'QoS 2 as receiver: after PUBCOMP the id is a new message', newAfterPubcomp)

both(
  '4.4.0-1',
  '4.4.0-1',
  'what was not acknowledged is sent again after a reconnect with its ids, and at no other time',
  async (version) => {
    const topic = rig.topic()
    const clientId = rig.clientId()
    const first = await rig.subscriber(version, topic, 2, durable(version, clientId))
    const publisher = await rig.connect(version)
    for (const qos of [1, 2, 2]) await publisher.publish({ topic, payload: `q${qos}`, qos })
    const sent = [await first.next('publish'), await first.next('publish'), await first.next('publish')]
    first.send(ack('pubrec', (sent[1] as { packetId: number }).packetId))
    await first.next('pubrel')
    await first.quiet('publish', 300)
    await first.quiet('pubrel', 1)
    await first.vanish()
    const second = await rig.connect(version, durable(version, clientId))
    assert.equal((await second.next('pubrel')).packetId, sent[1]?.packetId)
    const again = [await second.next('publish'), await second.next('publish')]
    assert.deepEqual(
      again.map(({ packetId }) => packetId),
      [sent[0]?.packetId, sent[2]?.packetId]
    )
    await second.quiet()
  }
)

both('4.5.0-1', '4.5.0-1', 'a message is added to every session that has a matching subscription', async (version) => {
  const topic = rig.topic()
  const live = await rig.subscriber(version, topic, 1)
  const away = [rig.clientId(), rig.clientId()]
  for (const clientId of away) await (await rig.subscriber(version, `${topic}/#`, 1, durable(version, clientId))).leave()
  await (await rig.connect(version)).publish({ topic, payload: 'x', qos: 1 })
  assert.equal((await live.receive()).text, 'x')
  for (const clientId of away) assert.equal((await (await rig.connect(version, durable(version, clientId))).receive()).text, 'x')
})

async function again(version: Version, qos: number): Promise<void> {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, qos, durable(version, clientId))
  const publisher = await rig.connect(version)
  const expected = Array.from({ length: 10 }, (_, index) => `${index}`)
  for (const payload of expected) await publisher.publish({ topic, payload, qos })
  for (const payload of expected) assert.equal((await first.next('publish')).text, payload)
  await first.vanish()
  const second = await rig.connect(version, durable(version, clientId))
  for (let index = 0; index < 10; index++) await second.receive()
  assert.deepEqual(texts(second.received), expected)
}

both('4.6.0-1', '4.6.0-1', 'what is sent again is sent in its first order', async (version) => {
  await again(version, 1)
  await again(version, 2)
})

/** Twenty in one chunk; answers in the order that was sent. */
async function answersInOrder(version: Version, qos: number): Promise<void> {
  const topic = rig.topic()
  const client = await rig.connect(version)
  const ids = Array.from({ length: 20 }, (_, index) => 1 + ((index * 7) % 20))
  client.send(Buffer.concat(ids.map((packetId) => publish(version, { topic, qos, packetId }))))
  const answers: number[] = []
  for (const _ of ids) answers.push((await client.next(qos === 1 ? 'puback' : 'pubrec')).packetId)
  assert.deepEqual(answers, ids)
}

both('4.6.0-2', '4.6.0-2', 'PUBACK packets leave in the order of the PUBLISH packets', (version) => answersInOrder(version, 1))
both('4.6.0-3', '4.6.0-3', 'PUBREC packets leave in the order of the PUBLISH packets', (version) => answersInOrder(version, 2))

both('4.6.0-4', '4.6.0-4', 'PUBREL packets leave in the order of the PUBREC packets', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2)
  const publisher = await rig.connect(version)
  for (let packetId = 1; packetId <= 10; packetId++) publisher.send(publish(version, { topic, qos: 2, packetId }))
  const ids: number[] = []
  for (let index = 0; index < 10; index++) ids.push((await subscriber.next('publish')).packetId)
  subscriber.send(...ids.map((packetId) => ack('pubrec', packetId)))
  for (const packetId of ids) assert.equal((await subscriber.next('pubrel')).packetId, packetId)
})

async function ordered(version: Version, qos: number): Promise<void> {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, `${topic}/#`, qos)
  const publishers = [await rig.connect(version), await rig.connect(version)]
  const count = 40
  for (let index = 0; index < count; index++) {
    for (const [number, publisher] of publishers.entries()) {
      publisher.send(publish(version, { topic, payload: `${number} ${index}`, qos, packetId: index + 1 }))
    }
  }
  const got: string[] = []
  for (let index = 0; index < 2 * count; index++) got.push((await subscriber.receive()).text)
  for (const number of [0, 1]) {
    const own = got.filter((text) => text.startsWith(`${number} `))
    assert.deepEqual(
      own,
      Array.from({ length: count }, (_, index) => `${number} ${index}`)
    )
  }
}

both('4.6.0-5', '4.6.0-5', 'messages of a topic and QoS are delivered in the order of their publisher', async (version) => {
  for (const qos of [0, 1, 2]) await ordered(version, qos)
})

both('4.6.0-6', '4.6.0-6', 'every topic is ordered, also for a session that was away', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await (await rig.subscriber(version, topic, 2, durable(version, clientId))).leave()
  const publisher = await rig.connect(version)
  for (let index = 0; index < 30; index++) publisher.send(publish(version, { topic, payload: `${index}`, qos: 1, packetId: index + 1 }))
  for (let index = 0; index < 30; index++) await publisher.next('puback')
  const second = await rig.connect(version, durable(version, clientId))
  for (let index = 0; index < 30; index++) assert.equal((await second.receive()).text, `${index}`)
})

runStatements('delivery')

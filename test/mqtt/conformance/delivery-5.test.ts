// Chapters 4.3, 4.4 and 4.9 where MQTT 5 stands alone: expiry during an exchange, failures, receive maximum.

import assert from 'node:assert/strict'
import { propOf } from './decode.ts'
import { ack, join, prop, publish, type Version } from './encode.ts'
import { durable, FORBIDDEN, openRig, type Rig } from './gateway.ts'
import { sleep } from './raw-client.ts'
import { runStatements, v5 } from './statements.ts'

const rig: Rig = await openRig()

v5('4.3.3-7', 'a PUBLISH that was sent does not expire', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 2, durable(version, clientId))
  await (await rig.connect(version)).publish({ topic, payload: 'x', qos: 2, props: [prop(2, 1)] })
  const { packetId } = await first.next('publish')
  await first.vanish()
  await sleep(1_500)
  const second = await rig.connect(version, durable(version, clientId))
  assert.equal((await second.next('publish')).packetId, packetId)
  second.send(ack('pubrec', packetId))
  await second.next('pubrel')
})

v5('4.3.3-9', 'after a PUBREC with a failure the id is a new message', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2)
  const client = await rig.connect(version)
  assert.equal((await client.publish({ topic: `${FORBIDDEN}/x`, qos: 2, packetId: 9 }))?.code, 0x87)
  assert.equal((await client.publish({ topic, payload: 'new', qos: 2, packetId: 9 }))?.code, 0)
  assert.equal((await subscriber.receive()).text, 'new')
})

v5('4.3.3-13', 'the exchange goes on when the message has expired', async (version) => {
  const client = await rig.connect(version)
  client.send(publish(version, { topic: rig.topic(), qos: 2, packetId: 3, props: [prop(2, 1)] }))
  await client.next('pubrec')
  await sleep(1_300)
  client.send(ack('pubrel', 3))
  const { packetId, code } = await client.next('pubcomp')
  assert.deepEqual([packetId, code], [3, 0])
})

v5('4.4.0-2', 'a delivery that the client refused is not sent again', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 2, durable(version, clientId))
  const publisher = await rig.connect(version)
  for (const qos of [1, 2]) {
    await publisher.publish({ topic, payload: `q${qos}`, qos })
    const { packetId } = await first.next('publish')
    first.send(ack(qos === 1 ? 'puback' : 'pubrec', packetId, 0x80))
  }
  await first.ping()
  await first.quiet('pubrel')
  await first.vanish()
  const second = await rig.connect(version, durable(version, clientId))
  await second.quiet('publish')
  await second.quiet('pubrel', 1)
})

/** With a receive maximum of `maximum`: what arrives unacknowledged. */
async function window(version: Version, maximum: number, qos: number) {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2, { props: [prop(33, maximum)] })
  const publisher = await rig.connect(version)
  for (let index = 0; index < maximum + 3; index++) await publisher.publish({ topic, payload: `${index}`, qos })
  const first = []
  for (let index = 0; index < maximum; index++) first.push(await subscriber.next('publish'))
  await subscriber.quiet()
  return { topic, subscriber, publisher, first }
}

v5('3.3.4-9', 'not more deliveries are open than the client takes', async (version) => {
  for (const qos of [1, 2]) {
    const { subscriber, first } = await window(version, 2, qos)
    for (const packet of first) await subscriber.acknowledge(packet)
    assert.equal((await subscriber.receive()).text, '2')
    assert.equal((await subscriber.receive()).text, '3')
    assert.equal((await subscriber.receive()).text, '4')
  }
})

v5('3.3.4-9', 'what is sent again counts as well', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 2, durable(version, clientId))
  const publisher = await rig.connect(version)
  for (const payload of ['a', 'b', 'c']) await publisher.publish({ topic, payload, qos: 1 })
  for (let index = 0; index < 3; index++) await first.next('publish')
  await first.vanish()
  const second = await rig.connect(version, durable(version, clientId, { props: [prop(33, 1)] }))
  for (const payload of ['a', 'b', 'c']) {
    const packet = await second.next('publish')
    assert.equal(packet.text, payload)
    await second.quiet()
    await second.acknowledge(packet)
  }
})

v5('4.9.0-1', 'the quota begins with the receive maximum', async (version) => {
  for (const maximum of [1, 5]) await window(version, maximum, 1)
})

v5('4.9.0-2', 'the quota comes back with PUBACK, PUBCOMP or a failed PUBREC, not with PUBREC', async (version) => {
  const { subscriber, first } = await window(version, 1, 2)
  const packetId = first[0]?.packetId ?? 0
  subscriber.send(ack('pubrec', packetId))
  await subscriber.next('pubrel')
  await subscriber.quiet()
  subscriber.send(ack('pubcomp', packetId))
  const second = await subscriber.next('publish')
  assert.equal(second.text, '1')
  subscriber.send(ack('pubrec', second.packetId, 0x80))
  const third = await subscriber.next('publish')
  assert.equal(third.text, '2')
  await subscriber.quiet('pubrel', 1)
})

v5('4.9.0-3', 'everything else is answered when the quota is used up', async (version) => {
  const { topic, subscriber } = await window(version, 1, 1)
  await subscriber.ping()
  assert.equal((await subscriber.publish({ topic: rig.topic(), qos: 1 }))?.kind, 'puback')
  assert.equal((await subscriber.publish({ topic: rig.topic(), qos: 2 }))?.kind, 'pubcomp')
  assert.deepEqual((await subscriber.subscribe(rig.topic())).codes, [0])
  assert.deepEqual((await subscriber.unsubscribe(topic)).codes, [0])
})

v5('3.3.4-10', 'a full receive maximum holds up PUBLISH only', async (version) => {
  const { subscriber } = await window(version, 1, 2)
  for (let index = 0; index < 3; index++) await subscriber.ping()
  assert.deepEqual((await subscriber.subscribe(rig.topic(), 1)).codes, [1])
})

v5('4.9.0-2', 'QoS 0 needs no quota of its own, it comes at the latest with the others', async (version) => {
  const { topic, subscriber, publisher, first } = await window(version, 1, 1)
  await publisher.publish({ topic, payload: 'zero' })
  await publisher.ping()
  for (const packet of first) await subscriber.acknowledge(packet)
  for (const text of ['1', '2', '3']) await subscriber.receive((packet) => packet.text === text)
  const { qos } = await subscriber.receive(({ text }) => text === 'zero')
  assert.equal(qos, 0)
})

v5('3.3.4-7', 'a client that exceeds the receive maximum of the server is closed with 0x93', async (version) => {
  const client = rig.open(version)
  const connack = await client.connect({ clientId: rig.clientId() })
  const maximum = (propOf(connack, 33) as number | undefined) ?? 65_535
  assert.ok(maximum <= 2_000, `${maximum}: too large for this test`)
  const topic = rig.topic()
  for (let packetId = 1; packetId <= maximum; packetId++) client.send(publish(version, { topic, qos: 2, packetId }))
  for (let packetId = 1; packetId <= maximum; packetId++) await client.next('pubrec')
  await client.ping()
  client.send(publish(version, { topic, qos: 2, packetId: maximum + 1 }))
  await client.refused(0x93)
})

v5(
  '3.3.4-7',
  'what it sent within the receive maximum is acknowledged in front of 0x93, so that it need not send it again',
  async (version) => {
    for (const qos of [1, 2]) {
      const client = rig.open(version)
      const maximum = propOf(await client.connect({ clientId: rig.clientId() }), 33) as number
      const topic = rig.topic()
      const ids = Array.from({ length: maximum + 100 }, (_, index) => index + 1)
      client.send(join(...ids.map((packetId) => publish(version, { topic, qos, packetId }))))
      for (const packetId of ids.slice(0, maximum)) assert.equal((await client.next(qos === 1 ? 'puback' : 'pubrec')).packetId, packetId)
      await client.refused(0x93)
    }
  }
)

v5('3.3.4-7', 'a client that keeps to it exactly is never closed', async (version) => {
  const client = rig.open(version)
  const maximum = propOf(await client.connect({ clientId: rig.clientId() }), 33) as number
  const topic = rig.topic()
  const send = (number: number): unknown => client.send(publish(version, { topic, qos: 1, packetId: (number % maximum) + 1 }))
  const all = maximum * 3
  for (let number = 0; number < maximum; number++) send(number)
  for (let number = maximum; number < all; number++) {
    await client.next('puback')
    send(number)
  }
  for (let number = 0; number < maximum; number++) await client.next('puback')
  await client.ping()
})

v5('4.3.3-4', 'PUBREC with code 0x10 is answered by PUBREL, as one with 0', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2)
  await (await rig.connect(version)).publish({ topic, qos: 2 })
  const { packetId } = await subscriber.next('publish')
  subscriber.send(ack('pubrec', packetId, 0x10, [prop(31, 'nobody'), prop(38, ['a', 'b'])]))
  assert.equal((await subscriber.next('pubrel')).packetId, packetId)
})

v5('3.3.4-7', 'PUBCOMP gives the quota of a client back', async (version) => {
  const client = await rig.connect(version)
  const topic = rig.topic()
  for (let round = 0; round < 300; round++) {
    const packetId = (round % 7) + 1
    await client.publish({ topic, qos: 1 + (round % 2), packetId })
  }
  await client.ping()
})

runStatements('delivery-5')

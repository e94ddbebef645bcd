// SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK as far as 3.1.1 and 5.0 say the same.

import assert from 'node:assert/strict'
import { ack, frame, join, publish, subscribe, text, u16, unsubscribe, type Version } from './encode.ts'
import { durable, FORBIDDEN, openRig, type Rig } from './gateway.ts'
import { both, runStatements, v4, v5 } from './statements.ts'

const rig: Rig = await openRig()

const withFlags = (bytes: Buffer, flags: number): Buffer => join(((bytes[0] as number) & 0xf0) | flags, bytes.subarray(1))

both('3.8.1-1', '3.8.1-1', 'SUBSCRIBE with other flags than 2 closes the connection', async (version) => {
  for (const flags of [0, 1, 3, 6, 10]) {
    await (await rig.connect(version)).send(withFlags(subscribe(version, 1, [['t/x', 0]]), flags)).refused(0x81, 0x82)
  }
})

both('3.8.3-1', '3.8.3-1', 'a filter that is not UTF-8 closes the connection', async (version) => {
  for (const filter of [Buffer.from([0x74, 0xff]), Buffer.from('t\0'), Buffer.from([0xed, 0xa0, 0x80])]) {
    await (await rig.connect(version)).send(subscribe(version, 1, [[filter, 0]])).refused(0x81, 0x82, 0x8f)
  }
})

v4('3.8.3-2', 'filters with wildcards are supported', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.connect(version)
  const { codes } = await subscriber.subscribe([
    [`${topic}/+/a`, 1],
    [`${topic}/b/#`, 1]
  ])
  assert.deepEqual(codes, [1, 1])
  await (await rig.connect(version)).publish({ topic: `${topic}/x/a`, payload: 'plus', qos: 1 })
  await (await rig.connect(version)).publish({ topic: `${topic}/b/1/2`, payload: 'hash', qos: 1 })
  assert.equal((await subscriber.receive()).text, 'plus')
  assert.equal((await subscriber.receive()).text, 'hash')
})

both('3.8.3-3', '3.8.3-2', 'SUBSCRIBE without a filter closes the connection', async (version) => {
  await (await rig.connect(version)).send(subscribe(version, 1, [])).refused(0x81, 0x82)
})

both('3.8.3-4', '3.8.3-5', 'reserved bits and QoS 3 in the options close the connection', async (version) => {
  const wrong = version === 5 ? [3, 0x40, 0x80, 0x30] : [3, 4, 8, 0x10, 0x20, 0x40, 0x80]
  for (const options of wrong) {
    await (await rig.connect(version)).send(subscribe(version, 1, [[rig.topic(), options]])).refused(0x81, 0x82)
  }
  const cutOff = frame(0x82, u16(1), version === 5 ? [0] : [], text('t/x'))
  await (await rig.connect(version)).send(cutOff).refused(0x81, 0x82)
})

both('3.8.4-1', '3.8.4-1', 'SUBACK answers SUBSCRIBE', async (version) => {
  const client = await rig.connect(version)
  for (let packetId = 1; packetId <= 5; packetId++) client.send(subscribe(version, packetId, [[rig.topic(), 0]]))
  for (let packetId = 1; packetId <= 5; packetId++) await client.next('suback')
})

both('3.8.4-2', '3.8.4-2', 'SUBACK has the packet id of SUBSCRIBE', async (version) => {
  const client = await rig.connect(version)
  for (const packetId of [0xffff, 1, 0x1234]) {
    client.send(subscribe(version, packetId, [[rig.topic(), 0]]))
    assert.equal((await client.next('suback')).packetId, packetId)
  }
})

both('3.8.4-3', '3.8.4-3', 'the same filter again replaces the subscription', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 2)
  const publisher = await rig.connect(version)
  assert.deepEqual((await client.subscribe(topic, 0)).codes, [0])
  await publisher.publish({ topic, payload: 'x', qos: 2 })
  const packet = await client.receive()
  assert.deepEqual([packet.text, packet.qos], ['x', 0])
  await client.quiet()
  await client.unsubscribe(topic)
  await publisher.publish({ topic, payload: 'y', qos: 1 })
  await client.quiet()
})

both('3.8.4-3', '3.8.4-4', 'the same filter again brings the retained messages again, and loses nothing', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic: `${topic}/r`, payload: 'kept', qos: 1, retain: true })
  const client = await rig.subscriber(version, `${topic}/#`, 1)
  assert.equal((await client.receive()).text, 'kept')
  const count = 60
  for (let index = 1; index <= count; index++) {
    publisher.send(publish(version, { topic, payload: `${index}`, qos: 1, packetId: 100 + index }))
    if (index % 20 === 0) client.send(subscribe(version, 1_000 + index, [[`${topic}/#`, 1]]))
  }
  for (let index = 0; index < 3; index++) {
    const again = await client.receive(({ text }) => text === 'kept')
    assert.equal(again.retain, true)
  }
  for (let index = 1; index <= count; index++) assert.equal((await client.receive()).text, `${index}`)
})

both('3.8.4-4', '3.8.4-5', 'several filters are taken as if each had come alone, with one SUBACK', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  const { codes } = await client.subscribe([
    [`${topic}/a`, 0],
    [`${topic}/b`, 1],
    [`${topic}/a`, 2]
  ])
  assert.deepEqual(codes, [0, 1, 2])
  const publisher = await rig.connect(version)
  await publisher.publish({ topic: `${topic}/a`, payload: 'a', qos: 2 })
  await publisher.publish({ topic: `${topic}/b`, payload: 'b', qos: 2 })
  const [a, b] = [await client.receive(), await client.receive()]
  assert.deepEqual([a.text, a.qos, b.text, b.qos], ['a', 2, 'b', 1], 'the last of two equal filters counts')
  await client.quiet('publish')
  await client.quiet('suback')
})

both('3.8.4-5', '3.8.4-6', 'SUBACK has a code for each filter', async (version) => {
  const client = await rig.connect(version)
  for (const count of [1, 2, 50]) {
    const filters = Array.from({ length: count }, (_, index) => [`${rig.topic()}`, index % 3] as const)
    assert.equal((await client.subscribe(filters)).codes.length, count)
    await client.unsubscribe(...filters.map(([filter]) => filter))
  }
})

v5('3.8.4-7', 'a code of SUBACK is the granted QoS or a failure', async (version) => {
  const client = await rig.connect(version)
  const { codes } = await client.subscribe([
    [rig.topic(), 0],
    [`${FORBIDDEN}/x`, 1],
    [rig.topic(), 2]
  ])
  assert.deepEqual(codes, [0, 0x87, 2])
})

both('3.8.4-6', '3.8.4-8', 'a delivery has the smaller QoS of message and subscription', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  for (const granted of [0, 1, 2]) {
    for (const filter of [topic, `${topic}/#`]) {
      const subscriber = await rig.subscriber(version, filter, granted)
      for (const sent of [0, 1, 2]) {
        await publisher.publish({ topic, payload: `${sent}`, qos: sent })
        assert.equal((await subscriber.receive()).qos, Math.min(granted, sent), `granted ${granted}, sent ${sent}, ${filter}`)
      }
    }
  }
})

both('3.8.4-6', '3.8.4-8', 'also of what was queued and what was retained', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await (await rig.subscriber(version, topic, 1, durable(version, clientId))).leave()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'x', qos: 2, retain: true })
  assert.equal((await (await rig.connect(version, durable(version, clientId))).receive()).qos, 1)
  assert.equal((await (await rig.subscriber(version, topic, 1)).receive()).qos, 1)
})

both('3.9.3-1', '3.9.3-1', 'codes of SUBACK stand in the order of the filters', async (version) => {
  const client = await rig.connect(version)
  const filters = [2, 0, 1, 1, 0, 2].map((qos) => [rig.topic(), qos] as const)
  assert.deepEqual((await client.subscribe(filters)).codes, [2, 0, 1, 1, 0, 2])
  const mixed = await client.subscribe([[`${FORBIDDEN}/a`, 0], ...filters.slice(0, 1), [`${FORBIDDEN}/b`, 2]])
  assert.ok((mixed.codes[0] as number) >= 0x80 && mixed.codes[1] === 2 && (mixed.codes[2] as number) >= 0x80, `${mixed.codes}`)
})

both('3.9.3-2', '3.9.3-2', 'SUBACK has no codes but those of its list', async (version) => {
  const client = await rig.connect(version)
  const { codes } = await client.subscribe([
    [`${FORBIDDEN}/a`, 0],
    [rig.topic(), 1]
  ])
  assert.deepEqual(codes, [version === 5 ? 0x87 : 0x80, 1])
})

both('3.10.1-1', '3.10.1-1', 'UNSUBSCRIBE with other flags than 2 closes the connection', async (version) => {
  for (const flags of [0, 1, 3, 6, 10]) {
    await (await rig.connect(version)).send(withFlags(unsubscribe(version, 1, ['t/x']), flags)).refused(0x81, 0x82)
  }
})

both('3.10.3-1', '3.10.3-1', 'a filter in UNSUBSCRIBE that is not UTF-8 closes the connection', async (version) => {
  for (const filter of [Buffer.from([0x74, 0xff]), Buffer.from('t\0')]) {
    await (await rig.connect(version)).send(unsubscribe(version, 1, [filter])).refused(0x81, 0x82, 0x8f)
  }
})

both('3.10.3-2', '3.10.3-2', 'UNSUBSCRIBE without a filter closes the connection', async (version) => {
  await (await rig.connect(version)).send(unsubscribe(version, 1, [])).refused(0x81, 0x82)
})

both('3.10.4-1', '3.10.4-1', 'a subscription ends when its filter is named character by character', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  await client.subscribe([
    [`${topic}/a`, 0],
    [`${topic}/+`, 0]
  ])
  await client.unsubscribe(`${topic}/#`, `${topic}/A`, `${topic}/+/`)
  const publisher = await rig.connect(version)
  await publisher.publish({ topic: `${topic}/a`, payload: 'both' })
  assert.equal((await client.receive()).text, 'both')
  await client.unsubscribe(`${topic}/+`)
  await publisher.publish({ topic: `${topic}/b`, payload: 'none', qos: 1 })
  await publisher.publish({ topic: `${topic}/a`, payload: 'exact', qos: 1 })
  assert.equal((await client.receive(({ text }) => text !== 'both')).text, 'exact')
})

both('3.10.4-2', '3.10.4-2', 'after UNSUBSCRIBE no new messages are added', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 1)
  const publisher = await rig.connect(version)
  await client.unsubscribe(topic)
  for (const qos of [0, 1, 2]) await publisher.publish({ topic, qos })
  await client.quiet()
})

both('3.10.4-2', '3.10.4-2', 'a subscription that ended does not come back with the session', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 1, durable(version, clientId))
  await first.unsubscribe(topic)
  await first.leave()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, qos: 1 })
  const second = await rig.connect(version, durable(version, clientId))
  await publisher.publish({ topic, qos: 1 })
  await second.quiet()
})

both('3.10.4-3', '3.10.4-3', 'a delivery that has begun is completed after UNSUBSCRIBE', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 2)
  await (await rig.connect(version)).publish({ topic, payload: 'begun', qos: 2 })
  const { packetId } = await client.next('publish')
  await client.unsubscribe(topic)
  client.send(ack('pubrec', packetId))
  assert.equal((await client.next('pubrel')).packetId, packetId)
  client.send(ack('pubcomp', packetId))
  await client.ping()
})

both('3.10.4-4', '3.10.4-4', 'UNSUBACK answers UNSUBSCRIBE, with its packet id', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic)
  client.send(unsubscribe(version, 0xabcd, [topic]))
  assert.equal((await client.next('unsuback')).packetId, 0xabcd)
})

both('3.10.4-5', '3.10.4-5', 'UNSUBACK answers also where no subscription ends', async (version) => {
  const client = await rig.connect(version)
  client.send(unsubscribe(version, 0x0102, ['t/never']))
  assert.equal((await client.next('unsuback')).packetId, 0x0102)
})

both('3.10.4-6', '3.10.4-6', 'several filters in UNSUBSCRIBE are taken as if each had come alone, with one UNSUBACK', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  const filters = ['a', 'b', 'c'].map((name) => `${topic}/${name}`)
  await client.subscribe(filters.map((filter) => [filter, 1]))
  await client.unsubscribe(filters[0] as string, 't/never', filters[2] as string, filters[0] as string)
  const publisher = await rig.connect(version)
  for (const filter of filters) await publisher.publish({ topic: filter, payload: filter, qos: 1 })
  assert.equal((await client.receive()).text, filters[1])
  await client.quiet('publish')
  await client.quiet('unsuback', 1)
})

async function pings(version: Version): Promise<void> {
  const client = await rig.connect(version)
  for (let index = 0; index < 3; index++) await client.ping()
  client.send(frame(0xc0), frame(0xc0))
  await client.next('pingresp')
  await client.next('pingresp')
  await client.quiet('pingresp')
}

both('3.12.4-1', '3.12.4-1', 'PINGRESP answers PINGREQ', pings)

runStatements('subscribe')

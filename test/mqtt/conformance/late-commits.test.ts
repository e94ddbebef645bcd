// Proves for the MQTT server: what clients do while a commit is still under way (20 ms here) or while they are away bends no exchange:
// PUBREL before PUBREC, a subscription between PUBLISH and commit, other limits after a reconnect, wills for those who are absent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ack, disconnect, prop, publish, subscribe, type Version } from './encode.ts'
import { durable, openRig, type Rig } from './gateway.ts'
import { LateStore } from './late-store.ts'

const rig: Rig = await openRig({ store: new LateStore(20) })

function each(words: string, run: (version: Version) => Promise<void>): void {
  for (const version of [4, 5] as const) test(`${words} (${version === 5 ? '5.0' : '3.1.1'})`, { timeout: 20_000 }, () => run(version))
}

each('PUBREL in one chunk with its PUBLISH: PUBREC, PUBCOMP, one message', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic, 2)
  const client = await rig.connect(version)
  for (let round = 0; round < 3; round++) {
    client.send(Buffer.concat([publish(version, { topic, payload: `${round}`, qos: 2, packetId: 5 }), ack('pubrel', 5)]))
    await client.next('pubcomp')
    await client.next('pubrec')
    assert.equal((await watcher.receive()).text, `${round}`)
  }
  const kinds = client.received.slice(1).map(({ kind }) => kind)
  assert.deepEqual(kinds, ['pubrec', 'pubcomp', 'pubrec', 'pubcomp', 'pubrec', 'pubcomp'])
  await watcher.quiet()
})

each('a subscription between PUBLISH and commit brings a retained message once', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  const subscriber = await rig.connect(version)
  publisher.send(publish(version, { topic, payload: 'x', qos: 1, retain: true }))
  await publisher.quiet('puback', 2)
  await subscriber.subscribe(topic, 1)
  await publisher.next('puback')
  assert.equal((await subscriber.receive()).text, 'x')
  await subscriber.quiet()
})

each('PUBLISH and DISCONNECT in one chunk: the message is stored and delivered', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic, 2)
  for (const qos of [0, 1, 2]) {
    const client = await rig.connect(version)
    client.send(Buffer.concat([publish(version, { topic, payload: `q${qos}`, qos }), disconnect()]))
    assert.equal((await watcher.receive()).text, `q${qos}`)
  }
})

each('SUBSCRIBE, UNSUBSCRIBE and SUBSCRIBE again while messages are under way: none twice, none out of order', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  const subscriber = await rig.subscriber(version, topic, 1)
  for (let index = 1; index <= 60; index++) {
    publisher.send(publish(version, { topic, payload: `${index}`, qos: 1, packetId: index }))
    if (index % 20 === 10) await subscriber.unsubscribe(topic)
    if (index % 20 === 15) subscriber.send(subscribe(version, 100 + index, [[topic, 1]]))
  }
  for (let index = 1; index <= 60; index++) await publisher.next('puback')
  await publisher.publish({ topic, payload: '61', qos: 1 })
  const got: number[] = []
  while (got.at(-1) !== 61) got.push(Number((await subscriber.receive()).text))
  assert.deepEqual(
    got,
    [...new Set(got)].sort((a, b) => a - b)
  )
})

each('the will of one client waits for another that is away', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await (await rig.subscriber(version, topic, 2, durable(version, clientId))).leave()
  const live = await rig.subscriber(version, topic, 2)
  await (await rig.connect(version, { will: { topic, payload: 'will', qos: 2 } })).vanish()
  assert.equal((await live.receive()).qos, 2)
  const { text, qos } = await (await rig.connect(version, durable(version, clientId))).receive()
  assert.deepEqual([text, qos], ['will', 2])
})

test('a smaller packet limit after a reconnect drops what is too large, and only that (5.0)', async () => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(5, topic, 2, durable(5, clientId))
  const publisher = await rig.connect(5)
  await publisher.publish({ topic, payload: Buffer.alloc(300), qos: 1 })
  await first.next('publish') // not acknowledged
  await first.vanish()
  for (const payload of ['a', Buffer.alloc(300), 'b']) await publisher.publish({ topic, payload, qos: 2 })
  const second = await rig.connect(5, durable(5, clientId, { props: [prop(39, 100), prop(33, 1)] }))
  assert.equal((await second.receive()).text, 'a')
  assert.equal((await second.receive()).text, 'b')
  await second.vanish()
  const third = await rig.connect(5, durable(5, clientId))
  await third.quiet()
})

test('a queue moves through a receive maximum of one across takeovers, in order and once (5.0)', async () => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const options = durable(5, clientId, { props: [prop(33, 1)] })
  await (await rig.subscriber(5, topic, 2, options)).leave()
  const publisher = await rig.connect(5)
  for (let index = 0; index < 30; index++)
    publisher.send(publish(5, { topic, payload: `${index}`, qos: 1 + (index % 2), packetId: index + 1 }))
  for (let index = 0; index < 15; index++) await publisher.next('puback')
  const got: string[] = []
  for (let round = 0; round < 6; round++) {
    const client = await rig.connect(5, options)
    for (let index = 0; index < 5; index++) got.push((await client.receive()).text)
    await client.ping()
  }
  assert.deepEqual(
    got,
    Array.from({ length: 30 }, (_, index) => `${index}`)
  )
})

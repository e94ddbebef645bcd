// Chapters 1 and 2 of both standards: strings, integers, fixed header, packet ids.

import assert from 'node:assert/strict'
import {
  ack,
  block,
  connect,
  disconnect,
  frame,
  join,
  pingreq,
  prop,
  publish,
  subscribe,
  text,
  u16,
  unsubscribe,
  type Version
} from './encode.ts'
import { durable, openRig } from './gateway.ts'
import { both, runStatements, v4, v5 } from './statements.ts'

const rig = await openRig()

const ILL_FORMED = [
  [0xed, 0xa0, 0x80], // U+D800
  [0xc0, 0x80], // overlong
  [0x61, 0xff],
  [0xf4, 0x90, 0x80, 0x80], // above U+10FFFF
  [0xe2, 0x82] // cut off
]

async function refusedStrings(version: Version, strings: readonly Uint8Array[]): Promise<void> {
  for (const bytes of strings) {
    const name = join(Buffer.from('t/'), bytes)
    for (const packet of [publish(version, { topic: name, qos: 1 }), subscribe(version, 1, [[name, 0]]), unsubscribe(version, 1, [name])]) {
      const client = await rig.connect(version)
      await client.send(packet).refused(0x81, 0x82, 0x8f, 0x90)
      assert.equal(client.received.filter(({ kind }) => kind !== 'disconnect').length, 1, client.story)
    }
    await rig.open(version).connectRefused(connect(version, { clientId: bytes }), 1, 2, 0x81, 0x85)
  }
}

both('1.5.3-1', '1.5.4-1', 'a string that is not well-formed UTF-8 closes the connection', (version) =>
  refusedStrings(
    version,
    ILL_FORMED.map((bytes) => Buffer.from(bytes))
  )
)

both('1.5.3-2', '1.5.4-2', 'a string with U+0000 closes the connection', (version) => refusedStrings(version, [Buffer.from('a\0b')]))

both('1.5.3-3', '1.5.4-3', 'U+FEFF is a character like others, and is kept', async (version) => {
  const topic = rig.topic()
  const marked = `\ufeff${topic}`
  const subscriber = await rig.connect(version)
  await subscriber.subscribe([
    [topic, 0],
    [marked, 0]
  ])
  const publisher = await rig.connect(version)
  await publisher.publish({ topic: marked, payload: 'marked', qos: 1 })
  const packet = await subscriber.receive()
  assert.equal(packet.topic, marked)
  assert.deepEqual(packet.bytes.subarray(4, 7), Buffer.from([0xef, 0xbb, 0xbf]))
  await subscriber.quiet()
})

v5('1.5.5-1', 'integers of variable length are written in their shortest form', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic)
  const publisher = await rig.connect(version)
  for (const length of [0, 100, 127, 128, 16_383, 16_384, 20_000]) {
    await publisher.publish({ topic, payload: Buffer.alloc(length, 1), props: [prop(38, ['k', 'v'.repeat(length % 300)])] })
    assert.equal((await subscriber.receive()).payload.length, length) // decode.ts looks at every integer
  }
})

v5('1.5.5-1', 'an integer that is longer than it need be closes the connection', async (version) => {
  const longLength = [Buffer.from([0xc0, 0x80, 0x00]), frame(0x30, text('t/x'), [0x80, 0x00], Buffer.from('x'))]
  for (const bytes of longLength) await (await rig.connect(version)).send(bytes).refused(0x81, 0x82)
})

v5('1.5.7-1', 'both strings of a pair are well-formed UTF-8 without U+0000', async (version) => {
  const pairs = [
    join(38, text(Buffer.from([0xff])), text('v')),
    join(38, text('k'), text(Buffer.from([0xed, 0xa0, 0x80]))),
    join(38, text('k\0'), text('v'))
  ]
  for (const pair of pairs) {
    const client = await rig.connect(version)
    await client.send(publish(version, { topic: 't/x', props: [pair] })).refused(0x81, 0x82)
  }
})

async function flagsOfAnswers(version: Version): Promise<void> {
  const topic = rig.topic()
  const client = await rig.connect(version)
  await client.subscribe(topic, 2)
  await client.publish({ topic, qos: 1 })
  await client.receive()
  await client.publish({ topic, qos: 2 })
  await client.receive()
  await client.unsubscribe(topic)
  await client.ping()
  const firstBytes = new Map(client.received.map(({ kind, firstByte }) => [kind, firstByte]))
  assert.deepEqual(Object.fromEntries(firstBytes), {
    connack: 0x20,
    suback: 0x90,
    puback: 0x40,
    publish: 0x34,
    pubrec: 0x50,
    pubrel: 0x62,
    pubcomp: 0x70,
    unsuback: 0xb0,
    pingresp: 0xd0
  })
}

both('2.2.2-1', '2.1.3-1', 'reserved flag bits of what the server sends have the listed values', flagsOfAnswers)

async function wrongFlags(version: Version): Promise<void> {
  const wrong = [
    join(0x41, 2, [0, 1]),
    join(0x51, 2, [0, 1]),
    join(0x60, 2, [0, 1]),
    join(0x71, 2, [0, 1]),
    Buffer.concat([Buffer.from([0x80]), subscribe(version, 1, [['t/x', 0]]).subarray(1)]),
    Buffer.concat([Buffer.from([0xa0]), unsubscribe(version, 1, ['t/x']).subarray(1)]),
    Buffer.from([0xc1, 0]),
    Buffer.from([0xe1, 0])
  ]
  for (const bytes of wrong) await (await rig.connect(version)).send(bytes).refused(0x81, 0x82)
  const wrongConnect = connect(version)
  wrongConnect[0] = 0x11
  await rig.open(version).connectRefused(wrongConnect, 1, 0x81)
}

v4('2.2.2-2', 'invalid flag bits close the connection', wrongFlags)
v5('2.1.3-1', 'invalid flag bits close the connection', wrongFlags)

both('2.3.1-1', '2.2.1-3', 'packet id 0 closes the connection', async (version) => {
  const zero = [
    publish(version, { topic: 't/x', qos: 1, packetId: 0 }),
    publish(version, { topic: 't/x', qos: 2, packetId: 0 }),
    subscribe(version, 0, [['t/x', 0]]),
    unsubscribe(version, 0, ['t/x'])
  ]
  for (const bytes of zero) await (await rig.connect(version)).send(bytes).refused(0x81, 0x82)
})

both('2.3.1-4', '2.2.1-4', 'packet ids of deliveries are not zero and not in use', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2)
  const publisher = await rig.connect(version)
  for (let index = 0; index < 12; index++) publisher.send(publish(version, { topic, qos: 1 + (index % 2), packetId: index + 1 }))
  const open = new Set<number>()
  for (let index = 0; index < 12; index++) open.add((await subscriber.next('publish')).packetId)
  assert.equal(open.size, 12, `ids ${[...open]}`)
  assert.ok(!open.has(0))
})

v4('2.3.1-3', 'a delivery that is sent again keeps its packet id', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 1, durable(version, clientId))
  await (await rig.connect(version)).publish({ topic, qos: 1 })
  const { packetId } = await first.next('publish')
  await first.vanish()
  const second = await rig.connect(version, durable(version, clientId))
  assert.equal((await second.receive()).packetId, packetId)
})

both('2.3.1-5', '2.2.1-2', 'a delivery of QoS 0 has no packet id', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic, 2)
  await (await rig.connect(version)).publish({ topic, payload: 'x' })
  const { bytes } = await subscriber.receive()
  assert.deepEqual(bytes, publish(version, { topic, payload: 'x' }))
})

both('2.3.1-6', '2.2.1-5', 'PUBACK, PUBREC, PUBREL and PUBCOMP have the packet id of the PUBLISH', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 2)
  client.send(publish(version, { topic, qos: 1, packetId: 0xfffe }), publish(version, { topic, qos: 2, packetId: 0x0102 }))
  assert.equal((await client.next('puback')).packetId, 0xfffe)
  assert.equal((await client.next('pubrec')).packetId, 0x0102)
  client.send(ack('pubrel', 0x0102))
  assert.equal((await client.next('pubcomp')).packetId, 0x0102)
  const { packetId } = await client.next('publish', ({ qos }) => qos === 2)
  client.send(ack('pubrec', packetId))
  assert.equal((await client.next('pubrel')).packetId, packetId)
})

both('2.3.1-7', '2.2.1-6', 'SUBACK and UNSUBACK have the packet id of the request', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  for (const packetId of [1, 0x100, 0xffff]) {
    client.send(subscribe(version, packetId, [[topic, 0]]), unsubscribe(version, packetId, [topic]))
    assert.equal((await client.next('suback')).packetId, packetId)
    assert.equal((await client.next('unsuback')).packetId, packetId)
  }
})

v5('2.2.2-1', 'a packet without properties says so with a length of zero', async (version) => {
  const topic = rig.topic()
  const subscriber = await rig.subscriber(version, topic)
  await (await rig.connect(version)).publish({ topic, payload: 'x' })
  assert.deepEqual((await subscriber.receive()).bytes, frame(0x30, text(topic), 0, Buffer.from('x')))
})

v5('2.2.2-1', 'a packet in which the length of properties is missing closes the connection', async (version) => {
  await rig.open(version).connectRefused(frame(0x10, text('MQTT'), 5, 2, u16(0)), 0x81)
  for (const bytes of [frame(0x30, text('t/x')), frame(0x82, u16(1)), frame(0xa2, u16(1))]) {
    await (await rig.connect(version)).send(bytes).refused(0x81, 0x82)
  }
})

const LEGAL_SHORT_FORMS = [ack('puback', 9), ack('puback', 9, 0), ack('pubcomp', 9, 0, []), pingreq()]

v5('2.2.2-1', 'acknowledgements may leave out code and length', async (version) => {
  const client = await rig.connect(version)
  await client.send(...LEGAL_SHORT_FORMS).next('pingresp')
  client.send(disconnect(0, []))
  await client.closed()
  assert.equal(block([]).length, 1)
  assert.ok(!client.received.some(({ kind }) => kind === 'disconnect'), client.story)
})

runStatements('formats')

// The end of a connection: DISCONNECT, protocol errors, errors that pass.

import assert from 'node:assert/strict'
import { ControlledStore, diskFull } from '../controlled-store.ts'
import { propsOf } from './decode.ts'
import { ack, auth, connect, disconnect, frame, join, prop, publish, subscribe, text, u16, unsubscribe, type Version } from './encode.ts'
import { durable, openRig, type Rig, smallestLimit } from './gateway.ts'
import { both, runStatements, v4, v5 } from './statements.ts'

const rig: Rig = await openRig()

/** A gateway of its own, whose storage can be told to refuse. */
async function withFullDisk(): Promise<{ store: ControlledStore; full: Rig }> {
  const store = new ControlledStore()
  return { store, full: await openRig({ store }) }
}

const closing = await withFullDisk()
const answering = await withFullDisk()

both('3.14.1-1', '3.14.1-1', 'DISCONNECT with reserved bits that are not zero closes the connection as an error', async (version) => {
  const topic = rig.topic()
  for (const flags of [1, 2, 4, 8, 15]) {
    const watcher = await rig.subscriber(version, `${topic}/${flags}`)
    const client = await rig.connect(version, { will: { topic: `${topic}/${flags}`, payload: 'error' } })
    client.send(join(0xe0 | flags, 0))
    await client.refused(0x81)
    if (version === 5) assert.equal(client.received.at(-1)?.code, 0x81, client.story)
    assert.equal((await watcher.receive()).text, 'error')
  }
})

async function nothingBehindDisconnect(version: Version): Promise<void> {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const client = await rig.connect(version)
  client.send(Buffer.concat([disconnect(), publish(version, { topic, qos: 1 }), frame(0xc0)]))
  await client.closed()
  assert.equal(client.received.length, 1, client.story)
  await watcher.quiet()
}

v4('3.14.4-2', 'nothing behind a DISCONNECT is carried out', nothingBehindDisconnect)

v5('3.14.2-1', 'DISCONNECT has a reason code of its list, from clients too', async (version) => {
  for (const code of [0x01, 0x8b, 0x8d, 0x8e, 0x9e]) {
    const client = await rig.connect(version)
    await client.send(disconnect(code)).closed()
    assert.ok(
      client.received.every(({ kind, code }) => kind !== 'disconnect' || code === 0x81 || code === 0x82),
      client.story
    )
  }
  for (const code of [0x00, 0x04, 0x80, 0x81, 0x93, 0x97]) await (await rig.connect(version)).leave(code)
})

/** A DISCONNECT of the server: by a takeover, and by an error. */
async function ofServer(version: Version, limit = 1_000) {
  const clientId = rig.clientId()
  const props = [prop(39, limit), prop(23, 1)]
  const first = await rig.connect(version, durable(version, clientId, { props }))
  const second = await rig.connect(version, durable(version, clientId, { props }))
  await first.closed()
  await second.send(subscribe(version, 1, [])).closed()
  return [first, second]
}

v5('3.14.2-2', 'DISCONNECT of the server has no session expiry', async (version) => {
  const clients = await ofServer(version)
  for (const { received, story } of clients) {
    const [end] = received.filter(({ kind }) => kind === 'disconnect')
    assert.ok(end, story)
    assert.deepEqual(propsOf(end, 17), [])
  }
})

async function smallDisconnect(version: Version): Promise<void> {
  const limit = await smallestLimit(rig, version)
  const packets = (await ofServer(version, limit)).flatMap(({ received }) => received)
  for (const { bytes } of packets) assert.ok(bytes.length <= limit, bytes.toString('hex'))
}

v5('3.14.2-3', 'a reason string does not make DISCONNECT larger than the client takes', smallDisconnect)
v5('3.14.2-4', 'user properties do not make DISCONNECT larger than the client takes', smallDisconnect)

v5('3.14.4-1', 'the server sends nothing behind its DISCONNECT, and carries out nothing', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const client = await rig.connect(version)
  client.send(Buffer.concat([subscribe(version, 1, []), publish(version, { topic, qos: 1 }), frame(0xc0)]))
  await client.closed()
  assert.ok(
    client.received.every(({ kind }) => kind === 'connack' || kind === 'disconnect'),
    client.story
  )
  await watcher.quiet()
  await nothingBehindDisconnect(version)
})

v5('3.14.4-2', 'the server closes after its DISCONNECT', async (version) => {
  for (const client of await ofServer(version)) {
    assert.ok(
      client.received.some(({ kind }) => kind === 'disconnect'),
      client.story
    )
    assert.ok(client.isClosed)
  }
})

v5('3.14.4-3', 'the session expiry of DISCONNECT may not be raised from zero', async (version) => {
  const client = await rig.connect(version)
  await client.send(disconnect(0, [prop(17, 10)])).refused(0x82)
})

const violations = (version: Version): Buffer[] => [
  connect(version),
  frame(0x20, [0, 0]),
  frame(0x90, u16(1), [0]),
  frame(0xb0, u16(1)),
  frame(0xd0),
  Buffer.from([0x00, 0]),
  version === 5 ? auth(0x19, []) : frame(0xf0),
  Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff]),
  frame(0x30),
  frame(0x30, u16(5), Buffer.from('t/x')),
  frame(0x32, text('t/x')),
  frame(0x40, [0]),
  frame(0x62, [1]),
  frame(0x82, [0]),
  frame(0xa2, u16(1), version === 5 ? [0] : [], u16(4), Buffer.from('t')),
  frame(0xc0, [0]),
  version === 5 ? frame(0xe0, [0, 5]) : frame(0xe0, [0]),
  version === 5 ? frame(0x40, u16(1), [0], [3]) : frame(0x40, u16(1), [0]),
  subscribe(version, 0, [['t/x', 0]]),
  unsubscribe(version, 0, ['t/x']),
  ack('pubrec', 0)
]

async function closesEach(version: Version): Promise<void> {
  const neighbour = await rig.connect(version)
  for (const bytes of violations(version)) {
    const client = await rig.connect(version)
    await client.send(bytes).refused(0x81, 0x82, 0x95)
    assert.ok(
      client.received.every(({ kind }) => kind === 'connack' || kind === 'disconnect'),
      client.story
    )
  }
  await neighbour.ping()
}

both('4.8.0-1', '4.13.1-1', 'a protocol error closes the connection, and no other', closesEach)

v5('4.13.1-1', 'the server says why with a reason code', async (version) => {
  const faults: [number[], Buffer][] = [
    [[0x82], connect(version)],
    [[0x81], Buffer.from([0x36, 0])],
    [[0x81], Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])],
    [[0x81, 0x82], publish(version, { topic: 't/x', qos: 1, packetId: 0 })],
    [[0x82], subscribe(version, 1, [])],
    [[0x94], publish(version, { topic: 't/x', props: [prop(35, 17)] })],
    [[0x82], auth(0x19, [prop(21, 'x')])],
    [[0x81, 0x90], publish(version, { topic: 't/#' })]
  ]
  for (const [codes, bytes] of faults) {
    const client = await rig.connect(version)
    client.send(bytes)
    await client.closed()
    const end = client.received.at(-1)
    assert.ok(end?.kind === 'disconnect' && codes.includes(end.code), `expected ${codes.map((code) => code.toString(16))}; ${client.story}`)
  }
})

v5('4.13.2-1', 'after a code of 0x80 or more the connection is closed', async (version) => {
  const refused = rig.open(version)
  refused.send(connect(version, { user: 'user', password: 'wrong' }))
  assert.ok((await refused.next('connack')).code >= 0x80)
  await refused.closed()
  const client = await rig.connect(version)
  client.send(subscribe(version, 1, []))
  await client.closed()
  const sent = await rig.connect(version)
  await sent.send(disconnect(0x80)).closed()
})

v4('4.8.0-2', 'an error that passes, here a full disk, closes the connection without an acknowledgement', async (version) => {
  const { full, store } = closing
  for (const qos of [1, 2]) {
    const client = await full.connect(version)
    store.refusal = diskFull()
    client.send(publish(version, { topic: full.topic(), qos }))
    await client.closed()
    store.refusal = null
    assert.equal(client.received.length, 1, client.story)
  }
})

v5('3.4.2-1', 'what storage refuses has a code of 0x80 or more, and the connection stays', async (version) => {
  const { full, store } = answering
  const topic = full.topic()
  const subscriber = await full.subscriber(version, topic, 2)
  const client = await full.connect(version)
  for (const qos of [1, 2]) {
    store.refusal = diskFull()
    const answer = await client.publish({ topic, payload: 'refused', qos, packetId: 5 })
    store.refusal = null
    assert.ok(answer && answer.code >= 0x80, client.story)
    const accepted = await client.publish({ topic, payload: 'accepted', qos, packetId: 5 })
    assert.ok(accepted && accepted.code < 0x80, client.story)
    assert.equal((await subscriber.receive()).text, 'accepted')
  }
})

runStatements('end')

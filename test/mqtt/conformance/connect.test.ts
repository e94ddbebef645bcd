// CONNECT and CONNACK as far as 3.1.1 and 5.0 say the same: names, flags, client ids, sessions. Wills: will.test.ts.

import assert from 'node:assert/strict'
import { connect, connectFlags, frame, pingreq, publish, subscribe, text, u16, type Version } from './encode.ts'
import { durable, openRig } from './gateway.ts'
import { sleep } from './raw-client.ts'
import { both, runStatements } from './statements.ts'

const rig = await openRig()

both('3.1.0-1', '3.1.0-1', 'anything before CONNECT closes the connection unanswered', async (version) => {
  for (const bytes of [pingreq(), publish(version, { topic: 't/x', qos: 1 }), subscribe(version, 1, [['t/x', 0]]), frame(0xe0)]) {
    const client = rig.open(version)
    await client.send(bytes, connect(version)).closed()
    assert.equal(client.received.length, 0, client.story)
  }
})

both('3.1.0-2', '3.1.0-2', 'a second CONNECT closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(connect(version, { clientId: rig.clientId() })).refused(0x82)
})

both('3.1.2-1', '3.1.2-1', 'another protocol name is not accepted', async (version) => {
  for (const name of ['MQTt', 'mqtt', 'HTTP', '', 'MQTTX'])
    await rig.open(version).connectRefused(connect(version, { name }), 1, 0x84, 0x81)
})

both('3.1.2-2', '3.1.2-2', 'a protocol level that is not served is answered so and closed', async (version) => {
  for (const level of [2, 6, 0x7f]) {
    const client = rig.open(version)
    const chunks: Buffer[] = []
    client.socket.removeAllListeners('data')
    client.socket.on('data', (chunk) => chunks.push(chunk))
    client.send(connect(version, { level }))
    await client.closed()
    const answer = Buffer.concat(chunks)
    const code = answer[3]
    if (version === 4 || answer.length > 0)
      assert.ok(answer[0] === 0x20 && (code === 1 || code === 0x84), `${level}: ${answer.toString('hex')}`)
  }
})

both('3.1.2-3', '3.1.2-3', 'the reserved bit of the connect flags is zero', async (version) => {
  await rig.open(version).connectRefused(connect(version, { flags: 3 }), 0x81)
})

/** Subscribed, gone, and a message of each QoS sent meanwhile. */
async function awayWithMessages(version: Version, topic: string, clientId: string): Promise<void> {
  const first = await rig.subscriber(version, topic, 2, durable(version, clientId))
  await first.leave()
  const publisher = await rig.connect(version)
  for (const qos of [1, 2]) await publisher.publish({ topic, payload: `q${qos}`, qos })
}

both('3.1.2-4', '3.1.2-5', 'without clean start the session goes on, with its subscriptions and messages', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await awayWithMessages(version, topic, clientId)
  const second = rig.open(version)
  assert.equal((await second.connect(durable(version, clientId))).sessionPresent, true)
  assert.deepEqual([(await second.receive()).text, (await second.receive()).text], ['q1', 'q2'])
  await (await rig.connect(version)).publish({ topic, payload: 'live', qos: 1 })
  assert.equal((await second.receive()).text, 'live')
})

both('3.1.2-5', '3.1.2-23', 'QoS 1 and 2 messages are kept for a session that is away', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await awayWithMessages(version, topic, clientId)
  const second = await rig.connect(version, durable(version, clientId))
  const packets = [await second.receive(), await second.receive()]
  assert.deepEqual(
    packets.map(({ text, qos }) => `${text} ${qos}`),
    ['q1 1', 'q2 2']
  )
})

both('3.1.2-6', '3.1.2-4', 'with clean start the earlier session and its messages are gone', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await awayWithMessages(version, topic, clientId)
  const second = rig.open(version)
  assert.equal((await second.connect({ clientId })).sessionPresent, false)
  await (await rig.connect(version)).publish({ topic, payload: 'live', qos: 1 })
  await second.quiet()
  await second.leave()
  const third = rig.open(version)
  assert.equal((await third.connect(durable(version, clientId))).sessionPresent, false, 'nothing of it is used again')
  await third.quiet()
})

both('3.1.2-7', '4.1.0-2', 'retained messages do not end with the session', async (version) => {
  const topic = rig.topic()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'kept', qos: 1, retain: true })
  await publisher.leave()
  const subscriber = await rig.subscriber(version, topic)
  assert.equal((await subscriber.receive()).text, 'kept')
})

/** CONNECT whose flags and fields do not agree. */
const withFields = (version: Version, flags: number, ...fields: Uint8Array[]): Buffer =>
  frame(0x10, text('MQTT'), version, flags, u16(0), version === 5 ? [0] : [], text('raw'), ...fields)

both('3.1.2-18', '3.1.2-16', 'a user name without its flag is refused', async (version) => {
  await rig.open(version).connectRefused(withFields(version, 2, text('user')), 0x81, 0x82)
})

both('3.1.2-19', '3.1.2-17', 'the flag without a user name is refused', async (version) => {
  await rig.open(version).connectRefused(withFields(version, 0x82), 0x81, 0x82)
})

both('3.1.2-20', '3.1.2-18', 'a password without its flag is refused', async (version) => {
  await rig.open(version).connectRefused(withFields(version, 0x82, text('user'), text('password')), 0x81, 0x82)
})

both('3.1.2-21', '3.1.2-19', 'the flag without a password is refused', async (version) => {
  await rig.open(version).connectRefused(withFields(version, 0xc2, text('user')), 0x81, 0x82)
})

both('3.1.2-21', '3.1.2-19', 'a password may be any bytes, also none', async (version) => {
  for (const password of [Buffer.from([0xff, 0, 0xfe]), '']) await (await rig.connect(version, { user: '', password })).ping()
})

both('3.1.2-24', '3.1.2-22', 'a client that is silent for one and a half keep alives is closed as if it had failed', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const client = await rig.connect(version, { keepAlive: 1, will: { topic, payload: 'silent' } })
  await sleep(900)
  await client.ping()
  const startMs = Date.now()
  await client.closed('the end of the keep alive')
  const tookMs = Date.now() - startMs
  assert.ok(tookMs >= 1_000 && tookMs < 3_500, `${tookMs} ms`)
  const end = client.received.find(({ kind }) => kind === 'disconnect')
  if (end) assert.equal(end.code, 0x8d)
  assert.equal((await watcher.receive()).text, 'silent')
})

both('3.1.2-24', '3.1.2-22', 'what the server sends to a silent client does not keep it alive', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 0, { keepAlive: 1 })
  const publisher = await rig.connect(version)
  const startMs = Date.now()
  while (!client.isClosed && Date.now() - startMs < 4_000) {
    await publisher.publish({ topic })
    await sleep(100)
  }
  assert.ok(client.isClosed, `open after ${Date.now() - startMs} ms`)
})

both('3.1.2-6', '3.1.2-4', 'with clean start a QoS 2 id of the earlier session is a new message', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const watcher = await rig.subscriber(version, topic, 2)
  const first = await rig.connect(version, durable(version, clientId))
  first.send(publish(version, { topic, payload: 'first', qos: 2, packetId: 3 }))
  await first.next('pubrec')
  await first.vanish()
  const second = await rig.connect(version, { clientId })
  await second.publish({ topic, payload: 'second', qos: 2, packetId: 3 })
  assert.equal((await watcher.receive()).text, 'first')
  assert.equal((await watcher.receive()).text, 'second')
})

both('3.1.3-1', '3.1.3-1', 'client id, will, user name and password are read in this order', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic, 1)
  const options = { will: { topic, payload: 'last words', qos: 1 }, user: 'user', password: 'right' }
  const client = await rig.connect(version, options)
  await client.vanish()
  assert.equal((await watcher.receive()).text, 'last words')
  await rig.open(version).connectRefused(connect(version, { ...options, password: 'wrong' }), 4, 5, 0x86, 0x87)
})

both('3.1.3-2', '3.1.3-2', 'the client id tells sessions apart', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await awayWithMessages(version, topic, clientId)
  const other = rig.open(version)
  assert.equal((await other.connect(durable(version, `${clientId}x`))).sessionPresent, false)
  await other.quiet()
  const same = rig.open(version)
  assert.equal((await same.connect(durable(version, clientId))).sessionPresent, true)
  assert.equal((await same.receive()).text, 'q1')
})

both('3.1.3-3', '3.1.3-3', 'a CONNECT without a client id is refused', async (version) => {
  const bytes = frame(0x10, text('MQTT'), version, 2, u16(0), version === 5 ? [0] : [])
  await rig.open(version).connectRefused(bytes, 0x81, 0x82)
})

both('3.1.3-4', '3.1.3-4', 'a client id that is not UTF-8 is refused', async (version) => {
  for (const bytes of [
    [0xff, 0xfe],
    [0x61, 0xed, 0xbf, 0xbf]
  ]) {
    await rig.open(version).connectRefused(connect(version, { clientId: Buffer.from(bytes) }), 2, 0x81, 0x85)
  }
})

both('3.1.3-5', '3.1.3-5', 'client ids of 1 to 23 letters and digits are accepted', async (version) => {
  const ids = ['0123456789abcdefghijklm', 'nopqrstuvwxyzABCDEFGHIJ', 'KLMNOPQRSTUVWXYZ', version === 5 ? 'Z' : 'z', '0']
  for (const clientId of ids) await (await rig.connect(version, { clientId })).leave()
})

both('3.1.3-6', '3.1.3-6', 'clients without an id are told apart', async (version) => {
  const topic = rig.topic()
  const clients = await Promise.all([1, 2, 3].map(() => rig.connect(version, { clientId: '' })))
  for (const client of clients) await client.subscribe(topic, 1)
  await (await rig.connect(version)).publish({ topic, qos: 1 })
  for (const client of clients) {
    await client.receive()
    await client.ping()
  }
})

both('3.1.3-9', '3.1.3-8', 'a client id that is rejected is answered so and closed', async (version) => {
  const client = rig.open(version)
  client.send(connect(version, { clientId: 'x'.repeat(3_000) }))
  assert.equal((await client.next('connack')).code, version === 5 ? 0x85 : 2)
  await client.closed()
})

both('3.1.3-11', '3.1.3-12', 'a user name that is not UTF-8 is refused', async (version) => {
  const bytes = connect(version, { user: Buffer.from([0xc3, 0x28]), password: 'x' })
  await rig.open(version).connectRefused(bytes, 4, 0x81, 0x86)
})

const MALFORMED_CONNECTS = (version: Version): Buffer[] => {
  const whole = connect(version, { clientId: 'malformed', user: 'user', password: 'right' })
  return [
    frame(0x10, whole.subarray(2, -1)), // a field is cut off
    frame(0x10, whole.subarray(2), [0]), // one byte left over
    connect(version, { flags: connectFlags({}) | 1 }),
    connect(version, { flags: 2 | 4 | 0x18, will: { topic: 't/x' } }), // will QoS 3
    frame(0x10),
    frame(0x10, text('MQTT'))
  ]
}

both('3.1.4-1', '3.1.4-1', 'a CONNECT that is not as described closes the connection', async (version) => {
  for (const bytes of MALFORMED_CONNECTS(version)) {
    const client = rig.open(version)
    const connack = await client.connectRefused(bytes, 0x81, 0x82)
    if (version === 4) assert.equal(connack, undefined, `3.1.1 sends no CONNACK; ${client.story}`)
  }
})

both('3.1.4-2', '3.1.4-3', 'another connection of a client id takes over, the earlier one is closed', async (version) => {
  const clientId = rig.clientId()
  const first = await rig.connect(version, { clientId })
  const second = await rig.connect(version, { clientId })
  await first.closed()
  if (version === 5) assert.equal(first.received.at(-1)?.code, 0x8e, first.story)
  await second.ping()
})

both('3.1.4-3', '3.1.4-4', 'clean start is carried out in a takeover as well', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const publisher = await rig.connect(version)
  await rig.subscriber(version, topic, 1, durable(version, clientId))
  const second = rig.open(version)
  assert.equal((await second.connect(durable(version, clientId))).sessionPresent, true)
  await publisher.publish({ topic, payload: 'goes on', qos: 1 })
  assert.equal((await second.receive()).text, 'goes on')
  const third = rig.open(version)
  assert.equal((await third.connect({ clientId, clean: true })).sessionPresent, false)
  await publisher.publish({ topic, payload: 'nobody', qos: 1 })
  await third.quiet()
})

both('3.1.4-4', '3.1.4-5', 'a CONNECT that is accepted is answered with code 0', async (version) => {
  const client = rig.open(version)
  assert.equal((await client.connect({ clientId: rig.clientId() })).code, 0)
})

both('3.1.4-5', '3.1.4-6', 'nothing behind a CONNECT that is rejected is carried out', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const client = rig.open(version)
  const bytes = connect(version, { user: 'user', password: 'wrong', clientId: rig.clientId() })
  await client.connectRefused(Buffer.concat([bytes, publish(version, { topic, qos: 1, retain: true })]))
  await watcher.quiet()
  await (await rig.subscriber(version, topic)).quiet()
})

both('3.2.0-1', '3.2.0-1', 'CONNACK is the first packet that the server sends', async (version) => {
  const topic = rig.topic()
  const client = rig.open(version)
  const behind = [subscribe(version, 1, [[topic, 1]]), publish(version, { topic, qos: 1, packetId: 2 }), pingreq()]
  client.send(connect(version, { clientId: rig.clientId() }), ...behind)
  for (const kind of ['suback', 'puback', 'pingresp', 'publish'] as const) await client.next(kind)
  assert.equal(client.received[0]?.kind, 'connack')
})

both('3.2.2-1', '3.2.2-2', 'with clean start no session is present', async (version) => {
  const clientId = rig.clientId()
  await (await rig.subscriber(version, rig.topic(), 1, durable(version, clientId))).leave()
  const { sessionPresent, code } = await rig.open(version).connect({ clientId })
  assert.deepEqual({ sessionPresent, code }, { sessionPresent: false, code: 0 })
})

both('3.2.2-2', '3.2.2-3', 'a stored session is said to be present, one without subscriptions too', async (version) => {
  const clientId = rig.clientId()
  const first = rig.open(version)
  assert.equal((await first.connect(durable(version, clientId))).sessionPresent, false)
  await first.leave()
  assert.equal((await rig.open(version).connect(durable(version, clientId))).sessionPresent, true)
})

both('3.2.2-3', '3.1.2-6', 'without a stored session a new one begins', async (version) => {
  const clientId = rig.clientId()
  const first = rig.open(version)
  const { sessionPresent, code } = await first.connect(durable(version, clientId))
  assert.deepEqual({ sessionPresent, code }, { sessionPresent: false, code: 0 })
})

/** A client id with a stored session, and a CONNECT of it that is refused. */
async function refusedWithSession(version: Version): Promise<Buffer> {
  const clientId = rig.clientId()
  await (await rig.subscriber(version, rig.topic(), 1, durable(version, clientId))).leave()
  return connect(version, durable(version, clientId, { user: 'user', password: 'wrong' }))
}

both('3.2.2-4', '3.2.2-6', 'a refusal says that no session is present', async (version) => {
  const client = rig.open(version)
  client.send(await refusedWithSession(version))
  const { code, sessionPresent } = await client.next('connack')
  assert.ok(code !== 0 && !sessionPresent, client.story)
})

both('3.2.2-5', '3.2.2-7', 'the connection is closed after a refusal', async (version) => {
  const client = rig.open(version)
  client.send(await refusedWithSession(version))
  assert.notEqual((await client.next('connack')).code, 0)
  await client.closed()
})

both('4.2.0-1', '4.2-1', 'TCP carries it, however the bytes are cut', async (version) => {
  const topic = rig.topic()
  const client = rig.open(version)
  const session = [
    connect(version, { clientId: rig.clientId() }),
    subscribe(version, 1, [[topic, 1]]),
    publish(version, { topic, qos: 1, packetId: 2 })
  ]
  for (const byte of Buffer.concat(session)) {
    client.send(Buffer.from([byte]))
    await sleep(0)
  }
  for (const kind of ['connack', 'suback', 'puback', 'publish'] as const) await client.next(kind)
})

runStatements('connect')

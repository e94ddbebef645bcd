// Wills of both versions.

import assert from 'node:assert/strict'
import { connect, disconnect, frame, prop, text, u16, type Version } from './encode.ts'
import { durable, openRig } from './gateway.ts'
import { sleep } from './raw-client.ts'
import { both, runStatements, v4, v5 } from './statements.ts'

const rig = await openRig()

both('3.1.2-8', '3.1.2-8', 'the will is published when the connection ends without DISCONNECT', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic, 2)
  await (await rig.connect(version, { will: { topic, payload: 'vanished', qos: 1 } })).vanish()
  assert.equal((await watcher.receive()).text, 'vanished')
  const broken = await rig.connect(version, { will: { topic, payload: 'broke a rule', qos: 2 } })
  await broken.send(Buffer.from([0x36, 0])).refused()
  assert.equal((await watcher.receive()).text, 'broke a rule')
})

v5('3.1.2-7', 'the will is kept with the session until the connection ends', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const client = await rig.connect(version, durable(version, rig.clientId(), { will: { topic, payload: 'kept' } }))
  await watcher.quiet()
  await client.ping()
  await client.vanish()
  assert.equal((await watcher.receive()).text, 'kept')
})

both('3.1.2-9', '3.1.2-9', 'the will flag without topic or message is refused', async (version) => {
  const start = [text('MQTT'), version, 6, u16(0), version === 5 ? [0] : [], text('raw')]
  const willProperties = version === 5 ? [[0]] : []
  await rig.open(version).connectRefused(frame(0x10, ...start), 0x81, 0x82)
  await rig.open(version).connectRefused(frame(0x10, ...start, ...willProperties, text('t/x')), 0x81, 0x82)
})

both('3.1.2-10', '3.1.2-10', 'the will is removed once published, and by DISCONNECT', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const watcher = await rig.subscriber(version, topic)
  await (await rig.connect(version, durable(version, clientId, { will: { topic, payload: 'once' } }))).vanish()
  assert.equal((await watcher.receive()).text, 'once')
  await (await rig.connect(version, durable(version, clientId))).vanish()
  await watcher.quiet()
  await (await rig.connect(version, durable(version, clientId, { will: { topic, payload: 'never' } }))).leave()
  await (await rig.connect(version, durable(version, clientId))).vanish()
  await watcher.quiet()
})

v4('3.1.2-11', 'will topic and message without the will flag are refused', async (version) => {
  const fields = [text('t/x'), text('message')]
  const bytes = frame(0x10, text('MQTT'), version, 2, u16(0), text('raw'), ...fields)
  await rig.open(version).connectRefused(bytes)
})

v4('3.1.2-12', 'without the will flag no will is published', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const watcher = await rig.subscriber(version, topic)
  const first = await rig.connect(version, { clientId, will: { topic, payload: 'earlier' } })
  await first.leave()
  await (await rig.connect(version, { clientId })).vanish()
  await watcher.quiet('publish', 150)
})

both('3.1.2-13', '3.1.2-11', 'a will QoS without the will flag is refused', async (version) => {
  for (const qos of [1, 2, 3]) await rig.open(version).connectRefused(connect(version, { flags: 2 | (qos << 3) }), 0x81, 0x82)
})

both('3.1.2-14', '3.1.2-12', 'the will QoS is 0, 1 or 2, not 3', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic, 2)
  for (const qos of [0, 1, 2]) {
    await (await rig.connect(version, { will: { topic, payload: `q${qos}`, qos } })).vanish()
    const packet = await watcher.receive()
    assert.deepEqual([packet.text, packet.qos], [`q${qos}`, qos])
  }
  await rig.open(version).connectRefused(connect(version, { will: { topic, payload: 'q3', qos: 3 } }), 0x81, 0x82)
  await watcher.quiet()
})

both('3.1.2-15', '3.1.2-13', 'will retain without the will flag is refused', async (version) => {
  await rig.open(version).connectRefused(connect(version, { flags: 0x22 }), 0x81, 0x82)
})

both('3.1.2-16', '3.1.2-14', 'a will without retain is not retained', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  await (await rig.connect(version, { will: { topic, payload: 'will' } })).vanish()
  await watcher.receive()
  await (await rig.subscriber(version, topic)).quiet()
})

both('3.1.2-17', '3.1.2-15', 'a will with retain is retained', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  await (await rig.connect(version, { will: { topic, payload: 'will', qos: 1, retain: true } })).vanish()
  assert.equal((await watcher.receive()).retain, false)
  const later = await (await rig.subscriber(version, topic)).receive()
  assert.deepEqual([later.text, later.retain], ['will', true])
})

both('3.1.3-10', '3.1.3-11', 'a will topic that is not UTF-8 is refused', async (version) => {
  for (const bytes of [Buffer.from([0x74, 0xff]), Buffer.from('t\0')]) {
    await rig.open(version).connectRefused(connect(version, { will: { topic: bytes } }), 0x81, 0x82, 0x90)
  }
})

v5('3.1.3-9', 'a connection before the will delay has passed cancels the will', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const watcher = await rig.subscriber(version, topic)
  const will = { topic, payload: 'late', props: [prop(24, 1)] }
  await (await rig.connect(version, durable(version, clientId, { will }))).vanish()
  const second = await rig.connect(version, durable(version, clientId))
  await watcher.quiet('publish', 1_400)
  await second.ping()
})

v5('3.1.2-8', 'the will waits for its delay, and not longer than the session', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const delayed = { topic, payload: 'delayed', props: [prop(24, 1)] }
  await (await rig.connect(version, durable(version, rig.clientId(), { will: delayed }))).vanish()
  await watcher.quiet('publish', 500)
  assert.equal((await watcher.receive()).text, 'delayed')
  const longer = { topic, payload: 'ended with the session', props: [prop(24, 3_600)] }
  await (await rig.connect(version, { will: longer, props: [prop(17, 1)] })).vanish()
  assert.equal((await watcher.receive()).text, 'ended with the session')
  await (await rig.connect(version, { will: longer })).vanish() // no expiry: the session ends with the connection
  assert.equal((await watcher.receive()).text, 'ended with the session')
})

v5('3.1.2-8', 'clean start ends the session, and with it the delay of its will', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const watcher = await rig.subscriber(version, topic)
  const will = { topic, payload: 'session ended', props: [prop(24, 3_600)] }
  await (await rig.connect(version, durable(version, clientId, { will }))).vanish()
  await rig.connect(version, { clientId, clean: true })
  assert.equal((await watcher.receive()).text, 'session ended')
})

v5('3.1.3-10', 'properties of a will are sent on, user properties in their order', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  const pairs = [
    ['b', '1'],
    ['a', '2'],
    ['b', '3']
  ] as const
  const carried = [
    prop(3, 'text/plain'),
    prop(8, 'reply/to'),
    prop(9, Buffer.from([1, 2])),
    ...pairs.map((pair) => prop(38, pair)),
    prop(1, 1)
  ]
  await (await rig.connect(version, { will: { topic, payload: 'x', props: carried } })).vanish()
  const { properties } = await watcher.receive()
  assert.deepEqual(
    properties.filter(([id]) => id === 38).map(([, value]) => value),
    pairs.map((pair) => [...pair])
  )
  const others = Object.fromEntries(properties.filter(([id]) => id !== 38))
  assert.deepEqual(others, { 1: 1, 3: 'text/plain', 8: 'reply/to', 9: Buffer.from([1, 2]) })
})

both('3.14.4-3', '3.14.4-3', 'DISCONNECT discards the will', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  for (const bytes of [disconnect(), ...(version === 5 ? [disconnect(0), disconnect(0, [])] : [])]) {
    await (await rig.connect(version, { will: { topic, payload: 'never' } })).send(bytes).closed()
  }
  await watcher.quiet('publish', 150)
})

v5('3.1.2-10', 'DISCONNECT with reason 0x04 publishes the will', async (version) => {
  const topic = rig.topic()
  const watcher = await rig.subscriber(version, topic)
  await (await rig.connect(version, { will: { topic, payload: 'on purpose' } })).leave(4)
  assert.equal((await watcher.receive()).text, 'on purpose')
})

v5('3.2.2-12', 'a will of every QoS is within what the server can do', async (version) => {
  const maximum = await rig.open(version).connect({ clientId: rig.clientId(), will: { topic: 't/x', qos: 2 } })
  assert.equal(maximum.code, 0)
  assert.ok(!maximum.properties.some(([id]) => id === 36), 'QoS 2 is not announced as missing')
})

v5('3.2.2-13', 'a will with retain is within what the server can do', async (version) => {
  const client = rig.open(version)
  const { code, properties } = await client.connect({ clientId: rig.clientId(), will: { topic: rig.topic(), retain: true } })
  assert.equal(code, 0)
  assert.ok(!properties.some(([id, value]) => id === 37 && value === 0))
  await client.leave()
})

const badWillProperties = (): Buffer[][] => [[prop(24, 1), prop(24, 1)], [prop(17, 1)], [prop(1, 2)], [prop(8, 'a/#')], [prop(35, 1)]]

v5('3.1.4-1', 'properties that a will may not have refuse the CONNECT', async (version) => {
  for (const props of badWillProperties()) {
    await rig.open(version).connectRefused(connect(version, { will: { topic: 't/x', props } }), 0x81, 0x82, 0x90)
  }
})

async function takenOver(version: Version, isClean: boolean, delaySeconds: number): Promise<string | null> {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const watcher = await rig.subscriber(version, topic)
  const will = { topic, payload: 'taken over', props: version === 5 ? [prop(24, delaySeconds)] : [] }
  const first = await rig.connect(version, durable(version, clientId, { will }))
  await rig.connect(version, isClean ? { clientId } : durable(version, clientId))
  await first.closed()
  for (let turn = 0; turn < 15 && watcher.inbox.length === 0; turn++) await sleep(20)
  return watcher.inbox[0]?.text ?? null
}

both('3.1.4-2', '3.1.4-3', 'a takeover publishes the will of the connection that it ends', async (version) => {
  assert.equal(await takenOver(version, true, 0), 'taken over')
  assert.equal(await takenOver(version, false, 0), 'taken over', 'also when the session goes on')
})

v5('3.1.3-9', 'a takeover cancels a will that has a delay, unless it ends the session', async (version) => {
  assert.equal(await takenOver(version, false, 3_600), null)
  assert.equal(await takenOver(version, true, 3_600), 'taken over')
})

runStatements('will')

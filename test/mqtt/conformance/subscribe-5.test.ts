// What MQTT 5 alone says of SUBSCRIBE and UNSUBSCRIBE: options, shared subscriptions (refused), codes and sizes of the answers.

import assert from 'node:assert/strict'
import { propsOf } from './decode.ts'
import { join, NO_LOCAL, prop, RETAIN_AS_PUBLISHED, retainHandling, subscribe, text, unsubscribe, type Version } from './encode.ts'
import { durable, FORBIDDEN, openRig, type Rig, smallestLimit } from './gateway.ts'
import { runStatements, v5 } from './statements.ts'

const rig: Rig = await openRig()

async function retained(version: Version): Promise<string> {
  const topic = rig.topic()
  await (await rig.connect(version)).publish({ topic, payload: 'kept', qos: 1, retain: true })
  return topic
}

v5('3.3.1-9', 'retain handling 0 brings retained messages at every SUBSCRIBE', async (version) => {
  const topic = await retained(version)
  const client = await rig.connect(version)
  for (let index = 0; index < 2; index++) {
    await client.subscribe(topic, retainHandling(0))
    assert.equal((await client.receive()).text, 'kept')
  }
})

v5('3.3.1-9', 'RETAIN is set on them, whatever retain as published says', async (version) => {
  const topic = await retained(version)
  for (const options of [0, RETAIN_AS_PUBLISHED]) {
    const client = await rig.subscriber(version, topic, options)
    assert.equal((await client.receive()).retain, true)
  }
})

v5('3.3.1-10', 'retain handling 1 brings retained messages to a new subscription only', async (version) => {
  const topic = await retained(version)
  const client = await rig.connect(version)
  await client.subscribe(topic, retainHandling(1))
  assert.equal((await client.receive()).text, 'kept')
  await client.subscribe(topic, retainHandling(1) | 1)
  await client.quiet()
  await client.unsubscribe(topic)
  await client.subscribe(topic, retainHandling(1))
  assert.equal((await client.receive()).text, 'kept')
})

v5('3.3.1-10', 'a subscription of a session that goes on is not new', async (version) => {
  const topic = await retained(version)
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, retainHandling(1), durable(version, clientId))
  await first.receive()
  await first.leave()
  const second = await rig.connect(version, durable(version, clientId))
  await second.subscribe(topic, retainHandling(1))
  await second.quiet()
})

v5('3.3.1-11', 'retain handling 2 brings no retained messages', async (version) => {
  const topic = await retained(version)
  const client = await rig.connect(version)
  await client.subscribe(topic, retainHandling(2))
  await client.quiet()
  await (await rig.connect(version)).publish({ topic, payload: 'live', qos: 1, retain: true })
  assert.equal((await client.receive()).text, 'live')
})

v5('3.8.3-3', 'with no local a client does not get its own messages', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 1 | NO_LOCAL)
  await client.publish({ topic, payload: 'own', qos: 1 })
  await client.quiet()
  await (await rig.connect(version)).publish({ topic, payload: 'of another', qos: 1 })
  assert.equal((await client.receive()).text, 'of another')
})

v5('3.8.3-3', 'no local of one filter does not silence another', async (version) => {
  const topic = rig.topic()
  const client = await rig.subscriber(version, topic, 1 | NO_LOCAL)
  await client.subscribe(`${topic}/#`, 0)
  await client.publish({ topic, payload: 'own', qos: 1 })
  assert.equal((await client.receive()).text, 'own')
  await client.quiet()
})

v5('3.8.3-3', 'own messages are not queued either', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(version, topic, 2 | NO_LOCAL, durable(version, clientId))
  for (const qos of [1, 2]) await first.publish({ topic, payload: 'own', qos })
  await first.leave()
  await (await rig.connect(version)).publish({ topic, payload: 'of another', qos: 1 })
  const second = await rig.connect(version, durable(version, clientId))
  assert.equal((await second.receive()).text, 'of another')
  await second.publish({ topic, payload: 'own', qos: 1 })
  await second.quiet()
})

v5('3.3.1-13', 'options of a subscription last as long as the session', async (version) => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  await (await rig.subscriber(version, topic, 1 | RETAIN_AS_PUBLISHED, durable(version, clientId))).leave()
  const publisher = await rig.connect(version)
  await publisher.publish({ topic, payload: 'queued', qos: 2, retain: true })
  const second = await rig.connect(version, durable(version, clientId))
  const queued = await second.receive()
  assert.deepEqual([queued.text, queued.retain, queued.qos], ['queued', true, 1])
  await publisher.publish({ topic, payload: 'live', qos: 2, retain: true })
  const live = await second.receive()
  assert.deepEqual([live.text, live.retain, live.qos], ['live', true, 1])
})

v5('3.8.3-4', 'no local on a shared subscription closes the connection', async (version) => {
  const client = await rig.connect(version)
  await client.send(subscribe(version, 1, [['$share/g/t/x', 1 | NO_LOCAL]])).refused(0x82)
})

v5('4.8.2-1', 'a shared subscription is refused with 0x9E, one without a name at all', async (version) => {
  const client = await rig.connect(version)
  assert.deepEqual((await client.subscribe('$share/g/t/x', 1)).codes, [0x9e])
  for (const filter of ['$share//t/x', '$share/g', '$share/', '$share']) {
    const other = await rig.connect(version)
    other.send(subscribe(version, 1, [[filter, 1]]))
    await other.until(() => other.isClosed || other.inbox.length > 0, 'an answer', { endsWithConnection: false })
    const [answer] = other.inbox
    if (answer?.kind === 'suback') assert.ok((answer.codes[0] as number) >= 0x80, `${filter}: ${other.story}`)
  }
})

v5('4.8.2-2', 'a share name with wildcards is refused', async (version) => {
  for (const filter of ['$share/a+/t/x', '$share/#/t/x']) {
    const client = await rig.connect(version)
    client.send(subscribe(version, 1, [[filter, 1]]))
    await client.until(() => client.isClosed || client.inbox.length > 0, 'an answer', { endsWithConnection: false })
    const [answer] = client.inbox
    if (answer?.kind === 'suback') assert.ok((answer.codes[0] as number) >= 0x80, `${filter}: ${client.story}`)
  }
})

async function smallAnswers(version: Version, id: number): Promise<void> {
  const limit = await smallestLimit(rig, version)
  const client = await rig.connect(version, { props: [prop(39, limit), prop(23, 1)] })
  await client.subscribe(`${FORBIDDEN}/x`)
  await client.subscribe('$share/g/t/x')
  await client.unsubscribe('t/never', `${FORBIDDEN}/x`)
  for (const packet of client.received)
    assert.ok(packet.bytes.length <= limit, `${packet.kind} with property ${id}: ${propsOf(packet, id)}`)
}

v5('3.9.2-1', 'a reason string does not make SUBACK larger than the client takes', (version) => smallAnswers(version, 31))
v5('3.9.2-2', 'user properties do not make SUBACK larger than the client takes', (version) => smallAnswers(version, 38))
v5('3.11.2-1', 'a reason string does not make UNSUBACK larger than the client takes', (version) => smallAnswers(version, 31))
v5('3.11.2-2', 'user properties do not make UNSUBACK larger than the client takes', (version) => smallAnswers(version, 38))

v5('3.11.3-1', 'codes of UNSUBACK stand in the order of the filters', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  await client.subscribe([
    [`${topic}/a`, 0],
    [`${topic}/b`, 0]
  ])
  const { codes } = await client.unsubscribe(`${topic}/a`, 't/never', `${topic}/b`, `${topic}/a`)
  assert.deepEqual(codes, [0, 0x11, 0, 0x11])
})

v5('3.11.3-2', 'UNSUBACK has a code of its list for each filter', async (version) => {
  const client = await rig.connect(version)
  assert.deepEqual((await client.unsubscribe('t/never', '$share/g/t/x')).codes.length, 2) // decode.ts knows the list
})

v5('3.8.4-3', 'the new subscription has its own options and id', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  await client.subscribe(topic, 1 | NO_LOCAL, [prop(11, 5)])
  await client.subscribe(topic, 1, [prop(11, 6)])
  await client.publish({ topic, payload: 'own', qos: 1 })
  assert.deepEqual(propsOf(await client.receive(), 11), [6])
  await client.subscribe(topic, 1)
  await client.publish({ topic, payload: 'own', qos: 1 })
  assert.deepEqual(propsOf(await client.receive(), 11), [])
})

v5('4.13.1-1', 'properties that SUBSCRIBE and UNSUBSCRIBE may not have close the connection', async (version) => {
  const filter = [['t/x', 0]] as const
  const wrong = [
    subscribe(version, 1, filter, [prop(11, 1), prop(11, 2)]),
    subscribe(version, 1, filter, [prop(31, 'x')]),
    subscribe(version, 1, filter, [prop(17, 1)]),
    subscribe(version, 1, filter, [join(11, [0xff, 0xff, 0xff, 0xff, 0x7f])]),
    unsubscribe(version, 1, ['t/x'], [prop(11, 1)]),
    unsubscribe(version, 1, ['t/x'], [join(38, text('k'))])
  ]
  for (const bytes of wrong) await (await rig.connect(version)).send(bytes).refused(0x81, 0x82)
})

v5('4.13.1-1', 'user properties of SUBSCRIBE and UNSUBSCRIBE are allowed', async (version) => {
  const topic = rig.topic()
  const client = await rig.connect(version)
  const pairs = [prop(38, ['a', '1']), prop(38, ['a', '1'])]
  assert.deepEqual((await client.subscribe(topic, 1, pairs)).codes, [1])
  client.send(unsubscribe(version, 9, [topic], pairs))
  assert.deepEqual((await client.next('unsuback')).codes, [0])
})

runStatements('subscribe-5')

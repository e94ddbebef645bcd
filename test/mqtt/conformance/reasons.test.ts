// Proves for reason strings of MQTT 5: what a refusal says, to whom, how long it may be, and that nothing of this machine is in it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WadiError } from '../../../runtime/base/errors.ts'
import { ControlledStore, diskFull } from '../controlled-store.ts'
import { type Packet, propsOf } from './decode.ts'
import { connect, prop, publish, subscribe } from './encode.ts'
import { durable, FORBIDDEN, openRig } from './gateway.ts'

const VERSION = 5
const store = new ControlledStore()
const rig = await openRig()
const full = await openRig({ store })

const wordsOf = (packet: Packet | null | undefined): unknown[] => (packet ? propsOf(packet, 31) : ['no packet'])

/** A DISCONNECT for a SUBSCRIBE without a filter. */
async function disconnectOf(props: readonly Uint8Array[]): Promise<Packet> {
  const client = await rig.connect(VERSION, { props })
  client.send(subscribe(VERSION, 1, []))
  await client.closed()
  return client.received.find(({ kind }) => kind === 'disconnect') as Packet
}

const refused = (props: readonly Uint8Array[]): Promise<Packet | undefined> =>
  rig.open(VERSION).connectRefused(connect(VERSION, { clientId: 'a\tb', props }), 0x85)

test('PUBACK, PUBREC, CONNACK and DISCONNECT that refuse say why', async () => {
  const client = await rig.connect(VERSION)
  for (const qos of [1, 2]) {
    assert.deepEqual(wordsOf(await client.publish({ topic: `${FORBIDDEN}/x`, qos })), ['not-authorized: may not publish to "forbidden/x"'])
    assert.deepEqual(wordsOf(await client.publish({ topic: rig.topic(), qos })), [])
  }
  assert.deepEqual(wordsOf(await disconnectOf([])), ['packet-length: SUBSCRIBE: no filter (MQTT-3.8.3-3, MQTT-3.10.3-2)'])
  assert.deepEqual(wordsOf(await refused([])), ['client-id: empty, too long, or not printable'])
})

test('SUBACK that refuses says why of the first filter that is refused; one that grants says nothing', async () => {
  const client = await rig.connect(VERSION)
  const refused = async (...filters: string[]): Promise<unknown[]> => {
    const suback = await client.subscribe(filters.map((filter) => [filter, 0]))
    return [...suback.codes, ...wordsOf(suback)]
  }
  assert.deepEqual(await refused('t/a', `${FORBIDDEN}/x`, '$share/g/t'), [
    0,
    0x87,
    0x9e,
    'not-authorized: may not subscribe to "forbidden/x"'
  ])
  assert.deepEqual(await refused('$share/g/t/x'), [0x9e, 'shared subscriptions are not offered: "$share/g/t/x"'])
  assert.deepEqual(await refused(`t/${'x'.repeat(2_000)}`), [
    0x8f,
    `filter: longer than it may be, or a control character: "t/${'x'.repeat(62)}`
  ])
  assert.deepEqual(await refused('t/b'), [0])
  const many = Array.from({ length: 1_000 }, (_, index) => `t/many/${index}`)
  const [words] = wordsOf(await client.subscribe(many.map((filter) => [filter, 0])))
  assert.equal(words, 'no room for one more subscription (mqtt_limits): "t/many/998"')
})

test('SUBACK that storage refuses says so, and nothing of the machine', async () => {
  const client = await full.connect(VERSION, durable(VERSION, full.clientId()))
  store.refusal = new WadiError('WADI_LOG_FAILED', { happened: '/var/lib/wadi', kept: '', next: '' })
  const suback = await client.subscribe('t/x')
  store.refusal = null
  assert.deepEqual([suback.codes, wordsOf(suback)], [[0x80], ['storage']])
})

test('who is taken over is told so', async () => {
  const clientId = rig.clientId()
  const first = await rig.connect(VERSION, { clientId })
  await rig.connect(VERSION, { clientId })
  await first.closed()
  assert.deepEqual(wordsOf(first.received.at(-1)), ['another connection came with this client id'])
})

test('who does not want problem information gets none', async () => {
  const props = [prop(23, 0)]
  const client = await rig.connect(VERSION, { props })
  for (const qos of [1, 2]) assert.deepEqual(wordsOf(await client.publish({ topic: `${FORBIDDEN}/x`, qos })), [])
  assert.deepEqual(wordsOf(await client.subscribe(`${FORBIDDEN}/x`)), [])
  assert.deepEqual(wordsOf(await disconnectOf(props)), [])
  assert.deepEqual(wordsOf(await refused(props)), [])
})

test('a reason string is left out where it would be too large, the code stays; a CONNACK that is too large without it is not sent', async () => {
  const props = [prop(39, 45)]
  const client = await rig.connect(VERSION, { props })
  const answer = await client.publish({ topic: `${FORBIDDEN}/x`, qos: 1 })
  assert.deepEqual([answer?.code, wordsOf(answer)], [0x87, []])
  const suback = await client.subscribe(`${FORBIDDEN}/x`)
  assert.deepEqual([suback.codes, wordsOf(suback)], [[0x87], []])
  const end = await disconnectOf(props)
  assert.deepEqual([end.code, wordsOf(end)], [0x82, []])
  assert.deepEqual(wordsOf(await refused(props)), [])
  assert.deepEqual(wordsOf(await refused([prop(39, 4)])), ['no packet'])
})

test('however long a topic is, the words are short; of a full disk they say that, and no path', async () => {
  const client = await rig.connect(VERSION)
  const [words] = wordsOf(await client.publish({ topic: `${FORBIDDEN}/${'😀'.repeat(200)}`, qos: 1 })) as string[]
  assert.equal([...(words ?? '')].length, 120)
  const device = await full.connect(VERSION)
  store.refusal = diskFull()
  device.send(publish(VERSION, { topic: 't/x', qos: 1, packetId: 9 }))
  assert.deepEqual(wordsOf(await device.next('puback')), ['no room, not stored'])
  store.refusal = null
})

// Proves that retained messages and wills outlive the gateway: after a restart over the same state they are there, once, and what was refused, deleted,
// expired or said goodbye to is not. A restart here is a second broker over the state that the first one had committed.

import t, { type Test } from 'tap'
import { defaultMqttLimits } from '../../adapters/mqtt/limits.ts'
import { RetainedMessages } from '../../adapters/mqtt/retained-messages.ts'
import { storedMessageCodec } from '../../adapters/mqtt/stored-message.ts'
import { PIECE_BYTES, storedRetained, storedRetainedParts } from '../../adapters/mqtt/stored-retained.ts'
import { storedWills } from '../../adapters/mqtt/wills.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { ControlledStore, diskFull, headersOf, textOf } from './controlled-store.ts'
import { connectPacket, disconnectPacket, packet, publishPacket, type RawClient, subscribePacket } from './packets.ts'
import { startGateway, type TestGateway, turns } from './rig.ts'

const restart = (t: Test, { store }: TestGateway, options: Parameters<typeof startGateway>[1] = {}): Promise<TestGateway> =>
  startGateway(t, { ...options, store: new ControlledStore(store.state) })

async function retainedTopics({ raw }: TestGateway): Promise<string[]> {
  const client = await raw().connected({ clientId: 'reader' })
  client.send(subscribePacket(1, '#', 0), publishPacket({ topic: 'd/end', payload: 'x' }))
  await client.saw('publish d/end')
  client.destroy()
  return client.received.filter((line) => line.startsWith('publish') && line !== 'publish d/end').sort()
}

const retain = (topic: string, payload: string | Uint8Array = 'x', qos = 1, packetId = 1): Buffer =>
  publishPacket({ topic, payload, qos, packetId, retain: true })

const will = { topic: 'd/will', payload: Buffer.from('x') }

const keysOf = ({ store }: TestGateway, area: { name: string }): string[] =>
  [...store.state.keys()].filter((key) => key.startsWith(`${area.name}/`))

async function send(client: RawClient, packet: Buffer, answer: string): Promise<void> {
  client.send(packet)
  const count = client.received.filter((line) => line === answer).length
  await client.until(() => client.received.filter((line) => line === answer).length > count)
}

t.test('a retained message is in the commit of its event, and there after a restart; an empty one takes it away for good', async (t) => {
  const before = await startGateway(t)
  const client = await before.raw().connected()
  await send(client, retain('d/a'), 'puback 1')
  await send(client, retain('d/b', 'y', 2, 2), 'pubrec 2')
  client.send(retain('d/c', 'z', 0))
  await turns(() => before.store.recordsOf('events').length === 3)
  t.equal(before.store.commitCount, 3, 'no commit of its own')
  await send(client, retain('d/b', ''), 'puback 1')
  t.same(await retainedTopics(before), ['publish d/a', 'publish d/c'])
  const after = await restart(t, before)
  t.same(await retainedTopics(after), ['publish d/a', 'publish d/c'])
  const again = await after.raw().connected()
  await send(again, retain('d/a', ''), 'puback 1')
  await send(again, retain('d/c', ''), 'puback 1')
  t.same(keysOf(after, storedRetained), [])
})

t.test('what storage refuses is not retained, neither now nor after a restart; nor what nobody may publish', async (t) => {
  const before = await startGateway(t)
  const client = await before.raw().connected()
  await send(client, retain('d/a', 'first'), 'puback 1')
  before.store.refusal = diskFull()
  client.send(retain('d/a', 'second'))
  await client.closed()
  const other = await before.raw().connected()
  other.send(retain('$SYS/x'))
  await other.closed()
  before.store.refusal = null
  t.same(await retainedTopics(before), ['publish d/a'])
  const stored = [...before.store.state].filter(([key]) => storedRetained.owns(key))
  t.equal(stored.length, 1)
  t.equal(textOf(storedMessageCodec.decode(stored[0]?.[1] as Uint8Array, '').payload), 'first')
})

t.test('a retained message of a topic that is dropped has a commit of its own, before its acknowledgement', async (t) => {
  const before = await startGateway(t, { unmatched: { action: 'drop' } })
  const client = await before.raw().connected()
  before.store.isHeld = true
  client.send(retain('nobody/x'))
  await turns(() => before.store.waitingCount === 1)
  await turns(undefined, 30)
  t.same(client.received, ['connack 0'])
  before.store.release()
  await client.saw('puback 1')
  t.same(await retainedTopics(await restart(t, before, { unmatched: { action: 'drop' } })), ['publish nobody/x'])
})

t.test(
  'retained messages are bounded in number, bytes and size, also while they are on their way; a larger one is delivered',
  async (t) => {
    const limits = { retainedCountMax: 3, retainedBytesMax: 2_000, retainedMessageBytesMax: 1_000 }
    const gateway = await startGateway(t, { limits })
    const client = await gateway.raw().connected()
    const reader = await gateway.raw().connected({ clientId: 'sub' })
    reader.send(subscribePacket(1, 'd/large'))
    await reader.saw('suback 1')
    gateway.store.isHeld = true
    for (const [index, topic] of ['d/1', 'd/2', 'd/3', 'd/4', 'd/5'].entries()) client.send(retain(topic, 'x', 1, index + 1))
    client.send(retain('d/large', Buffer.alloc(1_001), 1, 9))
    await turns(() => gateway.store.waitingCount === 6)
    gateway.store.release()
    await client.saw('puback 9')
    await reader.saw('publish d/large')
    t.equal(gateway.broker.metrics.retainedRefused, 3)
    t.equal(keysOf(gateway, storedRetained).length, 3)
    client.send(retain('d/1', Buffer.alloc(900), 1, 10), retain('d/2', Buffer.alloc(900), 1, 11))
    await client.saw('puback 11')
    t.equal(gateway.broker.metrics.retainedRefused, 4, 'bytes of what it takes the place of do not count')
    t.same(await retainedTopics(gateway), ['publish d/1', 'publish d/3'], 'what was refused took the older one of its topic away')
  }
)

t.test('the will of a client is sent by the next start when its gateway fell, once', async (t) => {
  const before = await startGateway(t)
  await before.raw().connected({ clientId: 'w/1', will: { topic: 'd/will', payload: Buffer.from('gone') } })
  t.same([...before.store.state.keys()], ['mqtt.will/w/1/1'], 'before CONNACK')
  const after = await restart(t, before)
  await turns(() => after.store.recordsOf('events').length === 1)
  const [event] = after.store.recordsOf('events')
  t.equal(textOf(event?.value), 'gone')
  t.match(event && headersOf(event), { 'mqtt.topic': 'd/will', 'mqtt.client': 'w/1' })
  t.same(keysOf(after, storedWills), [], 'the commit of the event took it away')
  const third = await restart(t, after)
  await turns(undefined, 30)
  t.same(third.store.recordsOf('events'), [])
})

t.test('DISCONNECT, the end of the connection and another CONNECT take the will out of the state', async (t) => {
  const gateway = await startGateway(t)
  const will = { topic: 'd/will', payload: Buffer.from('x') }
  const polite = await gateway.raw().connected({ clientId: 'p', will })
  polite.send(disconnectPacket())
  await polite.closed()
  await turns(() => gateway.store.state.size === 0)
  t.same(gateway.store.recordsOf('events'), [])
  const lost = await gateway.raw().connected({ clientId: 'l', will })
  lost.destroy()
  await turns(() => gateway.store.recordsOf('events').length === 1)
  t.equal(gateway.store.state.size, 0)
  const first = await gateway.raw().connected({ clientId: 't', will: { ...will, payload: Buffer.from('first') } })
  await gateway.raw().connected({ clientId: 't', will: { ...will, payload: Buffer.from('second') } })
  await first.closed()
  await turns(() => gateway.store.recordsOf('events').length === 2)
  t.same(
    gateway.store.recordsOf('events').map(({ value }) => textOf(value)),
    ['x', 'first']
  )
  const stored = gateway.store.state.get(keysOf(gateway, storedWills)[0] as string) as Uint8Array
  t.equal(keysOf(gateway, storedWills).length, 1)
  t.equal(textOf(storedMessageCodec.decode(stored, '').payload), 'second')
})

t.test('on a full disk a client with a will may connect: its will is in memory only', async (t) => {
  const gateway = await startGateway(t)
  gateway.store.refusal = diskFull()
  const client = await gateway.raw().connected({ clientId: 'w', will })
  t.same(keysOf(gateway, storedWills), [])
  gateway.store.refusal = null
  client.destroy()
  await turns(() => gateway.store.recordsOf('events').length === 1)
  t.equal(gateway.store.recordsOf('events').length, 1)
})

t.test('a CONNECT whose will cannot be made durable for another reason is refused, and sends no will', async (t) => {
  const gateway = await startGateway(t)
  const story = { happened: 'The device failed.', kept: 'All.', next: 'Look.' }
  gateway.store.commit = () => Promise.reject(new WadiError('WADI_LOG_FAILED', story))
  const client = gateway.raw().send(connectPacket({ clientId: 'w', will }))
  await client.closed()
  t.same(client.received, ['connack 3'])
  await turns(undefined, 30)
  t.same(gateway.store.recordsOf('events'), [])
  t.equal(gateway.broker.metrics.wills, 0, 'no place is taken')
})

t.test('a client that goes before CONNACK sends no will, and none stays', async (t) => {
  const gateway = await startGateway(t)
  gateway.store.isHeld = true
  const client = gateway.raw().send(connectPacket({ clientId: 'w', will }))
  await turns(() => gateway.store.waitingCount === 1)
  client.destroy()
  await gateway
    .raw()
    .send(connectPacket({ clientId: 'w' }))
    .until(() => gateway.store.waitingCount > 0)
  await turns(undefined, 30)
  gateway.store.release()
  await turns(() => gateway.store.state.size === 0 && gateway.store.waitingCount === 0)
  t.same(gateway.store.recordsOf('events'), [])
  t.equal(gateway.store.state.size, 0)
})

t.test('DISCONNECT and another CONNECT with a will within one sync leave the new one, and only it', async (t) => {
  const before = await startGateway(t)
  const first = await before.raw().connected({ clientId: 'w', will: { ...will, payload: Buffer.from('first') } })
  before.store.isHeld = true
  first.send(disconnectPacket())
  await first.closed()
  const second = before.raw().send(connectPacket({ clientId: 'w', will: { ...will, payload: Buffer.from('second') } }))
  await turns(() => before.store.waitingCount >= 2)
  before.store.release()
  await second.saw('connack 0')
  t.equal(before.broker.metrics.wills, 1)
  second.send(disconnectPacket())
  await second.closed()
  await turns(() => before.store.state.size === 0)
  const after = await restart(t, before)
  await turns(undefined, 30)
  t.same(after.store.recordsOf('events'), [], 'nobody is missing')
})

t.test('a will that no route takes is counted and gone; it keeps no place', async (t) => {
  const gateway = await startGateway(t, { limits: { sessionsMax: 2 } })
  for (const clientId of ['a', 'b', 'c']) {
    const client = await gateway.raw().connected({ clientId, will: { topic: 'nobody', payload: Buffer.from('x') } })
    client.destroy()
    await turns(() => gateway.broker.metrics.connections === 0 && gateway.store.state.size === 0)
  }
  t.equal(gateway.broker.metrics.willsDropped, 3)
  t.equal(gateway.broker.metrics.wills, 0)
})

t.test('a will that there is no room for is sent when there is', { timeout: 20_000 }, async (t) => {
  const gateway = await startGateway(t)
  const client = await gateway.raw().connected({ clientId: 'w', will })
  gateway.store.refusal = diskFull()
  client.destroy()
  await turns(() => gateway.broker.metrics.connections === 0)
  await turns(undefined, 30)
  gateway.store.refusal = null
  await turns(() => gateway.store.recordsOf('events').length === 1, 4_000)
  t.equal(gateway.store.recordsOf('events').length, 1)
  t.equal(gateway.store.state.size, 0)
})

t.test('a will that storage refuses when it is due stays for the next start', async (t) => {
  const before = await startGateway(t)
  const client = await before.raw().connected({ clientId: 'w', will: { topic: 'd/will', payload: Buffer.from('x') } })
  before.store.refusal = diskFull()
  client.destroy()
  await turns(() => before.broker.metrics.connections === 0)
  await turns(undefined, 30)
  before.store.refusal = null
  const after = await restart(t, before)
  await turns(() => after.store.recordsOf('events').length === 1)
  t.equal(after.store.recordsOf('events').length, 1)
})

t.test('what cannot be read is left out and counted, what is newer ends the start', async (t) => {
  const before = await startGateway(t)
  const client = await before.raw().connected()
  await send(client, retain('d/a'), 'puback 1')
  for (const [index, bytes] of [[], [1], [1, 0, 0, 0, 9, 0x7b], [1, 0, 0, 0, 2, 0x7b, 0x7d]].entries()) {
    before.store.state.set(`mqtt.retained/${index}`, Uint8Array.from(bytes))
    before.store.state.set(`mqtt.will/${index}`, Uint8Array.from(bytes))
  }
  const after = await restart(t, before)
  t.same(await retainedTopics(after), ['publish d/a'])
  t.equal(after.broker.metrics.damaged, 8)
  after.store.state.set('mqtt.will/newer', Uint8Array.of(2))
  await t.rejects(restart(t, after), { code: 'WADI_FORMAT_NEWER' })
})

t.test('whoever subscribes gets all that is retained, also what is more than may wait of other messages', async (t) => {
  const { raw, broker } = await startGateway(t, { limits: { outboundBytesMax: 64 * 1024, retainedBytesMax: 4 * 1024 * 1024 } })
  const device = await raw().connected()
  const count = 2_000
  for (let index = 0; index < count; index++) device.send(retain(`d/${index}`, Buffer.alloc(1_000), 1, (index % 400) + 1))
  await device.until(() => device.received.length === count + 1)
  for (const qos of [0, 1]) {
    const reader = await raw().connected({ clientId: `reader${qos}` })
    reader.send(subscribePacket(1, '#', qos))
    let acknowledged = 0
    await reader.until(() => {
      const got = reader.received.filter((line) => line.startsWith('publish')).length
      for (; qos === 1 && acknowledged < got; acknowledged++)
        reader.send(packet(0x40, [(acknowledged + 1) >> 8, (acknowledged + 1) & 0xff]))
      return got === count
    })
    t.equal(reader.received.filter((line) => line.startsWith('publish')).length, count, `QoS ${qos}`)
  }
  t.equal(broker.metrics.deliveriesDropped, 0)
})

t.test(
  'a retained message that finds no room takes the older one of its topic away: nobody is told a value that was replaced',
  async (t) => {
    const gateway = await startGateway(t, { limits: { retainedMessageBytesMax: 10 } })
    const client = await gateway.raw().connected()
    await send(client, retain('d/a', 'ON'), 'puback 1')
    await send(client, retain('d/a', 'OFF because of a leak'), 'puback 1')
    t.same(await retainedTopics(gateway), [])
    t.equal(gateway.broker.metrics.retainedRefused, 1)
    t.same(keysOf(gateway, storedRetained), [])
  }
)

t.test(
  'who subscribes to one filter a thousand times in one read is not sent what is retained a thousand times, and others have their turn',
  async (t) => {
    const { raw } = await startGateway(t)
    const device = await raw().connected()
    for (let index = 0; index < 20; index++) device.send(retain(`d/${index}`, 'x', 1, index + 1))
    await device.until(() => device.received.length === 21)
    const greedy = await raw().connected({ clientId: 'greedy' })
    greedy.send(...Array.from({ length: 1_000 }, (_, index) => subscribePacket(index + 1, '#')))
    const other = await raw().connected({ clientId: 'other' })
    other.send(subscribePacket(1, 'd/7'))
    await other.saw('publish d/7')
    await greedy.saw('suback 1000')
    await turns(undefined, 50)
    const count = greedy.received.filter((line) => line.startsWith('publish')).length
    t.ok(count >= 20 && count <= 5_000, `${count} messages, a thousand times 20 were asked for`)
  }
)

// --- larger than one value of the state

const large = (bytes: number, seed = 1): Buffer =>
  Buffer.from(Array.from({ length: bytes }, (_, index) => (index * 31 + seed + (index >> 8)) & 0xff))

async function payloadOfRetained(gateway: TestGateway, topic: string): Promise<Buffer | null> {
  const client = await gateway.client()
  const payload = await new Promise<Buffer | null>((resolve) => {
    client.on('message', (name, bytes) => resolve(name === topic ? bytes : null))
    client.subscribe([topic, '$SYS/broker/version'])
  })
  await client.endAsync(true)
  return payload
}

t.test(
  '300 KiB are retained by default, in one commit with their event, and are there after a restart; an empty one takes them away',
  async (t) => {
    const before = await startGateway(t)
    const payload = large(300 * 1024)
    const client = await before.raw().connected()
    await send(client, retain('d/devices', payload), 'puback 1')
    t.equal(before.store.commitCount, 1)
    t.equal(before.broker.metrics.retainedRefused, 0)
    t.equal(keysOf(before, storedRetainedParts).length, 5)
    for (const [key, value] of before.store.state) t.ok(value.byteLength <= 64 * 1024, key)
    const after = await restart(t, before)
    t.ok((await payloadOfRetained(after, 'd/devices'))?.equals(payload))
    const again = await after.raw().connected()
    await send(again, retain('d/devices', ''), 'puback 1')
    t.same([...keysOf(after, storedRetained), ...keysOf(after, storedRetainedParts)], [])
  }
)

t.test(
  'each size around a whole number of values is read back as it was; what has fewer parts than the one before leaves none behind',
  async (t) => {
    const gateway = await startGateway(t)
    const client = await gateway.raw().connected()
    for (const bytes of [PIECE_BYTES * 3, PIECE_BYTES * 2 + 1, PIECE_BYTES * 2, PIECE_BYTES * 2 - 1, PIECE_BYTES + 1, PIECE_BYTES, 1]) {
      await send(client, retain('d/devices', large(bytes, bytes)), 'puback 1')
      t.equal(keysOf(gateway, storedRetainedParts).length, Math.ceil(bytes / PIECE_BYTES) - 1, `${bytes}`)
      t.ok((await payloadOfRetained(await restart(t, gateway), 'd/devices'))?.equals(large(bytes, bytes)), `${bytes}`)
    }
  }
)

t.test(
  'a message of which a part is damaged or gone is left out and told, its parts go, the others stay; parts of no message go',
  async (t) => {
    const before = await startGateway(t)
    const client = await before.raw().connected()
    for (const [index, topic] of ['d/a', 'd/b', 'd/c'].entries())
      await send(client, retain(topic, large(100_000, index), 1, index + 1), `puback ${index + 1}`)
    const [first = '', second = ''] = keysOf(before, storedRetainedParts)
    before.store.state.set(first, new Uint8Array([1]))
    before.store.state.delete(second)
    before.store.state.set(storedRetainedParts.keyAt('0123/1'), new Uint8Array([1, 1]))
    const after = await restart(t, before)
    t.equal(after.broker.metrics.damaged, 2)
    t.equal((await retainedTopics(after)).length, 1)
    await turns(() => keysOf(after, storedRetainedParts).length === 1)
  }
)

t.test('a change that was prepared earlier and is carried out later leaves no parts of the one that it did not know of', async (t) => {
  const { store } = await startGateway(t)
  const retained = new RetainedMessages(store.asStore(), defaultMqttLimits)
  const fields = { topic: 'd/x', qos: 1, isRetained: true, properties: null } as const
  const small = retained.prepare({ ...fields, payload: large(10) })
  const more = retained.prepare({ ...fields, payload: large(200_000) })
  for (const { state, settle } of [more, small]) {
    await store.asStore().commit([], state)
    settle(true)
  }
  await turns(() => [...store.state.keys()].length === 1)
  t.same(
    [...store.state.keys()].map((key) => storedRetained.owns(key)),
    [true]
  )
})

t.test('what finds no room is told with its topic and why', async (t) => {
  const { raw, notRetained } = await startGateway(t, { limits: { retainedMessageBytesMax: 10 } })
  const client = await raw().connected({ clientId: 'z2m' })
  await send(client, retain('d/a', 'more than ten'), 'puback 1')
  t.same(notRetained, [{ clientId: 'z2m', remoteAddress: '127.0.0.1', topic: 'd/a', why: '13 bytes, at most 10 of one' }])
})

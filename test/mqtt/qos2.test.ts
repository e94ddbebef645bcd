// Proves for QoS 2: a packet id makes one event until PUBREL, whatever is repeated, reconnected or restarted in between; clean
// sessions forget with their connection; PUBCOMP leaves only when forgetting is durable.

import { randomUUID } from 'node:crypto'
import t from 'tap'
import { ControlledStore, diskFull, textOf } from './controlled-store.ts'
import { connectPacket, publishPacket, pubrelPacket } from './packets.ts'
import { startGateway, turns } from './rig.ts'

const values = (store: ControlledStore): string[] => store.recordsOf('events').map(({ value }) => textOf(value))
const first = publishPacket({ topic: 'd/x', payload: 'one', qos: 2, packetId: 1 })
const repeat = publishPacket({ topic: 'd/x', payload: 'one', qos: 2, packetId: 1, dup: true })
const persistent = { clientId: 'dev/1', clean: false }
const KEY = 'mqtt.qos2/dev/1/1'

const qos2Keys = (store: ControlledStore): string[] => [...store.state.keys()].filter((key) => key.startsWith('mqtt.qos2/'))

t.test('a repeat on the same connection is acknowledged and makes no second event', async (t) => {
  const { raw, store, broker } = await startGateway(t)
  const client = await raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  t.same(qos2Keys(store), [KEY], 'the id is in the commit of the event')
  client.send(repeat, first)
  await client.until(() => client.received.filter((line) => line === 'pubrec 1').length === 3)
  t.same(values(store), ['one'])
  t.equal(broker.metrics.qos2Repeats, 2)
  client.send(pubrelPacket(1))
  await client.saw('pubcomp 1')
  t.same(qos2Keys(store), [], 'released')
  t.equal(broker.metrics.qos2Remembered, 0)
  client.send(first)
  await client.until(() => client.received.filter((line) => line === 'pubrec 1').length === 4)
  t.same(values(store), ['one', 'one'], 'after PUBREL the id is free for another message')
})

t.test('a repeat while the first waits for the disk waits with it', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = await raw().connected(persistent)
  store.isHeld = true
  client.send(first)
  await turns(() => store.waitingCount === 1)
  client.destroy()
  const again = await raw().connected(persistent)
  again.send(repeat)
  await turns(undefined, 50)
  t.same(again.received, ['connack 0'])
  store.release()
  await again.saw('pubrec 1')
  t.same(values(store), ['one'])
})

t.test('a repeat over a new connection of a persistent session makes no second event', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = await raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  client.destroy()
  const again = await raw().connected(persistent)
  again.send(repeat)
  await again.saw('pubrec 1')
  again.send(pubrelPacket(1))
  await again.saw('pubcomp 1')
  t.same(values(store), ['one'])
})

t.test('a repeat after a restart makes no second event, and PUBREL is answered', async (t) => {
  const before = await startGateway(t)
  const client = await before.raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  const after = await startGateway(t, { store: new ControlledStore(before.store.state) })
  t.equal(after.broker.metrics.qos2Remembered, 1)
  const again = await after.raw().connected(persistent)
  again.send(repeat)
  await again.saw('pubrec 1')
  t.same(values(after.store), [])
  again.send(pubrelPacket(1))
  await again.saw('pubcomp 1')
  t.same(qos2Keys(after.store), [])
  again.send(pubrelPacket(1), pubrelPacket(9))
  await again.saw('pubcomp 9')
  t.equal(again.received.filter((line) => line === 'pubcomp 1').length, 2, 'PUBREL of what is not known is answered too')
})

t.test('a kill before the commit leaves neither event nor id: the repeat is the event', async (t) => {
  const before = await startGateway(t)
  const client = await before.raw().connected(persistent)
  before.store.isHeld = true
  client.send(first)
  await turns(() => before.store.waitingCount === 1)
  const after = await startGateway(t, { store: new ControlledStore(before.store.state) })
  const again = await after.raw().connected(persistent)
  again.send(repeat)
  await again.saw('pubrec 1')
  t.same(values(after.store), ['one'])
})

t.test('a device that lost its session counts from 1 again: another message is another event', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = await raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  client.destroy()
  const again = await raw().connected(persistent)
  again.send(publishPacket({ topic: 'd/x', payload: 'two', qos: 2, packetId: 1 }))
  await again.saw('pubrec 1')
  t.same(values(store), ['one', 'two'])
})

t.test('a clean session forgets with its connection and writes nothing', async (t) => {
  const { raw, store, broker } = await startGateway(t)
  const client = await raw().connected({ clientId: 'clean' })
  client.send(first, repeat)
  await client.until(() => client.received.filter((line) => line === 'pubrec 1').length === 2)
  t.same(values(store), ['one'], 'within the connection a repeat is a repeat')
  t.same(qos2Keys(store), [])
  client.destroy()
  await turns(() => broker.metrics.qos2Remembered === 0)
  t.equal(broker.metrics.qos2Remembered, 0)
  const again = await raw().connected({ clientId: 'clean' })
  again.send(first)
  await again.saw('pubrec 1')
  t.same(values(store), ['one', 'one'])
})

t.test('a clean CONNECT ends the persistent session of that id, durably', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = await raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  client.destroy()
  await raw().connected({ ...persistent, clean: true })
  t.same(qos2Keys(store), [])
})

t.test('PUBCOMP does not leave when forgetting is not durable', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = await raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  store.refusal = diskFull()
  client.send(pubrelPacket(1))
  await client.closed()
  t.notOk(client.received.includes('pubcomp 1'))
  t.ok(store.state.has(KEY))
})

t.test('a PUBREL repeated after a refused commit gets its PUBCOMP only when forgetting is durable', async (t) => {
  const { raw, store, broker } = await startGateway(t)
  const client = await raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  store.refusal = diskFull()
  client.send(pubrelPacket(1))
  await client.closed()
  const again = await raw().connected(persistent)
  again.send(pubrelPacket(1))
  await again.closed()
  t.same(again.received, ['connack 0'], 'still not durable')
  t.equal(broker.metrics.qos2Remembered, 1)
  store.refusal = null
  store.isHeld = true
  const third = await raw().connected(persistent)
  third.send(pubrelPacket(1), pubrelPacket(1))
  await turns(() => store.waitingCount === 1)
  await turns(undefined, 50)
  t.same(third.received, ['connack 0'], 'neither the first nor its repeat is answered before the sync')
  store.release()
  await third.until(() => third.received.filter((line) => line === 'pubcomp 1').length === 2)
  t.same(qos2Keys(store), [])
})

t.test('a device that lost its session is not taken for the message before while that one waits for the disk', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = await raw().connected(persistent)
  store.isHeld = true
  client.send(first)
  await turns(() => store.waitingCount === 1)
  const again = await raw().connected(persistent)
  again.send(publishPacket({ topic: 'd/x', payload: 'two', qos: 2, packetId: 1 }))
  await turns(undefined, 30)
  store.refusal = diskFull()
  store.release()
  await turns(() => store.commitCount === 2)
  store.refusal = null
  await again.closed()
  t.same(values(store), [], 'both were refused')
  const third = await raw().connected(persistent)
  third.send(publishPacket({ topic: 'd/x', payload: 'two', qos: 2, packetId: 1, dup: true }))
  await third.saw('pubrec 1')
  t.same(values(store), ['two'])
})

t.test('a clean CONNECT that was abandoned does not take what the session remembers afterwards', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = await raw().connected(persistent)
  store.isHeld = true
  client.send(first)
  await turns(() => store.waitingCount === 1)
  const clean = raw().send(connectPacket({ ...persistent, clean: true }))
  await client.closed()
  const connecting = raw().connected(persistent)
  await clean.closed()
  store.release()
  const again = await connecting
  const second = publishPacket({ topic: 'd/x', payload: 'two', qos: 2, packetId: 2 })
  again.send(second)
  await again.saw('pubrec 2')
  await turns(() => !store.state.has(KEY))
  again.send(second)
  await again.until(() => again.received.filter((line) => line === 'pubrec 2').length === 2)
  t.same(values(store), ['one', 'two'])
  t.same(qos2Keys(store), ['mqtt.qos2/dev/1/2'])
})

t.test('ids without PUBREL are capped per client, and absent clients make room for others', async (t) => {
  const { raw, store, events, broker } = await startGateway(t, { limits: { qos2PerClientMax: 3, qos2TotalMax: 4 } })
  const greedy = await raw().connected({ clientId: 'greedy', clean: false })
  for (let packetId = 1; packetId <= 4; packetId++) greedy.send(publishPacket({ topic: 'd/x', payload: `${packetId}`, qos: 2, packetId }))
  await greedy.closed()
  t.equal(events.at(-1)?.reason, 'qos2-window')
  await turns(() => store.recordsOf('events').length === 3)
  t.equal(broker.metrics.qos2Remembered, 3)
  const other = await raw().connected({ clientId: 'other', clean: false })
  other.send(
    publishPacket({ topic: 'd/x', payload: 'a', qos: 2, packetId: 1 }),
    publishPacket({ topic: 'd/x', payload: 'b', qos: 2, packetId: 2 })
  )
  await other.saw('pubrec 2')
  t.equal(broker.metrics.qos2GivenUp, 3)
  await turns(() => qos2Keys(store).length === 2)
  t.same(qos2Keys(store), ['mqtt.qos2/other/1', 'mqtt.qos2/other/2'])
})

t.test('mqtt.js publishes exactly once through broken connections', async (t) => {
  const gateway = await startGateway(t)
  const clientId = randomUUID()
  const device = await gateway.client({ clientId, clean: false, reconnectPeriod: 10 })
  const count = 200
  // What mqtt.js had only queued when the connection broke it gives back unsent; what it had sent it repeats by itself.
  const publish = async (payload: string): Promise<void> => {
    for (let attempt = 0; attempt < 100; attempt++) {
      const isDone = await device.publishAsync('d/x', payload, { qos: 2 }).then(
        () => true,
        () => false
      )
      if (isDone) return
    }
    throw new Error(`${payload} could not be sent`)
  }
  const sent: Promise<void>[] = []
  for (let index = 0; index < count; index++) {
    sent.push(publish(`${index}`))
    if (index % 40 === 20) {
      await turns(undefined, 5)
      device.stream.destroy()
    }
  }
  await Promise.all(sent)
  const stored = values(gateway.store)
  t.equal(new Set(stored).size, count, 'nothing is missing')
  t.equal(stored.length, count, 'nothing is there twice')
})

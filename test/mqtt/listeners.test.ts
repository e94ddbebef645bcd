// Proves that several listeners are one broker: a repeat through the other listener is the same event, subscribers see each other, a
// client id is connected once however fast its connections come, and each listener has its own limits.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Prng, seeds } from '../sim/prng.ts'
import { textOf } from './controlled-store.ts'
import { connectPacket, pingPacket, publishPacket, pubrelPacket, type RawClient, subscribePacket } from './packets.ts'
import { startGateway, turns } from './rig.ts'

const persistent = { clientId: 'dev', clean: false }
const first = publishPacket({ topic: 'd/x', payload: 'one', qos: 2, packetId: 1 })

t.test('a QoS 2 repeat through the other listener makes no second event', async (t) => {
  const { raw, otherPort, store, broker } = await startGateway(t)
  const client = await raw().connected(persistent)
  client.send(first)
  await client.saw('pubrec 1')
  client.destroy()
  const again = await raw(otherPort).connected(persistent)
  again.send(first)
  await again.saw('pubrec 1')
  again.send(pubrelPacket(1))
  await again.saw('pubcomp 1')
  t.same(
    store.recordsOf('events').map(({ value }) => textOf(value)),
    ['one']
  )
  t.equal(broker.metrics.qos2Repeats, 1)
  t.same(
    [...store.state.keys()].filter((key) => key.startsWith('mqtt.qos2/')),
    []
  )
})

t.test('subscribers of one listener get what is published to the other, and retained messages', async (t) => {
  const { raw, otherPort } = await startGateway(t)
  const subscriber = await raw(otherPort).connected({ clientId: 'sub' })
  subscriber.send(subscribePacket(1, 'd/#'))
  await subscriber.saw('suback 1')
  const publisher = await raw().connected({ clientId: 'pub' })
  publisher.send(
    publishPacket({ topic: 'd/x', qos: 1 }),
    publishPacket({ topic: 'd/kept', payload: '1', retain: true, qos: 1, packetId: 2 })
  )
  await subscriber.saw('publish d/x')
  await subscriber.saw('publish d/kept')
  const late = await raw(otherPort).connected({ clientId: 'late' })
  late.send(subscribePacket(1, 'd/kept'))
  await late.saw('publish d/kept')
})

t.test('each listener has its own limits', async (t) => {
  const { raw, otherPort, events } = await startGateway(t, { otherLimits: { packetBytesMax: 200, connectionsMax: 1, willBytesMax: 4 } })
  const large = publishPacket({ topic: 'd/x', payload: Buffer.alloc(300), qos: 1 })
  const free = await raw().connected({ clientId: 'free' })
  free.send(large)
  await free.saw('puback 1')
  const strict = await raw(otherPort).connected({ clientId: 'strict' })
  await raw(otherPort).closed()
  t.match(events.at(-1), { reason: 'connections-full' })
  strict.send(large)
  await strict.closed()
  t.match(events.at(-1), { reason: 'packet-too-large', clientId: 'strict' })
  const will = connectPacket({ clientId: 'will', will: { topic: 'd/w', payload: Buffer.alloc(5) } })
  const refused = raw(otherPort).send(will)
  await refused.closed()
  t.match(events.at(-1), { reason: 'will' })
  await raw().send(will).saw('connack 0')
})

t.test('one client id over two listeners is a takeover', async (t) => {
  const { raw, otherPort, broker } = await startGateway(t)
  const before = await raw().connected(persistent)
  const after = await raw(otherPort).connected(persistent)
  await before.closed()
  after.send(pingPacket())
  await after.saw('pingresp')
  t.equal(broker.metrics.connections, 1)
})

for (const seed of seeds({ count: 10 })) {
  t.test(`however close together connections of one client id come, one of them stays (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    const { raw, port, otherPort, broker } = await startGateway(t)
    for (let round = 0; round < 15; round++) {
      const clients: RawClient[] = []
      for (let count = prng.between(2, 6); count > 0; count--) {
        const clean = prng.chance(50)
        clients.push(raw(prng.pick([port, otherPort])).send(connectPacket({ clientId: 'same', clean }), subscribePacket(1, 'd/#', 1)))
        if (prng.chance(40)) await turns(undefined, prng.below(3))
      }
      await turns(() => broker.metrics.connections === 1)
      await turns(undefined, 10)
      t.equal(broker.metrics.connections, 1, 'one is left')
      const [left] = clients.filter(({ isClosed }) => !isClosed)
      left?.send(pingPacket())
      await left?.saw('pingresp')
    }
  })
}

t.test('one address has at most its share of the connections; what ends makes room, others are not refused', async (t) => {
  const { raw, broker, events } = await startGateway(t, { limits: { connectionsPerAddressMax: 2 } })
  const [first] = [await raw().connected({ clientId: 'a' }), await raw().connected({ clientId: 'b' })]
  await raw().closed()
  t.match(events, [{ reason: 'connections-full', detail: /^more than 2 from one address/, remoteAddress: '127.0.0.1' }])
  const other = connect({ host: '127.0.0.1', port: broker.addresses[0]?.port ?? 0, localAddress: '127.0.0.2' })
  t.teardown(() => other.destroy())
  other.write(connectPacket({ clientId: 'c' }))
  await once(other, 'data')
  t.equal(broker.metrics.clients, 3)
  first?.destroy()
  await turns(() => broker.metrics.connections === 2)
  await raw().connected({ clientId: 'd' })
})

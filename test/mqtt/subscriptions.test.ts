// Proves for subscriptions: a client has no more than the limit, however they come; what was refused is not kept for its session either.

import t from 'tap'
import { packet, pingPacket, publishPacket, type RawClient, string } from './packets.ts'
import { startGateway, turns } from './rig.ts'

const LIMIT = 3
const persistent = { clientId: 'sub', clean: false }
const subscribe = (packetId: number, filters: readonly string[]): Buffer =>
  packet(0x82, [packetId >> 8, packetId & 0xff], Buffer.concat(filters.map((filter) => Buffer.concat([string(filter), Buffer.from([1])]))))

/** Sends a SUBSCRIBE and gives the granted codes of its SUBACK. */
async function granted(client: RawClient, packetId: number, filters: readonly string[]): Promise<number[]> {
  const chunks: Buffer[] = []
  const keep = (chunk: Buffer): void => void chunks.push(chunk)
  client.socket.on('data', keep)
  client.send(subscribe(packetId, filters))
  await client.saw(`suback ${packetId}`)
  client.socket.off('data', keep)
  return [...Buffer.concat(chunks).subarray(-filters.length)]
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `d/${index}`)

for (const clean of [true, false]) {
  t.test(`one SUBSCRIBE does not give more subscriptions than the limit (clean ${clean})`, async (t) => {
    const { raw } = await startGateway(t, { limits: { subscriptionsPerClientMax: LIMIT } })
    const client = await raw().connected({ clientId: 'sub', clean })
    t.same(await granted(client, 1, names(6)), [1, 1, 1, 128, 128, 128])
    t.same(await granted(client, 2, ['d/0', 'd/9']), [1, 128], 'one that it has may be renewed')
    client.send(packet(0xa2, [0, 3], string('d/1')))
    await client.saw('unsuback 3')
    t.same(await granted(client, 4, ['d/8', 'd/9']), [1, 128], 'one that ends makes room')
  })
}

t.test('what is refused is counted, and told once for each packet and code', async (t) => {
  const { raw, broker, events } = await startGateway(t, { limits: { subscriptionsPerClientMax: LIMIT } })
  const client = await raw().connected({ clientId: 'sub', clean: true })
  await granted(client, 1, [...names(5), '$share/group/d', '\u0001', '$SYSTEM'])
  t.equal(broker.metrics.subscriptionsRefused, 5)
  const who = { clientId: 'sub', remoteAddress: '127.0.0.1' }
  t.same(events, [
    {
      kind: 'not-subscribed',
      reason: 'subscriptions-full',
      detail: '"d/3" and 1 more (mqtt_limits.subscriptions, mqtt_limits.sessions)',
      ...who
    },
    { kind: 'not-subscribed', reason: 'filter', detail: '"$share/group/d"', ...who },
    { kind: 'not-subscribed', reason: 'filter', detail: '"\\u0001"', ...who },
    { kind: 'not-subscribed', reason: 'not-authorized', detail: '"$SYSTEM"', ...who }
  ])
})

t.test('clients with persistent sessions that subscribe at the same moment do not pass the limit of sessions', async (t) => {
  const { raw, broker } = await startGateway(t, { limits: { sessionsMax: 2 } })
  const clients = await Promise.all(Array.from({ length: 8 }, (_, at) => raw().connected({ clientId: `sub-${at}`, clean: false })))
  const codes = (await Promise.all(clients.map((client) => granted(client, 1, ['a', 'b'])))).flat()
  t.equal(codes.filter((code) => code === 1).length, 4, 'two clients with two filters each')
  t.equal(codes.filter((code) => code === 128).length, 12)
  const taken = clients.findIndex((_, at) => codes[2 * at] === 1)
  clients[taken]?.destroy()
  await turns(() => broker.metrics.connections === 7)
  await raw().connected({ clientId: `sub-${taken}`, clean: true })
  const late = await raw().connected({ clientId: 'late', clean: false })
  t.same(await granted(late, 1, ['a']), [1], 'a session that ends makes room')
})

t.test('a filter that was refused collects nothing for a session that is away', async (t) => {
  const { raw, broker } = await startGateway(t, { limits: { subscriptionsPerClientMax: LIMIT } })
  const client = await raw().connected(persistent)
  await granted(client, 1, names(LIMIT))
  t.same(await granted(client, 2, ['d/0', 'd/refused']), [1, 128])
  client.destroy()
  await turns(() => broker.metrics.connections === 0)
  const publisher = await raw().connected({ clientId: 'pub' })
  publisher.send(publishPacket({ topic: 'd/refused', qos: 1, packetId: 1 }), publishPacket({ topic: 'd/0', qos: 1, packetId: 2 }))
  await publisher.saw('puback 2')
  const again = await raw().connected(persistent)
  await again.saw('publish d/0')
  t.notOk(again.received.includes('publish d/refused'))
  t.same(await granted(again, 3, ['d/0', 'd/9']), [1, 128], 'the limit holds for what was resumed')
})

t.test('one packet with thousands of filters is answered, and the loop is not held up by what it may not have', async (t) => {
  const { raw } = await startGateway(t)
  const client = await raw().connected(persistent)
  const codes = await granted(
    client,
    1,
    Array.from({ length: 30_000 }, (_, index) => index.toString(36))
  )
  t.equal(codes.filter((code) => code === 1).length, 1_000)
})

t.test('one packet with one filter thousands of times gets the retained messages once', async (t) => {
  const { raw } = await startGateway(t)
  const publisher = await raw().connected({ clientId: 'pub' })
  for (let id = 1; id <= 20; id++) publisher.send(publishPacket({ topic: `d/${id}`, payload: 'x', qos: 1, packetId: id, retain: true }))
  await publisher.saw('puback 20')
  const client = await raw().connected({ clientId: 'sub' })
  const filters = Array.from({ length: 20_000 }, () => '#')
  client.send(subscribe(1, filters), pingPacket())
  await client.saw('pingresp')
  t.equal(client.received.filter((name) => name.startsWith('publish')).length, 20)
})

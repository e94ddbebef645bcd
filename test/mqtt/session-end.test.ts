// Proves for sessions that an operator looks at and ends: what is shown is so, connected and absent, also behind a kill; an end disconnects, takes the subscriptions and what
// waits, sends the will, is durable when it is answered, and a kill does not bring the session back. A kill here is a second broker over what the first one had
// committed.

import t, { type Test } from 'tap'
import { rememberedQos2 } from '../../adapters/mqtt/qos2-memory.ts'
import type { SessionFacts, SessionQuery } from '../../adapters/mqtt/session-facts.ts'
import { storedPieces, storedQueues, storedSessions, storedSubscriptions } from '../../adapters/mqtt/stored-session.ts'
import { storedWills } from '../../adapters/mqtt/wills.ts'
import { type ControlledStore, diskFull } from './controlled-store.ts'
import { publishPacket } from './packets.ts'
import { ReadingClient, type ReadingOptions } from './reading-client.ts'
import { startGateway, type TestGateway, turns } from './rig.ts'

const areas = [storedSessions, storedSubscriptions, storedQueues, storedPieces, storedWills, rememberedQos2]

const kill = async (t: Test, { store }: TestGateway): Promise<TestGateway> => startGateway(t, { store: await store.afterKill() })
const keysOf = ({ state }: ControlledStore): string[] => [...state.keys()].filter((key) => areas.some((area) => area.owns(key)))

function read(t: Test, { port }: TestGateway, options: Partial<ReadingOptions> = {}): ReadingClient {
  const client = new ReadingClient(port, { clientId: 'reader', ...options })
  t.teardown(() => client.socket.destroy())
  return client
}

async function publish({ raw, broker }: TestGateway, count: number): Promise<void> {
  const clientId = `p${Math.random()}`
  const client = await raw().connected({ clientId })
  for (let id = 1; id <= count; id++) client.send(publishPacket({ topic: 'd/x', payload: `${id}`, qos: 1, packetId: id }))
  await client.saw(`puback ${count}`)
  client.destroy()
  await turns(() => broker.sessions.find(clientId) === null)
}

async function list({ broker }: TestGateway, query: SessionQuery = {}): Promise<SessionFacts[]> {
  const found: SessionFacts[] = []
  for await (const facts of broker.sessions.list(query)) found.push(facts)
  return found
}

const idsOf = (sessions: readonly SessionFacts[]): string[] => sessions.map(({ clientId }) => clientId)
const isAway = ({ broker }: TestGateway): Promise<boolean> => turns(() => broker.sessions.find('reader')?.isConnected === false)

/** With a subscription, and messages that wait for it. */
async function absentReader(t: Test, gateway: TestGateway, waiting: number): Promise<void> {
  const client = read(t, gateway)
  await client.subscribe('d/#', 1)
  await client.closed()
  await isAway(gateway)
  await publish(gateway, waiting)
}

t.test('what is shown of sessions, connected and absent', async (t) => {
  const gateway = await startGateway(t)
  const early = Date.now()
  const five = read(t, gateway, { clientId: 'five', version: 5, properties: { sessionExpiryInterval: 60 } })
  await five.subscribe('d/+', 2, { nl: true, rap: true, id: 7 })
  await five.subscribe('a', 0)
  await absentReader(t, gateway, 3)
  const clean = read(t, gateway, { clientId: 'clean', clean: true })
  await clean.connected()
  const [first, second, third, ...more] = await list(gateway)
  t.same(more, [])
  const nothing = { queuedMessages: 0, queuedBytes: 0, hasWill: false }
  t.match(first, {
    ...nothing,
    clientId: 'clean',
    isConnected: true,
    version: 4,
    expirySeconds: 0,
    subscriptions: 0,
    remoteAddress: '127.0.0.1'
  })
  t.match(second, { clientId: 'five', isConnected: true, version: 5, expirySeconds: 60, subscriptions: 2, remoteAddress: '127.0.0.1' })
  t.match(third, { clientId: 'reader', isConnected: false, version: 4, expirySeconds: null, subscriptions: 1, remoteAddress: null })
  t.match(third, { queuedMessages: 3, queuedBytes: 24, hasWill: false })
  t.ok((await list(gateway)).every(({ sinceMs }) => sinceMs >= early && sinceMs <= Date.now()))
  t.same(gateway.broker.sessions.find('five')?.filters, [
    { filter: 'a', qos: 0, noLocal: false, retainAsPublished: false, id: null },
    { filter: 'd/+', qos: 2, noLocal: true, retainAsPublished: true, id: 7 }
  ])
  t.equal(gateway.broker.sessions.find('nobody'), null)
  t.same(idsOf(await list(gateway, { isConnected: true })), ['clean', 'five'])
  t.same(idsOf(await list(gateway, { isConnected: false })), ['reader'])
  t.same(idsOf(await list(gateway, { pattern: '*e*r' })), ['reader'])
  t.same(idsOf(await list(gateway, { topic: 'd/x' })), ['five', 'reader'])
  t.same(idsOf(await list(gateway, { topic: 'd/x/y', pattern: 'f*' })), [])
  t.equal(
    gateway.broker.metrics.queuedBytes,
    (await list(gateway)).reduce((sum, one) => sum + one.queuedBytes, 0)
  )

  const after = await kill(t, gateway)
  const known = await list(after)
  t.match(known, [
    { clientId: 'five', version: 5, isConnected: false, expirySeconds: 60, subscriptions: 2 },
    { clientId: 'reader', version: 4, isConnected: false, expirySeconds: null, queuedMessages: 3 }
  ])
})

t.test('a session of an older version, which does not say the version of its connection', async (t) => {
  const before = await startGateway(t)
  before.store.state.set('mqtt.session/old', Buffer.from('{"v":1,"expirySeconds":60,"endedMs":1700000000000}'))
  before.store.state.set('mqtt.session/older', Buffer.from('{"v":1,"expirySeconds":4294967295,"endedMs":1700000000000}'))
  const after = await kill(t, before)
  t.match(await list(after), [{ clientId: 'older', version: null, expirySeconds: null, sinceMs: 1_700_000_000_000 }])
})

const never = { version: 5, clean: false, properties: { sessionExpiryInterval: 0xffffffff } } as const

for (const how of ['end', 'takeover'] as const) {
  t.test(`no other session goes when there are as many as may be (${how})`, async (t) => {
    const gateway = await startGateway(t, { limits: { sessionsMax: 2 } })
    const isKnown = (clientId: string): boolean => gateway.broker.sessions.find(clientId) !== null
    for (const clientId of ['a', 'b']) {
      const client = read(t, gateway, { ...never, clientId })
      await client.connected()
      client.socket.destroy()
      await turns(() => gateway.broker.sessions.find(clientId)?.isConnected === false)
    }
    await read(t, gateway, { ...never, clientId: 'x' }).connected()
    if (how === 'end') await gateway.broker.sessions.end('x')
    else await read(t, gateway, { ...never, clientId: 'x' }).connected()
    t.same(['a', 'b', 'x'].filter(isKnown), how === 'end' ? ['a', 'b'] : ['a', 'b', 'x'])
  })
}

t.test('removals that a full disk refuses, one behind the other, are all made when there is room', async (t) => {
  const gateway = await startGateway(t)
  const filters = (): string[] => [...gateway.store.state.keys()].filter((key) => storedSubscriptions.owns(key))
  const one = async (filter: string): Promise<void> => {
    const client = read(t, gateway, { ...never, clean: true, clientId: 'c' })
    await client.connected()
    void client.subscribe(filter, 1).catch(() => undefined)
    await turns(() => gateway.broker.sessions.find('c')?.filters[0]?.filter === filter)
  }
  await one('d/old')
  await turns(() => filters().length === 1)
  const [old] = filters()
  gateway.store.refusal = diskFull()
  for (const filter of ['d/middle', 'd/new', 'd/new']) await one(filter)
  gateway.store.refusal = null
  t.ok(await turns(() => filters().length === 1 && filters()[0] !== old, 8_000))
  const after = await kill(t, gateway)
  t.same(
    after.broker.sessions.find('c')?.filters.map(({ filter }) => filter),
    ['d/new']
  )
})

t.test('the end of an absent session: all of it is gone, durably, before the answer', async (t) => {
  const gateway = await startGateway(t)
  await absentReader(t, gateway, 200)
  await turns(() => keysOf(gateway.store).some((key) => storedPieces.owns(key)), 5_000)
  gateway.store.isHeld = true
  let isAnswered = false
  const ending = gateway.broker.sessions.end('reader').finally(() => (isAnswered = true))
  await turns(() => gateway.store.waitingCount > 0)
  await turns(() => false, 20)
  t.notOk(isAnswered, 'it waits for its commit')
  gateway.store.release()
  t.match(await ending, { clientId: 'reader', isConnected: false, subscriptions: 1, queuedMessages: 200, filters: [{ filter: 'd/#' }] })
  t.same(keysOf(gateway.store), [])
  t.match(gateway.broker.metrics, { sessions: 0, subscriptions: 0, queuedPlaces: 0, queuedBytes: 0 })
  const after = await kill(t, gateway)
  t.same(await list(after), [])
  await publish(after, 1)
  const again = read(t, after)
  await again.subscribe('d/#', 1)
  t.equal(again.connack?.sessionPresent, false)
  t.same(again.payloads, [])
})

t.test('the end of a connected session: 0x98, and its client begins anew', async (t) => {
  const gateway = await startGateway(t)
  const options = { version: 5 as const, properties: { sessionExpiryInterval: 60 } }
  const client = read(t, gateway, options)
  client.acknowledges = false
  await client.subscribe('d/#', 2)
  await publish(gateway, 2)
  await client.until(() => client.publishes.length === 2)
  t.match(await gateway.broker.sessions.end('reader'), { isConnected: true, queuedMessages: 2, remoteAddress: '127.0.0.1' })
  await client.until(() => client.isClosed)
  t.match(client.packets.at(-1), { cmd: 'disconnect', reasonCode: 0x98, properties: { reasonString: 'an operator ended the session' } })
  t.same(keysOf(gateway.store), [])
  t.equal(gateway.broker.metrics.queuedPlaces, 0)
  const again = read(t, gateway, options)
  await again.connected()
  t.equal(again.connack?.sessionPresent, false)
})

t.test('the end of a session that ends with its connection', async (t) => {
  const gateway = await startGateway(t)
  const client = read(t, gateway, { clean: true })
  await client.subscribe('d/#', 1)
  t.match(await gateway.broker.sessions.end('reader'), { expirySeconds: 0, subscriptions: 1 })
  await client.until(() => client.isClosed)
  t.match(gateway.broker.metrics, { sessions: 0, subscriptions: 0, clients: 0 })
  t.equal(await gateway.broker.sessions.end('reader'), null, 'there is none any more')
})

t.test('the will of an ended session is sent once: of a connected client, and one that waits for its delay', async (t) => {
  for (const isAbsent of [false, true]) {
    const gateway = await startGateway(t)
    const watcher = read(t, gateway, { clientId: 'watcher' })
    await watcher.subscribe('d/#', 1)
    const client = await gateway.client({
      ...{ clientId: 'willing', protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 600 } },
      will: { topic: 'd/will', payload: Buffer.from('gone'), qos: 1, retain: false, properties: { willDelayInterval: 500 } }
    })
    if (isAbsent) {
      client.stream.destroy()
      await turns(() => gateway.broker.metrics.clients === 1)
      t.same(watcher.payloads, [], 'it waits for its delay')
    }
    t.match(await gateway.broker.sessions.end('willing'), { hasWill: true, isConnected: !isAbsent })
    await watcher.until(() => watcher.publishes.length === 1)
    t.same(watcher.payloads, ['gone'], isAbsent ? 'absent' : 'connected')
    await turns(() => !keysOf(gateway.store).some((key) => storedWills.owns(key)))
    const after = await kill(t, gateway)
    await turns(() => false, 30)
    t.match(after.broker.metrics, { wills: 0 })
    t.same(idsOf(await list(after)), ['watcher'])
  }
})

t.test('QoS 2 packet ids of its client stay: what it repeats behind the end is no second event', async (t) => {
  const gateway = await startGateway(t)
  const client = await gateway.raw().connected({ clientId: 'sender', clean: false })
  client.send(publishPacket({ topic: 'd/x', payload: '1', qos: 2, packetId: 9 }))
  await client.saw('pubrec 9')
  t.equal(keysOf(gateway.store).length, 2)
  await gateway.broker.sessions.end('sender')
  t.ok(keysOf(gateway.store).every((key) => rememberedQos2.owns(key)))
  const again = await gateway.raw().connected({ clientId: 'sender', clean: false })
  again.send(publishPacket({ topic: 'd/x', payload: '1', qos: 2, packetId: 9, dup: true }))
  await again.saw('pubrec 9')
  t.equal(gateway.store.recordsOf('events').length, 1)
})

t.test('an end that storage refuses says so, is so in memory, and is written down later', async (t) => {
  const gateway = await startGateway(t)
  await absentReader(t, gateway, 1)
  gateway.store.refusal = diskFull()
  await t.rejects(gateway.broker.sessions.end('reader'), { code: 'WADI_DISK_FULL' })
  t.same(await list(gateway), [])
  t.same(idsOf(await list(await kill(t, gateway))), ['reader'], 'a kill brings it back')
  gateway.store.refusal = null
  await turns(() => keysOf(gateway.store).length === 0, 10_000)
  t.same(keysOf(gateway.store), [])
})

t.test('a client that connects while its session is being ended begins anew, and stays', async (t) => {
  const gateway = await startGateway(t)
  await absentReader(t, gateway, 1)
  gateway.store.isHeld = true
  const ending = gateway.broker.sessions.end('reader')
  const again = read(t, gateway)
  await turns(() => gateway.store.waitingCount > 1)
  gateway.store.release()
  await ending
  await again.subscribe('d/#', 1)
  t.equal(again.connack?.sessionPresent, false)
  await again.closed()
  const after = await kill(t, gateway)
  t.match(await list(after), [{ clientId: 'reader', subscriptions: 1, queuedMessages: 0 }])
})

t.test('an end while its client connects with a clean start: it is durable too before the answer, and the client is closed', async (t) => {
  const gateway = await startGateway(t)
  await absentReader(t, gateway, 1)
  gateway.store.isHeld = true
  const clean = read(t, gateway, { clean: true })
  await turns(() => gateway.store.waitingCount > 0)
  let isAnswered = false
  const ending = gateway.broker.sessions.end('reader').finally(() => (isAnswered = true))
  await clean.until(() => clean.isClosed)
  t.equal(clean.connack, undefined)
  t.notOk(isAnswered, 'what the clean start has begun to take away is on its way')
  gateway.store.release()
  t.match(await ending, { isConnected: false, queuedMessages: 1 })
  t.same(keysOf(gateway.store), [])
  t.match(gateway.broker.metrics, { sessions: 0, subscriptions: 0, clients: 0, queuedPlaces: 0 })
})

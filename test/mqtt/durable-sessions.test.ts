// Proves that sessions that outlive their connections outlive the gateway: after a kill and after a stop they are there with their subscriptions, and are
// sent what they have not acknowledged: QoS 1 at least once, QoS 2 once, in order. A kill here is a second broker over what the first one had committed.

import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { MqttLimits } from '../../adapters/mqtt/limits.ts'
import { storedPieces, storedQueuedTo, storedQueues, storedSessions, storedSubscriptions } from '../../adapters/mqtt/stored-session.ts'
import { Prng } from '../sim/prng.ts'
import { type ControlledStore, diskFull } from './controlled-store.ts'
import { publishPacket } from './packets.ts'
import { ReadingClient, type ReadingOptions, Receiver } from './reading-client.ts'
import { startGateway, type TestGateway, turns } from './rig.ts'

const sockets = new Set<Socket>()

/** Its clients see the end first, and hear nothing of the old one any more. */
async function kill(t: Test, { store }: TestGateway, limits: Partial<MqttLimits> = {}): Promise<TestGateway> {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  return startGateway(t, { store: await store.afterKill(), limits })
}

async function stop(t: Test, before: TestGateway): Promise<TestGateway> {
  await before.broker.close()
  return kill(t, before)
}

const reader = { clientId: 'reader' }

function read({ port }: TestGateway, options: Partial<ReadingOptions> = {}, receiver = new Receiver()): ReadingClient {
  const client = new ReadingClient(port, { ...reader, ...options }, receiver)
  sockets.add(client.socket)
  t.teardown(() => client.socket.destroy())
  return client
}

async function publish({ raw }: TestGateway, payloads: readonly string[], qos = 1, topic = 'd/x'): Promise<void> {
  const client = await raw().connected({ clientId: `p${Math.random()}` })
  for (const [index, payload] of payloads.entries()) client.send(publishPacket({ topic, payload, qos, packetId: index + 1 }))
  await client.saw(`${qos === 2 ? 'pubrec' : 'puback'} ${payloads.length}`)
  client.destroy()
}

const gone = ({ broker }: TestGateway): Promise<boolean> => turns(() => broker.metrics.connections === 0)
const keysOf = ({ state }: ControlledStore): string[] =>
  [...state.keys()].filter((key) =>
    [storedSessions, storedSubscriptions, storedQueues, storedPieces].some((area) => key.startsWith(`${area.name}/`))
  )
const numbers = (first: number, last: number): string[] => Array.from({ length: last - first + 1 }, (_, index) => `${first + index}`)

t.test('a session that was killed with its gateway is there, and what came for it meanwhile', async (t) => {
  const before = await startGateway(t)
  const client = read(before)
  await client.subscribe('d/#', 1)
  t.equal(client.connack?.sessionPresent, false)
  await client.closed()
  await publish(before, ['1', '2', '3'])
  const after = await kill(t, before)
  await publish(after, ['4'])
  const again = read(after)
  await again.until(() => again.publishes.length === 4)
  t.equal(again.connack?.sessionPresent, true)
  t.same(again.payloads, ['1', '2', '3', '4'])
  t.same([...new Set(again.publishes.map(({ topic, qos, dup }) => `${topic} ${qos} ${dup}`))], ['d/x 1 false'])
})

t.test('what was acknowledged before a stop is not sent again; what was not is, with its id', async (t) => {
  const before = await startGateway(t)
  const client = read(before)
  await client.subscribe('d/#', 1)
  await publish(before, ['1', '2'])
  await client.until(() => client.publishes.length === 2)
  client.acknowledges = false
  await publish(before, ['3', '4'])
  await client.until(() => client.publishes.length === 4)
  const after = await stop(t, before)
  const again = read(after)
  await publish(after, ['5'])
  await again.until(() => again.publishes.length === 3)
  t.same(again.payloads, ['3', '4', '5'])
  t.same(
    again.publishes.map(({ dup }) => dup),
    [true, true, false]
  )
  t.same(
    again.publishes.slice(0, 2).map(({ messageId }) => messageId),
    client.publishes.slice(2).map(({ messageId }) => messageId)
  )
})

t.test('QoS 2 arrives once, killed in each of its phases', async (t) => {
  for (const phase of ['publish', 'pubrec', 'pubrel', 'pubcomp']) {
    const receiver = new Receiver()
    const before = await startGateway(t)
    const client = read(before, {}, receiver)
    await client.subscribe('d/#', 2)
    client.acknowledges = phase !== 'publish'
    client.stopsAtPubrel = phase === 'pubrel'
    if (phase === 'pubrec') client.until(() => client.publishes.length > 0).then(() => (before.store.isHeld = true)) // PUBREL has to wait
    await publish(before, ['1'], 2)
    if (phase === 'publish' || phase === 'pubrec') await client.until(() => client.publishes.length === 1)
    else await client.until(() => client.packets.some(({ cmd }) => cmd === 'pubrel'))
    await turns(() => false, 20)
    if (phase === 'pubrec')
      t.notOk(
        client.packets.some(({ cmd }) => cmd === 'pubrel'),
        'PUBREL waits for its commit'
      )
    const after = await kill(t, before)
    const again = read(after, {}, receiver)
    await publish(after, ['2'], 2)
    await again.until(() => receiver.taken.includes('2') && receiver.openIds.size === 0)
    t.same(receiver.taken, ['1', '2'], `killed behind ${phase}`)
    before.store.release()
  }
})

t.test('a PUBLISH of QoS 2 leaves when its id is durable', async (t) => {
  const gateway = await startGateway(t)
  const client = read(gateway)
  await client.subscribe('d/#', 2)
  await client.closed()
  await publish(gateway, ['1', '2'], 2)
  gateway.store.isHeld = true
  for (let connections = 0; connections < 2; connections++) {
    const early = read(gateway)
    await early.connected()
    await turns(() => false, 50)
    t.same(early.payloads, [], 'nor on another connection, while the commit is on its way')
    await early.closed()
  }
  const again = read(gateway)
  await again.connected()
  await turns(() => false, 50)
  t.same(again.payloads, [])
  gateway.store.release()
  await again.until(() => again.publishes.length === 2)
  t.same(again.payloads, ['1', '2'])
})

t.test('SUBACK, UNSUBACK and CONNACK wait until it is so', async (t) => {
  const gateway = await startGateway(t)
  const { store } = gateway
  store.isHeld = true
  const client = read(gateway)
  await turns(() => store.waitingCount > 0)
  t.equal(client.connack, undefined)
  store.release()
  await client.connected()
  t.same(keysOf(store), ['mqtt.session/reader'])
  store.isHeld = true
  const subscribing = client.subscribe('d/#', 1)
  await turns(() => store.waitingCount > 0)
  t.notOk(client.packets.some(({ cmd }) => cmd === 'suback'))
  store.release()
  await subscribing
  t.equal(keysOf(store).length, 3)
  store.isHeld = true
  const unsubscribing = client.unsubscribe('d/#')
  await turns(() => store.waitingCount > 0)
  t.notOk(client.packets.some(({ cmd }) => cmd === 'unsuback'))
  store.release()
  await unsubscribing
  const after = await kill(t, gateway)
  await publish(after, ['1'])
  const again = read(after)
  await again.connected()
  await turns(() => false, 50)
  t.equal(again.connack?.sessionPresent, true)
  t.same(again.payloads, [])
})

t.test('a clean start takes everything away before CONNACK, and so does the end of a session', async (t) => {
  const gateway = await startGateway(t)
  const client = read(gateway)
  await client.subscribe('d/#', 1)
  await client.closed()
  await publish(gateway, numbers(1, 600))
  const after = await kill(t, gateway)
  after.store.isHeld = true
  const clean = read(after, { clean: true })
  await turns(() => after.store.waitingCount > 0)
  t.equal(clean.connack, undefined)
  after.store.release()
  await clean.connected()
  t.same(keysOf(after.store), [])
  await clean.closed()
  const third = await kill(t, after)
  const again = read(third)
  await again.connected()
  t.equal(again.connack?.sessionPresent, false)
  const short = read(third, { clientId: 'short', version: 5, properties: { sessionExpiryInterval: 1 } })
  await short.subscribe('d/#', 1)
  await short.closed()
  await publish(third, ['x'])
  t.ok(keysOf(third.store).some((key) => key.includes('short')))
  await turns(() => !keysOf(third.store).some((key) => key.includes('short')))
  t.notOk(keysOf(third.store).some((key) => key.includes('short')))
})

t.test('a session whose time ran out while the gateway was away is not there any more', async (t) => {
  const before = await startGateway(t)
  const client = read(before, { version: 5, properties: { sessionExpiryInterval: 1 } })
  await client.subscribe('d/#', 1)
  await client.closed()
  await gone(before)
  await before.broker.close()
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  const after = await kill(t, before)
  const again = read(after, { version: 5, properties: { sessionExpiryInterval: 1 } })
  await again.connected()
  t.equal(again.connack?.sessionPresent, false)
})

t.test('the time of a session that came back does not run on behind a kill', async (t) => {
  const options = { version: 5 as const, properties: { sessionExpiryInterval: 2 } }
  const before = await startGateway(t)
  const client = read(before, options)
  await client.subscribe('d/#', 1)
  await client.closed()
  const stopped = await stop(t, before)
  const back = read(stopped, options)
  await back.connected()
  await new Promise((resolve) => setTimeout(resolve, 2_100))
  const after = await kill(t, stopped)
  const again = read(after, options)
  await again.connected()
  t.equal(again.connack?.sessionPresent, true)
})

t.test('a session that finds no place any more is not said to be present', async (t) => {
  const before = await startGateway(t)
  for (const clientId of ['one', 'two']) await read(before, { clientId }).subscribe('d/#', 1)
  const after = await kill(t, before, { sessionsMax: 1 })
  const present: boolean[] = []
  for (const clientId of ['one', 'two']) {
    const client = read(after, { clientId })
    await client.connected()
    present.push(client.connack?.sessionPresent === true)
  }
  t.same(present, [true, false])
})

t.test('CONNACK waits for the session also on the next connection', async (t) => {
  const gateway = await startGateway(t)
  gateway.store.isHeld = true
  const first = read(gateway)
  await turns(() => gateway.store.waitingCount > 0)
  await first.closed()
  const second = read(gateway)
  await turns(() => false, 50)
  t.equal(second.connack, undefined)
  gateway.store.release()
  await second.connected()
  t.equal(second.connack?.returnCode, 0)
})

t.test('what is read from the log for a client that does not acknowledge takes no memory while it is on its way', async (t) => {
  const gateway = await startGateway(t)
  await read(gateway).subscribe('d/#', 1)
  const after = await kill(t, gateway)
  await publish(after, Array(300).fill('x'.repeat(20_000)))
  for (let connections = 0; connections < 2; connections++) {
    const client = read(after)
    client.acknowledges = false
    await client.until(() => client.publishes.length === 300)
    t.ok(after.broker.metrics.queuedBytes < 1_000_000, String(after.broker.metrics.queuedBytes))
    t.equal(after.broker.metrics.queuedPlaces, 300, 'what is on its way counts')
    await client.closed()
  }
})

t.test('after a kill no session gets more than may wait for it, and nothing that a Kafka client wrote elsewhere', async (t) => {
  const gateway = await startGateway(t, { limits: { queuedPlacesPerClientMax: 5 } })
  for (const clientId of ['one', 'two']) await read(gateway, { clientId }).subscribe('d/#', 1)
  await publish(gateway, ['0'])
  await gateway.store.createTopic('elsewhere')
  gateway.store.records.set('elsewhere-0', [
    { timestampMs: 1, key: null, value: Buffer.from('fake'), headers: [{ key: Buffer.from('mqtt.topic'), value: Buffer.from('d/x') }] }
  ])
  for (const socket of sockets) socket.destroy()
  await gone(gateway)
  await publish(gateway, numbers(1, 8))
  const after = await kill(t, gateway, { queuedPlacesPerClientMax: 5 })
  t.ok(after.broker.metrics.offlineDropped > 0)
  for (const clientId of ['one', 'two']) {
    const client = read(after, { clientId })
    await client.until(() => client.publishes.length >= 5)
    await turns(() => false, 20)
    t.notOk(client.payloads.includes('fake'))
    t.ok(client.publishes.length <= 6)
  }
})

t.test('what waits is found behind a kill also when its topic is not that of a route any more', async (t) => {
  const before = await startGateway(t)
  await read(before).subscribe('d/#', 1)
  for (const socket of sockets) socket.destroy()
  await gone(before)
  await publish(before, ['1', '2'])
  const store = await before.store.afterKill()
  await store.createTopic('others')
  const routes = [{ name: null, filter: 'd/#', topic: 'others', key: null }]
  const after = await startGateway(t, { store, routes })
  const again = read(after)
  await again.until(() => again.publishes.length === 2)
  t.same(again.payloads, ['1', '2'])
})

t.test('the time of a session does not begin anew with each start', async (t) => {
  const options = { version: 5 as const, properties: { sessionExpiryInterval: 2 } }
  const before = await startGateway(t)
  const client = read(before, options)
  await client.subscribe('d/#', 1)
  let gateway = await kill(t, before)
  for (let start = 0; start < 2; start++) {
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    await gateway.broker.close()
    gateway = await kill(t, gateway)
  }
  const again = read(gateway, options)
  await again.connected()
  t.equal(again.connack?.sessionPresent, false)
})

t.test('a start writes nothing of sessions that are as they were', async (t) => {
  const before = await startGateway(t)
  await read(before).subscribe('d/#', 1)
  await publish(before, ['1'])
  const after = await stop(t, before)
  const { commitCount } = after.store
  await after.broker.close()
  t.equal(after.store.commitCount, commitCount)
})

t.test('a full disk refuses no subscriber; what it has is durable when there is room', async (t) => {
  const gateway = await startGateway(t)
  gateway.store.refusal = diskFull()
  const client = read(gateway)
  await client.subscribe('d/#', 1)
  t.same(keysOf(gateway.store), [])
  gateway.store.refusal = null
  await publish(gateway, ['1'])
  await client.until(() => client.publishes.length === 1)
  await turns(() => false, 20)
  const after = await stop(t, gateway)
  const again = read(after)
  await again.connected()
  t.equal(again.connack?.sessionPresent, true)
  await publish(after, ['2'])
  await again.until(() => again.publishes.length > 0)
  t.same(again.payloads, ['2'])
})

t.test('what was published before a subscription is not sent, though it lies behind what was written down', async (t) => {
  const before = await startGateway(t)
  const first = read(before, { clientId: 'first' })
  await first.subscribe('d/#', 1)
  await publish(before, ['1', '2'])
  const second = read(before, { clientId: 'second' })
  await second.subscribe('d/#', 1)
  await publish(before, ['3'])
  const after = await kill(t, before)
  const again = read(after, { clientId: 'second' })
  await again.until(() => again.publishes.length > 0)
  await publish(after, ['4'])
  await again.until(() => again.payloads.includes('4'))
  t.same(again.payloads, ['3', '4'])
})

t.test('QoS, retain flag, properties and no-local are as published, also from the log', async (t) => {
  const options = { version: 5 as const, properties: { sessionExpiryInterval: 100 } }
  const before = await startGateway(t)
  const client = read(before, options)
  await client.subscribe('d/#', 2, { rap: true, id: 7 })
  const local = read(before, { ...options, clientId: 'local' })
  await local.subscribe('d/#', 1, { nl: true })
  await client.closed()
  const properties = {
    contentType: 'text/plain',
    responseTopic: 'r/t',
    correlationData: Buffer.from([0, 255]),
    payloadFormatIndicator: true,
    messageExpiryInterval: 500,
    userProperties: { a: '1', 'mqtt.topic': 'x' }
  }
  local.send({ cmd: 'publish', topic: 'd/a', payload: 'a', qos: 2, messageId: 9, retain: true, dup: false, properties })
  await local.until(() => local.packets.some(({ cmd }) => cmd === 'pubrec'))
  local.send({ cmd: 'publish', topic: 'd/b', payload: 'b', qos: 0, retain: false, dup: false })
  local.send({ cmd: 'publish', topic: 'd/c', payload: 'c', qos: 1, messageId: 10, retain: false, dup: false })
  await local.until(() => local.packets.some(({ cmd }) => cmd === 'puback'))
  const after = await kill(t, before)
  const again = read(after, options)
  await again.until(() => again.publishes.length === 2)
  const [one, two] = again.publishes
  t.match(one, { topic: 'd/a', qos: 2, retain: true })
  const { messageExpiryInterval, ...rest } = one?.properties ?? {}
  const { messageExpiryInterval: _, ...sent } = properties
  t.same({ ...rest, userProperties: { ...rest.userProperties } }, { ...sent, subscriptionIdentifier: 7 })
  t.ok((messageExpiryInterval ?? 0) > 490)
  t.match(two, { topic: 'd/c', qos: 1, retain: false })
  const localAgain = read(after, { ...options, clientId: 'local' })
  await localAgain.connected()
  await turns(() => false, 50)
  t.same(localAgain.payloads, [], 'its own are not sent to it')
})

t.test('at random: lives that end with a kill or a stop lose nothing, and give QoS 2 once, in order', async (t) => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const prng = new Prng(seed)
    const qos = (1 + (seed % 2)) as 1 | 2
    const receiver = new Receiver()
    let gateway = await startGateway(t)
    let count = 0
    for (let life = 0; life < 6; life++) {
      const client = read(gateway, {}, receiver)
      if (life === 0) await client.subscribe('d/#', qos)
      await client.connected()
      for (let step = 0; step < prng.between(1, 5); step++) {
        if (prng.chance(30)) await client.closed()
        client.acknowledges = prng.chance(70)
        client.stopsAtPubrel = prng.chance(30)
        const last = count + prng.between(1, 300)
        await publish(gateway, numbers(count + 1, last), qos)
        count = last
        if (prng.chance(30)) await turns(() => false, prng.below(20))
      }
      gateway = prng.chance(50) ? await kill(t, gateway) : await stop(t, gateway)
    }
    const last = read(gateway, {}, receiver)
    await publish(gateway, ['end'], qos)
    await last.until(() => receiver.taken.includes('end') && receiver.openIds.size === 0)
    const firsts = [...new Set(receiver.taken)]
    t.same(firsts, [...numbers(1, count), 'end'], `seed ${seed}: all, in order`)
    if (qos === 2) t.equal(receiver.taken.length, firsts.length, `seed ${seed}: once`)
    await gateway.broker.close()
    t.ok([...gateway.store.state.keys()].filter((key) => key.startsWith(`${storedPieces.name}/`)).length <= 1, 'pieces go')
    t.ok(keysOf(gateway.store).includes('mqtt.session/reader'))
    t.ok([...gateway.store.state.keys()].some((key) => key.startsWith(`${storedQueuedTo.name}/`)))
  }
})

t.test('what waits comes with the QoS of the subscription of when it is read, all of it and in order', async (t) => {
  const gateway = await startGateway(t, { limits: { inflightPerClientMax: 5 } })
  const client = read(gateway)
  await client.subscribe('d/#', 1)
  await client.closed()
  await gone(gateway)
  await publish(gateway, numbers(1, 100))
  const again = read(gateway)
  again.acknowledges = false
  await again.until(() => again.publishes.length === 5)
  await again.subscribe('d/#', 0)
  again.acknowledges = true
  for (const { messageId = 0 } of again.publishes) again.send({ cmd: 'puback', messageId })
  await again.until(() => again.publishes.length === 100)
  t.same(again.payloads, numbers(1, 100))
  const kinds = again.publishes.map(({ qos }) => qos)
  t.equal(kinds[4], 1, 'those that were read before')
  t.equal(kinds[99], 0)
  t.same(kinds, [...kinds].sort().reverse())
  await turns(() => gateway.broker.metrics.queuedPlaces === 0)
  t.equal(gateway.broker.metrics.queuedPlaces, 0)
})

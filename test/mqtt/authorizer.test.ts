// Proves for the Authorizer: it hears who connects where with what; what it refuses is answered with the reason of MQTT, counted, and
// neither stored nor delivered nor kept; a refused CONNECT touches nothing of the session that has the client id.

import t from 'tap'
import { type Authorizer, type ClientIdentity, type ConnectDecision, everybody } from '../../adapters/mqtt/authorizer.ts'
import { textOf } from './controlled-store.ts'
import { connectPacket, packet, pingPacket, publishPacket, string, subscribePacket } from './packets.ts'
import { startGateway, turns } from './rig.ts'

const decide = (decision: (client: ClientIdentity) => ConnectDecision | Promise<ConnectDecision>): Authorizer => ({
  ...everybody,
  connect: decision
})

t.test('the Authorizer is told client id, user name, password bytes, address and listener, and the same client afterwards', async (t) => {
  const asked: [string, ClientIdentity, unknown][] = []
  const note = (what: string, client: ClientIdentity, more: unknown): true => asked.push([what, client, more]) > 0 || true
  const authorizer: Authorizer = {
    connect: (client, password) => note('connect', client, password && [...password]) && 'allowed',
    mayPublish: (client, topic) => note('publish', client, topic),
    maySubscribe: (client, filter) => note('subscribe', client, filter)
  }
  const { raw, otherPort } = await startGateway(t, { authorizer })
  const client = await raw(otherPort).connected({ clientId: 'dev', userName: 'ann', password: new Uint8Array([0, 255]) })
  client.send(publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }), subscribePacket(2, 'd/+'))
  await client.saw('suback 2')
  await client.saw('puback 1')
  t.same(
    asked.map(([what, , more]) => [what, more]),
    [
      ['connect', [0, 255]],
      ['publish', 'd/x'],
      ['subscribe', 'd/+']
    ]
  )
  t.match(asked[0]?.[1], {
    clientId: 'dev',
    userName: 'ann',
    remoteAddress: /127\.0\.0\.1/,
    listener: { host: '127.0.0.1', port: otherPort }
  })
  t.equal(new Set(asked.map(([, identity]) => identity)).size, 1)
  await raw().connected({ clientId: '' })
  t.match(asked.at(-1), ['connect', { clientId: /./, userName: null }, null])
})

for (const [decision, returnCode, reason] of [
  ['unavailable', 3, 'authorizer-unavailable'],
  ['bad-credentials', 4, 'bad-credentials'],
  ['not-authorized', 5, 'not-authorized']
] as const) {
  for (const isLater of [false, true]) {
    t.test(
      `a CONNECT refused as ${decision}, ${isLater ? 'later' : 'at once'}, gets CONNACK ${returnCode} and leaves the holder of its id alone`,
      async (t) => {
        const answer = ({ userName }: ClientIdentity): ConnectDecision => (userName === 'eve' ? decision : 'allowed')
        const authorizer = decide((client) => (isLater ? new Promise((resolve) => setImmediate(resolve, answer(client))) : answer(client)))
        const { raw, broker, events, store } = await startGateway(t, { authorizer })
        const holder = await raw().connected({ clientId: 'dev', clean: false, userName: 'ann' })
        holder.send(subscribePacket(1, 'd/#', 1), publishPacket({ topic: 'd/x', payload: 'one', qos: 2, packetId: 7 }))
        await holder.saw('pubrec 7')
        const state = [...store.state.keys()]
        for (const clean of [true, false]) {
          const will = { topic: 'd/will', payload: Buffer.from('x') }
          const refused = raw().send(
            connectPacket({ clientId: 'dev', clean, userName: 'eve', will }),
            publishPacket({ topic: 'd/x', payload: 'no', qos: 1, packetId: 1 })
          )
          await refused.closed()
          t.same(refused.received, [`connack ${returnCode}`])
        }
        t.match(events, [{ reason, clientId: 'dev', detail: /"eve"/ }, { reason }])
        t.equal(events.length, 2)
        t.equal(broker.metrics.closed.get(reason), 2)
        holder.send(pingPacket())
        await holder.saw('pingresp')
        t.notOk(holder.isClosed)
        t.same([...store.state.keys()], state, 'its QoS 2 memory is kept')
        t.same(
          store.recordsOf('events').map(({ value }) => textOf(value)),
          ['one'],
          'neither a message nor the will of the refused'
        )
      }
    )
  }
}

t.test('an Authorizer that fails refuses; one that takes its time holds back what was sent behind CONNECT', async (t) => {
  const failing = await startGateway(t, { authorizer: decide(() => Promise.reject(new Error('no directory'))) })
  const refused = failing.raw().send(connectPacket())
  await refused.closed()
  t.same(refused.received, ['connack 3'])
  t.equal(failing.events.at(-1)?.reason, 'authorizer-unavailable')

  let allow: (decision: ConnectDecision) => void = () => {}
  const slow = await startGateway(t, { authorizer: decide(() => new Promise((resolve) => (allow = resolve))) })
  const waiting = slow.raw().send(connectPacket(), publishPacket({ topic: 'd/x', qos: 1, packetId: 1 }))
  await turns(undefined, 50)
  t.same([waiting.received, slow.store.commitCount], [[], 0])
  const gone = slow.raw().send(connectPacket({ clientId: 'gone' }))
  const allowWaiting = allow
  await turns(() => allow !== allowWaiting)
  gone.destroy()
  await turns(() => slow.broker.metrics.connections === 1)
  allow('allowed')
  allowWaiting('allowed')
  await waiting.saw('puback 1')
})

for (const qos of [0, 1, 2]) {
  t.test(`a PUBLISH that is not allowed (QoS ${qos}) closes its sender after what is stored is acknowledged; nobody sees it`, async (t) => {
    const authorizer = { ...everybody, mayPublish: (_: ClientIdentity, topic: string) => topic !== 'd/secret' }
    const { raw, store, broker, events } = await startGateway(t, { authorizer })
    const subscriber = await raw().connected({ clientId: 'sub' })
    subscriber.send(subscribePacket(1, 'd/#'))
    await subscriber.saw('suback 1')
    const client = await raw().connected({ clientId: 'dev', clean: false })
    store.isHeld = true
    client.send(
      publishPacket({ topic: 'd/before', qos: 1, packetId: 1 }),
      publishPacket({ topic: 'd/secret', qos, packetId: 2, retain: true }),
      publishPacket({ topic: 'd/behind', qos: 1, packetId: 3 })
    )
    await turns(() => store.waitingCount === 1)
    await turns(undefined, 30)
    store.release()
    await client.closed()
    t.same(client.received, ['connack 0', 'puback 1'])
    t.match(events, [{ reason: 'not-authorized', clientId: 'dev', detail: /"d\/secret"/ }])
    t.equal(broker.metrics.closed.get('not-authorized'), 1)
    t.equal(store.recordsOf('events').length, 1)
    t.equal(broker.metrics.qos2Remembered, 0, 'nor is its packet id remembered')
    await subscriber.saw('publish d/before')
    const late = await raw().connected({ clientId: 'late' })
    late.send(subscribePacket(1, 'd/#'), pingPacket())
    await late.saw('pingresp')
    await turns(undefined, 30)
    for (const { received } of [subscriber, late]) t.notOk(received.includes('publish d/secret'))
  })
}

t.test('a filter that is not allowed gets 0x80, others of the packet are granted; no session keeps it, none resumes it', async (t) => {
  let isRevoked = false
  const authorizer: Authorizer = {
    ...everybody,
    maySubscribe: (_, filter) => filter !== 'd/secret' && !(isRevoked && filter === 'd/1')
  }
  const { raw, broker, events } = await startGateway(t, { authorizer })
  const persistent = { clientId: 'sub', clean: false }
  const client = await raw().connected(persistent)
  const bytes: Buffer[] = []
  client.socket.on('data', (chunk: Buffer) => bytes.push(chunk))
  const filters = ['d/0', 'd/secret', 'd/1'].map((filter) => Buffer.concat([string(filter), Buffer.from([1])]))
  client.send(packet(0x82, [0, 1], Buffer.concat(filters)))
  await client.saw('suback 1')
  t.same([...Buffer.concat(bytes)], [0x90, 5, 0, 1, 1, 0x80, 1])
  client.destroy()
  await turns(() => broker.metrics.connections === 0)
  isRevoked = true
  const publisher = await raw().connected({ clientId: 'pub' })
  publisher.send(publishPacket({ topic: 'd/secret', qos: 1, packetId: 1 }), publishPacket({ topic: 'd/0', qos: 1, packetId: 2 }))
  await publisher.saw('puback 2')
  const again = await raw().connected(persistent)
  await again.saw('publish d/0')
  publisher.send(publishPacket({ topic: 'd/1', qos: 0 }), publishPacket({ topic: 'd/0', payload: 'last', qos: 1, packetId: 3 }))
  await again.until(() => again.received.filter((line) => line === 'publish d/0').length === 2)
  t.same(
    again.received.filter((line) => line.startsWith('publish')),
    ['publish d/0', 'publish d/0']
  )
  t.same(
    events.map(({ kind, reason, detail, clientId }) => [kind, reason, detail, clientId]),
    ['d/secret', 'd/1'].map((filter) => ['not-subscribed', 'not-authorized', `"${filter}"`, 'sub'])
  )
  t.equal(broker.metrics.subscriptionsRefused, 2)
})

t.test('a will that may not be published is not, and is counted', async (t) => {
  let isRevoked = false
  const { raw, store, broker } = await startGateway(t, { authorizer: { ...everybody, mayPublish: () => !isRevoked } })
  const will = { topic: 'd/will', payload: Buffer.from('x') }
  const before = await raw().connected({ clientId: 'before', will })
  before.destroy()
  await turns(() => store.recordsOf('events').length === 1)
  const after = await raw().connected({ clientId: 'after', will })
  isRevoked = true
  after.destroy()
  await turns(() => broker.metrics.willsDropped === 1)
  await turns(undefined, 30)
  t.equal(broker.metrics.willsDropped, 1)
  t.equal(store.recordsOf('events').length, 1)
})

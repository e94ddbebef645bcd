// Proves what the fast lane does when all is not well: refused commits, full topics, a slow disk, topics that change, rights that change, clients that do
// not read. Each case is seen to use the lane.

import t from 'tap'
import { everybody } from '../../adapters/mqtt/authorizer.ts'
import { JournalFaults } from '../helpers/journal-faults.ts'
import { openLaneGateway, readTopic } from './lane-rig.ts'
import { pingPacket, publishPacket, type RawClient, subscribePacket, unsubscribePacket } from './packets.ts'
import { connect5, publish5 } from './packets-5.ts'
import { turns } from './rig.ts'

const numbered = (from: number, count: number, topic = 'd/a'): Buffer[] =>
  Array.from({ length: count }, (_, index) => publishPacket({ topic, payload: `${from + index}`, qos: 1, packetId: from + index }))
const acksOf = (client: RawClient): string[] => client.received.filter((one) => one.startsWith('puback'))
const pubacks = (from: number, count: number): string[] => Array.from({ length: count }, (_, index) => `puback ${from + index}`)

t.test('a commit that is refused: MQTT 3 is closed without a PUBACK, and what it sends again is stored once', async (t) => {
  const faults = new JournalFaults()
  const opened = await openLaneGateway(t, { disk: faults.disk })
  const { gateway, plans } = opened
  const client = await gateway.raw().connected()
  client.send(...numbered(1, 10))
  await client.saw('puback 10')
  faults.refuseNext()
  client.send(...numbered(11, 10))
  await client.closed()
  t.same(acksOf(client), pubacks(1, 10))
  const again = await gateway.raw().connected()
  again.send(...numbered(11, 10))
  await again.saw('puback 20')
  const values = (await readTopic(opened, 'events')).map(({ value }) => Number(value))
  t.same(
    values,
    Array.from({ length: 20 }, (_, index) => index + 1)
  )
  const { stored, rejected, inLaneCount, refused } = gateway.ingest.metrics
  t.same(
    [stored, inLaneCount, [...rejected], refused.list.map(({ topic, count }) => [topic, count])],
    [20, 0, [['WADI_DISK_FULL', 10]], [['events', 10]]]
  )
  t.ok(plans.fast > 0)
})

t.test('a commit that is refused: MQTT 5 hears it of every message, and stays', async (t) => {
  const faults = new JournalFaults()
  const opened = await openLaneGateway(t, { disk: faults.disk })
  const client = opened.gateway.raw().send(connect5())
  await client.saw('connack 0')
  faults.refuseNext()
  client.send(...Array.from({ length: 5 }, (_, index) => publish5({ topic: 'd/a', payload: `${index}`, qos: 1, packetId: index + 1 })))
  await client.until(() => acksOf(client).length === 5)
  t.ok(opened.gateway.events.some(({ kind, detail }) => kind === 'refused' && detail.startsWith('0x97')))
  client.send(publish5({ topic: 'd/a', payload: 'later', qos: 1, packetId: 9 }))
  await client.saw('puback 9')
  t.same(
    (await readTopic(opened, 'events')).map(({ value }) => value),
    ['later']
  )
  t.notOk(client.isClosed)
  t.ok(opened.plans.fast > 0)
})

t.test('QoS 0 of a refused commit is counted as lost, and its client stays', async (t) => {
  const faults = new JournalFaults()
  const { gateway, plans } = await openLaneGateway(t, { disk: faults.disk })
  const client = await gateway.raw().connected()
  client.send(publishPacket({ topic: 'd/a', payload: '1', qos: 1, packetId: 1 }))
  await client.saw('puback 1')
  faults.refuseNext()
  client.send(publishPacket({ topic: 'd/a', payload: 'a' }), publishPacket({ topic: 'd/a', payload: 'b' }))
  t.ok(await turns(() => gateway.broker.metrics.qos0Lost === 2))
  client.send(publishPacket({ topic: 'd/a', payload: '2', qos: 1, packetId: 2 }))
  await client.saw('puback 2')
  t.ok(plans.fast > 1)
})

t.test('a slow packet between fast ones: answers and records in the order of the packets', async (t) => {
  const faults = new JournalFaults()
  const opened = await openLaneGateway(t, { disk: faults.disk })
  const client = await opened.gateway.raw().connected()
  faults.hold()
  client.send(
    ...numbered(1, 3),
    publishPacket({ topic: 'd/a', payload: '4', qos: 1, packetId: 4, retain: true }),
    ...numbered(5, 3),
    publishPacket({ topic: 'json/a', payload: 'no json', qos: 1, packetId: 8 }),
    ...numbered(9, 3)
  )
  t.ok(await turns(() => opened.gateway.ingest.metrics.received === 11))
  t.same(acksOf(client), [], 'nothing is durable')
  faults.release()
  await client.saw('puback 11')
  t.same(acksOf(client), pubacks(1, 11))
  const values = (await readTopic(opened, 'events')).map(({ value }) => Number(value))
  t.same(values, [1, 2, 3, 4, 5, 6, 7, 9, 10, 11])
  t.ok(opened.plans.fast > 0 && opened.gateway.ingest.metrics.deadLettered.size === 1)
})

t.test('a topic with a quota takes as much as without the lane, and no more', async (t) => {
  const topic = { quotaBytes: 1 << 20, whenFull: 'reject' as const, partitionCount: 1 }
  const counts: number[] = []
  for (const isLaneOpen of [true, false]) {
    const opened = await openLaneGateway(t, { isLaneOpen, topic })
    const client = opened.gateway.raw().send(connect5())
    await client.saw('connack 0')
    const payload = 'x'.repeat(1_000)
    for (let round = 0; round < 40; round++) {
      const ids = Array.from({ length: 50 }, (_, index) => round * 50 + index + 1)
      client.send(...ids.map((packetId) => publish5({ topic: 'd/a', payload, qos: 1, packetId })))
      await client.until(() => acksOf(client).length === (round + 1) * 50)
    }
    counts.push(opened.gateway.ingest.metrics.stored)
    if (isLaneOpen) t.ok(opened.plans.fast > 0)
  }
  const [withLane = 0, without = 0] = counts
  t.ok(without > 500 && without < 1_500)
  t.ok(Math.abs(withLane - without) <= 10, `${withLane} and ${without}: batch headers differ`)
})

t.test('small segments: a walk fills several batches of a partition', async (t) => {
  const opened = await openLaneGateway(t, { topic: { quotaBytes: 2 << 20, partitionCount: 1 }, settings: { commitBytesMax: 1 << 20 } })
  const client = await opened.gateway.raw().connected()
  const count = 1_200
  const payload = 'x'.repeat(1_000)
  client.send(
    ...Array.from({ length: count }, (_, index) =>
      publishPacket({ topic: 'd/a', payload: `${index + 1} ${payload}`, qos: 1, packetId: index + 1 })
    )
  )
  await client.saw(`puback ${count}`)
  t.same(acksOf(client), pubacks(1, count))
  const values = (await readTopic(opened, 'events')).map(({ value }) => Number.parseInt(value, 10))
  t.same(
    values,
    Array.from({ length: count }, (_, index) => index + 1)
  )
  t.ok(opened.plans.fast > 0)
})

t.test('a disk that is slower than its clients: all is stored, in order, and nobody waits for ever', async (t) => {
  const faults = new JournalFaults()
  faults.delayMs = 5
  const opened = await openLaneGateway(t, { disk: faults.disk, settings: { commitBytesMax: 64 * 1024 } })
  const clients = await Promise.all(Array.from({ length: 8 }, (_, index) => opened.gateway.raw().connected({ clientId: `c${index}` })))
  const count = 2_000
  for (const [index, client] of clients.entries()) client.send(...numbered(1, count, `d/dev${index}`))
  await Promise.all(clients.map((client) => client.saw(`puback ${count}`)))
  for (const client of clients) t.same(acksOf(client), pubacks(1, count))
  const byKey = new Map<string, number[]>()
  for (const { key, value } of await readTopic(opened, 'events')) byKey.set(key, [...(byKey.get(key) ?? []), Number(value)])
  t.equal(byKey.size, 8)
  for (const values of byKey.values())
    t.same(
      values,
      Array.from({ length: count }, (_, index) => index + 1)
    )
  t.ok(faults.writeCount > 20, 'the commits were full')
})

t.test('beside a flood, a client that sends now and then is answered', async (t) => {
  const faults = new JournalFaults()
  faults.delayMs = 3
  const { gateway } = await openLaneGateway(t, { disk: faults.disk, settings: { commitBytesMax: 64 * 1024 } })
  const flood = await gateway.raw().connected({ clientId: 'flood' })
  const other = await gateway.raw().connected({ clientId: 'other' })
  const block = Buffer.concat(Array.from({ length: 2_000 }, () => publishPacket({ topic: 'd/flood', payload: 'x'.repeat(100) })))
  let isOver = false
  const pump = (): void => {
    while (!isOver && flood.socket.write(block));
    if (!isOver) flood.socket.once('drain', pump)
  }
  pump()
  for (let id = 1; id <= 20; id++) {
    other.send(publishPacket({ topic: 'd/other', payload: `${id}`, qos: 1, packetId: id }))
    await other.saw(`puback ${id}`)
  }
  isOver = true
  t.ok(gateway.ingest.metrics.received > 2_000)
})

t.test('a topic that is deleted takes nothing more by the lane; one that grows is used whole', async (t) => {
  const opened = await openLaneGateway(t)
  const { gateway, store } = opened
  const client = await gateway.raw().connected()
  client.send(...numbered(1, 8, 'd/a'), ...numbered(9, 8, 'loose/x'))
  await client.saw('puback 16')
  await store.alterTopic('loose', { partitionCount: 8 })
  client.send(...numbered(17, 16, 'loose/x'))
  await client.saw('puback 32')
  t.ok(
    store.topics.get('loose')?.partitions.every(({ highWatermark }) => highWatermark > 0),
    'every partition has some'
  )
  await store.deleteTopic('events', { undelivered: 'lose' })
  client.send(...numbered(33, 3, 'd/a'))
  await client.saw('puback 35')
  t.equal((await readTopic(opened, '_wadi.dlq')).length, 3, 'to the dead letters, as without the lane')
  await store.createTopic('events', { partitionCount: 2, codec: 'none', isForwarded: false })
  client.send(...numbered(36, 3, 'd/a'))
  await client.saw('puback 38')
  t.equal((await readTopic(opened, 'events')).length, 3)
})

t.test('rights: asked once for a topic, and again when they change; without notice of changes, for every message', async (t) => {
  let [asked, isAllowed, changed] = [0, true, (): void => undefined]
  const mayPublish = (): boolean => {
    asked++
    return isAllowed
  }
  const noticed = await openLaneGateway(t, {
    authorizer: {
      ...{ ...everybody, mayPublish },
      onChange: (listener) => {
        changed = listener
      }
    }
  })
  const client = await noticed.gateway.raw().connected()
  client.send(...numbered(1, 100))
  await client.saw('puback 100')
  t.equal(asked, 1)
  isAllowed = false
  changed()
  client.send(...numbered(101, 1))
  await client.closed()
  t.same([asked, noticed.gateway.ingest.metrics.stored], [3, 100], 'by the plan, then by the packet')

  const { onChange: _, ...withoutNotice } = everybody
  asked = 0
  isAllowed = true
  const other = await openLaneGateway(t, { authorizer: { ...withoutNotice, mayPublish } })
  const second = await other.gateway.raw().connected()
  second.send(...numbered(1, 10))
  await second.saw('puback 10')
  t.same([asked, other.plans.fast], [10, 0])
})

t.test('MQTT 5: not more than the Receive Maximum by the lane', async (t) => {
  const faults = new JournalFaults()
  const { gateway } = await openLaneGateway(t, { disk: faults.disk, limits: { qos2PerClientMax: 10 } })
  const client = gateway.raw().send(connect5())
  await client.saw('connack 0')
  faults.hold()
  client.send(...Array.from({ length: 11 }, (_, index) => publish5({ topic: 'd/a', qos: 1, packetId: index + 1 })))
  t.ok(await turns(() => gateway.ingest.metrics.received === 10))
  faults.release()
  await client.closed()
  t.same(acksOf(client), pubacks(1, 10), 'what was taken is answered first')
  t.ok(gateway.events.some(({ reason }) => reason === 'receive-maximum'))
})

t.test('a client that does not read its PUBACKs is not read either', async (t) => {
  const { gateway } = await openLaneGateway(t)
  const client = await gateway.raw().connected()
  client.socket.pause()
  const block = Buffer.concat(Array.from({ length: 5_000 }, (_, index) => publishPacket({ topic: 'd/a', qos: 1, packetId: index + 1 })))
  const received = (): number => gateway.ingest.metrics.received
  let [before, standsStill] = [-1, false]
  for (let round = 0; round < 200 && !standsStill; round++) {
    while (client.socket.writableLength < 1 << 20) client.socket.write(block)
    await new Promise((resolve) => setTimeout(resolve, 100))
    standsStill = received() === before
    before = received()
  }
  t.ok(standsStill && before > 0, 'until nothing more fits between them')
  client.socket.resume()
  t.ok(await turns(() => received() > before + 5_000))
})

t.test('beside Kafka producers that fill every commit, an MQTT client is answered, and one that only pings', async (t) => {
  const faults = new JournalFaults()
  faults.delayMs = 3
  const { gateway, store, core } = await openLaneGateway(t, { disk: faults.disk, settings: { commitBytesMax: 256 * 1024 } })
  const partition = store.topics.get('loose')?.partitions[0]
  if (!partition) return t.fail('no partition')
  const value = new Uint8Array(120 * 1024)
  const batch = core.buildBatch([{ timestampMs: 1, key: null, value, headers: [] }], { baseOffset: 0 })
  let isOver = false
  let produced = 0
  const produce = (): void => {
    if (isOver) return
    store.submit([{ partition, content: { batch, recordCount: 1 } }], [], () => {
      produced++
      produce()
    })
  }
  for (let index = 0; index < 8; index++) produce()
  const [client, pinging] = [await gateway.raw().connected({ clientId: 'a' }), await gateway.raw().connected({ clientId: 'b' })]
  for (let id = 1; id <= 15; id++) {
    client.send(...numbered(id, 1))
    pinging.send(pingPacket())
    await client.saw(`puback ${id}`)
    await pinging.until(() => pinging.received.filter((one) => one === 'pingresp').length === id)
  }
  isOver = true
  t.ok(produced > 30, 'the producers went on too')
})

t.test('who subscribes to something else leaves the plans of others alone; who subscribes to their topic does not', async (t) => {
  const { gateway, plans } = await openLaneGateway(t)
  const [client, other] = [await gateway.raw().connected({ clientId: 'a' }), await gateway.raw().connected({ clientId: 'b' })]
  client.send(...numbered(1, 5))
  await client.saw('puback 5')
  t.same(plans, { fast: 1, slow: 0 })
  other.send(subscribePacket(1, 'cmd/b'), unsubscribePacket(2, 'cmd/b'))
  await other.saw('unsuback 2')
  client.send(...numbered(6, 5))
  await client.saw('puback 10')
  t.same(plans, { fast: 1, slow: 0 })
  other.send(subscribePacket(3, 'd/+'))
  await other.saw('suback 3')
  client.send(...numbered(11, 5))
  await client.saw('puback 15')
  t.ok(await turns(() => other.received.filter((one) => one.startsWith('publish')).length === 5), 'it gets them')
  t.same(plans, { fast: 1, slow: 1 })
  other.send(unsubscribePacket(4, 'd/+'))
  await other.saw('unsuback 4')
  client.send(...numbered(16, 5))
  await client.saw('puback 20')
  t.same(plans, { fast: 2, slow: 1 }, 'nobody is there: by the lane again')
})

t.test('a topic whose deletion is refused takes events by the lane again, also of who published to it meanwhile', async (t) => {
  const faults = new JournalFaults()
  const { gateway, store } = await openLaneGateway(t, { disk: faults.disk, topic: { isForwarded: true } })
  const [client, other] = [await gateway.raw().connected({ clientId: 'a' }), await gateway.raw().connected({ clientId: 'b' })]
  const received = (): number => gateway.ingest.metrics.received
  faults.hold()
  client.send(...numbered(1, 1))
  t.ok(await turns(() => received() === 1))
  const deletion = store.deleteTopic('events', { undelivered: 'refuse' })
  deletion.catch(() => undefined)
  t.ok(await turns(() => store.topics.get('events')?.isEnding === true), 'it waits for what is on its way')
  other.send(publishPacket({ topic: 'd/a', payload: 'meanwhile' }))
  t.ok(await turns(() => received() === 2))
  faults.release()
  await t.rejects(deletion, { code: 'WADI_TOPIC_UNDELIVERED' })
  const before = gateway.ingest.metrics.receivedByLane
  other.send(...Array.from({ length: 20 }, () => publishPacket({ topic: 'd/a', payload: 'later' })))
  t.ok(await turns(() => received() === 22))
  t.equal(gateway.ingest.metrics.receivedByLane - before, 20)
})

// Produces of one connection overlap: they share a sync. What a client may observe is as if each had been carried out alone.

import { Kafka, logLevel } from 'kafkajs'
import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { slowDisk } from '../../bench/slow-disk.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { loadTestCore } from '../helpers/core.ts'
import { readPartition } from '../sim/read-partition.ts'
import { type Centre, startCentre, until } from './centre.ts'
import { WireClient } from './wire-client.ts'

const SYNC_MS = 100
const KIB = 1024
const core = loadTestCore()
const encoder = new TextEncoder()

interface ProduceOptions {
  readonly acks?: number
  readonly topic?: string
  readonly bytes?: number
  readonly producer?: {
    readonly producerId: bigint
    readonly producerEpoch: number
    readonly baseSequence: number
    readonly isTransactional?: boolean
  }
  readonly transactionalId?: string
}

function produceOf(value: string, options: ProduceOptions = {}) {
  const { acks = -1, topic = 'a', bytes = 0, producer, transactionalId = null } = options
  const records = [{ timestampMs: Date.now(), key: null, value: encoder.encode(value.padEnd(bytes)), headers: [] }]
  const fields = producer ? { producer: { isTransactional: false, ...producer } } : {}
  const batch = core.buildBatch(records, { baseOffset: 0, ...fields }).slice()
  return { transactionalId, acks, timeoutMs: 30_000, topicData: [{ name: topic, partitionData: [{ index: 0, records: batch }] }] }
}

async function produced(
  client: WireClient,
  correlationId: number
): Promise<[errorCode: number | undefined, baseOffset: number | undefined]> {
  const { responses } = await client.answer(api.Produce, 9, correlationId)
  const partition = responses[0]?.partitionResponses[0]
  return [partition?.errorCode, partition?.baseOffset]
}

async function start(t: Parameters<typeof startCentre>[0], options: Parameters<typeof startCentre>[1] = {}): Promise<Centre> {
  const centre = await startCentre(t, { disk: slowDisk(SYNC_MS), ...options })
  await centre.store.createTopic('a')
  return centre
}

t.test('five Produces on their way share syncs, and are answered in order', async (t) => {
  const centre = await start(t)
  const client = new WireClient(centre.port)
  await client.call(api.Metadata, 9, { topics: [] })
  const before = centre.store.metrics.commits
  const ids = Array.from({ length: 5 }, (_, at) =>
    client.send(api.Produce, 9, produceOf(`${at}`, { producer: { producerId: 9n, producerEpoch: 0, baseSequence: at } }))
  )
  const outcomes = await Promise.all(ids.map((id) => produced(client, id)))
  t.same(
    outcomes,
    [0, 1, 2, 3, 4].map((offset) => [0, offset])
  )
  t.same(client.answered.slice(-5), ids, 'in the order of the requests')
  t.ok(centre.store.metrics.commits - before <= 2, `${centre.store.metrics.commits - before} commits`)
  client.close()
})

t.test('whatever comes behind Produces sees what they wrote, and what comes before them is there', async (t) => {
  const centre = await start(t)
  const client = new WireClient(centre.port)
  const created = client.send(api.CreateTopics, 4, { topics: [{ name: 'new', numPartitions: 1, replicationFactor: 1 }], timeoutMs: 1000 })
  const first = client.send(api.Produce, 9, produceOf('x', { topic: 'new' }))
  const second = client.send(api.Produce, 9, produceOf('y', { topic: 'new' }))
  const topics = [{ topic: 'new', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: KIB }] }]
  const fetch = client.send(api.Fetch, 4, { maxWaitMs: 0, minBytes: 0, maxBytes: KIB, topics })
  const latest = client.send(api.ListOffsets, 2, { topics: [{ name: 'new', partitions: [{ partitionIndex: 0, timestamp: -1 }] }] })
  t.equal((await client.answer(api.CreateTopics, 4, created)).topics[0]?.errorCode, 0)
  t.same(await produced(client, first), [0, 0])
  t.same(await produced(client, second), [0, 1])
  t.equal((await client.answer(api.Fetch, 4, fetch)).responses[0]?.partitions[0]?.highWatermark, 2)
  t.equal((await client.answer(api.ListOffsets, 2, latest)).topics[0]?.partitions[0]?.offset, 2)
  t.same(client.answered, [created, first, second, fetch, latest])
  client.close()
})

t.test('EndTxn behind Produces ends what they wrote; a Produce behind EndTxn is outside of it', async (t) => {
  const centre = await start(t)
  const client = new WireClient(centre.port)
  const init = await client.call(api.InitProducerId, 3, { transactionalId: 'x', transactionTimeoutMs: 60_000 })
  const who = { producerId: init.producerId, producerEpoch: init.producerEpoch }
  const topics = [{ name: 'a', partitions: [0] }]
  const added = client.send(api.AddPartitionsToTxn, 3, { transactionalId: 'x', ...who, topics })
  const send = (baseSequence: number): number => {
    const producer = { ...who, baseSequence, isTransactional: true }
    return client.send(api.Produce, 9, produceOf('in', { producer, transactionalId: 'x' }))
  }
  const inside = [send(0), send(1)]
  const end = client.send(api.EndTxn, 3, { transactionalId: 'x', ...who, committed: true })
  const outside = send(2)
  t.equal((await client.answer(api.AddPartitionsToTxn, 3, added)).resultsByTopic[0]?.resultsByPartition[0]?.partitionErrorCode, 0)
  t.same(await Promise.all(inside.map((id) => produced(client, id))), [
    [0, 0],
    [0, 1]
  ])
  t.equal((await client.answer(api.EndTxn, 3, end)).errorCode, 0)
  t.equal((await produced(client, outside))[0], 48, 'INVALID_TXN_STATE')
  t.same(client.answered.slice(1), [added, ...inside, end, outside])
  client.close()
})

t.test('acks=0 and gone at once: what was sent whole is stored, and nothing is held afterwards', async (t) => {
  const centre = await start(t, { requestBytesMax: 256 * KIB })
  const client = new WireClient(centre.port)
  for (let at = 0; at < 40; at++) client.send(api.Produce, 9, produceOf(`${at}`, { acks: 0, bytes: 20 * KIB }))
  client.socket.end()
  await until(() => centre.store.topics.get('a')?.partitions[0]?.highWatermark === 40, 'all of them')
  await until(() => centre.listener.metrics.connectionCount === 0, 'the end of the connection')
  await centre.listener.settled()
  t.equal(centre.listener.metrics.requestBytes, 0)
})

t.test('a connection that is closed in between lets go of everything that it held, once it is stored', async (t) => {
  const centre = await start(t)
  const client = new WireClient(centre.port)
  for (let at = 0; at < 5; at++) client.send(api.Produce, 9, produceOf(`${at}`, { bytes: 100 * KIB }))
  await until(() => centre.listener.metrics.requestsByApi.Produce === 5, 'five in work')
  t.ok(centre.listener.metrics.requestBytes > 500 * KIB, `${centre.listener.metrics.requestBytes} bytes are held`)
  await centre.listener.close()
  await centre.listener.settled()
  t.equal(centre.listener.metrics.requestBytes, 0)
  t.equal(centre.store.topics.get('a')?.partitions[0]?.highWatermark, 5)
})

t.test('the bounds hold over requests that overlap: so many at once, and so many bytes behind the first', async (t) => {
  let syncMs = 0
  const centre = await start(t, { disk: slowDisk(() => syncMs), limits: { queuedBytesMax: 64 * KIB } })
  syncMs = 2_000
  const small = new WireClient(centre.port)
  for (let at = 0; at < 200; at++) small.send(api.Produce, 9, produceOf('x'))
  const inWork = (): number => centre.listener.metrics.requestsByApi.Produce ?? 0
  await until(() => inWork() === 32, '32 in work')
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(inWork(), 32)
  t.equal(small.answered.length, 0)
  syncMs = 20
  await until(() => small.answered.length === 200, 'all answers')
  const large = new WireClient(centre.port)
  let most = 0
  const watch = setInterval(() => (most = Math.max(most, centre.listener.metrics.requestBytes)), 1)
  for (let at = 0; at < 20; at++) large.send(api.Produce, 9, produceOf('x', { bytes: 40 * KIB }))
  await until(() => large.answered.length === 20, 'all answers')
  clearInterval(watch)
  t.ok(most <= 200 * KIB, `${most} bytes at most: one request, 64 KiB and one behind it, one that is read`)
  small.close()
  large.close()
})

t.test('large requests, one after another and ahead: what was answered counts no more, and its connection is read on', async (t) => {
  const centre = await startCentre(t)
  await centre.store.createTopic('a')
  const client = new WireClient(centre.port)
  let sent = 0
  for (let round = 0; round < 10; round++) {
    const ids = Array.from({ length: 5 }, () => client.send(api.Produce, 9, produceOf(`${sent++}`, { bytes: 100 * KIB })))
    for (const id of ids) t.equal((await produced(client, id))[0], 0)
  }
  t.equal(sent, 50, 'five times what may wait behind the first')
  client.close()
})

t.test('acks=0 that is refused ends the connection: what is behind it is not answered', async (t) => {
  const centre = await start(t)
  const client = new WireClient(centre.port)
  const first = client.send(api.Produce, 9, produceOf('x'))
  client.send(api.Produce, 9, produceOf('x', { acks: 0, topic: 'nowhere' }))
  client.send(api.Produce, 9, produceOf('x', { bytes: 100 * KIB }))
  await until(() => client.isClosed, 'the end')
  t.same(client.answered, [first])
  await centre.listener.settled()
  t.equal(centre.listener.metrics.requestBytes, 0, 'what was in work behind it lets go of its bytes')
  t.same(centre.listener.metrics.closesByReason, { refused: 1 })
})

t.test('who has sent a lot ahead has his turn, and then others have theirs', async (t) => {
  const centre = await startCentre(t)
  const { now } = performance
  let nowMs = now.call(performance)
  t.teardown(async () => void Object.assign(performance, { now }))
  const [greedy, other] = [new WireClient(centre.port), new WireClient(centre.port)]
  for (const client of [greedy, other]) await client.call(api.ApiVersions, 0, {})
  performance.now = () => ++nowMs // so that each request takes a millisecond or two
  const requests = 1000
  for (let at = 0; at < requests; at++) greedy.send(api.ApiVersions, 0, {})
  for (let at = 0; at < requests; at++) other.send(api.Produce, 9, produceOf('x', { topic: 'nowhere' }))
  const countOf = (name: string): number => centre.listener.metrics.requestsByApi[name] ?? 0
  const most = { ApiVersions: 0, Produce: 0 }
  const last = { ApiVersions: countOf('ApiVersions'), Produce: 0 }
  while (greedy.answered.length + other.answered.length < 2 * requests + 2) {
    await new Promise((resolve) => setImmediate(resolve))
    for (const name of ['ApiVersions', 'Produce'] as const) {
      most[name] = Math.max(most[name], countOf(name) - last[name])
      last[name] = countOf(name)
    }
  }
  t.ok(most.ApiVersions > 1 && most.ApiVersions < 20, `${most.ApiVersions} in one go`)
  t.ok(most.Produce > 1 && most.Produce < 20, `${most.Produce} that overlap in one go`)
  greedy.close()
  other.close()
})

t.test('kafkajs with five in flight: its requests share syncs, each event is there once and where it was said', async (t) => {
  const centre = await startCentre(t, { disk: slowDisk(20) })
  await centre.store.createTopic('a')
  const kafka = new Kafka({ brokers: [`127.0.0.1:${centre.port}`], logLevel: logLevel.NOTHING })
  const producer = kafka.producer({ maxInFlightRequests: 5 }) // an idempotent one of kafkajs sends the next when it has the answer
  await producer.connect()
  const count = 200
  const before = centre.store.metrics.commits
  const send = (at: number) => producer.send({ topic: 'a', acks: -1, messages: [{ value: `${at}`, partition: 0 }] })
  const answers = await Promise.all(Array.from({ length: count }, (_, at) => send(at)))
  const commits = centre.store.metrics.commits - before
  t.ok(commits < count * 0.75, `${commits} commits for ${count} requests`)
  const { records } = await readPartition(centre.store.topics.get('a')?.partitions[0] as Partition, core)
  const offsets = answers.map(([answer]) => Number(answer?.baseOffset))
  t.same(
    offsets.map((offset) => records[offset]?.value),
    Array.from({ length: count }, (_, at) => `${at}`)
  )
  t.equal(records.length, count)
  await producer.disconnect()
})

t.test('to the log each connection is a client of its own', async (t) => {
  const centre = await start(t, { disk: slowDisk(0) })
  const { appends } = centre.broker
  const { append } = appends
  const clients: (string | undefined)[] = []
  appends.append = (batches, options) => {
    clients.push(options.client)
    return append.call(appends, batches, options)
  }
  const peers = [new WireClient(centre.port), new WireClient(centre.port)]
  for (const peer of [...peers, ...peers]) await produced(peer, peer.send(api.Produce, 9, produceOf('x')))
  t.notOk(clients.includes(undefined))
  t.equal(clients[0], clients[2])
  t.equal(clients[1], clients[3])
  t.not(clients[0], clients[1])
  for (const peer of peers) peer.close()
})

// Proves for `kafka: listen`: a Kafka client on the gateway reads exactly what MQTT wrote; what it writes itself is delivered to the centre
// once, like everything else; topics that clients make follow the rules of those that routes make, within a bound; what is Wadi's own is
// read only; an address that is taken changes nothing; what a client sends never ends the gateway.
// How: whole gateways in this process, kafkajs as a client, raw frames, and our own Kafka server as the centre.

import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import t, { type Test } from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { openGateway } from '../../gateway/gateway.ts'
import { topicChangesLog, topicRulesOf } from '../../gateway/kafka.ts'
import type { Store } from '../../runtime/log/contract.ts'
import { startCentre, until } from '../kafka-server/centre.ts'

interface Place {
  readonly gateway: Gateway
  readonly lines: string[]
  readonly data: string
}

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'wadi-kafka-listen-'))
  test.teardown(() => rmSync(path, { recursive: true, force: true, maxRetries: 3 }))
  return path
}

const textOf = (data: string, kafka: string, more: string): string => `
gateway: { id: local, data: "${data}" }
storage: { journal: { file_size: 4MiB } }
mqtt: [{ listen: "127.0.0.1:0" }]
kafka: ${kafka}
${more.includes('topics:') ? '' : 'topics: { plant: { partitions: 3, retention: 3d } }'}
routes: [{ filter: "plant/+device/#", topic: plant, key: "{device}" }]
${more}`

async function start(
  test: Test,
  { kafka = '{ listen: "127.0.0.1:0" }', more = '', data = join(directory(test), 'data') } = {}
): Promise<Place> {
  const lines: string[] = []
  const config = loadConfig(textOf(data, kafka, more), { fileName: 'inline', environment: {} })
  const gateway = await openGateway(config, { log: (level, message) => void lines.push(`${level}: ${message}`) })
  test.teardown(() => gateway.close())
  return { gateway, lines, data }
}

function clientOf(place: { gateway: Gateway } | { port: number }, retries = 2): Kafka {
  const broker = 'port' in place ? `127.0.0.1:${place.port}` : (place.gateway.addresses.kafka ?? '')
  return new Kafka({
    clientId: 'test',
    brokers: [broker],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, maxRetryTime: 200, retries }
  })
}

async function withAdmin<T>(place: { gateway: Gateway }, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = clientOf(place).admin()
  await admin.connect()
  return work(admin).finally(() => admin.disconnect())
}

async function publish(gateway: Gateway, values: readonly string[]): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://${gateway.addresses.mqtt[0]}`)
  await Promise.all(values.map((value, index) => client.publishAsync(`plant/press-${index % 5}/temperature`, value, { qos: 1 })))
  await client.endAsync()
}

async function produce(kafka: Kafka, topic: string, values: readonly string[], timestamp?: string): Promise<void> {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = values.map((value) => ({ key: 'k', value, ...(timestamp === undefined ? {} : { timestamp }) }))
  await producer.send({ topic, messages }).finally(() => producer.disconnect())
}

/** The values of a topic, as they come, read by a group of its own until stop() or the end of the test. */
async function follow(test: Test, kafka: Kafka, topic: string): Promise<{ values: string[]; stop: () => Promise<void> }> {
  const consumer = kafka.consumer({ groupId: `g-${topic}`, maxWaitTimeInMs: 100, readUncommitted: false })
  test.teardown(() => consumer.disconnect())
  const values: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      values.push(String(message.value))
    }
  })
  return { values, stop: () => consumer.disconnect() }
}

/** The values of a topic, sorted: at least `count`, and what comes with the last of them. */
async function consume(test: Test, kafka: Kafka, topic: string, count: number): Promise<string[]> {
  const { values } = await follow(test, kafka, topic)
  await until(() => values.length >= count, `${count} messages of ${topic}`)
  return values.sort()
}

const numbered = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${name}-${String(index).padStart(3, '0')}`)

t.test('a Kafka client reads what MQTT wrote, and what it writes reaches the centre once beside it', async (t) => {
  const centre = await startCentre(t)
  const { gateway, lines, data } = await start(t, { more: `upstream: { brokers: ["127.0.0.1:${centre.port}"] }` })
  t.match(lines.join('\n'), new RegExp(`ready: MQTT on [\\d.:]+, Kafka on ${gateway.addresses.kafka}, data in ${data}`))
  const events = numbered('mqtt', 200)
  await publish(gateway, events)
  const kafka = clientOf({ gateway })
  t.same(await consume(t, kafka, 'plant', events.length), events)
  const written = numbered('kafka', 100)
  await produce(kafka, 'made-by-a-client', written)
  await produce(kafka, 'plant', written)

  const atCentre = clientOf(centre)
  t.same(await consume(t, atCentre, 'made-by-a-client', written.length), written)
  t.same(await consume(t, atCentre, 'plant', events.length + written.length), [...written, ...events])
  const { kafka: status, topics } = await gateway.status()
  t.match(status, { listener: gateway.addresses.kafka, refusedConnections: 0 })
  t.ok(status && status.connections > 0 && status.requests > 0 && status.receivedBytes > 0 && status.sentBytes > events.join('').length)
  t.equal(topics.find(({ name }) => name === 'made-by-a-client')?.events, 100)
})

t.test('a topic that a client makes is delivered like one that a route makes, and not when the configuration names others', async (t) => {
  const centre = await startCentre(t)
  const upstream = `upstream: { brokers: ["127.0.0.1:${centre.port}"], topics: { orders: { to: edge.orders }, plant: {} } }`
  const { gateway } = await start(t, { more: upstream })
  const kafka = clientOf({ gateway })
  await withAdmin({ gateway }, async (admin) => {
    await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 4 }, { topic: 'local' }] })
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: 'local', configNames: ['retention.ms', 'compression.type'] }]
    })
    t.same(
      resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]),
      [
        ['compression.type', 'producer'],
        ['retention.ms', String(7 * 86_400_000)]
      ]
    )
  })
  await produce(kafka, 'local', ['stays'], String(Date.now() + 365 * 86_400_000)) // its clock is a year ahead, or ours behind
  await produce(kafka, 'orders', ['goes'])
  t.same(await consume(t, clientOf(centre), 'edge.orders', 1), ['goes'])
  t.notOk(centre.store.topics.has('local'))
  const { topics } = await gateway.status()
  t.match(
    topics.filter(({ name }) => ['local', 'orders'].includes(name)).map(({ name, partitionCount }) => [name, partitionCount]),
    [
      ['local', 1],
      ['orders', 4]
    ]
  )
  t.equal(topics.find(({ name }) => name === 'local')?.lagEvents, null)
})

t.test('what is reserved is neither made nor written by clients, and there is a bound on what they make', async (t) => {
  const kafka = '{ listen: "127.0.0.1:0", limits: { partitions: 10 } }'
  const { gateway } = await start(t, { kafka, more: 'dead_letter: { topic: lost-and-found }' })
  const client = clientOf({ gateway })
  await withAdmin({ gateway }, async (admin) => {
    for (const topic of ['__consumer_offsets', '_wadi.mine']) {
      await t.rejects(admin.createTopics({ topics: [{ topic }] }), /creation/, topic)
      await t.rejects(produce(client, topic, ['x']), topic)
    }
    await t.rejects(produce(client, 'lost-and-found', ['x']), /topic/i, 'the dead letters')
    const producer = client.producer({ transactionalId: 'intruder', maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    const transaction = await producer.transaction()
    await t.rejects(transaction.send({ topic: 'lost-and-found', messages: [{ value: 'x' }] }), /topic/i, 'not in a transaction either')
    await transaction.abort().catch(() => undefined)
    await producer.disconnect()
    t.match(await admin.fetchTopicOffsets('lost-and-found'), [{ high: '0' }], 'no mark of its end')
    await t.rejects(
      admin.createTopics({ topics: [{ topic: 'large', numPartitions: 7 }] }),
      /creation/,
      '3 of plant, 1 of the dead letters, 7'
    )
    await admin.createTopics({ topics: [{ topic: 'fits', numPartitions: 6 }] })
    await t.rejects(produce(client, 'one-too-many', ['x']))
    t.same((await admin.listTopics()).sort(), ['fits', 'lost-and-found', 'plant'])
  })
  await publish(gateway, ['still taken'])
  t.same(await consume(t, client, 'plant', 1), ['still taken'])
})

t.test(
  'a name that the configuration claims is not made by clients while its topic waits, nor one that differs in "." and "_" only',
  async (t) => {
    const config = loadConfig(textOf('/unused', '{ listen: "127.0.0.1:0" }', 'topics: { plant.b: {}, made: {} }'), {
      fileName: 'inline',
      environment: {}
    })
    const store = { topics: new Map([['made', { partitions: [] }]]) } as unknown as Store
    const rules = topicRulesOf(config, store, { ...topicChangesLog(() => undefined), claimed: ['plant.b', 'made'] })
    for (const name of ['plant.b', 'plant_b']) {
      t.throws(() => rules.configOf(name), { fault: 'POLICY_VIOLATION', message: /"plant\.b", which the configuration names/ })
    }
    for (const name of ['plant-b', 'made', 'plant.b.c']) t.match(rules.configOf(name), { isForwarded: false })
  }
)

t.test('what clients make is told, and what they may not make or delete, once a minute with the words of the answer', async (t) => {
  const { gateway, lines } = await start(t)
  await withAdmin({ gateway }, async (admin) => {
    await admin.createTopics({ topics: [{ topic: 'scratch', numPartitions: 2 }] })
    for (let again = 0; again < 2; again++) {
      await t.rejects(admin.createTopics({ topics: [{ topic: '__mine' }] }))
      await t.rejects(admin.deleteTopics({ topics: ['plant'] }))
      t.equal(await admin.createTopics({ topics: [{ topic: 'scratch' }] }), false)
    }
    await admin.deleteTopics({ topics: ['scratch'] })
  })
  await produce(clientOf({ gateway }), 'by-producer', ['one'])
  t.strictSame(
    lines.filter((line) => /Kafka client/.test(line)),
    [
      'info: made topic scratch with 2 partitions, for a Kafka client',
      'warn: refused to make topic __mine for a Kafka client: INVALID_TOPIC_EXCEPTION: the name "__mine" is reserved',
      'warn: refused to delete topic plant for a Kafka client: POLICY_VIOLATION: routes[0] of the configuration names the topic "plant"',
      'info: made topic by-producer with 1 partition, for a Kafka client'
    ]
  )
})

t.test('create_topics: false leaves the topics to the configuration', async (t) => {
  const { gateway, lines } = await start(t, { kafka: '{ listen: "127.0.0.1:0", create_topics: false }' })
  const client = clientOf({ gateway })
  await withAdmin({ gateway }, async (admin) => {
    await t.rejects(admin.createTopics({ topics: [{ topic: 'more' }] }), /creation/)
    await t.rejects(produce(client, 'more', ['x']))
    await produce(client, 'plant', ['x'])
    t.same((await admin.listTopics()).sort(), ['_wadi.dlq', 'plant'])
  })
  t.strictSame(
    lines.filter((line) => line.includes('topic more')),
    [
      'warn: refused to make topic more for a Kafka client: POLICY_VIOLATION: clients make no topics here (kafka.create_topics)',
      'warn: refused to make topic more for a Kafka client: UNKNOWN_TOPIC_OR_PARTITION: there is no such topic, and asking for it makes none'
    ]
  )
})

t.test(
  'a client deletes what it made, when the centre has it; a topic of the same name is another one, and arrives once too',
  async (t) => {
    const centre = await startCentre(t)
    const place = await start(t, { more: `upstream: { brokers: ["127.0.0.1:${centre.port}"] }` })
    const kafka = clientOf(place)
    const { gateway, lines } = place
    for (const round of ['first', 'second']) {
      const values = numbered(round, 50)
      await produce(kafka, 'scratch', values)
      const isDelivered = async (): Promise<boolean> =>
        (await gateway.status()).topics.find(({ name }) => name === 'scratch')?.lagEvents === 0
      for (let tries = 0; !(await isDelivered()) && tries < 500; tries++) await new Promise((resolve) => setTimeout(resolve, 20))
      await withAdmin(place, async (admin) => {
        await admin.deleteTopics({ topics: ['scratch'] })
        t.same((await admin.listTopics()).sort(), ['_wadi.dlq', 'plant'])
      })
    }
    t.equal(lines.filter((line) => line === 'info: deleted topic scratch with 1 partition').length, 2)
    t.same(await consume(t, clientOf(centre), 'scratch', 100), [...numbered('first', 50), ...numbered('second', 50)])
    await publish(gateway, ['goes on'])
    t.same(await consume(t, clientOf(centre), 'plant', 1), ['goes on'])
  }
)

t.test("a topic that the centre does not have yet, that the configuration names, or that is Wadi's own, is not deleted", async (t) => {
  const place = await start(t, { more: 'upstream: { brokers: ["127.0.0.1:1"] }' }) // nobody is there
  await produce(clientOf(place), 'scratch', ['waits'])
  const refusal = async (topic: string): Promise<string> => {
    const { gateway } = place
    return withAdmin({ gateway }, (admin) => admin.deleteTopics({ topics: [topic] })).then(
      () => 'deleted',
      (error: { type?: string; message: string }) => error.type ?? error.message
    )
  }
  t.equal(await refusal('scratch'), 'POLICY_VIOLATION')
  t.equal(await refusal('plant'), 'POLICY_VIOLATION')
  t.equal(await refusal('_wadi.dlq'), 'POLICY_VIOLATION')
  t.match(await refusal('nosuch'), /does not host/)
  t.same(await consume(t, clientOf(place), 'scratch', 1), ['waits'])
  await t.rejects(place.gateway.deleteTopic('plant'), { code: 'WADI_TOPIC_IN_USE', message: /routes\[0\] of the configuration/ })
  await t.rejects(place.gateway.deleteTopic('scratch'), {
    code: 'WADI_TOPIC_UNDELIVERED',
    message: /1 event that the centre does not have/
  })
  await place.gateway.deleteTopic('scratch', { undelivered: 'lose' })
  const { storage, topics } = await place.gateway.status()
  t.match(storage, { lostEvents: 1, deletedTopics: [{ name: 'scratch', lostEvents: 1 }] })
  t.notOk(topics.some(({ name }) => name === 'scratch'))
})

t.test('delete_topics: false keeps what clients made', async (t) => {
  const place = await start(t, { kafka: '{ listen: "127.0.0.1:0", delete_topics: false }' })
  await produce(clientOf(place), 'scratch', ['x'])
  await t.rejects(
    withAdmin(place, (admin) => admin.deleteTopics({ topics: ['scratch'] })),
    /policy/i
  )
})

t.test('what clients store is counted; what is refused is counted, and told once a minute for each reason', async (t) => {
  const more = 'topics: { plant: { partitions: 3 }, full: { quota: 256KiB, when_full: reject } }'
  const place = await start(t, { more })
  const producer = clientOf(place, 0).producer({ allowAutoTopicCreation: false })
  await producer.connect()
  t.teardown(() => producer.disconnect())
  await producer.send({ topic: 'plant', messages: [{ value: '1' }, { value: '2' }] })
  const large = { topic: 'full', messages: [{ value: randomBytes(100_000) }] }
  let refusals = 0
  for (let index = 0; index < 8; index++) await producer.send(large).catch(() => refusals++)
  t.ok(refusals > 2, `${refusals} refusals`)
  const { kafka } = await place.gateway.status()
  t.match(kafka, { storedEvents: 2 + 8 - refusals, refusedBatches: refusals })
  t.same(kafka?.refusedTopics, [{ topic: 'full', reason: 'KAFKA_STORAGE_ERROR', batches: refusals }])
  const told = place.lines.filter((line) => line.startsWith('warn: refused a batch'))
  t.equal(told.length, 1)
  t.match(told[0], /^warn: refused a batch of a Kafka client for full-0: KAFKA_STORAGE_ERROR, .*full/)
})

t.test('an address that is taken changes nothing and is named', async (t) => {
  const first = await start(t)
  const data = join(directory(t), 'other')
  const taken = `{ listen: "${first.gateway.addresses.kafka}" }`
  await t.rejects(start(t, { kafka: taken, data }), {
    code: 'WADI_UNAVAILABLE',
    message: /Kafka cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\).*Nothing was written.*kafka\.listen/s
  })
  t.notOk(existsSync(data), 'nothing was written')
  await t.rejects(start(t, { kafka: taken, data: first.data }), { code: 'WADI_DATA_DIR_LOCKED' })
  await publish(first.gateway, ['still there'])
  t.same(await consume(t, clientOf(first), 'plant', 1), ['still there'])
})

t.test('advertised is what clients are told', async (t) => {
  const { gateway } = await start(t, { kafka: '{ listen: "127.0.0.1:0", advertised: "localhost:0" }' })
  const port = Number(gateway.addresses.kafka?.split(':')[1])
  await withAdmin({ gateway }, async (admin) => {
    t.match((await admin.describeCluster()).brokers, [{ host: 'localhost', port }])
  })
})

t.test('a request whose answer cannot be written ends its connection, is told, and nothing else happens', async (t) => {
  const { gateway, lines } = await start(t)
  const { encodeResponse } = api.Produce
  Object.assign(api.Produce, {
    encodeResponse() {
      throw new RangeError('of a fault of ours')
    }
  })
  t.teardown(() => Object.assign(api.Produce, { encodeResponse }))
  const port = Number(gateway.addresses.kafka?.split(':')[1])
  const socket = connect({ host: '127.0.0.1', port })
  const closed = new Promise((resolve) => socket.on('close', resolve))
  const request = {
    acks: -1,
    timeoutMs: 1_000,
    topicData: [{ name: 'x'.repeat(32_760), partitionData: [{ index: 0, records: new Uint8Array(1) }] }]
  }
  socket.write(joinChunks(api.Produce.encodeRequest(8, request, { correlationId: 1, clientId: 'long' })))
  await closed
  await until(() => lines.some((line) => line.startsWith('error: a fault while serving Kafka clients')), 'the fault to be told')
  Object.assign(api.Produce, { encodeResponse })
  await publish(gateway, ['goes on'])
  t.same(await consume(t, clientOf({ gateway }), 'plant', 1), ['goes on'])
})

t.test('closing a gateway ends its clients, waiting ones too, and they find it again', async (t) => {
  const data = join(directory(t), 'data')
  const first = await start(t, { data })
  await publish(first.gateway, ['before'])
  const { values: seen, stop } = await follow(t, clientOf(first, 100), 'plant')
  await until(() => seen.includes('before'), 'the first event')
  await first.gateway.close()
  const second = await start(t, { data, kafka: `{ listen: "${first.gateway.addresses.kafka}" }` })
  await publish(second.gateway, ['after'])
  await until(() => seen.includes('after'), 'the event behind the restart')
  t.equal((await second.gateway.status()).kafka?.listener, first.gateway.addresses.kafka)
  await stop() // kafkajs leaves its group only while somebody answers
})

t.test('one client that is refused again and again does not fill the log', async (t) => {
  const place = await start(t, { kafka: '{ listen: "127.0.0.1:0", limits: { connections: 1 } }' })
  const [host = '', port = '0'] = (place.gateway.addresses.kafka ?? '').split(':')
  const first = connect({ host, port: Number(port) })
  t.teardown(() => first.destroy())
  await new Promise((resolve) => first.once('connect', resolve))
  for (let at = 0; at < 20; at++) {
    const refused = connect({ host, port: Number(port) }).on('error', () => undefined)
    await new Promise((resolve) => refused.once('close', resolve))
  }
  t.equal((await place.gateway.status()).kafka?.refusedConnections, 20)
  t.equal(place.lines.filter((line) => line.includes('full')).length, 1)
})

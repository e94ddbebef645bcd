// kafkajs, an independent client, against our listener on the real storage engine.

import { Kafka, logLevel } from 'kafkajs'
import t from 'tap'
import { startCentre, until } from './centre.ts'

function clientOf(port: number): Kafka {
  return new Kafka({
    clientId: 'test',
    brokers: [`127.0.0.1:${port}`],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, retries: 3 }
  })
}

/** Reads from the beginning until `count` values were seen; stops on its own. */
async function consume(kafka: Kafka, options: { topic: string; groupId: string; count: number }): Promise<string[]> {
  const consumer = kafka.consumer({ groupId: options.groupId, maxWaitTimeInMs: 100, readUncommitted: false })
  const values: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topic: options.topic, fromBeginning: true })
  await consumer.run({
    eachMessage: ({ message }) => {
      values.push(String(message.value))
      return Promise.resolve()
    }
  })
  await until(() => values.length >= options.count, `${options.count} messages`)
  await consumer.disconnect()
  return values
}

t.test('what a plain and an idempotent producer send is consumed by a group, in order', async (t) => {
  const centre = await startCentre(t)
  const kafka = clientOf(centre.port)
  for (const idempotent of [false, true]) {
    const topic = `events-${idempotent}`
    const producer = kafka.producer(idempotent ? { idempotent, maxInFlightRequests: 1 } : {})
    await producer.connect()
    for (let at = 0; at < 5; at++) await producer.send({ topic, messages: [{ key: 'k', value: `v${at}` }] })
    await producer.disconnect()
    t.same(await consume(kafka, { topic, groupId: `g-${topic}`, count: 5 }), ['v0', 'v1', 'v2', 'v3', 'v4'])
  }
})

t.test('a committed transaction is seen whole, an aborted one never', async (t) => {
  const centre = await startCentre(t)
  const kafka = clientOf(centre.port)
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'tx', numPartitions: 1 }] })
  const producer = kafka.producer({ transactionalId: 'writer', idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const [value, outcome] of [
    ['a', 'commit'],
    ['b', 'abort'],
    ['c', 'commit']
  ] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic: 'tx', messages: [{ value: `${value}1` }, { value: `${value}2` }] })
    await transaction.sendOffsets({
      consumerGroupId: 'position',
      topics: [{ topic: 'tx', partitions: [{ partition: 0, offset: `${value.charCodeAt(0)}` }] }]
    })
    await transaction[outcome]()
    const expected = outcome === 'commit' ? value : 'a'
    const [position] = await admin.fetchOffsets({ groupId: 'position', topics: ['tx'] })
    t.equal(position?.partitions[0]?.offset, `${expected.charCodeAt(0)}`, 'the position follows the verdict')
  }
  await producer.disconnect()
  t.same(await consume(kafka, { topic: 'tx', groupId: 'g', count: 4 }), ['a1', 'a2', 'c1', 'c2'])
  await admin.disconnect()
})

t.test('admin makes topics and reads their offsets', async (t) => {
  const centre = await startCentre(t)
  const admin = clientOf(centre.port).admin()
  await admin.connect()
  t.equal(
    await admin.createTopics({ topics: [{ topic: 'made', numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '1000' }] }] }),
    true
  )
  t.equal(await admin.createTopics({ topics: [{ topic: 'made', numPartitions: 3 }] }), false, 'kafkajs reads TOPIC_ALREADY_EXISTS as false')
  const { topics } = await admin.fetchTopicMetadata({ topics: ['made'] })
  t.equal(topics[0]?.partitions.length, 3)
  t.same(
    (await admin.fetchTopicOffsets('made')).map(({ offset }) => offset),
    ['0', '0', '0']
  )
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: 'made' }] })
  t.equal(resources[0]?.configEntries.find(({ configName }) => configName === 'retention.ms')?.configValue, '1000')
  await t.rejects(admin.createTopics({ topics: [{ topic: 'made.x' }, { topic: 'made_x' }] }), 'names that differ only in "." and "_"')
  await admin.disconnect()
})

t.test('two consumers of one group share the partitions, and one takes over when the other leaves', async (t) => {
  const centre = await startCentre(t)
  const kafka = clientOf(centre.port)
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'shared', numPartitions: 4 }] })
  const seen: string[][] = [[], []]
  const held: number[] = [0, 0]
  const consumers = [0, 1].map(() =>
    kafka.consumer({ groupId: 'pair', maxWaitTimeInMs: 50, heartbeatInterval: 100, sessionTimeout: 6000, rebalanceTimeout: 6000 })
  )
  for (const [index, consumer] of consumers.entries()) {
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      held[index] = payload.memberAssignment.shared?.length ?? 0
    })
    await consumer.connect()
    await consumer.subscribe({ topic: 'shared', fromBeginning: true })
    await consumer.run({
      eachMessage: ({ message }) => {
        seen[index]?.push(String(message.value))
        return Promise.resolve()
      }
    })
  }
  await until(() => held[0] === 2 && held[1] === 2, 'two partitions each')
  const producer = kafka.producer()
  await producer.connect()
  const send = (prefix: string) =>
    producer.send({ topic: 'shared', messages: [0, 1, 2, 3].map((partition) => ({ partition, value: `${prefix}${partition}` })) })
  await send('a')
  await until(() => seen.flat().length === 4, 'four messages')
  t.ok(seen[0]?.length === 2 && seen[1]?.length === 2, 'each had its share')
  await consumers[0]?.disconnect()
  await until(() => held[1] === 4, 'the other holds all')
  await send('b')
  await until(() => seen.flat().length === 8, 'eight messages')
  t.same([...seen.flat()].sort(), ['a0', 'a1', 'a2', 'a3', 'b0', 'b1', 'b2', 'b3'], 'each once')
  await Promise.all([consumers[1]?.disconnect(), producer.disconnect(), admin.disconnect()])
})

t.test('a restart in the middle of a transaction keeps exactly-once', async (t) => {
  const centre = await startCentre(t)
  let kafka = clientOf(centre.port)
  const open = async () => {
    const producer = kafka.producer({ transactionalId: 'survivor', idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    return producer
  }
  const before = await open()
  const first = await before.transaction()
  await first.send({ topic: 'kept', messages: [{ value: 'committed-before' }] })
  await first.commit()
  const cut = await before.transaction()
  await cut.send({ topic: 'kept', messages: [{ value: 'never' }] })
  await centre.restart()
  await before.disconnect().catch(() => undefined)
  kafka = clientOf(centre.port)
  const after = await open()
  const second = await after.transaction()
  await second.send({ topic: 'kept', messages: [{ value: 'committed-after' }] })
  await second.commit()
  t.same(await consume(kafka, { topic: 'kept', groupId: 'g', count: 2 }), ['committed-before', 'committed-after'])
  await after.disconnect()
})

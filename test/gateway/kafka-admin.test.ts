// Proves for the topics of a gateway: kafkajs alters, grows and trims those that clients made, and not those that the configuration names; what it gave holds
// behind a restart; what the centre does not have yet is not deleted; new partitions are delivered too.
// How: whole gateways in this process, kafkajs as the tool, our own Kafka server as the centre.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import t, { type Test } from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { openGateway } from '../../gateway/gateway.ts'
import { startCentre, until } from '../kafka-server/centre.ts'

/** kafkajs's ConfigResourceTypes.TOPIC, which it does not export to modules. */
const TOPIC = 2

interface Place {
  readonly gateway: Gateway
  readonly lines: string[]
  readonly kafka: Kafka
  readonly data: string
}

async function start(test: Test, { kafka = '', more = '', data = '' } = {}): Promise<Place> {
  const directory = data || mkdtempSync(join(tmpdir(), 'wadi-kafka-admin-'))
  if (!data) test.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }))
  const text = `
gateway: { id: local, data: "${directory}" }
storage: { journal: { file_size: 4MiB } }
mqtt: [{ listen: "127.0.0.1:0" }]
kafka: { listen: "127.0.0.1:0"${kafka} }
topics: { plant: { partitions: 3, retention: 3d } }
routes: [{ filter: "plant/+device/#", topic: plant, key: "{device}" }]
${more}`
  const lines: string[] = []
  const config = loadConfig(text, { fileName: 'inline', environment: {} })
  const gateway = await openGateway(config, { log: (level, message) => void lines.push(`${level}: ${message}`) })
  test.teardown(() => gateway.close())
  const brokers = [gateway.addresses.kafka ?? '']
  const client = new Kafka({ clientId: 'test', brokers, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 20, retries: 2 } })
  return { gateway, lines, kafka: client, data: directory }
}

async function withAdmin<T>({ kafka }: Pick<Place, 'kafka'>, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin()
  await admin.connect()
  return work(admin).finally(() => admin.disconnect())
}

async function produce(kafka: Kafka, topic: string, values: readonly string[], partition?: number): Promise<void> {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = values.map((value) => ({ value, ...(partition !== undefined && { partition }) }))
  await producer.send({ topic, messages }).finally(() => producer.disconnect())
}

const alter = (admin: Admin, name: string, settings: Record<string, string>) =>
  admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: TOPIC,
        name,
        configEntries: Object.entries(settings).map(([setting, value]) => ({ name: setting, value }))
      }
    ]
  })

async function settingsOf(admin: Admin, name: string): Promise<Record<string, string>> {
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC, name }] })
  return Object.fromEntries(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]) ?? [])
}

t.test('what a client made it alters, and that holds behind a restart; what the configuration names it does not', async (t) => {
  const first = await start(t, { kafka: ', default_partitions: 4' })
  await withAdmin(first, async (admin) => {
    await admin.createTopics({ topics: [{ topic: 'made', numPartitions: -1, replicationFactor: -1 }] })
    await alter(admin, 'made', { 'retention.ms': '5000', 'flush.ms': '7' })
    t.match(await settingsOf(admin, 'made'), { 'retention.ms': '5000', 'flush.ms': '7', 'segment.ms': '86400000' })
    await alter(admin, 'made', { 'segment.ms': '3600000' })
    t.match(await settingsOf(admin, 'made'), { 'retention.ms': '604800000', 'flush.ms': '0', 'segment.ms': '3600000' })
    await t.rejects(alter(admin, 'plant', { 'retention.ms': '5000' }), { message: /policy/ })
    await t.rejects(alter(admin, '_wadi.dlq', { 'retention.ms': '5000' }), { message: /policy/ })
    await t.rejects(admin.createPartitions({ topicPartitions: [{ topic: 'plant', count: 5 }] }), { message: /policy/ })
    await admin.createPartitions({ topicPartitions: [{ topic: 'made', count: 6 }] })
    t.match(await settingsOf(admin, 'plant'), { 'retention.ms': String(3 * 86_400_000) })
  })
  await first.gateway.close()
  t.strictSame(
    first.lines.filter((line) => /Kafka client/.test(line)),
    [
      'info: made topic made with 4 partitions, for a Kafka client',
      'info: altered topic made for a Kafka client: retention.ms=5000, flush.ms=7',
      'info: altered topic made for a Kafka client: segment.ms=3600000',
      'warn: refused to alter topic plant for a Kafka client: POLICY_VIOLATION: routes[0] of the configuration names the topic "plant"',
      `warn: refused to alter topic _wadi.dlq for a Kafka client: POLICY_VIOLATION: the topic "_wadi.dlq" is Wadi's own`,
      'info: altered topic made for a Kafka client: 6 partitions, 4 before'
    ]
  )
  const second = await start(t, { data: first.data })
  await withAdmin(second, async (admin) => {
    t.match(await settingsOf(admin, 'made'), { 'retention.ms': '604800000', 'segment.ms': '3600000' })
    t.equal((await admin.fetchTopicMetadata({ topics: ['made'] })).topics[0]?.partitions.length, 6)
  })
})

t.test('create_topics and delete_topics: false keep clients from altering and from deleting records', async (t) => {
  const place = await start(t, { kafka: ', create_topics: false, delete_topics: false' })
  await produce(place.kafka, 'plant', ['x'], 0)
  await withAdmin(place, async (admin) => {
    await t.rejects(alter(admin, 'plant', { 'retention.ms': '5000' }), { message: /policy/ })
    await admin.fetchTopicOffsets('plant') // it knows no leader before
    await t.rejects(admin.deleteTopicRecords({ topic: 'plant', partitions: [{ partition: 0, offset: '-1' }] }))
    t.match(
      (await admin.fetchTopicOffsets('plant')).find(({ partition }) => partition === 0),
      { low: '0', high: '1' }
    )
  })
  t.match(place.lines.join('\n'), /refused to delete records of topic plant .*clients delete no topics and no records here/)
})

t.test('the bound on the partitions of all topics holds for those that are added', async (t) => {
  const place = await start(t, { kafka: ', limits: { partitions: 8 }' })
  await withAdmin(place, async (admin) => {
    await admin.createTopics({ topics: [{ topic: 'made', numPartitions: 2 }] })
    await t.rejects(admin.createPartitions({ topicPartitions: [{ topic: 'made', count: 5 }] }), '3 of plant, 1 of the dead letters, 5')
    await admin.createPartitions({ topicPartitions: [{ topic: 'made', count: 4 }] })
  })
})

t.test('records that the centre does not have are not deleted; those that it has are, and new partitions are delivered', async (t) => {
  const centre = await startCentre(t)
  await centre.listener.close()
  const place = await start(t, { more: `upstream: { brokers: ["127.0.0.1:${centre.port}"] }` })
  const { kafka, lines } = place
  await produce(kafka, 'made', ['a', 'b', 'c'], 0)
  const trim = (admin: Admin, offset: string) => admin.deleteTopicRecords({ topic: 'made', partitions: [{ partition: 0, offset }] })
  await withAdmin(place, async (admin) => {
    await admin.fetchTopicOffsets('made') // it knows no leader before
    await t.rejects(trim(admin, '2'))
    t.match(await admin.fetchTopicOffsets('made'), [{ low: '0', high: '3' }])
  })
  t.match(
    lines.join('\n'),
    /refused to delete records of topic made for a Kafka client: .*2 events of made-0 that should be deleted are not at the centre yet/
  )
  await centre.restart()
  const isDelivered = async (): Promise<boolean> =>
    (await place.gateway.status()).topics.find(({ name }) => name === 'made')?.lagEvents === 0
  for (let isDone = false; !isDone; ) {
    isDone = await isDelivered()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await withAdmin(place, async (admin) => {
    await admin.fetchTopicOffsets('made')
    await trim(admin, '2')
    t.match(await admin.fetchTopicOffsets('made'), [{ low: '2', high: '3' }])
    await new Promise((resolve) => setTimeout(resolve, 1_000)) // the uplink has nothing to do any more, and waits
    await admin.createPartitions({ topicPartitions: [{ topic: 'made', count: 2 }] })
  })
  await produce(kafka, 'made', ['d'], 1)
  const events = (): number => centre.store.topics.get('made')?.partitions.reduce((sum, { highWatermark }) => sum + highWatermark, 0) ?? 0
  await until(() => events() >= 5, 'the event of the new partition at the centre') // with the marks of two transactions
  t.match((await place.gateway.status()).storage, { lostEvents: 0 })
})

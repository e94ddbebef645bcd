// What tools do with topics over the wire, on the real storage engine, with a restart behind it: settings, partitions, records, directories, transactions, ACLs.

import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { ERROR_CODE } from '../../adapters/kafka-protocol/error-codes.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { event } from '../helpers/sim-store.ts'
import { type Centre, startCentre } from './centre.ts'
import { WireClient } from './wire-client.ts'

const TOPIC = 2
const BROKER = 4
const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3] as const

type Teardown = Parameters<typeof startCentre>[0]

async function start(t: Teardown): Promise<{ centre: Centre; client: () => WireClient }> {
  const centre = await startCentre(t)
  const clients: WireClient[] = []
  t.teardown(async () => clients.forEach((client) => void client.close()))
  return {
    centre,
    client() {
      const client = new WireClient(centre.port)
      clients.push(client)
      return client
    }
  }
}

async function fill({ store }: Centre, name: string, count: number): Promise<Partition> {
  const partition = store.topics.get(name)?.partitions[0] as Partition
  const appended = Array.from(
    { length: count },
    (_, at) =>
      new Promise<void>((resolve, reject) => store.append(partition, event(`${at}`), (error) => (error ? reject(error) : resolve())))
  )
  await Promise.all(appended)
  return partition
}

async function settingOf(client: WireClient, topic: string, name: string): Promise<{ value: string | null; source: number }> {
  const asked = { resources: [{ resourceType: TOPIC, resourceName: topic, configurationKeys: [name] }], includeSynonyms: false }
  const { results } = await client.call(api.DescribeConfigs, 4, asked)
  const entry = results[0]?.configs[0]
  return { value: entry?.value ?? null, source: entry?.configSource ?? -1 }
}

t.test('settings are changed one by one, replaced as a whole, only looked at, and survive a restart', async (t) => {
  const { centre, client } = await start(t)
  let wire = client()
  const created = await wire.call(api.CreateTopics, 7, {
    topics: [
      { name: 'a', numPartitions: 1, replicationFactor: 1, configs: [{ name: 'cleanup.policy', value: 'compact' }] },
      { name: 'b', numPartitions: -1, replicationFactor: -1, configs: [{ name: 'max.message.bytes', value: '99999999' }] }
    ]
  })
  t.same(
    created.topics.map(({ errorCode }) => errorCode),
    [0, ERROR_CODE.INVALID_CONFIG]
  )
  const [looked] = (
    await wire.call(api.CreateTopics, 7, {
      topics: [{ name: 'c', numPartitions: 3, replicationFactor: 1, configs: [{ name: 'segment.ms', value: '77777' }] }],
      validateOnly: true
    })
  ).topics
  t.match(looked, { errorCode: 0, numPartitions: 3 })
  t.match(
    looked?.configs?.find(({ name }) => name === 'segment.ms'),
    { value: '77777', configSource: 1 },
    'what it would have'
  )
  t.notOk(centre.store.topics.has('c'))
  const change = async (configs: { name: string; configOperation: number; value: string | null }[], validateOnly = false) => {
    const resources = [{ resourceType: TOPIC, resourceName: 'a', configs }]
    const { responses } = await wire.call(api.IncrementalAlterConfigs, 1, { resources, validateOnly })
    return responses[0]?.errorCode
  }
  t.equal(await change([{ name: 'retention.ms', configOperation: SET, value: '1234' }], true), 0)
  t.match(await settingOf(wire, 'a', 'retention.ms'), { value: '604800000', source: 5 }, 'validateOnly changes nothing')
  t.equal(
    await change([
      { name: 'retention.ms', configOperation: SET, value: '1234' },
      { name: 'flush.messages', configOperation: SET, value: '77' },
      { name: 'cleanup.policy', configOperation: APPEND, value: 'delete' }
    ]),
    0
  )
  t.same(await settingOf(wire, 'a', 'cleanup.policy'), { value: 'compact,delete', source: 1 })
  t.equal(await change([{ name: 'cleanup.policy', configOperation: SUBTRACT, value: 'compact' }]), 0)
  t.equal(await change([{ name: 'cleanup.policy', configOperation: SUBTRACT, value: 'delete' }]), ERROR_CODE.INVALID_CONFIG)
  t.equal(await change([{ name: 'retention.ms', configOperation: 9, value: '1' }]), ERROR_CODE.INVALID_REQUEST)
  t.equal(await change([{ name: 'no.such', configOperation: SET, value: '1' }]), ERROR_CODE.INVALID_CONFIG)
  t.match(centre.store.topics.get('a')?.config, { retentionMs: 1234, cleanup: 'delete' })
  await centre.restart()
  wire = client()
  t.same(await settingOf(wire, 'a', 'retention.ms'), { value: '1234', source: 1 })
  t.same(await settingOf(wire, 'a', 'flush.messages'), { value: '77', source: 1 }, 'what changes nothing is shown as it was given')
  t.equal(await change([{ name: 'retention.ms', configOperation: DELETE, value: null }]), 0)
  t.same(await settingOf(wire, 'a', 'retention.ms'), { value: '604800000', source: 5 })

  const resources = [
    { resourceType: TOPIC, resourceName: 'a', configs: [{ name: 'segment.bytes', value: '2097152' }] },
    { resourceType: TOPIC, resourceName: 'absent', configs: [] },
    { resourceType: BROKER, resourceName: '1', configs: [{ name: 'log.retention.ms', value: '1' }] },
    { resourceType: 99, resourceName: 'x', configs: [] }
  ]
  const { responses } = await wire.call(api.AlterConfigs, 2, { resources })
  t.same(
    responses.map(({ errorCode }) => errorCode),
    [0, ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION, ERROR_CODE.INVALID_REQUEST, ERROR_CODE.INVALID_REQUEST]
  )
  t.same(await settingOf(wire, 'a', 'flush.messages'), { value: '1', source: 5 }, 'what is not named is at its default again')
  t.same(await settingOf(wire, 'a', 'segment.bytes'), { value: '2097152', source: 1 })
  t.equal(centre.store.topics.get('a')?.partitions[0]?.share.segmentBytes, 2_097_152)
})

t.test('settings of the broker are all there, and none is writable', async (t) => {
  const { centre, client } = await start(t)
  const wire = client()
  const ask = (resourceName: string, configurationKeys: string[] | null) =>
    wire.call(api.DescribeConfigs, 4, {
      resources: [{ resourceType: BROKER, resourceName, configurationKeys }],
      includeDocumentation: true
    })
  const configs = (await ask('1', null)).results[0]?.configs ?? []
  t.ok(configs.length > 40, `${configs.length} of them`)
  t.ok(configs.every(({ readOnly, documentation }) => readOnly && documentation?.endsWith('.')))
  t.equal(new Set(configs.map(({ name }) => name)).size, configs.length)
  const values = Object.fromEntries(configs.map(({ name, value }) => [name, value]))
  t.match(values, {
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${centre.port}`,
    'broker.id': '1',
    'delete.topic.enable': 'true',
    'log.dirs': centre.store.directory,
    'log.retention.ms': '604800000',
    'num.partitions': '1'
  })
  t.same(
    (await ask('1', ['num.partitions'])).results[0]?.configs.map(({ name }) => name),
    ['num.partitions']
  )
  t.equal((await ask('2', null)).results[0]?.errorCode, ERROR_CODE.INVALID_REQUEST)
  t.same((await ask('', null)).results[0]?.configs, [])
})

t.test('partitions are added, never taken away', async (t) => {
  const { centre, client } = await start(t)
  const wire = client()
  await centre.broker.topics.create({ name: 'a', partitionCount: 2, replicationFactor: 1, settings: new Map() })
  const grow = async (count: number, options: { validateOnly?: boolean; assignments?: { brokerIds: number[] }[]; name?: string } = {}) => {
    const { validateOnly = false, assignments = null, name = 'a' } = options
    const { results } = await wire.call(api.CreatePartitions, 3, { topics: [{ name, count, assignments }], validateOnly })
    return results[0]?.errorCode
  }
  t.equal(await grow(4, { validateOnly: true }), 0)
  t.equal(centre.store.topics.get('a')?.partitions.length, 2)
  t.equal(await grow(4, { assignments: [{ brokerIds: [1] }, { brokerIds: [1] }] }), 0)
  t.equal(await grow(6, { assignments: [{ brokerIds: [1] }] }), ERROR_CODE.INVALID_REPLICA_ASSIGNMENT)
  t.equal(await grow(5, { assignments: [{ brokerIds: [7] }] }), ERROR_CODE.INVALID_REPLICA_ASSIGNMENT)
  for (const count of [4, 3, 0, -1, 1001]) t.equal(await grow(count), ERROR_CODE.INVALID_PARTITIONS, `${count}`)
  t.equal(await grow(5, { name: 'absent' }), ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION)
  const twice = await wire.call(api.CreatePartitions, 3, { topics: [9, 10].map((count) => ({ name: 'a', count, assignments: null })) })
  t.same(
    twice.results.map(({ errorCode }) => errorCode),
    [ERROR_CODE.INVALID_REQUEST]
  )
  await centre.restart()
  t.equal(centre.store.topics.get('a')?.partitions.length, 4)
})

t.test('records are deleted up to an offset, or all', async (t) => {
  const { centre, client } = await start(t)
  const wire = client()
  for (const [name, policy] of [
    ['a', 'delete'],
    ['kept', 'compact']
  ] as const)
    await centre.broker.topics.create({ name, partitionCount: 1, replicationFactor: 1, settings: new Map([['cleanup.policy', policy]]) })
  const partition = await fill(centre, 'a', 10)
  const trim = async (offset: number, name = 'a', partitionIndex = 0) => {
    const { topics } = await wire.call(api.DeleteRecords, 2, { topics: [{ name, partitions: [{ partitionIndex, offset }] }] })
    const answer = topics[0]?.partitions[0]
    return [answer?.errorCode, answer?.lowWatermark]
  }
  t.same(await trim(4), [0, 4])
  t.equal(partition.logStartOffset, 4)
  const { topics } = await wire.call(api.ListOffsets, 5, { topics: [{ name: 'a', partitions: [{ partitionIndex: 0, timestamp: -2 }] }] })
  t.equal(topics[0]?.partitions[0]?.offset, 4, 'the earliest')
  t.same(await trim(11), [ERROR_CODE.OFFSET_OUT_OF_RANGE, -1])
  t.same(await trim(-2), [ERROR_CODE.OFFSET_OUT_OF_RANGE, -1])
  t.same(await trim(1), [0, 4])
  t.same(await trim(1, 'a', 7), [ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION, -1])
  t.same(await trim(1, 'absent'), [ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION, -1])
  t.same(await trim(-1, 'kept'), [ERROR_CODE.POLICY_VIOLATION, -1])
  t.same(await trim(-1), [0, 10])
  await centre.restart()
  t.equal(centre.store.topics.get('a')?.partitions[0]?.logStartOffset, 10)
})

t.test('topics are described in parts, each going on where the one before ended', async (t) => {
  const { centre, client } = await start(t)
  const wire = client()
  for (const [name, partitionCount] of [
    ['a', 3],
    ['b', 1],
    ['c', 2]
  ] as const)
    await centre.broker.topics.create({ name, partitionCount, replicationFactor: 1, settings: new Map() })
  const ask = (cursor: { topicName: string; partitionIndex: number } | null, names: string[] = [], responsePartitionLimit = 2) =>
    wire.call(api.DescribeTopicPartitions, 0, { topics: names.map((name) => ({ name })), responsePartitionLimit, cursor })
  const seen: string[] = []
  let answers = 0
  for (let cursor: { topicName: string; partitionIndex: number } | null = null; ; ) {
    const { topics, nextCursor } = await ask(cursor)
    for (const { name, partitions } of topics) seen.push(...partitions.map(({ partitionIndex }) => `${name}${partitionIndex}`))
    answers++
    if (nextCursor === null) break
    cursor = nextCursor
  }
  t.same(seen, ['a0', 'a1', 'a2', 'b0', 'c0', 'c1'])
  t.equal(answers, 3)
  const { topics } = await ask(null, ['c', 'absent', 'no such'], 100)
  t.same(
    topics.map(({ name, errorCode }) => [name, errorCode]),
    [
      ['absent', ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION],
      ['c', 0],
      ['no such', ERROR_CODE.INVALID_TOPIC_EXCEPTION]
    ]
  )
})

t.test('the cluster, its directory, and what is not there', async (t) => {
  const { centre, client } = await start(t)
  const wire = client()
  await centre.broker.topics.create({ name: 'a', partitionCount: 2, replicationFactor: 1, settings: new Map() })
  await fill(centre, 'a', 10)
  const cluster = await wire.call(api.DescribeCluster, 1, { includeClusterAuthorizedOperations: true, endpointType: 1 })
  t.match(cluster, { errorCode: 0, controllerId: 1, clusterId: centre.store.logId, brokers: [{ brokerId: 1, port: centre.port }] })
  t.ok(cluster.clusterAuthorizedOperations > 0)
  t.equal((await wire.call(api.DescribeCluster, 1, { endpointType: 2 })).errorCode, ERROR_CODE.MISMATCHED_ENDPOINT_TYPE)
  t.equal((await wire.call(api.DescribeCluster, 1, { endpointType: 9 })).errorCode, ERROR_CODE.UNSUPPORTED_ENDPOINT_TYPE)
  const dirs = async (topics: { topic: string; partitions: number[] }[] | null) =>
    (await wire.call(api.DescribeLogDirs, 4, { topics })).results[0]
  const all = await dirs(null)
  t.match(all, {
    errorCode: 0,
    logDir: centre.store.directory,
    topics: [{ name: 'a', partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }] }]
  })
  t.ok((all?.topics[0]?.partitions[0]?.partitionSize ?? 0) > 100, 'bytes of ten events')
  t.ok((all?.totalBytes ?? 0) > (all?.usableBytes ?? 0) && (all?.usableBytes ?? 0) > 0)
  t.match((await dirs([{ topic: 'a', partitions: [1, 9] }]))?.topics, [{ name: 'a', partitions: [{ partitionIndex: 1 }] }])
  t.same((await dirs([{ topic: 'absent', partitions: [0] }]))?.topics, [])
  t.match(await wire.call(api.ListPartitionReassignments, 0, { topics: null }), { errorCode: 0, topics: [] })
  const nothing = { principalFilter: null, hostFilter: null, resourceNameFilter: null }
  t.equal((await wire.call(api.DescribeAcls, 3, nothing)).errorCode, ERROR_CODE.SECURITY_DISABLED)
  t.match(await wire.call(api.CreateAcls, 3, { creations: [{ resourceName: 'a', principal: 'User:x', host: '*' }] }), {
    results: [{ errorCode: ERROR_CODE.SECURITY_DISABLED }]
  })
  t.match(await wire.call(api.DeleteAcls, 3, { filters: [nothing, nothing] }), {
    filterResults: [{ errorCode: ERROR_CODE.SECURITY_DISABLED }, { errorCode: ERROR_CODE.SECURITY_DISABLED }]
  })
  const { topics } = await wire.call(api.Metadata, 12, { topics: [{ name: 'a' }], includeTopicAuthorizedOperations: true })
  t.ok((topics[0]?.topicAuthorizedOperations ?? 0) > 0)
})

t.test('open transactions, and who writes where', async (t) => {
  const { centre, client } = await start(t)
  let wire = client()
  await centre.broker.topics.create({ name: 'a', partitionCount: 1, replicationFactor: 1, settings: new Map() })
  const { transactions, appends } = centre.broker
  const beganMs = Date.now()
  const who = await transactions.initProducer({ transactionalId: 'writer', timeoutMs: 60_000, expected: null })
  await transactions.initProducer({ transactionalId: 'idle', timeoutMs: 50_000, expected: null })
  const partition = await fill(centre, 'a', 3)
  await transactions.addPartitions('writer', who, [partition])
  const records = [{ timestampMs: beganMs, key: null, value: new Uint8Array(1), headers: [] }]
  const producer = { ...who, baseSequence: 0, isTransactional: true }
  const { loadTestCore } = await import('../helpers/core.ts')
  const batch = loadTestCore().buildBatch(records, { baseOffset: 0, producer })
  await appends.append([{ topicName: 'a', partitionIndex: 0, records: batch }], { isZstdAllowed: true, hasTransactionalId: true })
  const list = async (filters: object = {}) => {
    const answer = await wire.call(api.ListTransactions, 1, { durationFilter: -1, ...filters })
    return { ids: answer.transactionStates.map(({ transactionalId }) => transactionalId).sort(), unknown: answer.unknownStateFilters }
  }
  t.same(await list(), { ids: ['idle', 'writer'], unknown: [] })
  t.same(await list({ stateFilters: ['Ongoing', 'Nonsense'] }), { ids: ['writer'], unknown: ['Nonsense'] })
  t.same(await list({ producerIdFilters: [who.producerId] }), { ids: ['writer'], unknown: [] })
  t.same((await list({ durationFilter: 600_000, stateFilters: ['Ongoing'] })).ids, [])
  await centre.restart()
  wire = client()
  const { transactionStates } = await wire.call(api.DescribeTransactions, 0, { transactionalIds: ['writer', 'absent', ''] })
  t.match(transactionStates[0], {
    errorCode: 0,
    transactionState: 'Ongoing',
    transactionTimeoutMs: 60_000,
    producerId: who.producerId,
    topics: [{ topic: 'a', partitions: [0] }]
  })
  t.ok((transactionStates[0]?.transactionStartTimeMs ?? 0) >= beganMs, 'it knows when it began, also behind a restart')
  t.same(
    transactionStates.slice(1).map(({ errorCode }) => errorCode),
    [ERROR_CODE.TRANSACTIONAL_ID_NOT_FOUND, ERROR_CODE.INVALID_REQUEST]
  )
  const asked = { topics: [{ name: 'a', partitionIndexes: [0, 5] }] }
  t.match((await wire.call(api.DescribeProducers, 0, asked)).topics[0]?.partitions, [
    { errorCode: 0, activeProducers: [{ producerId: who.producerId, producerEpoch: 0, lastSequence: 0, currentTxnStartOffset: 3 }] },
    { errorCode: ERROR_CODE.UNKNOWN_TOPIC_OR_PARTITION }
  ])
  t.equal(await centre.broker.transactions.end('writer', who, 'commit'), 'NONE')
  t.match((await wire.call(api.DescribeProducers, 0, asked)).topics[0]?.partitions[0]?.activeProducers[0], { currentTxnStartOffset: -1 })
  t.match((await wire.call(api.DescribeTransactions, 0, { transactionalIds: ['writer'] })).transactionStates[0], {
    transactionState: 'CompleteCommit',
    transactionStartTimeMs: -1,
    topics: []
  })
  t.equal(partition.highWatermark, toOffset(4))
})

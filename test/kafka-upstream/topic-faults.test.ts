// Proves for adapters/kafka-upstream: an answer that is about some topics only names them, and one that is about us or the cluster names none,
// for every call of a transaction; what failed for a topic is not waited for a second time.

import t, { type Test } from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { ERROR_CODE as E } from '../../adapters/kafka-protocol/error-codes.ts'
import { KafkaUpstream } from '../../adapters/kafka-upstream/kafka-upstream.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { FakeBroker, type FakeHandler } from './fake-broker.ts'

const NAMES = ['good', 'bad', 'worse'] as const
const targets = NAMES.map((topicName) => ({ topicName, partitionIndex: 0, batch: new Uint8Array(61) }))

type Codes = Partial<Record<(typeof NAMES)[number], number>>

async function createPair(t: Test): Promise<{ broker: FakeBroker; upstream: KafkaUpstream }> {
  const broker = await FakeBroker.start()
  const upstream = new KafkaUpstream({
    brokers: [broker.address],
    transactionalId: 'k',
    groupId: 'k',
    clientId: 'test',
    transactionTimeoutMs: 60_000,
    requestTimeoutMs: 300,
    callTimeoutMs: 200,
    clock: nodeClock
  })
  t.teardown(async () => {
    await upstream.close()
    await broker.close()
  })
  broker.leads(NAMES)
  broker.script(api.InitProducerId.key, (header) =>
    api.InitProducerId.encodeResponse(header.apiVersion, { producerId: 7n, producerEpoch: 3 }, header)
  )
  broker.script(api.AddOffsetsToTxn.key, (header) => api.AddOffsetsToTxn.encodeResponse(header.apiVersion, {}, header))
  await upstream.initProducer()
  return { broker, upstream }
}

const code = (codes: Codes, name: string): number => codes[name as (typeof NAMES)[number]] ?? 0

const answers: Record<string, (codes: Codes) => [key: number, handler: FakeHandler]> = {
  produce: (codes) => [
    api.Produce.key,
    (header, frame) => {
      const asked = api.Produce.decodeRequest(header.apiVersion, frame, header.bodyAt).topicData
      const responses = asked.map(({ name }) => ({ name, partitionResponses: [{ index: 0, errorCode: code(codes, name), baseOffset: 1 }] }))
      return api.Produce.encodeResponse(header.apiVersion, { responses }, header)
    }
  ],
  'add-partitions': (codes) => [
    api.AddPartitionsToTxn.key,
    (header) => {
      const isRefused = Object.keys(codes).length > 0
      const otherwise = isRefused ? E.OPERATION_NOT_ATTEMPTED : 0
      const resultsByTopic = NAMES.map((name) => ({
        name,
        resultsByPartition: [{ partitionIndex: 0, partitionErrorCode: code(codes, name) || otherwise }]
      }))
      return api.AddPartitionsToTxn.encodeResponse(header.apiVersion, { resultsByTopic }, header)
    }
  ],
  'commit-position': (codes) => [
    api.TxnOffsetCommit.key,
    (header) => {
      const topics = NAMES.map((name) => ({ name, partitions: [{ partitionIndex: 0, errorCode: code(codes, name) }] }))
      return api.TxnOffsetCommit.encodeResponse(header.apiVersion, { topics }, header)
    }
  ],
  'fetch-position': (codes) => [
    api.OffsetFetch.key,
    (header) => {
      const topics = NAMES.map((name) => ({ name, partitions: [{ partitionIndex: 0, committedOffset: -1, errorCode: code(codes, name) }] }))
      return api.OffsetFetch.encodeResponse(header.apiVersion, { topics, groups: [{ groupId: 'k', topics }] }, header)
    }
  ],
  describe: (codes) => [
    api.Metadata.key,
    (header) => {
      const topics = NAMES.map((name) => ({ name, errorCode: code(codes, name), partitions: [{ partitionIndex: 0, leaderId: 1 }] }))
      return api.Metadata.encodeResponse(header.apiVersion, { topics, brokers: [], controllerId: 1 }, header)
    }
  ]
}

function call(upstream: KafkaUpstream, step: string): Promise<unknown> {
  switch (step) {
    case 'produce':
      return upstream.produce(targets)
    case 'add-partitions':
      return upstream.addPartitions(targets)
    case 'commit-position':
      return upstream.commitPosition(new Map(NAMES.map((name) => [name, { committedOffset: 1, pieces: ['x'] }])))
    case 'fetch-position':
      return upstream.fetchPosition(new Map(NAMES.map((name) => [name, 1])))
    default:
      return upstream.describeTopics(NAMES, { createPartitionCount: null })
  }
}

async function faultOf(work: Promise<unknown>): Promise<UpstreamFault> {
  try {
    await work
  } catch (error) {
    if (error instanceof UpstreamFault) return error
    throw error
  }
  throw new Error('no fault')
}

const everywhere = Object.keys(answers)
const atCoordinator = ['add-partitions', 'commit-position', 'fetch-position']
const FORBIDDEN = E.TOPIC_AUTHORIZATION_FAILED

const cases: readonly { steps: readonly string[]; codes: Codes; kind: string; named: readonly string[] }[] = [
  { steps: everywhere, codes: { bad: FORBIDDEN }, kind: 'refused', named: ['bad'] },
  { steps: everywhere, codes: { bad: FORBIDDEN, worse: FORBIDDEN }, kind: 'refused', named: ['bad', 'worse'] },
  { steps: everywhere, codes: { bad: E.INVALID_TOPIC_EXCEPTION }, kind: 'refused', named: ['bad'] },
  { steps: ['produce', 'add-partitions'], codes: { bad: E.UNKNOWN_TOPIC_OR_PARTITION }, kind: 'retry', named: ['bad'] },
  {
    steps: ['produce', ...atCoordinator],
    codes: { bad: E.UNKNOWN_TOPIC_OR_PARTITION, worse: FORBIDDEN },
    kind: 'refused',
    named: ['worse']
  },
  { steps: ['commit-position'], codes: { bad: E.OFFSET_METADATA_TOO_LARGE }, kind: 'refused', named: ['bad'] },
  ...[E.POLICY_VIOLATION, E.INVALID_CONFIG, E.UNSUPPORTED_COMPRESSION_TYPE, E.UNSUPPORTED_FOR_MESSAGE_FORMAT, E.INVALID_REQUEST, 9999].map(
    (unfit) => ({ steps: ['produce'], codes: { bad: unfit }, kind: 'refused', named: ['bad'] })
  ),
  ...[E.NOT_ENOUGH_REPLICAS, E.KAFKA_STORAGE_ERROR, E.LEADER_NOT_AVAILABLE, E.NOT_LEADER_OR_FOLLOWER].map((passing) => ({
    steps: ['produce'],
    codes: { bad: passing, worse: E.NOT_ENOUGH_REPLICAS },
    kind: 'retry',
    named: ['bad', 'worse']
  })),
  ...[E.UNKNOWN_SERVER_ERROR, E.NOT_ENOUGH_REPLICAS_AFTER_APPEND].map((doubtful) => ({
    steps: ['produce'],
    codes: { bad: doubtful },
    kind: 'in-doubt',
    named: ['bad']
  })),
  ...[E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, E.GROUP_AUTHORIZATION_FAILED].map((ofUs) => ({
    steps: atCoordinator,
    codes: { good: ofUs, bad: ofUs, worse: ofUs },
    kind: 'refused',
    named: []
  })),
  { steps: ['produce'], codes: { bad: E.CLUSTER_AUTHORIZATION_FAILED, worse: FORBIDDEN }, kind: 'refused', named: [] },
  { steps: atCoordinator, codes: { good: E.CONCURRENT_TRANSACTIONS }, kind: 'retry', named: [] },
  { steps: ['produce'], codes: { bad: FORBIDDEN, worse: E.INVALID_PRODUCER_EPOCH }, kind: 'aborted', named: [] }
]

t.test('an answer that is about some topics names them with what was said, one that is about us names none', async (t) => {
  const { broker, upstream } = await createPair(t)
  const nameOf = new Map<number, string>(Object.entries(E).map(([name, value]) => [value, name]))
  for (const { steps, codes, kind, named } of cases) {
    for (const step of steps) {
      const [key, handler] = answers[step]!(codes)
      const healthy = broker.handlers.get(key)
      broker.script(key, handler)
      const fault = await faultOf(call(upstream, step))
      const words = Object.entries(codes).map(([name, value]) => `${name} ${nameOf.get(value) ?? value}`)
      t.same({ kind: fault.kind, named: [...fault.topics.keys()].sort() }, { kind, named }, `${step}: ${words.join(', ')}`)
      for (const name of named) t.match(fault.topics.get(name), new RegExp(`${name}.*\\(${code(codes, name)}\\)`))
      if (healthy) broker.handlers.set(key, healthy)
      else broker.handlers.delete(key)
    }
  }
})

t.test('a topic that cannot be made is named alone', async (t) => {
  const { broker, upstream } = await createPair(t)
  broker.script(...answers.describe!({ bad: E.UNKNOWN_TOPIC_OR_PARTITION, worse: E.UNKNOWN_TOPIC_OR_PARTITION }))
  broker.script(api.CreateTopics.key, (header) =>
    api.CreateTopics.encodeResponse(
      header.apiVersion,
      {
        topics: [
          { name: 'bad', errorCode: E.POLICY_VIOLATION, errorMessage: 'names begin with site-' },
          { name: 'worse', errorCode: 0 }
        ]
      },
      header
    )
  )
  const fault = await faultOf(upstream.describeTopics(NAMES, { createPartitionCount: 1 }))
  t.equal(fault.kind, 'refused')
  t.same([...fault.topics.keys()], ['bad'])
  t.match(fault.topics.get('bad'), /names begin with site-/)
})

t.test('a topic that failed after all patience gets one try the next time, until it succeeds', async (t) => {
  const { broker, upstream } = await createPair(t)
  const tries = async (): Promise<number> => {
    broker.asked.length = 0
    await upstream.produce(targets.slice(1, 2)).catch(() => undefined)
    return broker.asked.filter((name) => name === 'Produce').length
  }
  broker.script(...answers.produce!({ bad: E.NOT_ENOUGH_REPLICAS }))
  t.ok((await tries()) > 1)
  t.equal(await tries(), 1)
  broker.script(...answers.produce!({}))
  t.equal(await tries(), 1)
  broker.script(...answers.produce!({ bad: E.NOT_ENOUGH_REPLICAS }))
  t.ok((await tries()) > 1)
})

t.test('a leader that does not answer, while another one does, is of its topics; when none answers it is the link', async (t) => {
  const { broker, upstream } = await createPair(t)
  const dead = await FakeBroker.start()
  t.teardown(() => dead.close())
  broker.script(api.Metadata.key, (header) =>
    api.Metadata.encodeResponse(
      header.apiVersion,
      {
        brokers: [
          { nodeId: 1, host: '127.0.0.1', port: broker.port },
          { nodeId: 2, host: '127.0.0.1', port: dead.port }
        ],
        controllerId: 1,
        topics: NAMES.map((name) => ({ name, partitions: [{ partitionIndex: 0, leaderId: name === 'bad' ? 2 : 1 }] }))
      },
      header
    )
  )
  broker.script(...answers.produce!({}))
  const silent = await faultOf(upstream.produce(targets))
  t.same([silent.kind, [...silent.topics.keys()]], ['in-doubt', ['bad']])
  broker.script(api.Produce.key, () => 'reset')
  t.same([...(await faultOf(upstream.produce(targets))).topics.keys()], [])
})

// Proves against a real Apache Kafka: whatever it says when one topic may not be written or read, or is deleted, names that topic
// and no other; the same transaction without it goes through.

import kafkajs, { type AclOperationTypes as AclOperation, type AclPermissionTypes as AclPermission } from 'kafkajs'
import t from 'tap'
import { KafkaUpstream } from '../../adapters/kafka-upstream/kafka-upstream.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { loadTestCore } from '../helpers/core.ts'
import { startKafkaCluster } from './kafka-cluster.ts'

t.setTimeout(300_000)
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } = kafkajs
const core = loadTestCore()
const ACLS = {
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  'allow.everyone.if.no.acl.found': 'true'
}
const cluster = await startKafkaCluster({ config: ACLS })
const admin = new Kafka({ brokers: [...cluster.directBrokers], logLevel: logLevel.NOTHING }).admin()
await admin.connect()
const upstream = new KafkaUpstream({
  brokers: cluster.brokers,
  transactionalId: 'edge.test.one-topic',
  groupId: 'edge.test.one-topic',
  clientId: 'wadi-test',
  transactionTimeoutMs: 60_000,
  requestTimeoutMs: 5_000,
  callTimeoutMs: 3_000,
  clock: nodeClock
})
t.teardown(async () => {
  await upstream.close()
  await admin.disconnect()
  await cluster.stop()
})

async function deny(topicName: string, ...operations: AclOperation[]): Promise<void> {
  const entry = (operation: AclOperation, permissionType: AclPermission) => ({
    ...{ resourceType: AclResourceTypes.TOPIC, resourceName: topicName, resourcePatternType: ResourcePatternTypes.LITERAL },
    ...{ principal: 'User:ANONYMOUS', host: '*', operation, permissionType }
  })
  const denied = operations.map((operation) => entry(operation, AclPermissionTypes.DENY))
  await admin.createAcls({ acl: [entry(AclOperationTypes.ALL, AclPermissionTypes.ALLOW), ...denied] })
}

/** A transaction with one event for each topic. */
async function transact(topicNames: readonly string[]): Promise<void> {
  const { producerId, producerEpoch } = await upstream.initProducer()
  await upstream.addPartitions(topicNames.map((topicName) => ({ topicName, partitionIndex: 0 })))
  const targets = topicNames.map((topicName) => {
    const batch = core.buildBatch([{ timestampMs: Date.now(), key: null, value: Buffer.from('x'), headers: [] }], { baseOffset: 0 })
    core.patchProducer(batch, { producerId, producerEpoch, baseSequence: 0, isTransactional: true })
    return { topicName, partitionIndex: 0, batch }
  })
  await upstream.produce(targets)
  await upstream.commitPosition(new Map(topicNames.map((name) => [name, { committedOffset: 1, pieces: ['x'] }])))
  await upstream.endTransaction('commit')
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

async function create(...names: string[]): Promise<void> {
  await upstream.describeTopics(names, { createPartitionCount: 1 })
}

/** The rights that were given last reach the broker in its own time. */
async function named(topicNames: readonly string[], kind: string): Promise<{ kind: string; named: string[]; text: string | undefined }> {
  for (let tries = 0; ; tries++) {
    const fault = await faultOf(transact(topicNames)).catch((error: unknown) => {
      if (tries === 20) throw error
      return null
    })
    if (fault && (fault.kind === kind || tries === 20)) {
      const names = [...fault.topics.keys()]
      return { kind: fault.kind, named: names, text: fault.topics.get(names[0] ?? '') }
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

t.test('no right to write: that topic, and the others in one transaction without it', async (t) => {
  await create('good', 'no-write', 'no-write-too')
  await deny('no-write', AclOperationTypes.WRITE)
  await deny('no-write-too', AclOperationTypes.WRITE)
  const names = ['good', 'no-write', 'no-write-too']
  await t.resolves(upstream.describeTopics(names, { createPartitionCount: null }), 'may be described')
  const fault = await named(names, 'refused')
  t.same({ kind: fault.kind, named: fault.named.sort() }, { kind: 'refused', named: ['no-write', 'no-write-too'] })
  t.match(fault.text, /TOPIC_AUTHORIZATION_FAILED.*give this principal Write/)
  await transact(['good'])
})

t.test('no right to read: its position cannot be written', async (t) => {
  await create('good', 'no-read')
  await deny('no-read', AclOperationTypes.READ)
  t.match(await named(['good', 'no-read'], 'refused'), { kind: 'refused', named: ['no-read'] })
  await transact(['good'])
})

t.test('deleted', async (t) => {
  await create('good', 'gone')
  await transact(['good', 'gone'])
  await admin.deleteTopics({ topics: ['gone'] })
  t.match(await named(['good', 'gone'], 'retry'), { kind: 'retry', named: ['gone'], text: /UNKNOWN_TOPIC_OR_PARTITION/ })
  const missing = await faultOf(upstream.describeTopics(['good', 'gone'], { createPartitionCount: null }))
  t.match([missing.kind, ...missing.topics.keys()], ['refused', 'gone'])
  await transact(['good'])
})

t.test('a name that Kafka does not take', async (t) => {
  const fault = await faultOf(upstream.describeTopics(['good', 'not a name'], { createPartitionCount: 1 }))
  t.match([fault.kind, ...fault.topics.keys()], ['refused', 'not a name'])
})

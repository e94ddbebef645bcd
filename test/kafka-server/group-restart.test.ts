// A clean restart of the gateway within the session timeout rebalances no group: members go on with the id, generation and assignment that they have,
// and static members keep their place. By our own client on the real storage engine, and by kafkajs.

import { Kafka, logLevel } from 'kafkajs'
import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { type Centre, startCentre, until } from './centre.ts'
import { WireClient } from './wire-client.ts'

const protocols = [{ name: 'range', metadata: new Uint8Array(4) }]
const join = { groupId: 'g', sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 30_000, protocolType: 'consumer', protocols }
const ERROR = { none: 0, illegalGeneration: 22, unknownMember: 25, groupMaxSize: 81, fencedInstance: 82 }

async function joinAs(client: WireClient, { memberId = '', groupInstanceId = null as string | null }) {
  const joined = await client.call(api.JoinGroup, 9, { ...join, memberId, groupInstanceId })
  const assignments = [{ memberId: joined.memberId, assignment: Uint8Array.of(7) }]
  const claim = { groupId: 'g', generationId: joined.generationId, memberId: joined.memberId, groupInstanceId }
  const told = joined.skipAssignment ? [] : assignments
  const synced = joined.errorCode === 0 ? await client.call(api.SyncGroup, 5, { ...claim, assignments: told }) : null
  return { errorCode: joined.errorCode, claim, skipAssignment: joined.skipAssignment, assignment: [...(synced?.assignment ?? [])] }
}

type Claim = Awaited<ReturnType<typeof joinAs>>['claim']

const beat = async (client: WireClient, claim: Claim): Promise<number> => (await client.call(api.Heartbeat, 4, claim)).errorCode

async function commit(client: WireClient, claim: Claim, committedOffset: number): Promise<number | undefined> {
  const { generationId: generationIdOrMemberEpoch, ...who } = claim
  const topics = [{ name: 'read', partitions: [{ partitionIndex: 0, committedOffset }] }]
  const answer = await client.call(api.OffsetCommit, 7, { ...who, generationIdOrMemberEpoch, topics })
  return answer.topics[0]?.partitions[0]?.errorCode
}

const committed = (centre: Centre): number | undefined =>
  centre.broker.committedOffsets.find('g', { topicName: 'read', partitionIndex: 0 })?.offset

t.test('after a restart a member goes on where it was; who was thrown out before stays out', async (t) => {
  const centre = await startCentre(t)
  await centre.store.createTopic('read')
  let client = new WireClient(centre.port)
  const told = await client.call(api.JoinGroup, 9, { ...join, memberId: '' })
  const { claim: old } = await joinAs(client, { memberId: told.memberId })
  const { claim } = await joinAs(client, { memberId: told.memberId }) // a leader that comes again: a new generation
  t.equal(claim.generationId, old.generationId + 1)
  t.equal(await commit(client, claim, 10), ERROR.none)
  for (const offset of [25, 30]) {
    await centre.restart()
    client.close()
    client = new WireClient(centre.port)
    t.equal(await beat(client, claim), ERROR.none)
    t.equal(await commit(client, claim, offset), ERROR.none)
    t.equal(await commit(client, old, 7), ERROR.illegalGeneration)
    t.equal(await commit(client, { ...claim, memberId: `c-${'0'.repeat(32)}` }, 7), ERROR.unknownMember)
    t.equal(committed(centre), offset)
  }
  client.close()
})

t.test('a static member that comes back after a restart keeps its place and what it has, and its old self is fenced', async (t) => {
  const centre = await startCentre(t)
  let client = new WireClient(centre.port)
  const first = await joinAs(client, { groupInstanceId: 'pump' })
  t.same(first.assignment, [7])
  await centre.restart()
  client.close()
  client = new WireClient(centre.port)
  t.equal(await beat(client, first.claim), ERROR.none)
  const back = await joinAs(client, { groupInstanceId: 'pump' })
  t.match(back, { errorCode: 0, skipAssignment: true, assignment: [7], claim: { generationId: first.claim.generationId } })
  await centre.restart()
  client.close()
  client = new WireClient(centre.port)
  t.equal(await beat(client, first.claim), ERROR.fencedInstance)
  t.equal(await beat(client, back.claim), ERROR.none)
  client.close()
})

t.test('a group that does not fit one commit is refused by name, and is there again when it is smaller', async (t) => {
  const centre = await startCentre(t)
  const client = new WireClient(centre.port)
  const joinWith = async (bytes: number, memberId = '') => {
    const large = [{ name: 'range', metadata: new Uint8Array(bytes) }]
    const { errorCode, generationId, ...joined } = await client.call(api.JoinGroup, 3, { ...join, protocols: large, memberId })
    t.equal(errorCode, ERROR.none)
    const claim = { groupId: 'g', generationId, memberId: joined.memberId, groupInstanceId: null }
    const synced = await client.call(api.SyncGroup, 2, {
      ...claim,
      assignments: [{ memberId: joined.memberId, assignment: Uint8Array.of(7) }]
    })
    return { claim, errorCode: synced.errorCode }
  }
  const large = await joinWith(1_000_000)
  t.equal(large.errorCode, ERROR.groupMaxSize)
  const fitting = await joinWith(690_000, large.claim.memberId)
  t.equal(fitting.errorCode, ERROR.none)
  client.close()
  await centre.restart()
  const again = new WireClient(centre.port)
  t.equal(await beat(again, fitting.claim), ERROR.none)
  again.close()
})

t.test('two kafkajs consumers of one group do not rebalance over a restart, and read on', { timeout: 60_000 }, async (t) => {
  const centre = await startCentre(t)
  const kafka = new Kafka({
    clientId: 'test',
    brokers: [`127.0.0.1:${centre.port}`],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, retries: 20 }
  })
  await centre.store.createTopic('shared', { partitionCount: 4 })
  const seen: string[] = []
  const joins = [0, 0]
  const held = [0, 0]
  const consumers = [0, 1].map(() =>
    kafka.consumer({ groupId: 'pair', maxWaitTimeInMs: 50, heartbeatInterval: 100, sessionTimeout: 20_000, rebalanceTimeout: 20_000 })
  )
  t.teardown(() => Promise.all(consumers.map((consumer) => consumer.disconnect())))
  for (const [index, consumer] of consumers.entries()) {
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      joins[index] = (joins[index] ?? 0) + 1
      held[index] = payload.memberAssignment.shared?.length ?? 0
    })
    await consumer.connect()
    await consumer.subscribe({ topic: 'shared', fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ message }) => {
        seen.push(String(message.value))
      }
    })
  }
  await until(() => held[0] === 2 && held[1] === 2, 'two partitions each')
  const before = [...joins]
  const generationId = centre.broker.groups.find('pair')?.generationId
  const send = async (prefix: string): Promise<void> => {
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({ topic: 'shared', messages: [0, 1, 2, 3].map((partition) => ({ partition, value: `${prefix}${partition}` })) })
    await producer.disconnect()
  }
  await send('a')
  await until(() => seen.length === 4, 'four messages')
  await centre.restart()
  await send('b')
  await until(() => seen.length >= 8, 'eight messages')
  const beats = centre.listener.metrics.requestsByApi.Heartbeat ?? 0
  await until(() => (centre.listener.metrics.requestsByApi.Heartbeat ?? 0) > beats + 4, 'heartbeats after the restart')
  t.same([...seen].sort(), ['a0', 'a1', 'a2', 'a3', 'b0', 'b1', 'b2', 'b3'], 'each once')
  t.same(joins, before, 'nobody joined again')
  t.match(centre.broker.groups.find('pair'), { status: 'Stable', generationId, memberCount: 2 })
})

// What administrators see of consumer groups on the wire, in every version: states, filters, faults in Kafka's numbers; by our own client and kafkajs.

import { Kafka, logLevel } from 'kafkajs'
import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { type Centre, startCentre } from './centre.ts'
import { WireClient } from './wire-client.ts'

const ERROR = { none: 0, unknownTopic: 3, invalidGroupId: 24, nonEmpty: 68, unknownGroup: 69, subscribed: 86 }
const SUBSCRIPTION = Uint8Array.from([0, 0, 0, 0, 0, 1, 0, 4, ...Buffer.from('read'), 0xff, 0xff, 0xff, 0xff])

async function withGroup(t: Parameters<typeof startCentre>[0]): Promise<{ centre: Centre; client: WireClient; memberId: string }> {
  const centre = await startCentre(t)
  for (const name of ['read', 'old']) await centre.store.createTopic(name, { partitionCount: 2 })
  const client = new WireClient(centre.port)
  const joined = await client.call(api.JoinGroup, 5, {
    groupId: 'g',
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 30_000,
    memberId: '',
    groupInstanceId: 'pump',
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: SUBSCRIPTION }]
  })
  const { memberId, generationId } = joined
  const who = { groupId: 'g', memberId, generationId, groupInstanceId: 'pump' }
  await client.call(api.SyncGroup, 3, { ...who, assignments: [{ memberId, assignment: Uint8Array.of(1, 2) }] })
  const topics = ['read', 'old'].map((name) => ({
    name,
    partitions: [0, 1].map((partitionIndex) => ({ partitionIndex, committedOffset: 5, committedMetadata: '' }))
  }))
  await client.call(api.OffsetCommit, 7, {
    groupId: 'g',
    memberId,
    groupInstanceId: 'pump',
    generationIdOrMemberEpoch: generationId,
    topics
  })
  await client.call(api.OffsetCommit, 7, { groupId: 'simple', memberId: '', generationIdOrMemberEpoch: -1, topics })
  return { centre, client, memberId }
}

t.test('ListGroups tells states from version 4 and types from version 5 on, and takes filters of both in any case', async (t) => {
  const { client } = await withGroup(t)
  for (let version = 0; version <= 5; version++) {
    const { errorCode, groups } = await client.call(api.ListGroups, version, {})
    t.equal(errorCode, ERROR.none)
    t.match(
      [...groups].sort((a, b) => (a.groupId < b.groupId ? -1 : 1)),
      [
        {
          groupId: 'g',
          protocolType: 'consumer',
          ...(version >= 4 && { groupState: 'Stable' }),
          ...(version >= 5 && { groupType: 'classic' })
        },
        { groupId: 'simple', protocolType: '', ...(version >= 4 && { groupState: 'Empty' }) }
      ],
      `version ${version}`
    )
  }
  const ids = async (statesFilter: string[], typesFilter: string[]): Promise<string[]> =>
    (await client.call(api.ListGroups, 5, { statesFilter, typesFilter })).groups.map(({ groupId }) => groupId).sort()
  t.same(await ids(['stable'], []), ['g'])
  t.same(await ids(['Empty', 'STABLE'], ['Classic']), ['g', 'simple'])
  t.same(await ids(['Dead'], []), [])
  t.same(await ids([], ['consumer']), [], 'there are none of the new protocol')
  client.close()
})

t.test('DescribeGroups tells members with their blobs, once for each name, and Dead for what is not there', async (t) => {
  const { client, memberId } = await withGroup(t)
  for (let version = 0; version <= 5; version++) {
    const request = { groups: ['g', 'nobody', 'g'], ...(version >= 3 && { includeAuthorizedOperations: true }) }
    const { groups } = await client.call(api.DescribeGroups, version, request)
    t.equal(groups.length, 2, `version ${version}`)
    const [described, dead] = groups
    t.match(described, { errorCode: 0, groupId: 'g', groupState: 'Stable', protocolType: 'consumer', protocolData: 'range' })
    t.match(described?.members, [
      { memberId, clientId: 'test', clientHost: '/127.0.0.1', ...(version >= 4 && { groupInstanceId: 'pump' }) }
    ])
    t.same([...(described?.members[0]?.memberMetadata ?? [])], [...SUBSCRIPTION])
    t.same([...(described?.members[0]?.memberAssignment ?? [])], [1, 2])
    if (version >= 3) t.equal(described?.authorizedOperations, 328, 'READ, DELETE, DESCRIBE')
    t.match(dead, { errorCode: 0, groupId: 'nobody', groupState: 'Dead', members: [] })
  }
  client.close()
})

t.test('DeleteGroups and OffsetDelete spare what is in use and name what is not there; what goes is gone after a restart', async (t) => {
  const { centre, client, memberId } = await withGroup(t)
  for (let version = 0; version <= 2; version++) {
    const { results } = await client.call(api.DeleteGroups, version, { groupsNames: ['g', 'nobody', 'g'] })
    t.same(
      results.map(({ groupId, errorCode }) => [groupId, errorCode]),
      [
        ['g', ERROR.nonEmpty],
        ['nobody', ERROR.unknownGroup]
      ]
    )
  }
  const partitions = [{ partitionIndex: 0 }]
  const topics = [
    { name: 'read', partitions },
    { name: 'old', partitions },
    { name: 'none', partitions },
    { name: 'old', partitions: [{ partitionIndex: 0 }, { partitionIndex: 9 }] }
  ]
  const deleted = await client.call(api.OffsetDelete, 0, { groupId: 'g', topics })
  t.equal(deleted.errorCode, ERROR.none)
  t.same(
    deleted.topics.flatMap(({ name, partitions: own }) => own.map(({ partitionIndex, errorCode }) => [name, partitionIndex, errorCode])),
    [
      ['read', 0, ERROR.subscribed],
      ['old', 0, ERROR.none],
      ['none', 0, ERROR.unknownTopic],
      ['old', 9, ERROR.unknownTopic]
    ]
  )
  t.match(await client.call(api.OffsetDelete, 0, { groupId: 'nobody', topics }), { errorCode: ERROR.unknownGroup, topics: [] })
  t.match(await client.call(api.OffsetDelete, 0, { groupId: '', topics }), { errorCode: ERROR.invalidGroupId, topics: [] })
  const left = await client.call(api.LeaveGroup, 5, { groupId: 'g', members: [{ memberId, groupInstanceId: 'pump', reason: 'over' }] })
  t.match(left, { errorCode: 0, members: [{ memberId, groupInstanceId: 'pump', errorCode: 0 }] })
  t.match(await client.call(api.DeleteGroups, 2, { groupsNames: ['g'] }), { results: [{ groupId: 'g', errorCode: 0 }] })
  client.close()
  await centre.restart()
  const again = new WireClient(centre.port)
  t.match(await again.call(api.ListGroups, 5, {}), { groups: [{ groupId: 'simple', groupState: 'Empty' }] })
  t.match(await again.call(api.OffsetFetch, 7, { groupId: 'g', topics: [{ name: 'read', partitionIndexes: [0] }] }), {
    topics: [{ partitions: [{ committedOffset: -1 }] }]
  })
  again.close()
})

t.test('several static members are taken out with one LeaveGroup, each with its own answer', async (t) => {
  const centre = await startCentre(t)
  const clients = [0, 1].map(() => new WireClient(centre.port))
  const joinGroup = (client: WireClient, name: string, memberId = '') =>
    client.call(api.JoinGroup, 9, {
      groupId: 'g',
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 30_000,
      memberId,
      groupInstanceId: name,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: SUBSCRIPTION }]
    })
  const first = await joinGroup(clients[0] as WireClient, 'a')
  const second = joinGroup(clients[1] as WireClient, 'b')
  await joinGroup(clients[0] as WireClient, 'a', first.memberId)
  await second
  const members = [
    { memberId: '', groupInstanceId: 'a' },
    { memberId: 'another', groupInstanceId: 'b' },
    { memberId: '', groupInstanceId: 'c' }
  ]
  const left = await (clients[0] as WireClient).call(api.LeaveGroup, 4, { groupId: 'g', members })
  t.same(
    left.members.map(({ groupInstanceId, errorCode }) => [groupInstanceId, errorCode]),
    [
      ['a', 0],
      ['b', 82],
      ['c', 25]
    ]
  )
  t.equal(centre.broker.groups.find('g')?.memberCount, 1)
  for (const client of clients) client.close()
})

t.test('kafkajs lists, describes, resets and deletes groups', async (t) => {
  const { centre, client, memberId } = await withGroup(t)
  const admin = new Kafka({
    clientId: 'test',
    brokers: [`127.0.0.1:${centre.port}`],
    logLevel: logLevel.NOTHING,
    retry: { retries: 1 }
  }).admin()
  await admin.connect()
  const { groups } = await admin.listGroups()
  t.same(groups.map(({ groupId, protocolType }) => `${groupId} ${protocolType}`).sort(), ['g consumer', 'simple '])
  const described = await admin.describeGroups(['g'])
  t.match(described.groups, [{ groupId: 'g', state: 'Stable', protocol: 'range', members: [{ memberId, clientId: 'test' }] }])
  await t.rejects(admin.deleteGroups(['g']), 'it has a member')
  await admin.setOffsets({ groupId: 'simple', topic: 'read', partitions: [{ partition: 0, offset: '3' }] })
  t.match(await admin.fetchOffsets({ groupId: 'simple', topics: ['read'] }), [
    { partitions: [{ partition: 0, offset: '3' }, { offset: '5' }] }
  ])
  t.match(await admin.deleteGroups(['simple']), [{ groupId: 'simple', errorCode: 0 }])
  t.match(await admin.listGroups(), { groups: [{ groupId: 'g' }] })
  await admin.disconnect()
  client.close()
})

// Proves for what administrators ask of consumer groups: states and words are Kafka's, what is deleted is gone after a restart, what is in use stays.

import t from 'tap'
import type { FaultName } from '../../runtime/broker/fault.ts'
import { subscribedTopics } from '../../runtime/broker/subscription.ts'
import { Prng, seeds } from '../sim/prng.ts'
import { claim, encoder, pair, request, subscriptionOf, syncRequest } from './group-requests.ts'
import { Rig } from './rig.ts'

const offsetOf = (groupId: string, topicName: string, partitionIndex = 0) => ({
  groupId,
  topicName,
  partitionIndex,
  offset: 1,
  leaderEpoch: -1,
  metadata: ''
})

async function rigWith(...topics: readonly string[]): Promise<Rig> {
  const rig = new Rig()
  for (const name of topics) await rig.topic(name, 2)
  return rig
}

t.test('groups are listed with their states: with members, empty, and those that have offsets only', async (t) => {
  const rig = await rigWith('a')
  const { groups, groupAdmin, committedOffsets } = rig.broker
  t.same(groupAdmin.list(), [])
  await pair(rig)
  await committedOffsets.commit([offsetOf('simple', 'a'), offsetOf('g', 'a')])
  const left = await groups.join(request({ groupId: 'left' }))
  groups.leave('left', { memberId: left.memberId, groupInstanceId: null })
  void groups.join(request({ groupId: 'busy' })).then((joined) => groups.join(request({ groupId: 'busy', memberId: joined.memberId })))
  const all = [
    { groupId: 'busy', protocolType: 'consumer', status: 'CompletingRebalance' },
    { groupId: 'g', protocolType: 'consumer', status: 'Stable' },
    { groupId: 'left', protocolType: 'consumer', status: 'Empty' },
    { groupId: 'simple', protocolType: '', status: 'Empty' }
  ]
  const listed = () => [...rig.broker.groupAdmin.list()].sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
  t.same(listed(), all)
  await groups.whenSaved('left')
  rig.restart()
  t.same(listed(), all.slice(1), 'a group that never was Stable has nothing to remember')
})

t.test(
  'a group is described with metadata and assignments while it is Stable, without them else; one that is not there is Dead',
  async (t) => {
    const rig = await rigWith('a')
    const { groups, groupAdmin, committedOffsets } = rig.broker
    const { leader, follower } = await pair(rig)
    const stable = groupAdmin.describe('g')
    t.match(stable, { status: 'Stable', protocolType: 'consumer', protocolName: 'range' })
    t.same(
      stable.members.map(({ memberId, metadata, assignment }) => [
        memberId,
        new TextDecoder().decode(metadata),
        new TextDecoder().decode(assignment)
      ]),
      [
        [leader.memberId, 'topics', 'p0'],
        [follower.memberId, 'topics', 'p1']
      ]
    )
    void groups.join(request({ memberId: leader.memberId }))
    const preparing = groupAdmin.describe('g')
    t.match(preparing, { status: 'PreparingRebalance', protocolType: 'consumer', protocolName: '' })
    for (const { metadata, assignment } of preparing.members) t.same([metadata.byteLength, assignment.byteLength], [0, 0])
    await committedOffsets.commit([offsetOf('simple', 'a')])
    t.match(groupAdmin.describe('simple'), { status: 'Empty', protocolType: '', members: [] })
    t.match(groupAdmin.describe('nobody'), { status: 'Dead', protocolType: '', members: [] })
  }
)

t.test('a group with members stays, an empty one goes with its offsets, on disk too, and an unknown one is named', async (t) => {
  const rig = await rigWith('a')
  const { groups, groupAdmin, committedOffsets } = rig.broker
  const { leader, follower } = await pair(rig)
  await committedOffsets.commit([offsetOf('g', 'a'), offsetOf('g', 'a', 1), offsetOf('other', 'a')])
  t.equal(await groupAdmin.delete('g'), 'NON_EMPTY_GROUP')
  t.equal(await groupAdmin.delete('nobody'), 'GROUP_ID_NOT_FOUND')
  for (const { memberId } of [leader, follower]) groups.leave('g', { memberId, groupInstanceId: null })
  rig.store.failNext()
  t.equal(await groupAdmin.delete('g'), 'COORDINATOR_NOT_AVAILABLE')
  t.equal(committedOffsets.list('g').length, 2, 'what the store refuses is not done')
  t.equal(await groupAdmin.delete('g'), 'NONE')
  t.equal(groupAdmin.describe('g').status, 'Dead')
  t.equal(await groupAdmin.delete('g'), 'GROUP_ID_NOT_FOUND')
  t.equal(groups.heartbeat('g', claim(leader)), 'UNKNOWN_MEMBER_ID')
  rig.restart()
  t.same(
    rig.broker.groupAdmin.list().map(({ groupId }) => groupId),
    ['other']
  )
  t.same([rig.store.listState('group/'), rig.store.listState('offsets/').length], [[], 1])
})

t.test('a group that an open transaction will commit offsets for is known, and in use', async (t) => {
  const rig = await rigWith('a')
  const { groupAdmin, transactions } = rig.broker
  const who = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 900_000, expected: null })
  await transactions.addGroup('x', who, 'g')
  t.equal(await transactions.addOffsets('x', who, 'g', [offsetOf('g', 'a')]), 'NONE')
  t.equal(await groupAdmin.delete('g'), 'NON_EMPTY_GROUP')
  t.equal(await transactions.end('x', who, 'commit'), 'NONE')
  t.equal(await groupAdmin.delete('g'), 'NONE')
})

t.test('offsets of topics that members read stay, others go; those of an empty group all go', async (t) => {
  const rig = await rigWith('read', 'old')
  const { groups, committedOffsets } = rig.broker
  const places = [
    { topicName: 'read', partitionIndex: 0 },
    { topicName: 'old', partitionIndex: 1 },
    { topicName: 'old', partitionIndex: 0 }
  ]
  const faults = async (): Promise<[FaultName, ...FaultName[]]> => {
    const { fault, faultAt } = await rig.broker.groupAdmin.deleteOffsets('g', places)
    return [fault, ...faultAt.values()]
  }
  t.same(await faults(), ['GROUP_ID_NOT_FOUND'])
  const joined = await groups.join(request({ protocols: [{ name: 'range', metadata: subscriptionOf('read') }] }))
  await groups.sync('g', syncRequest(joined))
  await committedOffsets.commit([offsetOf('g', 'read'), offsetOf('g', 'old', 1), offsetOf('g', 'read', 1)])
  t.same(await faults(), ['NONE', 'GROUP_SUBSCRIBED_TO_TOPIC'])
  t.same(
    committedOffsets.list('g').map(({ topicName }) => topicName),
    ['read', 'read']
  )
  rig.restart()
  t.same(await faults(), ['NONE', 'GROUP_SUBSCRIBED_TO_TOPIC'], 'a restart knows what they read')
  rig.broker.groups.leave('g', { memberId: joined.memberId, groupInstanceId: null })
  t.same(await faults(), ['NONE'])
  t.same(
    rig.broker.committedOffsets.list('g').map(({ partitionIndex }) => partitionIndex),
    [1],
    'only what was asked for'
  )
  const worker = await rig.broker.groups.join(request({ groupId: 'connect', protocolType: 'connect' }))
  await rig.broker.groups.sync('connect', syncRequest(worker))
  t.match(await rig.broker.groupAdmin.deleteOffsets('connect', places), { fault: 'NON_EMPTY_GROUP' }, 'nobody knows what it reads')
  const vague = await rig.broker.groups.join(request({ groupId: 'vague' }))
  await rig.broker.groups.sync('vague', syncRequest(vague))
  const { faultAt } = await rig.broker.groupAdmin.deleteOffsets('vague', places)
  t.same(
    [...faultAt.values()],
    places.map(() => 'GROUP_SUBSCRIBED_TO_TOPIC'),
    'words that are not understood may name any'
  )
})

t.test('the topics of a subscription are read in every version, and what is none is none', async (t) => {
  t.same(subscribedTopics(subscriptionOf('a', 'bc')), ['a', 'bc'])
  t.same(subscribedTopics(subscriptionOf()), [])
  const third = Uint8Array.from([...subscriptionOf('a'), 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff])
  third[1] = 3
  t.same(subscribedTopics(third), ['a'])
  for (const broken of [encoder.encode('topics'), new Uint8Array(0), new Uint8Array(5), subscriptionOf('abc').subarray(0, 9)])
    t.equal(subscribedTopics(broken), null)
  t.equal(subscribedTopics(Uint8Array.from([0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0])), null, 'a count of two milliards costs nothing')
  for (const seed of seeds({ count: 1 })) {
    const prng = new Prng(seed)
    for (let round = 0; round < 20_000; round++) {
      const bytes = prng.chance(50) ? prng.bytes(prng.below(30)) : Uint8Array.from(subscriptionOf('abc', 'd'))
      if (bytes.length > 0) bytes[prng.below(bytes.length)] = prng.below(256)
      const topics = subscribedTopics(bytes)
      if (topics !== null && topics.length > bytes.length) t.fail(`${Buffer.from(bytes).toString('hex')} (SEED=${seed})`)
    }
  }
})

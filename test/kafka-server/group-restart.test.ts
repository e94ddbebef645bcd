// A restart of the gateway makes its groups rebalance, and no more: members are not strangers, and what they have read they can commit.

import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { type Centre, startCentre } from './centre.ts'
import { WireClient } from './wire-client.ts'

const protocols = [{ name: 'range', metadata: new Uint8Array(4) }]
const join = { groupId: 'g', sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 30_000, protocolType: 'consumer', protocols }
const ERROR = { none: 0, illegalGeneration: 22, unknownMember: 25, rebalance: 27 }

async function joinAs(client: WireClient, memberId: string) {
  const joined = await client.call(api.JoinGroup, 3, { ...join, memberId })
  const assignments = [{ memberId: joined.memberId, assignment: new Uint8Array(1) }]
  const claim = { groupId: 'g', generationId: joined.generationId, memberId: joined.memberId }
  if (joined.errorCode === 0) await client.call(api.SyncGroup, 2, { ...claim, assignments })
  return { errorCode: joined.errorCode, claim }
}

function commit(client: WireClient, claim: { groupId: string; generationId: number; memberId: string }, committedOffset: number) {
  const { groupId, memberId, generationId: generationIdOrMemberEpoch } = claim
  const topics = [{ name: 'read', partitions: [{ partitionIndex: 0, committedOffset }] }]
  return client
    .call(api.OffsetCommit, 5, { groupId, memberId, generationIdOrMemberEpoch, topics })
    .then((answer) => answer.topics[0]?.partitions[0]?.errorCode)
}

async function committed(centre: Centre): Promise<number | undefined> {
  return centre.broker.committedOffsets.find('g', { topicName: 'read', partitionIndex: 0 })?.offset
}

t.test('after a restart members of before are told to rebalance, commit what they have read, and join under their id', async (t) => {
  const centre = await startCentre(t)
  await centre.store.createTopic('read')
  let client = new WireClient(centre.port)
  const { claim } = await joinAs(client, '')
  t.equal(await commit(client, claim, 10), ERROR.none)
  await centre.restart()
  client = new WireClient(centre.port)
  t.equal((await client.call(api.Heartbeat, 3, claim)).errorCode, ERROR.rebalance, 'it is not a stranger')
  t.equal(await commit(client, claim, 25), ERROR.none, 'what it has read is kept')
  t.equal(await commit(client, claim, 7), ERROR.illegalGeneration, 'whom nobody knows moves nothing back')
  t.equal(await committed(centre), 25)
  const back = await joinAs(client, claim.memberId)
  t.equal(back.errorCode, ERROR.none)
  t.equal(back.claim.memberId, claim.memberId)
  t.equal((await client.call(api.Heartbeat, 3, back.claim)).errorCode, ERROR.none)
  t.equal(await commit(client, back.claim, 26), ERROR.none)
  const stranger = { ...claim, memberId: `c-${'0'.repeat(32)}` }
  t.equal(
    (await client.call(api.Heartbeat, 3, stranger)).errorCode,
    ERROR.unknownMember,
    'once the group has a generation, it knows its members'
  )
  t.equal(await commit(client, stranger, 99), ERROR.unknownMember)
  t.equal((await joinAs(client, stranger.memberId)).errorCode, ERROR.unknownMember)
  client.close()
})

import t from 'tap'
import type { JoinAnswer } from '../../runtime/broker/group-member.ts'
import { claim, EMPTY, encoder, pair, REBALANCE_MS, request, SESSION_MS, syncRequest } from './group-requests.ts'
import { Rig } from './rig.ts'

t.test('what the members of all groups bring is bounded in memory: who goes beyond is told, the others go on', async (t) => {
  const rig = new Rig({ groupBytesMax: 64 * 1024 })
  const { groups } = rig.broker
  const large = (bytes: number) => [{ name: 'range', metadata: new Uint8Array(bytes) }]
  const joined = await groups.join(request({ groupId: 'a', protocols: large(20_000) }))
  t.equal(joined.fault, 'NONE')
  const second = await groups.join(request({ groupId: 'b', protocols: large(20_000) }))
  t.equal(second.fault, 'NONE')
  t.equal((await groups.join(request({ groupId: 'c', protocols: large(30_000) }))).fault, 'GROUP_MAX_SIZE_REACHED')
  t.equal(groups.find('c'), null, 'a refused group is not kept')
  t.match(rig.told, [/^members of consumer groups: 2 members of 2 groups, group "a" takes most: 2\d{4} bytes$/])
  const small = await groups.join(request({ groupId: 'd' }))
  t.equal(small.fault, 'NONE', 'a small one still has room')
  const assignment = (bytes: number) => new Map([[joined.memberId, new Uint8Array(bytes)]])
  t.equal((await groups.sync('a', syncRequest(joined, assignment(30_000)))).fault, 'GROUP_MAX_SIZE_REACHED')
  t.equal((await groups.sync('a', syncRequest(joined, assignment(1_000)))).fault, 'NONE')
  const again = await groups.join(request({ groupId: 'b', memberId: second.memberId, protocols: large(21_000) }))
  t.equal(again.fault, 'NONE', 'who comes again replaces what he brought before')
  groups.leave('a', { memberId: joined.memberId, groupInstanceId: null })
  t.equal((await groups.join(request({ groupId: 'c', protocols: large(20_000) }))).fault, 'NONE', 'what has left leaves room')
  for (let count = 0; count < 200; count++) await groups.join(request({ groupId: 'd', requiresKnownMemberId: true }))
  const promised = await groups.join(request({ groupId: 'd', requiresKnownMemberId: true }))
  t.equal(promised.fault, 'GROUP_MAX_SIZE_REACHED', 'ids that were given and not used count too')
})

t.test('a group that has more than half of the room is assigned anew: what is replaced does not count', async (t) => {
  const rig = new Rig({ groupBytesMax: 64 * 1024 })
  const { groups } = rig.broker
  const assign = (joined: JoinAnswer, bytes: number) =>
    groups.sync('g', syncRequest(joined, new Map([[joined.memberId, new Uint8Array(bytes)]])))
  let joined = await groups.join(request())
  t.equal((await assign(joined, 40_000)).fault, 'NONE')
  for (let round = 0; round < 3; round++) {
    joined = await groups.join(request({ memberId: joined.memberId, protocols: [{ name: 'range', metadata: encoder.encode(`${round}`) }] }))
    const again = await assign(joined, 41_000)
    t.match([again.fault, again.assignment.byteLength], ['NONE', 41_000], `reassignment ${round}`)
  }
  joined = await groups.join(request({ memberId: joined.memberId, protocols: [{ name: 'range', metadata: encoder.encode('last') }] }))
  t.equal((await assign(joined, 66_000)).fault, 'GROUP_MAX_SIZE_REACHED')
  const strangers = new Map(Array.from({ length: 100 }, (_, at) => [`stranger ${at}`, new Uint8Array(1_000)]))
  t.equal((await groups.sync('g', syncRequest(joined, strangers))).fault, 'NONE', 'what is for nobody is not kept')
})

t.test('the names that members and groups bring count too', async (t) => {
  const bytesMax = 256 * 1024
  const long = (at: number): string => `${at}`.padEnd(20_000, 'x')
  for (const [what, overrides] of [
    ['client id', (at: number) => ({ clientId: long(at) })],
    ['static id', (at: number) => ({ groupInstanceId: long(at) })],
    ['protocol name', (at: number) => ({ protocols: [{ name: long(at), metadata: new Uint8Array(0) }], groupId: `${at}` })]
  ] as const) {
    const { groups } = new Rig({ groupBytesMax: bytesMax, initialRebalanceDelayMs: 3_000 }).broker
    const refused: string[] = []
    for (let at = 0; at < 50; at++)
      void groups.join(request(overrides(at))).then(({ fault }) => fault === 'GROUP_MAX_SIZE_REACHED' && refused.push(fault))
    await Promise.resolve()
    t.ok(50 - refused.length <= bytesMax / 20_000, `${what}: ${50 - refused.length} found room`)
    groups.close()
  }
})

t.test('a static member that has more than half of the room may come back', async (t) => {
  const { groups } = new Rig({ groupBytesMax: 64 * 1024 }).broker
  const protocols = [{ name: 'range', metadata: new Uint8Array(40_000) }]
  const first = await groups.join(request({ groupInstanceId: 'pump', protocols }))
  await groups.sync('g', syncRequest(first, EMPTY, 'pump'))
  t.equal((await groups.join(request({ groupInstanceId: 'pump', protocols }))).fault, 'NONE')
})

t.test('members that offer many protocols meet in one that all have, in time proportional to what they offer', async (t) => {
  const { groups } = new Rig({ groupBytesMax: 256 * 1024 * 1024, initialRebalanceDelayMs: 1 }).broker
  const offered = (prefix: string) => ({
    protocols: [...Array.from({ length: 150_000 }, (_, at) => `${prefix}${at}`), 'common', 'second'].map((name) => ({
      name,
      metadata: new Uint8Array(0)
    }))
  })
  const first = groups.join(request(offered('a')))
  const second = groups.join(request(offered('b')))
  t.equal((await groups.join(request())).fault, 'INCONSISTENT_GROUP_PROTOCOL')
  const alone = groups.join(request({ protocols: [{ name: 'second', metadata: encoder.encode('') }] }))
  t.equal(groups.find('g')?.memberCount, 3)
  groups.close()
  await Promise.all([first, second, alone])
})

t.test('members meet in one generation, the leader alone sees all and assigns to all', async (t) => {
  const rig = new Rig()
  const { leader, follower, synced } = await pair(rig)
  t.equal(leader.generationId, follower.generationId)
  t.equal(leader.leaderId, leader.memberId)
  t.same(
    leader.members.map(({ memberId }) => memberId),
    [leader.memberId, follower.memberId]
  )
  t.same(follower.members, [])
  t.same(
    synced.map(({ assignment }) => new TextDecoder().decode(assignment)),
    ['p1', 'p0']
  )
  t.equal(rig.broker.groups.find('g')?.status, 'Stable')
  t.equal(rig.broker.groups.heartbeat('g', claim(follower)), 'NONE')
})

t.test('a new dynamic member is told its id first when it can come back with it', async (t) => {
  const { groups } = new Rig().broker
  const told = await groups.join(request({ requiresKnownMemberId: true }))
  t.match(told, { fault: 'MEMBER_ID_REQUIRED', memberId: /^c-/ })
  const joined = await groups.join(request({ requiresKnownMemberId: true, memberId: told.memberId }))
  t.match(joined, { fault: 'NONE', memberId: told.memberId, generationId: 1, protocolName: 'range' })
})

t.test('who claims wrongly is refused by name', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader } = await pair(rig)
  t.match(await groups.join(request({ groupId: '' })), { fault: 'INVALID_GROUP_ID' })
  t.match(await groups.join(request({ sessionTimeoutMs: 1 })), { fault: 'INVALID_SESSION_TIMEOUT' })
  t.match(await groups.join(request({ memberId: 'stranger' })), { fault: 'UNKNOWN_MEMBER_ID' })
  t.match(await groups.join(request({ protocolType: 'connect' })), { fault: 'INCONSISTENT_GROUP_PROTOCOL' })
  t.match(await groups.join(request({ protocols: [{ name: 'other', metadata: encoder.encode('') }] })), {
    fault: 'INCONSISTENT_GROUP_PROTOCOL'
  })
  t.equal(groups.heartbeat('g', { ...claim(leader), generationId: 1 }), 'ILLEGAL_GENERATION')
  t.equal(groups.heartbeat('g', { ...claim(leader), memberId: 'stranger' }), 'UNKNOWN_MEMBER_ID')
  t.equal(groups.heartbeat('other', claim(leader)), 'UNKNOWN_MEMBER_ID')
  t.match(await groups.sync('g', { ...syncRequest(leader), protocolName: 'other' }), { fault: 'INCONSISTENT_GROUP_PROTOCOL' })
})

t.test('a member that falls silent is removed after its session and the rest rebalance', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader, follower } = await pair(rig)
  await rig.clock.run({ untilMs: SESSION_MS - 1 })
  t.equal(groups.heartbeat('g', claim(leader)), 'NONE')
  await rig.clock.run({ untilMs: SESSION_MS + 1 })
  t.equal(groups.heartbeat('g', claim(follower)), 'UNKNOWN_MEMBER_ID')
  t.equal(groups.heartbeat('g', claim(leader)), 'REBALANCE_IN_PROGRESS')
  const again = await groups.join(request({ memberId: leader.memberId }))
  t.match(again, { fault: 'NONE', generationId: leader.generationId + 1, members: [{ memberId: leader.memberId }] })
})

t.test('a rebalance does not wait longer than the rebalance timeout', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader, follower } = await pair(rig)
  const joining = groups.join(request({ memberId: leader.memberId }))
  for (let atMs = 5_000; atMs < REBALANCE_MS; atMs += 5_000) {
    await rig.clock.run({ untilMs: atMs })
    t.equal(groups.heartbeat('g', claim(follower)), 'REBALANCE_IN_PROGRESS')
  }
  await rig.clock.run({ untilMs: REBALANCE_MS })
  t.match(await joining, { fault: 'NONE', members: [{ memberId: leader.memberId }] })
  t.equal(groups.heartbeat('g', claim(follower)), 'UNKNOWN_MEMBER_ID', 'the late one is out')
})

t.test('members that join but never sync are removed, nobody is parked for ever', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader, follower } = await pair(rig)
  const rejoined = await Promise.all([leader, follower].map(({ memberId }) => groups.join(request({ memberId }))))
  const parked = groups.sync('g', syncRequest(rejoined[1] as JoinAnswer))
  for (let atMs = 5_000; atMs < REBALANCE_MS; atMs += 5_000) {
    await rig.clock.run({ untilMs: atMs })
    groups.heartbeat('g', claim(rejoined[0] as JoinAnswer))
  }
  await rig.clock.run({ untilMs: REBALANCE_MS })
  t.match(await parked, { fault: 'REBALANCE_IN_PROGRESS' })
  t.equal(groups.heartbeat('g', claim(rejoined[0] as JoinAnswer)), 'UNKNOWN_MEMBER_ID')
})

t.test('a follower that never asks for its assignment is removed in its time, though the leader assigned', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader, follower } = await pair(rig)
  const [first, second] = await Promise.all([leader, follower].map(({ memberId }) => groups.join(request({ memberId }))))
  const led = await groups.sync('g', syncRequest(first as JoinAnswer))
  t.equal(led.fault, 'NONE')
  t.equal(groups.find('g')?.status, 'Stable')
  for (let atMs = 5_000; atMs <= REBALANCE_MS; atMs += 5_000) {
    await rig.clock.run({ untilMs: atMs })
    const fault = groups.heartbeat('g', claim(second as JoinAnswer)) // it lives, and does not sync
    t.equal(fault, atMs < REBALANCE_MS ? 'NONE' : 'UNKNOWN_MEMBER_ID', `${atMs} ms`)
    t.equal(groups.heartbeat('g', claim(first as JoinAnswer)), atMs < REBALANCE_MS ? 'NONE' : 'REBALANCE_IN_PROGRESS', `${atMs} ms`)
  }
})

t.test('when all have synced, late ones too, nobody is removed and no timer is left', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader, follower } = await pair(rig)
  const [first, second] = await Promise.all([leader, follower].map(({ memberId }) => groups.join(request({ memberId }))))
  await groups.sync('g', syncRequest(first as JoinAnswer))
  await rig.clock.run({ untilMs: 5_000 })
  t.equal((await groups.sync('g', syncRequest(second as JoinAnswer))).fault, 'NONE')
  for (let atMs = 6_000; atMs <= 2 * REBALANCE_MS; atMs += 5_000) {
    await rig.clock.run({ untilMs: atMs })
    for (const joined of [first, second]) t.equal(groups.heartbeat('g', claim(joined as JoinAnswer)), 'NONE')
  }
})

t.test('a member that was promised an id and leaves is not waited for', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader, follower } = await pair(rig)
  const promised = await groups.join(request({ requiresKnownMemberId: true }))
  t.equal(promised.fault, 'MEMBER_ID_REQUIRED')
  const joining = [leader, follower].map(({ memberId }) =>
    groups.join(request({ memberId, protocols: [{ name: 'range', metadata: encoder.encode('new') }] }))
  )
  t.equal(groups.leave('g', { memberId: promised.memberId, groupInstanceId: null }), 'NONE')
  t.match(await Promise.race([Promise.all(joining), new Promise((resolve) => setImmediate(resolve, 'still waiting'))]), [
    { fault: 'NONE' },
    { fault: 'NONE' }
  ])
})

t.test('leaving makes the others rebalance; the last one leaves an empty group', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const { leader, follower } = await pair(rig)
  t.equal(groups.leave('g', { memberId: leader.memberId, groupInstanceId: null }), 'NONE')
  t.equal(groups.leave('g', { memberId: leader.memberId, groupInstanceId: null }), 'UNKNOWN_MEMBER_ID')
  const again = await groups.join(request({ memberId: follower.memberId }))
  t.equal(again.leaderId, follower.memberId)
  t.equal(groups.leave('g', { memberId: follower.memberId, groupInstanceId: null }), 'NONE')
  t.equal(groups.find('g')?.status, 'Empty')
  t.equal(rig.clock.pendingCount, 1, 'no timer of the group is left')
})

t.test('the first rebalance waits for company, prolonged by each that comes', async (t) => {
  const rig = new Rig({ initialRebalanceDelayMs: 3000 })
  const { groups } = rig.broker
  const first = groups.join(request())
  await rig.clock.run({ untilMs: 2000 })
  const second = groups.join(request())
  await rig.clock.run({ untilMs: 5999 })
  t.equal(groups.find('g')?.status, 'PreparingRebalance')
  await rig.clock.run({ untilMs: 6000 })
  t.same([(await first).generationId, (await second).generationId], [1, 1])
})

t.test('a static member comes back under a new id without a rebalance, and its old self is fenced', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const old = await groups.join(request({ groupInstanceId: 'pump' }))
  await groups.sync('g', syncRequest(old, new Map([[old.memberId, encoder.encode('p0')]]), 'pump'))
  const back = await groups.join(request({ groupInstanceId: 'pump' }))
  t.match(back, { fault: 'NONE', generationId: old.generationId, skipAssignment: true })
  t.not(back.memberId, old.memberId)
  t.equal(new TextDecoder().decode((await groups.sync('g', syncRequest(back, EMPTY, 'pump'))).assignment), 'p0')
  t.equal(groups.heartbeat('g', claim(old, 'pump')), 'FENCED_INSTANCE_ID')
  t.equal(groups.heartbeat('g', claim(back, 'pump')), 'NONE')
})

t.test('a static member that offers something else under the same protocol causes no rebalance; another protocol does', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const offering = (metadata: string, name = 'range') => ({
    groupInstanceId: 'pump',
    protocols: [{ name, metadata: encoder.encode(metadata) }]
  })
  const old = await groups.join(request(offering('generation -1')))
  await groups.sync('g', syncRequest(old, new Map([[old.memberId, encoder.encode('p0')]]), 'pump'))
  const back = await groups.join(request(offering('generation 1, owns p0')))
  t.match(back, {
    fault: 'NONE',
    generationId: old.generationId,
    leaderId: back.memberId,
    skipAssignment: true,
    members: [{ memberId: back.memberId }]
  })
  const older = await groups.join(request({ ...offering('generation 1, owns p0'), knowsSkipAssignment: false }))
  t.match(older, { fault: 'NONE', generationId: old.generationId, leaderId: back.memberId, skipAssignment: false })
  t.same(older.members, [], 'a client that knows no skipAssignment runs no assignor for nothing')
  const other = await groups.join(request(offering('', 'sticky')))
  t.match(other, { fault: 'NONE', generationId: old.generationId + 1, protocolName: 'sticky' })
})

t.test('commits are taken from members of the generation, and from nobody when the group is empty', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const simple = { memberId: '', generationId: -1, groupInstanceId: null }
  const plain = { isTransactional: false }
  t.equal(groups.checkCommit('g', simple, plain), 'NONE')
  const { leader } = await pair(rig)
  t.equal(groups.checkCommit('g', simple, plain), 'UNKNOWN_MEMBER_ID')
  t.equal(groups.checkCommit('g', claim(leader), plain), 'NONE')
  t.equal(groups.checkCommit('g', { ...claim(leader), generationId: 1 }, plain), 'ILLEGAL_GENERATION')
  t.equal(groups.checkCommit('', simple, plain), 'INVALID_GROUP_ID')
})

t.test('closing the broker answers everybody who is parked', async (t) => {
  const rig = new Rig({ initialRebalanceDelayMs: 3000 })
  const parked = rig.broker.groups.join(request())
  rig.broker.close()
  t.match(await parked, { fault: 'UNKNOWN_MEMBER_ID' })
  t.equal(rig.clock.pendingCount, 0)
})

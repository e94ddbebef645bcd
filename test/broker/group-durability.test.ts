// Proves for runtime/broker: a restart finds a consumer group as its members were told last, so that nobody has to rebalance; nobody is told anything
// of an assignment or an id that a restart would not know; heartbeats write nothing; what is forgotten is forgotten on disk too.

import t from 'tap'
import type { JoinAnswer } from '../../runtime/broker/group-member.ts'
import { storedGroups } from '../../runtime/broker/group-record.ts'
import type { StateChange } from '../../runtime/log/contract.ts'
import { Prng, seeds } from '../sim/prng.ts'
import { claim, EMPTY, encoder, pair, REBALANCE_MS, request, SESSION_MS, soon, subscriptionOf, syncRequest } from './group-requests.ts'
import { Rig } from './rig.ts'

const decoder = new TextDecoder()
const MINUTE_MS = 60_000
const run = (rig: Rig, durationMs: number): Promise<void> => rig.clock.run({ untilMs: rig.clock.monotonicMs() + durationMs })
const keys = (rig: Rig): string[] => rig.store.listState('group/')
const plain = { isTransactional: false }

t.test('a restart finds members, generation, leader and assignments: nobody rebalances, wherever the restart comes', async (t) => {
  const rig = new Rig()
  const { leader, follower } = await pair(rig)
  for (const when of ['at once', 'again']) {
    rig.restart()
    const { groups } = rig.broker
    t.match(groups.find('g'), { status: 'Stable', generationId: leader.generationId, leaderId: leader.memberId }, when)
    for (const member of [leader, follower]) {
      t.equal(groups.heartbeat('g', claim(member)), 'NONE')
      t.equal(groups.checkCommit('g', claim(member), plain), 'NONE')
      t.equal(groups.checkCommit('g', claim(member), { isTransactional: true }), 'NONE')
    }
    t.equal(decoder.decode((await groups.sync('g', syncRequest(follower))).assignment), 'p1')
    t.match(await groups.join(request({ memberId: follower.memberId })), { fault: 'NONE', generationId: leader.generationId })
    t.equal(groups.heartbeat('g', { ...claim(leader), generationId: 1 }), 'ILLEGAL_GENERATION', 'and who was thrown out stays so')
    t.equal(groups.checkCommit('g', { ...claim(leader), memberId: `c-${'0'.repeat(32)}` }, plain), 'UNKNOWN_MEMBER_ID')
  }
})

t.test('sessions begin anew with a restart: who does not come back is removed in his time, and the rest rebalance', async (t) => {
  const rig = new Rig()
  const { leader, follower } = await pair(rig)
  await run(rig, SESSION_MS - 1)
  rig.restart()
  const { groups } = rig.broker
  await run(rig, SESSION_MS - 1)
  t.equal(groups.heartbeat('g', claim(leader)), 'NONE')
  await run(rig, 2)
  t.equal(groups.heartbeat('g', claim(follower)), 'UNKNOWN_MEMBER_ID')
  t.equal(groups.heartbeat('g', claim(leader)), 'REBALANCE_IN_PROGRESS')
})

t.test('a static member that comes back over a restart, and again over another, keeps its place and its assignment', async (t) => {
  const rig = new Rig()
  const joined = await rig.broker.groups.join(request({ groupInstanceId: 'pump' }))
  await rig.broker.groups.sync('g', syncRequest(joined, new Map([[joined.memberId, encoder.encode('p0')]]), 'pump'))
  let last = joined
  for (let round = 0; round < 3; round++) {
    rig.restart()
    const back = await rig.broker.groups.join(request({ groupInstanceId: 'pump' }))
    t.match(back, { fault: 'NONE', generationId: joined.generationId, skipAssignment: true })
    rig.restart()
    const { groups } = rig.broker
    t.equal(groups.heartbeat('g', claim(back, 'pump')), 'NONE', 'its new id was durable when it was told')
    t.equal(groups.heartbeat('g', claim(last, 'pump')), 'FENCED_INSTANCE_ID', 'its old self stays fenced')
    t.equal(decoder.decode((await groups.sync('g', syncRequest(back, EMPTY, 'pump'))).assignment), 'p0')
    last = back
  }
})

t.test('nobody is told of an assignment or of a new id before it is durable', async (t) => {
  const rig = new Rig()
  const joined = await rig.broker.groups.join(request({ groupInstanceId: 'pump' }))
  rig.store.hold()
  const synced = rig.broker.groups.sync('g', syncRequest(joined, new Map([[joined.memberId, encoder.encode('p0')]]), 'pump'))
  t.equal(await soon(synced, 'waits'), 'waits')
  t.equal(rig.broker.groups.heartbeat('g', claim(joined, 'pump')), 'NONE')
  rig.store.release()
  t.equal(decoder.decode((await synced).assignment), 'p0')
  rig.store.hold()
  const back = rig.broker.groups.join(request({ groupInstanceId: 'pump' }))
  t.equal(await soon(back, 'waits'), 'waits')
  rig.store.release()
  t.equal((await back).fault, 'NONE')
  rig.store.hold()
  const left = rig.broker.groups.leave('g', { memberId: '', groupInstanceId: 'pump' })
  t.equal(left, 'NONE')
  t.equal(await soon(rig.broker.groups.whenSaved('g'), 'waits'), 'waits')
  rig.store.release()
  await rig.broker.groups.whenSaved('g')
  rig.restart()
  t.match(rig.broker.groups.find('g'), { status: 'Empty', memberCount: 0, generationId: 2 })
})

t.test('an assignment that the store refuses is told to nobody: members rebalance, and have one when there is room again', async (t) => {
  const rig = new Rig()
  const { leader, follower } = await pair(rig)
  const { groups } = rig.broker
  const again = await Promise.all([
    groups.join(request({ memberId: leader.memberId })),
    groups.join(request({ memberId: follower.memberId, protocols: [{ name: 'range', metadata: encoder.encode('more') }] }))
  ])
  rig.store.failNext()
  const parked = groups.sync('g', syncRequest(again[1]))
  const refused = await groups.sync('g', syncRequest(again[0], new Map([[leader.memberId, encoder.encode('lost')]])))
  t.match([refused.fault, (await parked).fault], ['COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_NOT_AVAILABLE'])
  t.equal(groups.heartbeat('g', claim(again[0])), 'REBALANCE_IN_PROGRESS')
  const third = await Promise.all(again.map(({ memberId }) => groups.join(request({ memberId }))))
  t.equal((await groups.sync('g', syncRequest(third[0] as JoinAnswer))).fault, 'NONE')
  rig.restart()
  t.equal(rig.broker.groups.heartbeat('g', claim(third[1] as JoinAnswer)), 'NONE')
})

t.test('a rebalance that begins while the assignment is on its way wins', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const alone = await groups.join(request())
  rig.store.hold()
  const synced = groups.sync('g', syncRequest(alone, new Map([[alone.memberId, encoder.encode('p0')]])))
  const other = groups.join(request())
  t.match(await synced, { fault: 'REBALANCE_IN_PROGRESS' })
  rig.store.release()
  await run(rig, 1)
  t.equal(groups.find('g')?.status, 'PreparingRebalance')
  const leader = await groups.join(request({ memberId: alone.memberId }))
  t.equal((await other).generationId, leader.generationId)
})

t.test('heartbeats, commits, JoinGroups of a follower and SyncGroups in Stable write nothing; a rebalance writes once', async (t) => {
  const rig = new Rig()
  const { leader, follower } = await pair(rig)
  const before = rig.store.commitCount
  const { groups } = rig.broker
  for (let at = 0; at < 10; at++) {
    groups.heartbeat('g', claim(leader))
    groups.checkCommit('g', claim(follower), plain)
    await groups.join(request({ memberId: follower.memberId }))
    await groups.sync('g', syncRequest(follower))
  }
  t.equal(rig.store.commitCount, before)
  const again = groups.join(request({ memberId: leader.memberId }))
  await groups.join(request({ memberId: follower.memberId }))
  await groups.sync('g', syncRequest(await again))
  t.equal(rig.store.commitCount, before + 1)
})

t.test('a group that takes many values is read as it was, and leaves none behind when it becomes small or is removed', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const large = new Uint8Array(150_000).fill(7)
  const joined = await groups.join(request({ protocols: [{ name: 'range', metadata: large }] }))
  await groups.sync('g', syncRequest(joined, new Map([[joined.memberId, large]])))
  t.equal(keys(rig).length, 8)
  rig.restart()
  t.same((await rig.broker.groups.sync('g', syncRequest(joined))).assignment, large)
  const small = await rig.broker.groups.join(request({ memberId: joined.memberId }))
  await rig.broker.groups.sync('g', syncRequest(small))
  t.equal(keys(rig).length, 2)
  rig.store.hold()
  rig.broker.groups.leave('g', { memberId: joined.memberId, groupInstanceId: null })
  const removed = rig.broker.groups.remove('g')
  rig.store.release()
  await removed
  t.same(keys(rig), [])
})

t.test('members that leave while their assignment is on its way to the disk are gone there too', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const joined = await groups.join(request())
  rig.store.hold()
  const synced = groups.sync('g', syncRequest(joined, new Map([[joined.memberId, encoder.encode('p0')]])))
  groups.leave('g', { memberId: joined.memberId, groupInstanceId: null })
  t.equal((await synced).fault, 'UNKNOWN_MEMBER_ID')
  await run(rig, 1)
  rig.store.release()
  await groups.whenSaved('g')
  t.same(keys(rig), ['group/g/0'])
  rig.restart()
  t.match(rig.broker.groups.find('g'), { status: 'Empty', generationId: 2, memberCount: 0 })
})

t.test('whoever joins while a group is removed finds a new one, which a restart finds too', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const first = await groups.join(request())
  await groups.sync('g', syncRequest(first))
  groups.leave('g', { memberId: first.memberId, groupInstanceId: null })
  rig.store.hold()
  const removed = groups.remove('g')
  const second = await groups.join(request())
  t.match(second, { fault: 'NONE', generationId: 1 })
  const synced = groups.sync('g', syncRequest(second, new Map([[second.memberId, encoder.encode('p0')]])))
  rig.store.release()
  await Promise.all([removed, synced])
  rig.restart()
  t.equal(rig.broker.groups.heartbeat('g', claim(second)), 'NONE')
})

t.test('of a group that was removed nothing is written any more', async (t) => {
  const rig = new Rig()
  const { groups, groupAdmin } = rig.broker
  const joined = await groups.join(request())
  await groups.sync('g', syncRequest(joined))
  await groups.join(request({ requiresKnownMemberId: true }))
  groups.leave('g', { memberId: joined.memberId, groupInstanceId: null })
  t.equal(groups.find('g')?.status, 'PreparingRebalance', 'it waits for whom it has promised a place')
  t.equal(await groupAdmin.delete('g'), 'NONE')
  await run(rig, SESSION_MS)
  t.same([keys(rig), groupAdmin.list()], [[], []])
})

t.test('a removal that the store refuses leaves the group, in memory and on disk', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const first = await groups.join(request())
  await groups.sync('g', syncRequest(first))
  groups.leave('g', { memberId: first.memberId, groupInstanceId: null })
  await groups.whenSaved('g')
  rig.store.failNext()
  await t.rejects(groups.remove('g'), { code: 'WADI_DISK_FULL' })
  t.equal(groups.find('g')?.status, 'Empty')
  const back = await groups.join(request())
  t.match(back, { fault: 'NONE', generationId: 3 })
  t.equal((await groups.sync('g', syncRequest(back))).fault, 'NONE', 'it lives on')
})

t.test('an empty group without offsets is forgotten at the next look, on disk too; one with offsets when they expire', async (t) => {
  const rig = new Rig({ offsetRetentionMs: 60 * MINUTE_MS })
  await rig.topic('a')
  const { groups, committedOffsets } = rig.broker
  for (const groupId of ['bare', 'kept', 'used']) {
    const joined = await groups.join(request({ groupId, sessionTimeoutMs: 1_800_000 }))
    await groups.sync(groupId, syncRequest(joined))
    if (groupId !== 'bare')
      await committedOffsets.commit([{ groupId, topicName: 'a', partitionIndex: 0, offset: 1, leaderEpoch: -1, metadata: '' }])
    if (groupId !== 'used') groups.leave(groupId, { memberId: joined.memberId, groupInstanceId: null })
  }
  await run(rig, 10 * MINUTE_MS)
  t.same(keys(rig), ['group/kept/0', 'group/used/0', 'group/used/1'])
  t.equal(groups.find('bare'), null)
  rig.restart()
  await run(rig, 40 * MINUTE_MS)
  t.same(keys(rig), ['group/kept/0', 'group/used/0'], 'a restart forgets neither')
  await run(rig, 20 * MINUTE_MS)
  t.same(keys(rig), ['group/used/0'], 'the time counts from when it became empty')
  await run(rig, 60 * MINUTE_MS)
  t.same(keys(rig), [], 'and of a group that nobody came back to from the end of its last session')
})

t.test('of topics that no member reads any more offsets expire while the group lives', async (t) => {
  const rig = new Rig({ offsetRetentionMs: 60 * MINUTE_MS })
  for (const name of ['a', 'b']) await rig.topic(name)
  const { groups, committedOffsets } = rig.broker
  const protocols = [{ name: 'range', metadata: subscriptionOf('a') }]
  const joined = await groups.join(request({ protocols, sessionTimeoutMs: 1_800_000 }))
  await groups.sync('g', syncRequest(joined))
  for (const topicName of ['a', 'b'])
    await committedOffsets.commit([{ groupId: 'g', topicName, partitionIndex: 0, offset: 1, leaderEpoch: -1, metadata: '' }])
  for (let at = 0; at < 5; at++) {
    const found = committedOffsets.list('g').map(({ topicName }) => topicName)
    t.same(found, at < 3 ? ['a', 'b'] : ['a'], `${20 * at} minutes`)
    await run(rig, 20 * MINUTE_MS)
    t.equal(groups.heartbeat('g', claim(joined)), 'NONE')
  }
})

t.test('when there is no room for members, groups that nobody is in make some', async (t) => {
  const rig = new Rig({ groupBytesMax: 64 * 1024 })
  const { groups } = rig.broker
  const faults: string[] = []
  for (let at = 0; at < 300; at++) {
    const joined = await groups.join(request({ groupId: `g${at}` }))
    faults.push(joined.fault)
    await groups.sync(`g${at}`, syncRequest(joined))
    groups.leave(`g${at}`, { memberId: joined.memberId, groupInstanceId: null })
  }
  t.same([...new Set(faults)], ['NONE'])
  t.ok(keys(rig).length < 150, `${keys(rig).length} are left on disk`)
})

t.test(
  'assignments on their way to the disk count: those of many groups at once find no more room than one behind the other',
  async (t) => {
    const rig = new Rig({ groupBytesMax: 64 * 1024 })
    const { groups } = rig.broker
    const joined: JoinAnswer[] = []
    for (let at = 0; at < 6; at++) joined.push(await groups.join(request({ groupId: `g${at}` })))
    rig.store.hold()
    const large = new Uint8Array(20 * 1024)
    const synced = joined.map((one, at) => groups.sync(`g${at}`, syncRequest(one, new Map([[one.memberId, large]]))))
    await soon(Promise.all(synced), 'waits')
    rig.store.release()
    const faults = (await Promise.all(synced)).map(({ fault }) => fault)
    t.same(faults, ['NONE', 'NONE', ...new Array(4).fill('GROUP_MAX_SIZE_REACHED')])
    t.equal((await groups.sync('g0', syncRequest(joined[0] as JoinAnswer))).assignment.byteLength, large.byteLength)
  }
)

t.test('static members of whom none has come back are waited for until their sessions are over', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const first = await groups.join(request({ groupInstanceId: 'a' }))
  const second = groups.join(request({ groupInstanceId: 'b' }))
  const both = [await groups.join(request({ memberId: first.memberId, groupInstanceId: 'a' })), await second]
  const leader = both.find(({ memberId, leaderId }) => memberId === leaderId) as JoinAnswer
  await groups.sync('g', syncRequest(leader, EMPTY, leader === both[0] ? 'a' : 'b'))
  const stranger = await groups.join(request({ sessionTimeoutMs: 6_000, requiresKnownMemberId: true }))
  const joining = groups.join(request({ memberId: stranger.memberId, sessionTimeoutMs: 6_000 }))
  groups.leave('g', { memberId: stranger.memberId, groupInstanceId: null })
  t.match(await joining, { fault: 'UNKNOWN_MEMBER_ID' })
  t.equal(groups.find('g')?.status, 'PreparingRebalance')
  const generationId = groups.find('g')?.generationId
  for (let atMs = 5_000; atMs <= REBALANCE_MS + 5_000; atMs += 5_000) {
    await rig.clock.run({ untilMs: atMs })
    for (const [at, joined] of both.entries()) groups.heartbeat('g', claim(joined, at === 0 ? 'a' : 'b'))
  }
  t.match(
    groups.find('g'),
    { status: 'PreparingRebalance', generationId, memberCount: 2 },
    'nobody leads a generation that nobody has joined'
  )
  await run(rig, SESSION_MS + REBALANCE_MS)
  t.match(groups.find('g'), { status: 'Empty', memberCount: 0 })
})

t.test('a value that verifies and is none of ours refuses the start by name; what is read is what was written', async (t) => {
  const rig = new Rig()
  await pair(rig)
  const pieces = keys(rig).map((key) => storedGroups.get(rig.store, key))
  const texts = pieces.map((piece) => decoder.decode(piece?.bytes))
  t.equal(texts.length, 3)
  const start = async (index: number, text: string, begins = true): Promise<void> => {
    const key = storedGroups.key('g', index)
    const before = rig.store.getState(key) as Uint8Array
    await rig.store.commit([], [storedGroups.put(key, { begins, bytes: encoder.encode(text) })])
    try {
      rig.restart()
    } finally {
      await rig.store.commit([], [{ key, value: before }])
    }
  }
  const [group = '', member = ''] = texts
  const damaged: [number, string][] = [
    ...[0, 1, 2].flatMap((index) => {
      const text = texts[index] as string
      return [...Array.from({ length: text.length - 1 }, (_, at): [number, string] => [index, text.slice(0, at + 1)]), [index, `${text} `]]
    }),
    ...['null', '-1', '1.5', '"2"'].map((other): [number, string] => [0, group.replace('"generation":2', `"generation":${other}`)]),
    ...['1', '3', '-1'].map((other): [number, string] => [0, group.replace('"members":2', `"members":${other}`)]),
    [0, group.replace('"protocol":"range"', '"protocol":null')],
    [0, group.replace(/"leader":"[^"]*"/, '"leader":null')],
    [1, member.replace(/"assignment":"[^"]*"/, '"assignment":"cDA"')]
  ] as [number, string][]
  for (const [index, text] of damaged) await t.rejects(start(index, text), { code: 'WADI_STATE_DAMAGED' }, text.slice(-60))
  for (const index of [0, 1, 2]) await t.rejects(start(index, texts[index] as string, false), { code: 'WADI_STATE_DAMAGED' })
  await t.rejects(start(0, group.replace('"v":1', '"v":2')), { code: 'WADI_FORMAT_NEWER' })
  await rig.store.commit([], [storedGroups.remove(storedGroups.key('g', 1))])
  t.throws(() => rig.restart(), { code: 'WADI_STATE_DAMAGED' }, 'a piece that is not there')
})

t.test('a static member that comes and goes writes what is its own, whatever the others have', async (t) => {
  const rig = new Rig()
  const { groups } = rig.broker
  const large = { protocols: [{ name: 'range', metadata: new Uint8Array(200_000) }] }
  const first = await groups.join(request({ groupInstanceId: 'large', ...large }))
  const second = groups.join(request({ groupInstanceId: 'small' }))
  const leader = await groups.join(request({ groupInstanceId: 'large', memberId: first.memberId, ...large }))
  await Promise.all([
    second.then((joined) => groups.sync('g', syncRequest(joined, EMPTY, 'small'))),
    groups.sync('g', syncRequest(leader, EMPTY, 'large'))
  ])
  const { store } = rig
  const sizes: number[] = []
  const commit = store.commit.bind(store)
  store.commit = (appends, state) => {
    sizes.push((state as StateChange[]).reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0))
    return commit(appends, state)
  }
  for (let round = 0; round < 10; round++) t.equal((await groups.join(request({ groupInstanceId: 'small' }))).fault, 'NONE')
  t.equal(sizes.length, 10)
  t.ok(Math.max(...sizes) < 1_000, `${Math.max(...sizes)} bytes at most`)
  const back = await groups.join(request({ groupInstanceId: 'large', ...large }))
  rig.restart()
  t.equal(rig.broker.groups.heartbeat('g', claim(back, 'large')), 'NONE')
})

for (const seed of seeds({ count: 10 })) {
  t.test(
    `members that come, go, fall silent and come back over restarts and refusals: what they were told is so (SEED=${seed})`,
    async (t) => {
      const prng = new Prng(seed)
      const rig = new Rig()
      /** Static members: their last claim, and what they were assigned in it. */
      const told = new Map<string, { joined: JoinAnswer; assignment: string }>()
      for (let step = 0; step < 150; step++) {
        const name = `m${prng.below(3)}`
        const known = told.get(name)
        const { groups } = rig.broker
        if (prng.chance(20)) rig.store.failNext()
        const kind = prng.below(100)
        if (kind < 15) rig.restart()
        else if (kind < 25) await run(rig, prng.below(SESSION_MS))
        else if (kind < 75) await joinAll(rig, told, name)
        else if (known && groups.leave('g', { memberId: '', groupInstanceId: name }) === 'NONE') told.delete(name)
        await run(rig, 1)
        for (const [one, { joined, assignment }] of told) {
          const fault = rig.broker.groups.heartbeat('g', claim(joined, one))
          if (fault !== 'NONE') continue
          const { assignment: now } = await rig.broker.groups.sync('g', syncRequest(joined, EMPTY, one))
          if (decoder.decode(now) !== assignment) t.fail(`step ${step}: ${one} was told "${assignment}" and has "${decoder.decode(now)}"`)
        }
        const owners = [...told].filter(([one, { joined }]) => rig.broker.groups.heartbeat('g', claim(joined, one)) === 'NONE')
        const generations = new Set(owners.map(([, { joined }]) => joined.generationId))
        if (generations.size > 1) t.fail(`step ${step}: claims of ${generations.size} generations are taken`)
      }
      const { groups } = rig.broker
      for (const name of ['m0', 'm1', 'm2']) groups.leave('g', { memberId: '', groupInstanceId: name })
      await run(rig, 3 * REBALANCE_MS + 25 * MINUTE_MS)
      t.same([groups.find('g'), keys(rig), rig.clock.pendingCount], [null, [], 1], 'nothing is left')
    }
  )
}

/** The member comes in, everybody else that is in the group too, and the leader assigns to each its name with the generation. */
async function joinAll(rig: Rig, told: Map<string, { joined: JoinAnswer; assignment: string }>, name: string): Promise<void> {
  const { groups } = rig.broker
  const answers = new Map<string, JoinAnswer>()
  const pending = new Map<string, Promise<void>>()
  const join = (one: string): void => {
    const memberId = one === name && !told.has(one) ? '' : (told.get(one)?.joined.memberId ?? '')
    const asked = groups.join(request({ groupInstanceId: one, memberId, sessionTimeoutMs: SESSION_MS, rebalanceTimeoutMs: 5_000 }))
    pending.set(
      one,
      asked.then((answer) => void answers.set(one, answer))
    )
  }
  join(name)
  for (const one of told.keys()) if (one !== name) join(one)
  await run(rig, 5_001) // whoever is waited for in vain
  await Promise.all(pending.values())
  const joined = [...answers].filter(([, { fault }]) => fault === 'NONE')
  for (const [one, { fault }] of answers) if (fault !== 'NONE') told.delete(one)
  const newest = Math.max(...joined.map(([, { generationId }]) => generationId))
  const parts = new Map(joined.map(([one, { memberId }]) => [memberId, encoder.encode(`${one}@${newest}`)]))
  const synced = joined.map(async ([one, answer]) => {
    const { fault, assignment } = await groups.sync('g', syncRequest(answer, answer.leaderId === answer.memberId ? parts : EMPTY, one))
    if (fault === 'NONE') told.set(one, { joined: answer, assignment: decoder.decode(assignment) })
    else told.delete(one)
  })
  await run(rig, 5_001)
  await Promise.all(synced)
}

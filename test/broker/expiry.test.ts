// Proves that what nobody asks for any more is forgotten, on disk too, that nothing in use is, and that a wrong or jumping clock is no reason.

import t from 'tap'
import { Rig } from './rig.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

function offsetOf(groupId: string, offset: number, partitionIndex = 0) {
  return { groupId, topicName: 'a', partitionIndex, offset, leaderEpoch: -1, metadata: '' }
}

const run = (rig: Rig, durationMs: number): Promise<void> => rig.clock.run({ untilMs: rig.clock.monotonicMs() + durationMs })
const find = (rig: Rig, groupId: string, partitionIndex = 0) =>
  rig.broker.committedOffsets.find(groupId, { topicName: 'a', partitionIndex })?.offset
const keys = (rig: Rig, area: string): string[] => rig.store.listState(`${area}/`)

t.test('offsets of a group without members expire seven days after their commit, on disk too', async (t) => {
  const rig = new Rig()
  await rig.topic('a', 2)
  await rig.broker.committedOffsets.commit([offsetOf('g', 1), offsetOf('g', 2, 1), offsetOf('other', 3)])
  await run(rig, 3 * DAY_MS)
  await rig.broker.committedOffsets.commit([offsetOf('g', 5)])
  rig.restart()
  await run(rig, 4 * DAY_MS - HOUR_MS)
  t.same([find(rig, 'g'), find(rig, 'g', 1), find(rig, 'other')], [5, 2, 3], 'not yet')
  await run(rig, 2 * HOUR_MS)
  t.same([find(rig, 'g'), find(rig, 'g', 1), find(rig, 'other')], [5, undefined, undefined])
  t.same(keys(rig, 'offsets').length, 1)
  await run(rig, 3 * DAY_MS)
  t.same([find(rig, 'g'), keys(rig, 'offsets')], [undefined, []])
  rig.restart()
  t.equal(find(rig, 'g'), undefined)
})

t.test('while a group has members nothing of it expires; then the time counts from the last of them', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const { groups, committedOffsets } = rig.broker
  await committedOffsets.commit([offsetOf('g', 1)])
  const joined = await groups.join({
    groupId: 'g',
    memberId: '',
    groupInstanceId: null,
    clientId: 'c',
    clientHost: 'h',
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: new Uint8Array(0) }],
    sessionTimeoutMs: 1_800_000,
    rebalanceTimeoutMs: 1_800_000,
    requiresKnownMemberId: false
  })
  const claim = { memberId: joined.memberId, groupInstanceId: null, generationId: joined.generationId }
  void groups.sync('g', { ...claim, protocolType: null, protocolName: null, assignments: new Map() })
  for (let hours = 0; hours < 9 * 24; hours += 0.25) {
    await run(rig, HOUR_MS / 4)
    groups.heartbeat('g', claim)
  }
  t.equal(find(rig, 'g'), 1, 'nine days old, and in use')
  t.equal(groups.leave('g', claim), 'NONE')
  await run(rig, 7 * DAY_MS - HOUR_MS)
  t.equal(find(rig, 'g'), 1)
  await run(rig, 2 * HOUR_MS)
  t.equal(find(rig, 'g'), undefined)
})

t.test('what groups commit is bounded in memory: new places are refused, those that are there move on', async (t) => {
  const rig = new Rig({ offsetBytesMax: 20_000 })
  await rig.topic('a', 2)
  const { committedOffsets } = rig.broker
  let count = 0
  while (count < 100 && committedOffsets.hasRoomFor([offsetOf(`g${count}`, 1)])) await committedOffsets.commit([offsetOf(`g${count++}`, 1)])
  t.ok(count > 20 && count < 60, `${count} groups`)
  t.ok(committedOffsets.hasRoomFor([offsetOf('g3', 2)]), 'a group that has committed before')
  t.notOk(committedOffsets.hasRoomFor([{ ...offsetOf('g3', 2), metadata: 'm'.repeat(4000) }]))
  rig.restart()
  t.notOk(rig.broker.committedOffsets.hasRoomFor([offsetOf('new', 1)]), 'counted after a restart too')
  await run(rig, 8 * DAY_MS)
  t.ok(rig.broker.committedOffsets.hasRoomFor([offsetOf('new', 1)]), 'what expires leaves room')
})

t.test('offsets that an open transaction will commit keep their group', async (t) => {
  const rig = new Rig({ offsetRetentionMs: HOUR_MS })
  await rig.topic('a')
  await rig.broker.committedOffsets.commit([offsetOf('g', 1)])
  await run(rig, HOUR_MS - 60_000)
  const { transactions } = rig.broker
  const who = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 900_000, expected: null })
  await transactions.addGroup('x', who, 'g')
  await transactions.addOffsets('x', who, 'g', [offsetOf('g', 2)])
  await run(rig, 800_000)
  t.equal(find(rig, 'g'), 1, 'over its time, and pending')
  await run(rig, 200_000 + 600_000)
  t.equal(find(rig, 'g'), undefined, 'the transaction timed out')
})

t.test('a store that refuses postpones it; a commit meanwhile wins', async (t) => {
  const rig = new Rig({ offsetRetentionMs: HOUR_MS })
  await rig.topic('a')
  await rig.broker.committedOffsets.commit([offsetOf('g', 1), offsetOf('h', 1)])
  await run(rig, HOUR_MS - 60_000)
  rig.store.failNext('WADI_DISK_FULL')
  await run(rig, 120_000)
  t.equal(find(rig, 'g'), 1, 'refused: it is still there')
  rig.store.hold()
  await run(rig, 600_000)
  const again = rig.broker.committedOffsets.commit([offsetOf('g', 7)])
  rig.store.release()
  await again
  await run(rig, 1)
  t.equal(find(rig, 'g'), 7)
  rig.restart()
  t.equal(find(rig, 'g'), 7, 'the deletion is durable before the commit, not behind it')
})

t.test('a clock that jumps, or was wrong when the commit was made, expires nothing early', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  await rig.broker.committedOffsets.commit([offsetOf('g', 1)])
  rig.clock.jumpWall(40 * 365 * DAY_MS)
  await run(rig, 6 * DAY_MS)
  t.equal(find(rig, 'g'), 1, 'forty years later in six days')
  rig.clock.jumpWall(-93 * 365 * DAY_MS)
  await run(rig, HOUR_MS)
  await rig.broker.committedOffsets.commit([offsetOf('before-1970', 1)])
  rig.clock.jumpWall(53 * 365 * DAY_MS)
  rig.restart()
  await run(rig, 6 * DAY_MS)
  t.equal(find(rig, 'before-1970'), 1, 'committed before the clock was set')
  await run(rig, 2 * DAY_MS)
  t.equal(find(rig, 'before-1970'), undefined)
})

t.test('transactional ids are bounded: a new one is refused, known ones go on, and what expires leaves room', async (t) => {
  const rig = new Rig({ transactionalIdCountMax: 2 })
  const init = (transactionalId: string) => rig.broker.transactions.initProducer({ transactionalId, timeoutMs: 60_000, expected: null })
  t.same(
    [(await init('a')).fault, (await init('b')).fault, (await init('c')).fault, (await init('a')).fault],
    ['NONE', 'NONE', 'POLICY_VIOLATION', 'NONE']
  )
  rig.restart()
  t.equal((await init('c')).fault, 'POLICY_VIOLATION')
  await run(rig, 8 * DAY_MS)
  t.equal((await init('c')).fault, 'NONE')
})

t.test('transactional ids expire seven days after their last use; an open transaction never does', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const { transactions } = rig.broker
  const who = await transactions.initProducer({ transactionalId: 'old', timeoutMs: 60_000, expected: null })
  await run(rig, 6 * DAY_MS)
  await transactions.initProducer({ transactionalId: 'young', timeoutMs: 60_000, expected: null })
  rig.restart()
  await run(rig, DAY_MS + HOUR_MS)
  t.same(keys(rig, 'txn'), ['txn/young'])
  const next = await rig.broker.transactions.initProducer({ transactionalId: 'old', timeoutMs: 60_000, expected: null })
  t.not(next.producerId, who.producerId, 'it is a new one')
  t.equal(await rig.broker.transactions.end('old', who, 'commit'), 'INVALID_PRODUCER_ID_MAPPING')
})

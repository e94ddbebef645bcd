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

/** A member of the group "g", for so long; it is still there then. */
async function beMember(rig: Rig, durationMs: number) {
  const { groups } = rig.broker
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
    requiresKnownMemberId: false,
    knowsSkipAssignment: true
  })
  const claim = { memberId: joined.memberId, groupInstanceId: null, generationId: joined.generationId }
  void groups.sync('g', { ...claim, protocolType: null, protocolName: null, assignments: new Map() })
  for (let leftMs = durationMs; leftMs > 0; leftMs -= HOUR_MS / 4) {
    await run(rig, HOUR_MS / 4)
    groups.heartbeat('g', claim)
  }
  return claim
}

t.test('while a group has members nothing of it expires; then the time counts from the last of them', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const { groups, committedOffsets } = rig.broker
  await committedOffsets.commit([offsetOf('g', 1)])
  const claim = await beMember(rig, 9 * DAY_MS)
  t.equal(find(rig, 'g'), 1, 'nine days old, and in use')
  t.equal(groups.leave('g', claim), 'NONE')
  await run(rig, 7 * DAY_MS - HOUR_MS)
  t.equal(find(rig, 'g'), 1)
  await run(rig, 2 * HOUR_MS)
  t.equal(find(rig, 'g'), undefined)
})

t.test('a group that had members before a restart keeps what it committed long before, though they come back late', async (t) => {
  const rig = new Rig()
  await rig.topic('a', 2)
  await rig.broker.committedOffsets.commit([offsetOf('g', 1), offsetOf('g', 2, 1), offsetOf('nobody', 3)])
  await beMember(rig, 9 * DAY_MS)
  rig.restart()
  await run(rig, 6 * DAY_MS - HOUR_MS)
  t.same([find(rig, 'g'), find(rig, 'g', 1), find(rig, 'nobody')], [1, 2, undefined])
  await run(rig, DAY_MS + 2 * HOUR_MS)
  t.same([find(rig, 'g'), find(rig, 'g', 1)], [undefined, undefined])
})

/** The fault of a commit, 'NONE' when it was taken. */
const commitFault = (rig: Rig, ...offsets: ReturnType<typeof offsetOf>[]): Promise<string> =>
  rig.broker.committedOffsets.commit(offsets).then(
    () => 'NONE',
    (error: { fault: string }) => error.fault
  )
const FULL = 'INVALID_COMMIT_OFFSET_SIZE'

t.test('what groups commit is bounded in memory: new places are refused, those that are there move on', async (t) => {
  const rig = new Rig({ offsetBytesMax: 20_000 })
  await rig.topic('a', 2)
  let count = 0
  while (count < 100 && (await commitFault(rig, offsetOf(`g${count}`, 1))) === 'NONE') count++
  t.ok(count > 20 && count < 60, `${count} groups`)
  t.same(rig.told, [`committed offsets: ${count} offsets of ${count} groups, group "g0" has most: 1`])
  t.equal(await commitFault(rig, offsetOf('g3', 2)), 'NONE', 'a group that has committed before')
  t.equal(await commitFault(rig, { ...offsetOf('g3', 2), metadata: 'm'.repeat(4000) }), FULL)
  rig.restart()
  t.equal(await commitFault(rig, offsetOf('new', 1)), FULL, 'counted after a restart too')
  await run(rig, 8 * DAY_MS)
  t.equal(await commitFault(rig, offsetOf('new', 1)), 'NONE', 'what expires leaves room')
})

t.test('the bound of committed offsets counts what is on its way, and each place once', async (t) => {
  const rig = new Rig({ offsetBytesMax: 20_000 })
  await rig.topic('a', 2)
  rig.store.hold()
  const faults = Array.from({ length: 100 }, (_, at) => commitFault(rig, offsetOf(`g${at}`, 1)))
  rig.store.release()
  const taken = (await Promise.all(faults)).filter((fault) => fault === 'NONE').length
  t.ok(taken > 20 && taken < 60, `${taken} groups`)
  t.equal(rig.broker.committedOffsets.groupIds().length, taken)

  const other = new Rig({ offsetBytesMax: 20_000 })
  await other.topic('a')
  t.equal(await commitFault(other, { ...offsetOf('long', 1), metadata: 'm'.repeat(4000) }), 'NONE')
  const same = Array.from({ length: 100 }, () => offsetOf('long', 2))
  const more = Array.from({ length: 100 }, (_, at) => offsetOf(`g${at}`, 1))
  t.equal(await commitFault(other, ...same, ...more), FULL, 'what shrinks is subtracted once')
})

t.test('the bound of committed offsets counts what open transactions hold, after a restart too, until they end', async (t) => {
  const rig = new Rig({ offsetBytesMax: 20_000 })
  await rig.topic('a', 2)
  t.equal(await commitFault(rig, offsetOf('known', 1)), 'NONE')
  const begin = async (transactionalId: string, groupId: string) => {
    const who = await rig.broker.transactions.initProducer({ transactionalId, timeoutMs: 900_000, expected: null })
    await rig.broker.transactions.addGroup(transactionalId, who, groupId)
    return who
  }
  const add = async (transactionalId: string, groupId: string, metadata = '') => {
    const who = await begin(transactionalId, groupId)
    return rig.broker.transactions.addOffsets(transactionalId, who, groupId, [{ ...offsetOf(groupId, 5), metadata }])
  }
  const faults: string[] = []
  for (let at = 0; at < 100; at++) faults.push(await add(`x${at}`, `g${at}`))
  const taken = faults.filter((fault) => fault === 'NONE').length
  t.ok(taken > 20 && taken < 60, `${taken} transactions`)
  t.same([...new Set(faults)], ['NONE', 'COORDINATOR_NOT_AVAILABLE'], 'for a moment only: it may be tried again')
  rig.restart()
  t.equal(await commitFault(rig, offsetOf('new', 1)), 'COORDINATOR_NOT_AVAILABLE')
  t.equal(await commitFault(rig, offsetOf('known', 2)), 'NONE', 'moves on')
  rig.store.failNext()
  const mover = await begin('mover', 'known')
  t.equal(mover.fault, 'COORDINATOR_NOT_AVAILABLE')
  t.equal(await add('mover', 'known'), 'NONE', 'moves on in a transaction too')
  const who = await begin('refused', 'known')
  for (let at = 0; at < 100; at++) {
    rig.store.failNext()
    const fault = await rig.broker.transactions.addOffsets('refused', who, 'known', [offsetOf('known', 3)])
    t.equal(fault, 'COORDINATOR_NOT_AVAILABLE')
  }
  t.equal(
    await rig.broker.transactions.addOffsets('refused', who, 'known', [offsetOf('known', 3)]),
    'NONE',
    'what was refused holds nothing'
  )
  await run(rig, 900_001)
  t.equal(rig.broker.transactions.openCount, 0)
  for (let at = 0; at < taken - 1; at++) t.equal(await commitFault(rig, offsetOf(`h${at}`, 1)), 'NONE')
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

t.test('what is on its way to the disk when the deletion is asked for is not deleted by it', async (t) => {
  const rig = new Rig({ offsetRetentionMs: HOUR_MS, producerExpiryMs: HOUR_MS })
  await rig.topic('a')
  const producer = { producerId: 40n, producerEpoch: 1 }
  const batches = [0, 1].map((baseSequence) => rig.batch([`v${baseSequence}`], { ...producer, baseSequence }))
  await rig.append('a', batches[0] as Uint8Array)
  await rig.broker.committedOffsets.commit([offsetOf('g', 1), offsetOf('silent', 1)])
  await run(rig, HOUR_MS - 1)
  rig.store.hold()
  const commit = rig.broker.committedOffsets.commit([offsetOf('g', 7)])
  const append = rig.append('a', batches[1] as Uint8Array)
  await run(rig, 2)
  rig.store.release()
  await Promise.all([commit, append])
  await run(rig, 1)
  t.same([find(rig, 'g'), find(rig, 'silent')], [7, undefined])
  rig.restart()
  t.same([find(rig, 'g'), find(rig, 'silent')], [7, undefined], 'after a restart too')
  t.equal((await rig.append('a', batches[1] as Uint8Array)).baseOffset, 1, 'a repeat')
  t.same(await rig.values('a'), ['v0', 'v1'])
})

t.test('a transaction that ends while a long deletion goes on keeps the offsets it commits', async (t) => {
  const rig = new Rig({ offsetRetentionMs: HOUR_MS })
  await rig.topic('a', 1002)
  const { committedOffsets, transactions } = rig.broker
  await committedOffsets.commit(Array.from({ length: 1002 }, (_, partition) => offsetOf('g', 1, partition)))
  await run(rig, HOUR_MS - 60_000)
  const who = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 900_000, expected: null })
  await transactions.addGroup('x', who, 'g')
  await run(rig, 60_000 - 1)
  rig.store.hold()
  const added = transactions.addOffsets('x', who, 'g', [offsetOf('g', 9, 1001)])
  await run(rig, 2) // the deletion of the first thousand is asked for
  rig.store.releaseOne()
  t.equal(await added, 'NONE')
  const ended = transactions.end('x', who, 'commit')
  await run(rig, 1)
  rig.store.releaseOne() // the deletion goes on behind the end of the transaction
  await run(rig, 1)
  rig.store.release()
  t.equal(await ended, 'NONE')
  await run(rig, 1)
  t.same([find(rig, 'g', 0), find(rig, 'g', 1001)], [undefined, 9])
  rig.restart()
  t.same([find(rig, 'g', 0), find(rig, 'g', 1001)], [undefined, 9])
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
  t.match(rig.told, [/^transactions: 2 transactional ids, /])
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

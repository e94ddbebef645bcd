import t from 'tap'
import { EXPIRY_SCAN_MS } from '../../runtime/broker/expiry.ts'
import { ABORT_AGAIN_MS, type ProducerIdentity } from '../../runtime/broker/transactions.ts'
import { Rig } from './rig.ts'

const ID = 'writer'
const TIMEOUT_MS = 60_000

async function init(rig: Rig, expected: ProducerIdentity | null = null) {
  return rig.broker.transactions.initProducer({ transactionalId: ID, timeoutMs: TIMEOUT_MS, expected })
}

/** One transactional batch of one record in topic "a". */
function send(rig: Rig, who: ProducerIdentity, value: string, baseSequence: number) {
  return rig.append('a', rig.batch([value], { ...who, baseSequence, isTransactional: true }))
}

async function begin(rig: Rig, who: ProducerIdentity) {
  return rig.broker.transactions.addPartitions(ID, who, [rig.partition('a')])
}

const end = (rig: Rig, who: ProducerIdentity, outcome: 'commit' | 'abort') => rig.broker.transactions.end(ID, who, outcome)

/** With a transaction that holds one record of topic "a", in front of a plain one. */
async function leftOpen() {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  await begin(rig, who)
  await send(rig, who, 'x', 0)
  await rig.append('a', rig.batch(['behind']))
  return { rig, who }
}

function position(offset: number) {
  return { groupId: 'g', topicName: 'a', partitionIndex: 0, offset, leaderEpoch: -1, metadata: '' }
}

const committed = (rig: Rig) => rig.broker.committedOffsets.find('g', { topicName: 'a', partitionIndex: 0 })?.offset

t.test('readers of committed data see nothing of a transaction before its end, and all of it after', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  t.equal(await begin(rig, who), 'NONE')
  await send(rig, who, 'x', 0)
  await rig.append('a', rig.batch(['plain']))
  t.same(await rig.values('a'), [], 'also what lies behind it')
  t.match(await rig.fetch('a'), { lastStableOffset: 0, highWatermark: 2 })
  t.same(await rig.values('a', 'read_uncommitted'), ['x', 'plain'])
  t.equal(await end(rig, who, 'commit'), 'NONE')
  t.same(await rig.values('a'), ['x', 'plain'])
  t.match(await rig.fetch('a'), { lastStableOffset: 3, highWatermark: 3, abortedTransactions: [] })
})

t.test('an aborted transaction is listed for readers and invisible to them, also after a restart', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  for (const [value, sequence, outcome] of [
    ['x', 0, 'abort'],
    ['y', 1, 'commit'],
    ['z', 2, 'abort']
  ] as const) {
    await begin(rig, who)
    await send(rig, who, value, sequence)
    t.equal(await end(rig, who, outcome), 'NONE')
  }
  const aborted = [
    { producerId: who.producerId, firstOffset: 0, lastOffset: 1 },
    { producerId: who.producerId, firstOffset: 4, lastOffset: 5 }
  ]
  for (const when of ['now', 'after a restart']) {
    t.same(await rig.values('a'), ['y'], when)
    t.same((await rig.fetch('a')).abortedTransactions, aborted, when)
    t.same((await rig.fetch('a', { from: 2 })).abortedTransactions, [aborted[1]], `${when}, from behind the first`)
    t.equal((await rig.fetch('a', { isolation: 'read_uncommitted' })).abortedTransactions, null)
    rig.restart()
  }
})

t.test('markers, group offsets and states become durable in one commit', async (t) => {
  const rig = new Rig()
  await rig.topic('a', 3)
  const who = await init(rig)
  const partitions = [0, 1, 2].map((index) => rig.partition('a', index))
  await rig.broker.transactions.addPartitions(ID, who, partitions)
  await rig.broker.transactions.addGroup(ID, who, 'g')
  await send(rig, who, 'x', 0)
  t.equal(await rig.broker.transactions.addOffsets(ID, who, 'g', [position(1)]), 'NONE')
  t.equal(await rig.broker.transactions.addOffsets(ID, who, 'g', [position(41)]), 'NONE')
  t.equal(committed(rig), undefined, 'not before the commit')
  t.ok(rig.broker.transactions.hasPendingOffset('g', 'a', 0))
  const before = rig.store.commitCount
  t.equal(await end(rig, who, 'commit'), 'NONE')
  t.equal(rig.store.commitCount, before + 1)
  t.same(
    partitions.map((partition) => partition.highWatermark),
    [2, 1, 1],
    'a marker everywhere'
  )
  t.equal(committed(rig), 41, 'the last one sent')
  t.notOk(rig.broker.transactions.hasPendingOffset('g', 'a', 0))
  t.same(rig.store.listState('txn-offsets/'), [])
  rig.restart()
  t.equal(committed(rig), 41)
})

t.test('an end the store refused leaves the transaction open, and can be repeated', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  await begin(rig, who)
  await send(rig, who, 'x', 0)
  rig.store.failNext()
  t.equal(await end(rig, who, 'commit'), 'COORDINATOR_NOT_AVAILABLE')
  t.same(await rig.values('a'), [])
  t.equal(await end(rig, who, 'commit'), 'NONE')
  t.equal(await end(rig, who, 'commit'), 'NONE', 'the same verdict again is no fault')
  t.equal(await end(rig, who, 'abort'), 'INVALID_TXN_STATE', 'the opposite one is')
  t.same(await rig.values('a'), ['x'])
})

t.test('a transaction that was open at a restart can be committed, with its offsets', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  await begin(rig, who)
  await rig.broker.transactions.addGroup(ID, who, 'g')
  await send(rig, who, 'x', 0)
  await rig.broker.transactions.addOffsets(ID, who, 'g', [position(7)])
  rig.restart()
  t.same(await rig.values('a'), [], 'still open')
  t.equal(committed(rig), undefined)
  t.match(await send(rig, who, 'x', 0), { fault: 'NONE', baseOffset: 0 }, 'a repeat is recognised')
  await send(rig, who, 'y', 1)
  t.equal(await end(rig, who, 'commit'), 'NONE')
  t.same(await rig.values('a'), ['x', 'y'])
  t.equal(committed(rig), 7)
})

t.test('a new producer of the same id ends what is open by abort and fences the old one everywhere', async (t) => {
  const rig = new Rig()
  await rig.topic('a', 2)
  const old = await init(rig)
  await begin(rig, old)
  await send(rig, old, 'x', 0)
  const now = await init(rig)
  t.match(now, { fault: 'NONE', producerId: old.producerId, producerEpoch: old.producerEpoch + 1 })
  t.match(await send(rig, old, 'zombie', 1), { fault: 'INVALID_PRODUCER_EPOCH' })
  const elsewhere = await rig.append('a', rig.batch(['zombie'], { ...old, baseSequence: 0, isTransactional: true }), 1)
  t.match(elsewhere, { fault: 'INVALID_PRODUCER_EPOCH' }, 'also where it never wrote')
  t.equal(await begin(rig, old), 'PRODUCER_FENCED')
  t.equal(await end(rig, old, 'commit'), 'PRODUCER_FENCED')
  t.match(await init(rig, old), { fault: 'PRODUCER_FENCED' })
  await begin(rig, now)
  await send(rig, now, 'y', 0)
  t.equal(await end(rig, now, 'commit'), 'NONE')
  t.same(await rig.values('a'), ['y'])
})

t.test('a transaction nobody ends is aborted after its timeout, its producer fenced and able to come back', async (t) => {
  const { rig, who } = await leftOpen()
  await rig.clock.run({ untilMs: TIMEOUT_MS - 1 })
  t.same(await rig.values('a'), [])
  rig.restart()
  await rig.clock.run({ untilMs: 2 * TIMEOUT_MS })
  t.same(await rig.values('a'), ['behind'])
  t.equal(rig.broker.transactions.timedOutCount, 1)
  t.equal(await end(rig, who, 'commit'), 'PRODUCER_FENCED')
  t.match(await init(rig, who), { fault: 'NONE', producerId: who.producerId, producerEpoch: who.producerEpoch + 1 })
})

t.test('a transactional batch is taken only on partitions of the open transaction', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  t.match(await send(rig, who, 'x', 0), { fault: 'INVALID_TXN_STATE' })
  await begin(rig, who)
  t.match(await send(rig, who, 'x', 0), { fault: 'NONE' })
  await end(rig, who, 'abort')
  t.match(await send(rig, who, 'y', 1), { fault: 'INVALID_TXN_STATE' }, 'not after its end')
  t.equal(await rig.broker.transactions.addOffsets(ID, who, 'g', []), 'INVALID_TXN_STATE')
  t.equal(await rig.broker.transactions.end('nobody', who, 'commit'), 'INVALID_PRODUCER_ID_MAPPING')
  t.match(await rig.broker.transactions.initProducer({ transactionalId: '', timeoutMs: 1, expected: null }), { fault: 'INVALID_REQUEST' })
  t.match(await rig.broker.transactions.initProducer({ transactionalId: ID, timeoutMs: 900_001, expected: null }), {
    fault: 'INVALID_TRANSACTION_TIMEOUT'
  })
})

t.test('a refused transactional batch does not hold back readers', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  await begin(rig, who)
  rig.store.failNext()
  t.match(await send(rig, who, 'x', 0), { fault: 'KAFKA_STORAGE_ERROR' })
  await rig.append('a', rig.batch(['plain']))
  t.same(await rig.values('a'), ['plain'])
})

t.test('an epoch that is used up is followed by a new producer id', async (t) => {
  const rig = new Rig()
  const first = await init(rig)
  let who = first
  for (let at = 0; at < 32_767; at++) who = await init(rig)
  t.match(who, { fault: 'NONE', producerEpoch: 0 })
  t.not(who.producerId, first.producerId)
  t.equal(await rig.broker.transactions.end(ID, first, 'commit'), 'INVALID_PRODUCER_ID_MAPPING')
})

t.test('the epoch that fenced the last one of an id is not handed out, also not to who asks again', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  let who = await init(rig)
  while (who.producerEpoch < 32_766) who = await init(rig)
  await begin(rig, who)
  await send(rig, who, 'x', 0)
  await rig.clock.run({ untilMs: 2 * TIMEOUT_MS })
  t.equal(rig.broker.transactions.timedOutCount, 1)
  const now = await init(rig, who)
  t.match(now, { fault: 'NONE', producerEpoch: 0 })
  t.not(now.producerId, who.producerId)
  t.match(await init(rig, who), { fault: 'PRODUCER_FENCED' }, 'once')
  await begin(rig, now)
  await send(rig, now, 'y', 0)
  t.equal(await end(rig, now, 'commit'), 'NONE')
  t.same(await rig.values('a'), ['y'])
})

t.test('a transaction left open ends in its time, however often the broker starts meanwhile', async (t) => {
  const { rig } = await leftOpen()
  for (let starts = 0; starts < 4; starts++) {
    t.equal(rig.broker.transactions.openCount, 1)
    await rig.clock.run({ untilMs: rig.clock.monotonicMs() + TIMEOUT_MS / 4 - 100 })
    rig.restart()
  }
  await rig.clock.run({ untilMs: rig.clock.monotonicMs() + 500 })
  t.equal(rig.broker.transactions.openCount, 0)
  t.same(await rig.values('a'), ['behind'])
})

t.test('an abort that the store refused when the time was over is tried again soon, not a timeout later', async (t) => {
  const { rig } = await leftOpen()
  for (let refusals = 0; refusals < 3; refusals++) {
    rig.store.failNext()
    await rig.clock.run({ untilMs: TIMEOUT_MS + refusals * ABORT_AGAIN_MS })
    t.equal(rig.broker.transactions.openCount, 1)
  }
  await rig.clock.run({ untilMs: TIMEOUT_MS + 3 * ABORT_AGAIN_MS })
  t.same([rig.broker.transactions.openCount, rig.broker.transactions.timedOutCount], [0, 1])
  t.same(await rig.values('a'), ['behind'])
})

t.test('the number of transactional ids is bounded while new ones are on their way, and a refused one leaves its place', async (t) => {
  const rig = new Rig({ transactionalIdCountMax: 5 })
  const { transactions } = rig.broker
  const initOf = (transactionalId: string) => transactions.initProducer({ transactionalId, timeoutMs: TIMEOUT_MS, expected: null })
  await initOf('known')
  rig.store.failNext()
  t.equal((await initOf('refused')).fault, 'COORDINATOR_NOT_AVAILABLE')
  rig.store.hold()
  const answers = Array.from({ length: 20 }, (_, at) => initOf(`x${at}`))
  await rig.clock.run({ untilMs: 1 })
  rig.store.release()
  const faults = (await Promise.all(answers)).map(({ fault }) => fault)
  t.same([faults.filter((fault) => fault === 'NONE').length, rig.store.listState('txn/').length], [4, 5])
  t.same([...new Set(faults)].sort(), ['NONE', 'POLICY_VIOLATION'])
})

t.test(
  'what open transactions name is bounded in memory, after a restart too: who adds more is to try again, and what ends leaves room',
  async (t) => {
    const rig = new Rig({ transactionBytesMax: 64 * 1024 })
    const partitions = await rig.topic('a', 100)
    const initOf = (transactionalId: string) =>
      rig.broker.transactions.initProducer({ transactionalId, timeoutMs: TIMEOUT_MS, expected: null })
    const groupIds = Array.from({ length: 100 }, (_, at) => `${at}`.padEnd(200, 'g'))
    const many = await initOf('many groups')
    const faults: string[] = []
    for (let round = 0; round < 3; round++)
      for (const groupId of groupIds) faults.push(await rig.broker.transactions.addGroup('many groups', many, `${round}${groupId}`))
    t.same([...new Set(faults)], ['NONE', 'COORDINATOR_NOT_AVAILABLE'])
    const taken = faults.filter((fault) => fault === 'NONE').length
    t.ok(taken * 200 < 64 * 1024, `${taken} groups`)
    rig.restart()
    t.equal(await rig.broker.transactions.addGroup('many groups', many, 'one more'.padEnd(200, 'g')), 'COORDINATOR_NOT_AVAILABLE')
    t.equal((await initOf('another')).fault, 'POLICY_VIOLATION')
    t.equal(await rig.broker.transactions.end('many groups', many, 'commit'), 'NONE')
    const other = await initOf('many partitions')
    t.equal(other.fault, 'NONE')
    for (let round = 0; round < 10; round++) {
      t.equal(await rig.broker.transactions.addPartitions('many partitions', other, partitions), 'NONE', 'again and again')
      t.equal(await rig.broker.transactions.end('many partitions', other, 'abort'), 'NONE')
    }
    let count = 0
    while (count < 100 && (await initOf(`${count}`.padEnd(200, 'i'))).fault === 'NONE') count++
    t.ok(count > 10 && count < 100, `${count} ids`)
    rig.store.failNext()
    t.equal(await rig.broker.transactions.addPartitions('many partitions', other, partitions.slice(0, 1)), 'COORDINATOR_NOT_AVAILABLE')
  }
)

t.test('whether offsets are pending is known at once, however many transactions are open', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const { transactions } = rig.broker
  const initOf = (transactionalId: string) => transactions.initProducer({ transactionalId, timeoutMs: TIMEOUT_MS, expected: null })
  for (let at = 0; at < 1_000; at++) {
    const who = await initOf(`x${at}`)
    await transactions.addGroup(`x${at}`, who, 'g')
    await transactions.addOffsets(`x${at}`, who, 'g', [position(at)])
  }
  let pending = 0
  for (let asked = 0; asked < 1_000_000; asked++) if (transactions.hasPendingOffset('g', 'a', asked)) pending++
  t.equal(pending, 1)
  t.same([transactions.hasPendingOffsets('g'), transactions.hasPendingOffsets('h')], [true, false])
  rig.restart()
  const { transactions: again } = rig.broker
  t.same([again.hasPendingOffset('g', 'a', 0), again.hasPendingOffsets('g')], [true, true])
  await rig.clock.run({ untilMs: 2 * TIMEOUT_MS })
  t.same([again.openCount, again.hasPendingOffset('g', 'a', 0), again.hasPendingOffsets('g')], [0, false, false])
})

t.test(
  'what readers are told of aborted transactions is bounded: above it no more are begun, until the log forgets the old ones',
  async (t) => {
    const rig = new Rig({ abortedCountMax: 3 })
    await rig.topic('a')
    const who = await init(rig)
    const faults: string[] = []
    for (let at = 0; at < 5; at++) {
      faults.push(await begin(rig, who))
      await send(rig, who, `${at}`, at)
      await end(rig, who, 'abort')
    }
    t.same(faults, ['NONE', 'NONE', 'NONE', 'POLICY_VIOLATION', 'POLICY_VIOLATION'])
    t.match(rig.told[0], /^transactions: 3 aborted ones/)
    t.equal(await rig.broker.transactions.addGroup(ID, who, 'g'), 'NONE', 'offsets alone are no matter of readers')
    t.equal(await begin(rig, who), 'POLICY_VIOLATION', 'partitions that come behind them are')
    t.equal(await end(rig, who, 'commit'), 'NONE')
    rig.restart()
    t.equal(await begin(rig, who), 'POLICY_VIOLATION', 'after a restart too')
    Object.assign(rig.partition('a'), { logStartOffset: 2 })
    await rig.clock.run({ untilMs: 2 * EXPIRY_SCAN_MS })
    t.equal(await begin(rig, who), 'NONE')
    t.match(await send(rig, who, 'x', 3), { fault: 'NONE' })
    t.equal(await end(rig, who, 'commit'), 'NONE')
  }
)

t.test('aborted transactions of a deleted topic leave their place in the bound with it, at once and after a restart', async (t) => {
  const rig = new Rig({ abortedCountMax: 3 })
  for (const name of ['a', 'b']) await rig.topic(name)
  const who = await init(rig)
  const abortIn = async (name: string, sequence: number) => {
    const fault = await rig.broker.transactions.addPartitions(ID, who, [rig.partition(name)])
    await rig.append(name, rig.batch(['x'], { ...who, baseSequence: sequence, isTransactional: true }))
    await end(rig, who, 'abort')
    return fault
  }
  t.same(
    [await abortIn('a', 0), await abortIn('a', 1), await abortIn('b', 0), await abortIn('b', 1)],
    ['NONE', 'NONE', 'NONE', 'POLICY_VIOLATION']
  )
  await rig.store.deleteTopic('a')
  t.same([await abortIn('b', 1), await abortIn('b', 2)], ['NONE', 'NONE'], 'two places are free')
  t.equal(await abortIn('b', 3), 'POLICY_VIOLATION', 'and no third')
  t.equal(rig.store.listState('aborted/').length, 5, 'its notes are there: they go later')
  await rig.topic('c')
  await rig.store.deleteTopic('b')
  rig.restart()
  t.same([await abortIn('c', 0), await abortIn('c', 1), await abortIn('c', 2)], ['NONE', 'NONE', 'NONE'], 'after a restart')
  t.equal(await abortIn('c', 3), 'POLICY_VIOLATION')
})

t.test('what becomes durable after the broker was closed starts no timer', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await init(rig)
  rig.store.hold()
  const began = begin(rig, who)
  await rig.clock.run({ untilMs: 1 })
  rig.broker.close()
  rig.store.release()
  t.equal(await began, 'NONE')
  t.equal(rig.clock.pendingCount, 0)
  await rig.clock.run({ untilMs: 2 * TIMEOUT_MS })
  rig.restart()
  await rig.clock.run({ untilMs: 4 * TIMEOUT_MS })
  t.same([rig.broker.transactions.openCount, rig.broker.transactions.timedOutCount], [0, 1], 'the next life ends it')
})

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import type { FetchRequest } from '../../runtime/broker/fetch.ts'
import { listOffset } from '../../runtime/broker/list-offsets.ts'
import { NOW_MS, Rig } from './rig.ts'

function ask(overrides: Partial<FetchRequest> & { from?: number; topics?: string[]; partitionBytesMax?: number }): FetchRequest {
  const { from = 0, topics = ['a'], partitionBytesMax = 2 ** 20 } = overrides
  const places = topics.map((topicName) => ({
    topicName,
    partitionIndex: 0,
    fetchOffset: from,
    bytesMax: partitionBytesMax,
    leaderEpoch: -1
  }))
  return { places, isolation: 'read_uncommitted', maxWaitMs: 500, bytesMin: 1, bytesMax: 2 ** 20, ...overrides }
}

t.test('a fetch at the end waits for data and wakes with it', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const waiting = rig.broker.fetches.fetch(ask({}))
  t.equal(rig.broker.fetches.waitingCount, 1)
  await rig.append('a', rig.batch(['x']))
  t.equal((await waiting)[0]?.batches.length, 1)
  t.equal(rig.clock.monotonicMs(), 0, 'without waiting for the clock')
  t.equal(rig.clock.pendingCount, 1, 'only the expiry scan is left')
})

t.test('a fetch waits for its minimum of bytes, at most its time', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const batch = rig.batch(['x'])
  const waiting = rig.broker.fetches.fetch(ask({ bytesMin: batch.byteLength * 2 }))
  await rig.append('a', batch)
  t.equal(rig.broker.fetches.waitingCount, 1, 'one is not enough')
  await rig.append('a', batch)
  t.equal((await waiting)[0]?.batches.length, 2)
  const timed = rig.broker.fetches.fetch(ask({ from: 2 }))
  await rig.clock.run({ untilMs: 499 })
  t.equal(rig.broker.fetches.waitingCount, 1)
  await rig.clock.run({ untilMs: 500 })
  t.match((await timed)[0], { fault: 'NONE', highWatermark: 2, batches: [] })
})

t.test('a read_committed fetch wakes when the transaction in front of it ends', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await rig.broker.transactions.initProducer({ transactionalId: 'w', timeoutMs: 60_000, expected: null })
  await rig.broker.transactions.addPartitions('w', who, [rig.partition('a')])
  await rig.append('a', rig.batch(['x'], { ...who, baseSequence: 0, isTransactional: true }))
  const waiting = rig.broker.fetches.fetch(ask({ isolation: 'read_committed' }))
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(rig.broker.fetches.waitingCount, 1)
  await rig.broker.transactions.end('w', who, 'commit')
  t.equal((await waiting)[0]?.batches.length, 2, 'the batch and the marker')
})

t.test('damage up to the end of the log is no data: a fetch there waits, and wakes with what comes behind it', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  await rig.append('a', rig.batch(['gone']))
  const partition = rig.partition('a')
  const read = partition.read.bind(partition)
  partition.read = async (offset, options) => (offset < 1 ? { batches: [], nextOffset: toOffset(1) } : read(offset, options))
  const timed = rig.broker.fetches.fetch(ask({}))
  await rig.clock.run({ untilMs: 499 })
  t.equal(rig.broker.fetches.waitingCount, 1, 'or the client would ask again at once, and again')
  await rig.clock.run({ untilMs: 500 })
  t.match((await timed)[0], { fault: 'NONE', batches: [] })
  let admitted = 0
  const woken = rig.broker.fetches.fetch(ask({}), undefined, async (bytes) => {
    admitted += bytes
    return 2 ** 20
  })
  await rig.clock.run({ untilMs: 600 })
  t.equal(rig.broker.fetches.waitingCount, 1)
  t.equal(admitted, 0, 'what waits holds no memory that is meant for answers')
  await rig.append('a', rig.batch(['behind']))
  t.equal((await woken)[0]?.batches.length, 1)
  t.ok(admitted > 0)
  t.equal(rig.clock.monotonicMs(), 600)
  t.same(await rig.broker.fetches.fetch(ask({ topics: [] })), [], 'of nothing')
  t.match((await rig.broker.fetches.fetch(ask({ bytesMin: 0 })))[0], { fault: 'NONE' })
})

t.test('a fetch whose caller is gone ends at once', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const abort = new AbortController()
  const waiting = rig.broker.fetches.fetch(ask({ maxWaitMs: 600_000 }), abort.signal)
  abort.abort()
  t.same((await waiting)[0]?.batches, [])
  t.equal(rig.clock.pendingCount, 1, 'its timer is gone too')
})

t.test('faults answer at once, next to partitions that are well', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  await rig.append('a', rig.batch(['x']))
  const answers = await rig.broker.fetches.fetch(ask({ topics: ['a', 'none'], from: 1 }))
  t.same(
    answers.map(({ fault }) => fault),
    ['NONE', 'UNKNOWN_TOPIC_OR_PARTITION']
  )
  const beyond = (await rig.broker.fetches.fetch(ask({ from: 2 })))[0]
  t.match(beyond, { fault: 'OFFSET_OUT_OF_RANGE', highWatermark: -1 })
  t.match((await rig.broker.fetches.fetch(ask({ from: -1 })))[0], { fault: 'OFFSET_OUT_OF_RANGE' })
})

t.test('the first partition with data returns a whole batch whatever the limits, the others stop at them', async (t) => {
  const rig = new Rig()
  for (const topic of ['a', 'b']) {
    await rig.topic(topic)
    for (const value of ['1', '2', '3']) await rig.append(topic, rig.batch([value]))
  }
  const batchBytes = rig.batch(['1']).byteLength
  const count = async (request: FetchRequest) => (await rig.broker.fetches.fetch(request)).map(({ batches }) => batches.length)
  t.same(await count(ask({ topics: ['a', 'b'], bytesMax: 1 })), [1, 0])
  t.same(await count(ask({ topics: ['a', 'b'], partitionBytesMax: 1 })), [1, 0])
  t.same(await count(ask({ topics: ['a', 'b'], partitionBytesMax: batchBytes })), [1, 1])
  t.same(await count(ask({ topics: ['a', 'b'], bytesMax: batchBytes * 4 })), [3, 1])
})

t.test('an offset inside a batch returns the whole batch', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  await rig.append('a', rig.batch(['1', '2', '3']))
  t.equal((await rig.fetch('a', { from: 2 })).batches.length, 1)
})

t.test('offsets by their special names and by time', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await rig.broker.transactions.initProducer({ transactionalId: 'w', timeoutMs: 60_000, expected: null })
  await rig.append('a', rig.batch(['1', '2'], undefined, NOW_MS))
  await rig.append('a', rig.batch(['3'], undefined, NOW_MS + 20))
  await rig.append('a', rig.batch(['4'], undefined, NOW_MS + 10))
  await rig.broker.transactions.addPartitions('w', who, [rig.partition('a')])
  await rig.append('a', rig.batch(['5'], { ...who, baseSequence: 0, isTransactional: true }, NOW_MS + 30))
  const at = async (timestamp: number, isolation: 'read_committed' | 'read_uncommitted' = 'read_uncommitted') => {
    const { fault, offset, timestampMs } = await listOffset(rig.broker, {
      topicName: 'a',
      partitionIndex: 0,
      timestamp,
      leaderEpoch: -1,
      isolation
    })
    return fault === 'NONE' ? [offset, timestampMs] : fault
  }
  t.same(await at(-1), [5, -1], 'the end')
  t.same(await at(-1, 'read_committed'), [4, -1], 'the stable end')
  t.same(await at(-2), [0, -1])
  t.same(await at(-3), [4, NOW_MS + 30], 'the newest')
  t.same(await at(NOW_MS + 1), [2, NOW_MS + 20])
  t.same(await at(NOW_MS + 31), [-1, -1])
  t.same(await at(NOW_MS + 25, 'read_committed'), [-1, -1], 'not what is still open')
  t.same(await at(-9), 'INVALID_REQUEST')
})

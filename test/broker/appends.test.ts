import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { EXPIRY_SCAN_MS } from '../../runtime/broker/expiry.ts'
import { buildMarker } from '../../runtime/broker/marker.ts'
import { BASE_SEQUENCE_AT, RECORD_COUNT_AT } from '../../runtime/core/batch-header.ts'
import { NOW_MS, Rig } from './rig.ts'

const producer = { producerId: 5n, producerEpoch: 0 }

function patched(batch: Uint8Array, patch: (view: DataView) => void, rig?: Rig): Uint8Array {
  const copy = batch.slice()
  const view = new DataView(copy.buffer)
  patch(view)
  if (rig) view.setUint32(17, rig.core.crc32c(copy.subarray(21)))
  return copy
}

t.test('a repeated batch is answered with its first offset and written once', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const batch = rig.batch(['x', 'y'], { ...producer, baseSequence: 0 })
  t.match(await rig.append('a', batch), { fault: 'NONE', baseOffset: 0 })
  t.match(await rig.append('a', rig.batch(['z'], { ...producer, baseSequence: 2 })), { fault: 'NONE', baseOffset: 2 })
  t.match(await rig.append('a', batch), { fault: 'NONE', baseOffset: 0 })
  rig.restart()
  t.match(await rig.append('a', batch), { fault: 'NONE', baseOffset: 0 }, 'after a restart too')
  t.match(await rig.append('a', rig.batch(['late'], { ...producer, baseSequence: 9 })), {
    fault: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
    baseOffset: -1
  })
  t.same(await rig.values('a'), ['x', 'y', 'z'])
})

t.test('a repeat that comes while the first is not yet durable waits for it', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const batch = rig.batch(['x'], { ...producer, baseSequence: 0 })
  rig.store.hold()
  const both = [rig.append('a', batch), rig.append('a', batch)]
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(rig.store.commitCount, 1, 'one of them went to the store')
  rig.store.release()
  t.same(
    (await Promise.all(both)).map(({ fault, baseOffset }) => [fault, baseOffset]),
    [
      ['NONE', 0],
      ['NONE', 0]
    ]
  )
  t.same(await rig.values('a'), ['x'])
})

t.test('a batch the store refused leaves no trace: the same batch is taken afterwards', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const batch = rig.batch(['x'], { ...producer, baseSequence: 0 })
  rig.store.failNext('WADI_DISK_FULL')
  t.match(await rig.append('a', batch), { fault: 'KAFKA_STORAGE_ERROR', baseOffset: -1 })
  t.match(await rig.append('a', batch), { fault: 'NONE', baseOffset: 0 })
  rig.store.failNext()
  t.match(await rig.append('a', rig.batch(['plain'])), { fault: 'KAFKA_STORAGE_ERROR' })
  t.same(await rig.values('a'), ['x'])
})

t.test('behind a first batch that was refused nothing of its producer is taken, until it has come again', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const batch = (baseSequence: number, epoch = 0): Uint8Array =>
    rig.batch([`${epoch}.${baseSequence}`], { ...producer, producerEpoch: epoch, baseSequence })
  rig.store.failNext('WADI_DISK_FULL')
  t.match(await rig.append('a', batch(0)), { fault: 'KAFKA_STORAGE_ERROR' })
  t.match(await rig.append('a', batch(1)), { fault: 'OUT_OF_ORDER_SEQUENCE_NUMBER' })
  rig.store.failNext('WADI_DISK_FULL')
  t.match(await rig.append('a', batch(0)), { fault: 'KAFKA_STORAGE_ERROR' })
  t.match(await rig.append('a', batch(0)), { fault: 'NONE', baseOffset: 0 })
  t.match(await rig.append('a', batch(1)), { fault: 'NONE', baseOffset: 1 })
  t.match(await rig.append('a', rig.batch(['other'], { producerId: 6n, producerEpoch: 0, baseSequence: 7 })), { fault: 'NONE' })
  t.same(await rig.values('a'), ['0.0', '0.1', 'other'])
  const given = { producerId: 9n, producerEpoch: 0 }
  rig.store.failNext('WADI_DISK_FULL')
  t.match(await rig.append('a', rig.batch(['x'], { ...given, baseSequence: 0 })), { fault: 'KAFKA_STORAGE_ERROR' })
  const anew = { producerId: 9n, producerEpoch: 1, baseSequence: 3 }
  t.match(await rig.append('a', rig.batch(['y'], anew)), { fault: 'NONE' }, 'a producer that gave it up has a new epoch')
})

t.test("what is not exactly one well-formed batch is refused by Kafka's names", async (t) => {
  const rig = new Rig({ batchBytesMax: 500 })
  await rig.topic('a')
  const good = rig.batch(['x'])
  const cases: [string, Uint8Array | null, string][] = [
    ['no batch', null, 'INVALID_RECORD'],
    ['empty', new Uint8Array(0), 'INVALID_RECORD'],
    ['too short for a header', good.slice(0, 16), 'CORRUPT_MESSAGE'],
    ['cut', good.slice(0, good.byteLength - 1), 'CORRUPT_MESSAGE'],
    ['two batches', Buffer.concat([good, good]), 'INVALID_RECORD'],
    ['an old format', patched(good, (view) => view.setUint8(16, 1)), 'INVALID_RECORD'],
    ['an unknown format', patched(good, (view) => view.setUint8(16, 9)), 'CORRUPT_MESSAGE'],
    ['a base offset', patched(good, (view) => view.setBigInt64(0, 4n)), 'INVALID_RECORD'],
    ['a length of its own', patched(good, (view) => view.setInt32(8, 3)), 'CORRUPT_MESSAGE'],
    ['a flipped bit', patched(good, (view) => view.setUint8(64, view.getUint8(64) ^ 1)), 'CORRUPT_MESSAGE'],
    ['too large', rig.batch(['x'.repeat(500)]), 'MESSAGE_TOO_LARGE'],
    ['a wrong count', patched(good, (view) => view.setInt32(RECORD_COUNT_AT, 2), rig), 'INVALID_RECORD'],
    ['no records', patched(good, (view) => view.setInt32(RECORD_COUNT_AT, 0), rig), 'INVALID_RECORD'],
    [
      'an id without a sequence',
      patched(rig.batch(['x'], { ...producer, baseSequence: 0 }), (view) => view.setInt32(BASE_SEQUENCE_AT, -1), rig),
      'INVALID_RECORD'
    ],
    [
      'a control batch',
      patched(
        buildMarker(rig.core, { ...producer, timestampMs: NOW_MS, outcome: 'commit' }),
        (view) => view.setInt32(BASE_SEQUENCE_AT, 0),
        rig
      ),
      'INVALID_RECORD'
    ],
    ['from the future', rig.batch(['x'], undefined, NOW_MS + 3_600_001), 'INVALID_TIMESTAMP'],
    ['a transaction nobody began', rig.batch(['x'], { ...producer, baseSequence: 0, isTransactional: true }), 'INVALID_PRODUCER_ID_MAPPING']
  ]
  for (const [what, records, fault] of cases) t.match(await rig.append('a', records), { fault, baseOffset: -1 }, what)
  t.match(await rig.append('b', good), { fault: 'UNKNOWN_TOPIC_OR_PARTITION' })
  t.match(await rig.append('a', good, 7), { fault: 'UNKNOWN_TOPIC_OR_PARTITION' })
  t.equal(rig.partition('a').highWatermark, 0, 'nothing of it was written')
  t.match(await rig.append('a', good), { fault: 'NONE', baseOffset: 0 })
})

t.test('a partition named twice in one request is taken once', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const input = { topicName: 'a', partitionIndex: 0, records: rig.batch(['x'], { ...producer, baseSequence: 0 }) }
  const outcomes = await rig.broker.appends.append([input, input], { isZstdAllowed: true, hasTransactionalId: false })
  t.same(
    outcomes.map(({ fault }) => fault),
    ['NONE', 'INVALID_REQUEST']
  )
})

t.test('a producer that is silent for a day is forgotten, on disk too', async (t) => {
  const rig = new Rig({ producerExpiryMs: 86_400_000 })
  await rig.topic('a')
  await rig.append('a', rig.batch(['x'], { ...producer, baseSequence: 0 }))
  t.equal(rig.store.listState('producer/').length, 1)
  await rig.clock.run({ untilMs: 86_400_000 + 1_200_000 })
  t.equal(rig.store.listState('producer/').length, 0)
  t.match(await rig.append('a', rig.batch(['y'], { ...producer, baseSequence: 77 })), { fault: 'NONE' })
})

t.test('a deletion of silent producers that the store refused is asked for again, and one that comes back meanwhile stays', async (t) => {
  const rig = new Rig({ producerExpiryMs: 86_400_000 })
  await rig.topic('a')
  const write = (producerId: bigint, baseSequence: number) => rig.append('a', rig.batch(['x'], { ...producer, producerId, baseSequence }))
  await write(50n, 0)
  await write(51n, 0)
  const run = (durationMs: number) => rig.clock.run({ untilMs: rig.clock.monotonicMs() + durationMs })
  await run(86_400_000 - 1)
  rig.store.failNext()
  await run(2)
  t.equal(rig.store.listState('producer/').length, 2, 'refused')
  rig.store.hold()
  await run(EXPIRY_SCAN_MS)
  const again = write(50n, 1)
  rig.store.release()
  await again
  await run(1)
  const keys = rig.store.listState('producer/')
  t.same(
    keys.map((key) => key.split('/').at(-1)),
    ['50'],
    'the other one is deleted'
  )
  t.not(rig.broker.producers.find('a', 0)?.producer(50n), undefined)
  t.equal(rig.broker.producers.find('a', 0)?.producer(51n), undefined)
  rig.restart()
  t.match(await write(50n, 1), { fault: 'NONE', baseOffset: 2 }, 'a repeat')
})

t.test('a producer of old events is known for a day after its last batch: what it sends again is stored once', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const old = rig.batch(['x'], { ...producer, baseSequence: 0 }, NOW_MS - 400 * 86_400_000)
  const first = await rig.append('a', old)
  await rig.clock.run({ untilMs: 20 * 3_600_000 })
  t.equal((await rig.append('a', old)).baseOffset, first.baseOffset, 'the same batch again')
  rig.clock.jumpWall(365 * 86_400_000)
  await rig.clock.run({ untilMs: 23 * 3_600_000 })
  t.equal((await rig.append('a', old)).baseOffset, first.baseOffset, 'and after the wall clock was set')
  t.same(await rig.values('a'), ['x'])
})

t.test(
  'above the bound the producers that were silent longest are forgotten, on disk too, and none with an open transaction',
  async (t) => {
    const rig = new Rig({ producerCountMax: 10 })
    await rig.topic('a', 2)
    const { transactions } = rig.broker
    const open = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 900_000, expected: null })
    await transactions.addPartitions('x', open, [rig.partition('a')])
    await rig.append('a', rig.batch(['open'], { ...open, baseSequence: 0, isTransactional: true }))
    await rig.append('a', rig.batch(['quiet'], { ...producer, producerId: 5_000n, baseSequence: 0 }), 1)
    const write = (id: number, baseSequence = 0) =>
      rig.append('a', rig.batch(['p'], { ...producer, producerId: BigInt(6_000 + id), baseSequence }))
    for (let id = 0; id < 8; id++) await write(id)
    t.match(await write(0, 1), { fault: 'NONE' }, 'the first one again: it was silent shortest now')
    t.equal(rig.store.listState('producer/').length, 10)
    const knows = (id: bigint, partitionIndex = 0): boolean => rig.broker.producers.find('a', partitionIndex)?.producer(id) !== undefined
    await write(8)
    await rig.clock.run({ untilMs: 1 })
    t.same([knows(6_000n), knows(6_001n)], [true, false])
    rig.store.failNext()
    for (let id = 9; id < 40; id++) await write(id)
    await rig.clock.run({ untilMs: 2 })
    t.equal(rig.broker.producers.producerCount, 10)
    t.equal(rig.store.listState('producer/').length, 10)
    t.same([knows(open.producerId), knows(5_000n, 1), knows(6_000n), knows(6_001n), knows(6_039n)], [true, true, false, false, true])
    t.equal(await transactions.end('x', open, 'commit'), 'NONE')
    rig.restart()
    t.equal(rig.broker.producers.producerCount, 10)
  }
)

t.test(
  'after a restart, too, the producer that was silent longest is forgotten first: what the others send again is stored once',
  async (t) => {
    const rig = new Rig({ producerCountMax: 5 })
    await rig.topic('a')
    const write = (id: bigint, baseSequence = 0) =>
      rig.append('a', rig.batch([`${id}-${baseSequence}`], { ...producer, producerId: id, baseSequence }))
    for (const id of [30n, 9n, 200n, 4n, 100n]) await write(id)
    await write(30n, 1)
    rig.clock.jumpWall(-3_600_000)
    await write(9n, 1) // by a clock that was set back it is the oldest
    const remembered = [200n, 4n, 100n, 30n, 9n]
    for (const [at, silent] of remembered.entries()) {
      rig.restart()
      await write(1_000n + BigInt(at))
      await rig.clock.run({ untilMs: rig.clock.monotonicMs() + 1 })
      const known = (id: bigint): boolean => rig.broker.producers.find('a', 0)?.producer(id) !== undefined
      t.same(remembered.filter(known), remembered.slice(at + 1), `${silent} is forgotten, and no other`)
    }
  }
)

t.test('when the fullest partition has only producers with open transactions, others forget theirs', async (t) => {
  const rig = new Rig({ producerCountMax: 6 })
  await rig.topic('a', 3)
  const { transactions } = rig.broker
  for (let at = 0; at < 4; at++) {
    const open = await transactions.initProducer({ transactionalId: `x${at}`, timeoutMs: 900_000, expected: null })
    await transactions.addPartitions(`x${at}`, open, [rig.partition('a')])
    await rig.append('a', rig.batch(['open'], { ...open, baseSequence: 0, isTransactional: true }))
  }
  const write = (id: number, partitionIndex: number) =>
    rig.append('a', rig.batch(['p'], { ...producer, producerId: BigInt(6_000 + id), baseSequence: 0 }), partitionIndex)
  await write(0, 2)
  for (let id = 1; id < 10; id++) await write(id, 1)
  await rig.clock.run({ untilMs: 1 })
  t.equal(rig.broker.producers.producerCount, 6)
  t.equal(rig.broker.producers.find('a', 0)?.producerCount, 4, 'the open ones')
  t.equal(rig.broker.producers.find('a', 2)?.producerCount, 1, 'who has fewest keeps it')
  t.not(rig.broker.producers.find('a', 1)?.producer(6_009n), undefined, 'the newest')
})

t.test('what the ends of transactions leave behind is bounded too, and so is what a start finds', async (t) => {
  const rig = new Rig({ producerCountMax: 6 })
  const partitions = await rig.topic('a', 20)
  const { transactions } = rig.broker
  const who = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 60_000, expected: null })
  await transactions.addPartitions('x', who, partitions)
  t.equal(await transactions.end('x', who, 'commit'), 'NONE')
  await rig.clock.run({ untilMs: 1 })
  t.equal(rig.broker.producers.producerCount, 6)
  await transactions.addPartitions('x', who, partitions)
  await rig.clock.run({ untilMs: 120_000 })
  t.equal(transactions.timedOutCount, 1)
  t.equal(rig.broker.producers.producerCount, 6, 'after a timeout')
  rig.settings.producerCountMax = 3
  rig.restart()
  await rig.clock.run({ untilMs: 120_001 })
  t.same([rig.broker.producers.producerCount, rig.store.listState('producer/').length], [3, 3])
})

t.test('every producer id is given once, across restarts', async (t) => {
  const rig = new Rig()
  const ids = new Set<bigint>()
  for (let at = 0; at < 1005; at++) {
    if (at === 3) rig.restart()
    ids.add((await rig.broker.transactions.initProducer({ transactionalId: null, timeoutMs: 0, expected: null })).producerId)
  }
  t.equal(ids.size, 1005)
})

t.test('the function that gives the state of a batch has no effect of its own: asked any number of times it says the same', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = await rig.broker.transactions.initProducer({ transactionalId: 'x', timeoutMs: 1_000, expected: null })
  await rig.broker.transactions.addPartitions('x', who, [rig.partition('a')])
  const { store } = rig
  const commit = store.commit.bind(store)
  store.commit = (appends, state) => {
    if (typeof state === 'function' && appends.length > 0) {
      const answers = [7, 3, 7].map((offset) => state([toOffset(offset)]))
      t.same(answers[0], answers[2])
      t.equal(rig.broker.producers.find('a', 0)?.openSince(who.producerId), null, 'asking opens nothing')
      t.equal(rig.partition('a').lastStableOffset, rig.partition('a').highWatermark)
    }
    return commit(appends, state)
  }
  await rig.append('a', rig.batch(['v'], { ...who, baseSequence: 0, isTransactional: true }))
  t.equal(rig.broker.producers.find('a', 0)?.openSince(who.producerId), 0)
  t.equal(rig.partition('a').lastStableOffset, 0)
})

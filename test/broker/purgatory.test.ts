// Fetches that wait cost a commit next to nothing: totals are kept, nothing is measured again, and who has enough is looked at once.

import t from 'tap'
import type { Offset } from '../../runtime/base/offset.ts'
import type { FetchedPartition } from '../../runtime/broker/fetch.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { Rig } from './rig.ts'

const PARTITIONS = 50
const NEVER_MS = 3_600_000
const settled = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve))

/** What the purgatory uses of a partition of the store in memory. */
type Inside = Partition & {
  readonly listeners: ReadonlySet<() => void>
  logStartOffset: Offset
  notify(): void
  bytesFrom: Partition['bytesFrom']
}

interface Waiting {
  readonly answers: Promise<readonly FetchedPartition[]>
  isOver: boolean
  readonly abort: () => void
}

async function start(partitionCount = PARTITIONS) {
  const rig = new Rig()
  const partitions = (await rig.topic('a', partitionCount)) as readonly Inside[]
  const measured = { count: 0 }
  for (const partition of partitions) {
    const { bytesFrom } = partition
    partition.bytesFrom = (offset) => {
      measured.count++
      return bytesFrom.call(partition, offset)
    }
  }
  const wait = (bytesMin: number, options: { committed?: boolean; bytesMax?: number } = {}): Waiting => {
    const places = partitions.map(({ partitionIndex }) => ({
      topicName: 'a',
      partitionIndex,
      fetchOffset: 0,
      bytesMax: options.bytesMax ?? 2 ** 20,
      leaderEpoch: -1
    }))
    const controller = new AbortController()
    const isolation = options.committed ? 'read_committed' : 'read_uncommitted'
    const request = { places, isolation, maxWaitMs: NEVER_MS, bytesMin, bytesMax: 2 ** 20 } as const
    const answers = rig.broker.fetches.fetch(request, controller.signal)
    const waiting: Waiting = { answers, isOver: false, abort: () => controller.abort() }
    void answers.then(() => {
      waiting.isOver = true
    })
    return waiting
  }
  /** One commit that writes to all partitions. @returns its bytes */
  const commit = async (): Promise<number> => {
    const batch = rig.batch(['x'.repeat(100)])
    await rig.store.commit(
      partitions.map((partition) => ({ partition, content: { batch, recordCount: 1 } })),
      []
    )
    await settled()
    return batch.byteLength * partitions.length
  }
  return { rig, partitions, measured, wait, commit }
}

t.test('commits that do not bring enough measure nothing, whoever waits for however many partitions', async (t) => {
  const { rig, partitions, measured, wait, commit } = await start()
  const waiting = Array.from({ length: 10 }, (_, at) => wait(2 ** 20, { committed: at % 2 === 0 }))
  await settled()
  t.equal(rig.broker.fetches.waitingCount, 10)
  for (const { listeners } of partitions) t.equal(listeners.size, 1, 'one for all who wait')
  measured.count = 0
  for (let count = 0; count < 20; count++) await commit()
  t.equal(measured.count, 0)
  for (const one of waiting) one.abort()
  await Promise.all(waiting.map(({ answers }) => answers))
  t.equal(rig.broker.fetches.waitingCount, 0)
  for (const { listeners } of partitions) t.equal(listeners.size, 0, 'nobody is left')
})

t.test('the commit that brings enough ends the wait, with all that it brought', async (t) => {
  const { measured, wait, commit } = await start()
  const bytes = await commit()
  const waiting = wait(bytes * 3)
  await settled()
  await commit()
  t.notOk(waiting.isOver)
  measured.count = 0
  await commit()
  t.ok(waiting.isOver)
  const answers = await waiting.answers
  t.same(
    answers.map(({ batches }) => batches.length),
    Array.from({ length: PARTITIONS }, () => 3)
  )
  t.ok(measured.count <= PARTITIONS * 4, `looked at ${measured.count / PARTITIONS} times, not once for each partition`)
})

t.test('of one place no more counts than it may give', async (t) => {
  const { rig, wait, commit } = await start(2)
  const waiting = wait(250, { bytesMax: 100 })
  for (let count = 0; count < 5; count++) await commit()
  t.notOk(waiting.isOver, 'two places of 100 bytes never make 250')
  const enough = wait(200, { bytesMax: 100 })
  await settled()
  t.ok(enough.isOver)
  waiting.abort()
  await waiting.answers
  t.equal(rig.clock.pendingCount > 0, true)
})

t.test('what an open transaction holds back does not count, and counts when it ends', async (t) => {
  const { rig, partitions, wait } = await start(1)
  const { transactions } = rig.broker
  const init = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 60_000, expected: null })
  const who = { producerId: init.producerId, producerEpoch: init.producerEpoch }
  await transactions.addPartitions('x', who, partitions)
  const committed = wait(300, { committed: true })
  const uncommitted = wait(300)
  const batch = (baseSequence: number) => rig.batch(['y'.repeat(200)], { ...who, baseSequence, isTransactional: true })
  await rig.append('a', batch(0))
  await settled()
  t.notOk(uncommitted.isOver)
  await rig.append('a', batch(1))
  await settled()
  t.ok(uncommitted.isOver)
  t.notOk(committed.isOver, 'it is held back')
  await transactions.end('x', who, 'commit')
  await settled()
  t.ok(committed.isOver)
  t.equal((await committed.answers)[0]?.batches.length, 3, 'with the marker')
})

t.test('a place that is gone ends the wait', async (t) => {
  const { rig, partitions, wait } = await start(3)
  const cut = wait(2 ** 20)
  await settled()
  for (const partition of partitions.slice(1, 2)) {
    await rig.append('a', rig.batch(['z']), 1)
    partition.logStartOffset = partition.highWatermark
    partition.notify()
  }
  await settled()
  t.same(
    (await cut.answers).map(({ fault }) => fault),
    ['NONE', 'OFFSET_OUT_OF_RANGE', 'NONE']
  )
  const deleted = rig.broker.fetches.fetch({
    places: [{ topicName: 'a', partitionIndex: 0, fetchOffset: 0, bytesMax: 1, leaderEpoch: -1 }],
    isolation: 'read_committed',
    maxWaitMs: NEVER_MS,
    bytesMin: 1,
    bytesMax: 1
  })
  await rig.store.deleteTopic('a')
  t.equal((await deleted)[0]?.fault, 'UNKNOWN_TOPIC_OR_PARTITION')
})

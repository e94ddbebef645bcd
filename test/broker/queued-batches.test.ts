// A producer's batches are queued one behind the other without waiting for a sync: judged by what is queued, stored in order, or refused together.

import t from 'tap'
import type { AppendOutcome } from '../../runtime/broker/append-outcome.ts'
import { KeyedLock } from '../../runtime/broker/keyed-lock.ts'
import { Rig } from './rig.ts'

const producer = { producerId: 5n, producerEpoch: 0 }
const settled = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve))

/** Fault and base offset. */
async function told(outcomes: readonly Promise<AppendOutcome>[]): Promise<(string | number)[][]> {
  return (await Promise.all(outcomes)).map(({ fault, baseOffset }) => [fault, baseOffset])
}

t.test('five batches of a producer are queued before the first is durable, and keep their order over a restart', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  rig.store.hold()
  const send = (baseSequence: number) => rig.append('a', rig.batch([`${baseSequence}`], { ...producer, baseSequence }))
  const outcomes = [0, 1, 2, 3, 4].map(send)
  await settled()
  t.equal(rig.store.commitCount, 5, 'none waits for another')
  const late = send(6)
  t.match(await late, { fault: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }, 'the sequence is checked against what is queued')
  const again = send(2)
  await settled()
  t.equal(rig.store.commitCount, 5, 'a repeat of one that is queued is not queued again')
  const older = rig.append('a', rig.batch(['old'], { producerId: 5n, producerEpoch: -1, baseSequence: 5 }))
  t.match(await older, { fault: 'INVALID_PRODUCER_EPOCH' })
  t.same(rig.store.listState('producer/'), [], 'nothing is known of it for good')
  rig.store.release()
  t.same(
    await told(outcomes),
    [0, 1, 2, 3, 4].map((offset) => ['NONE', offset])
  )
  t.same(await told([again]), [['NONE', 2]], 'it is answered as the first one')
  rig.restart()
  t.same(await told([send(1), send(4), send(7), send(5)]), [
    ['NONE', 1],
    ['NONE', 4],
    ['OUT_OF_ORDER_SEQUENCE_NUMBER', -1],
    ['NONE', 5]
  ])
  t.same(await rig.values('a'), ['0', '1', '2', '3', '4', '5'])
})

t.test('a batch that is refused takes those behind it along, and all are taken when they come again', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const send = (baseSequence: number) => rig.append('a', rig.batch([`${baseSequence}`], { ...producer, baseSequence }))
  t.match(await send(0), { fault: 'NONE' })
  rig.store.failNext() // at once, as a full quota
  t.same(await told([send(1), send(2), send(3)]), [
    ['KAFKA_STORAGE_ERROR', -1],
    ['OUT_OF_ORDER_SEQUENCE_NUMBER', -1],
    ['OUT_OF_ORDER_SEQUENCE_NUMBER', -1]
  ])
  rig.store.hold()
  const outcomes = [1, 2, 3].map(send)
  const again = send(2)
  await settled()
  rig.store.refuseHeld() // later, as a full disk
  t.same(
    await told([...outcomes, again]),
    Array.from({ length: 4 }, () => ['KAFKA_STORAGE_ERROR', -1])
  )
  t.same(await told([send(2), send(1), send(2), send(3)]), [
    ['OUT_OF_ORDER_SEQUENCE_NUMBER', -1],
    ['NONE', 1],
    ['NONE', 2],
    ['NONE', 3]
  ])
  t.same(await rig.values('a'), ['0', '1', '2', '3'])
})

t.test('the end of a transaction waits for what is queued in it, and what comes behind the end waits for that', async (t) => {
  const rig = new Rig()
  const [partition] = await rig.topic('a')
  const { transactions } = rig.broker
  const { producerId, producerEpoch } = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 60_000, expected: null })
  const who = { producerId, producerEpoch }
  if (!partition) throw new Error('no partition')
  await transactions.addPartitions('x', who, [partition])
  const send = (baseSequence: number) => rig.append('a', rig.batch([`${baseSequence}`], { ...who, baseSequence, isTransactional: true }))
  rig.store.hold()
  const inside = [0, 1, 2].map(send)
  const end = transactions.end('x', who, 'abort')
  await settled()
  const behind = send(3)
  await settled()
  t.equal(rig.store.commitCount, 6, 'id, init, add, three batches: no marker yet, and nothing behind it')
  rig.store.releaseOne()
  await settled()
  t.equal(rig.store.commitCount, 6, 'not while one is queued')
  rig.store.release()
  t.same(await told(inside), [
    ['NONE', 0],
    ['NONE', 1],
    ['NONE', 2]
  ])
  t.equal(await end, 'NONE')
  t.match(await behind, { fault: 'INVALID_TXN_STATE' })
  t.same(partition.abortedBetween(0, 10), [{ producerId, firstOffset: 0, lastOffset: 3 }])
  t.same(await rig.values('a'), [])
})

t.test('one client has its order also where a compressed batch takes its time, another need not wait', async (t) => {
  const rig = new Rig()
  await rig.topic('a', 3)
  const order: string[] = []
  const slow = rig.batch(['slow'])
  new DataView(slow.buffer, slow.byteOffset).setInt16(21, 1) // gzip, and nonsense inside: it is opened, and refused
  new DataView(slow.buffer, slow.byteOffset).setUint32(17, rig.core.crc32c(slow.subarray(21)))
  const send = async (name: string, records: Uint8Array, partitionIndex: number, client: string): Promise<void> => {
    await rig.broker.appends.append([{ topicName: 'a', partitionIndex, records }], {
      isZstdAllowed: true,
      hasTransactionalId: false,
      client
    })
    order.push(name)
  }
  await Promise.all([send('slow', slow, 0, 'A'), send('behind', rig.batch(['x']), 1, 'A'), send('other', rig.batch(['y']), 2, 'B')])
  t.same(order, ['other', 'slow', 'behind'])
})

t.test('work that shares a key goes on at once and together, work that is alone waits, and is waited for', async (t) => {
  const lock = new KeyedLock()
  const log: string[] = []
  const ends = new Map<string, () => void>()
  const work = (name: string) => (): Promise<void> => {
    log.push(name)
    return new Promise((resolve) => ends.set(name, resolve))
  }
  void lock.runShared('k', work('a'))
  void lock.runShared('k', work('b'))
  t.same(log, ['a', 'b'], 'before it returns')
  const alone = lock.run('k', work('alone'))
  void lock.runShared('k', work('c'))
  void lock.runShared('k', work('d'))
  void lock.run('other', work('other'))
  t.same(log, ['a', 'b', 'other'])
  ends.get('a')?.()
  await settled()
  t.same(log, ['a', 'b', 'other'])
  ends.get('b')?.()
  await settled()
  t.same(log, ['a', 'b', 'other', 'alone'])
  ends.get('alone')?.()
  await alone
  await settled()
  t.same(log.slice(4), ['c', 'd'])
  t.ok(lock.isBusy('k'))
  for (const end of ends.values()) end()
  await settled()
  t.notOk(lock.isBusy('k'))
  await t.rejects(
    lock.run('k', () => Promise.reject(new Error('x'))),
    { message: 'x' }
  )
  t.notOk(lock.isBusy('k'), 'a failure lets go of it')
})

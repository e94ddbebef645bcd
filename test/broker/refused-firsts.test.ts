// Of a producer of whom nothing is known, nothing is stored behind a batch that was refused, whoever refused it, until that one has come again.

import t from 'tap'
import type { AppendOutcome } from '../../runtime/broker/append-outcome.ts'
import { isSequenceBehind } from '../../runtime/broker/producer-state.ts'
import { RefusedFirsts } from '../../runtime/broker/refused-firsts.ts'
import { withCodec } from '../helpers/compressors.ts'
import { Rig } from './rig.ts'

const LAST = 2 ** 31 - 1
const producer = { producerId: 5n, producerEpoch: 0 }
const settled = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve))
const faults = async (outcomes: readonly Promise<AppendOutcome>[]): Promise<string[]> =>
  (await Promise.all(outcomes)).map(({ fault }) => fault)

t.test('refused by the transaction check: what was sent behind it waits for it', async (t) => {
  const rig = new Rig()
  const [partition] = await rig.topic('a')
  if (!partition) throw new Error('no partition')
  const { transactions } = rig.broker
  const who = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 60_000, expected: null })
  const send = (baseSequence: number): Promise<AppendOutcome> => {
    const { producerId, producerEpoch } = who
    return rig.append('a', rig.batch([`${baseSequence}`], { producerId, producerEpoch, baseSequence, isTransactional: true }))
  }
  t.same(await faults([send(0)]), ['INVALID_TXN_STATE'])
  await transactions.addPartitions('x', who, [partition])
  t.same(await faults([send(1), send(2)]), ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'OUT_OF_ORDER_SEQUENCE_NUMBER'])
  t.same(await faults([send(0), send(1), send(2)]), ['NONE', 'NONE', 'NONE'])
  t.equal(await transactions.end('x', who, 'commit'), 'NONE')
  t.same(await rig.values('a'), ['0', '1', '2'])
})

t.test('refused for what is inside it, while the next one is on its way', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const good = (baseSequence: number): Uint8Array => rig.batch([`${baseSequence}`], { ...producer, baseSequence })
  const nonsense = withCodec(rig.core, good(0), 'gzip', new Uint8Array([1, 2, 3]))
  t.same(await faults([rig.append('a', nonsense), rig.append('a', good(1))]), ['CORRUPT_MESSAGE', 'OUT_OF_ORDER_SEQUENCE_NUMBER'])
  t.same(await faults([rig.append('a', good(0)), rig.append('a', good(1))]), ['NONE', 'NONE'])
  t.same(await rig.values('a'), ['0', '1'])
})

t.test('where the sequence begins again: 2^31 − 1 is in front of 0', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const send = (baseSequence: number) => rig.append('a', rig.batch([`${baseSequence}`], { ...producer, baseSequence }))
  rig.store.hold()
  const sent = [LAST - 1, LAST, 0, 1].map(send)
  await settled()
  rig.store.refuseHeld()
  t.same(
    await faults(sent),
    sent.map(() => 'KAFKA_STORAGE_ERROR')
  )
  t.same(
    await faults([0, 1, LAST].map(send)),
    [0, 1, LAST].map(() => 'OUT_OF_ORDER_SEQUENCE_NUMBER'),
    'none of those behind'
  )
  t.same(
    await faults([LAST - 1, LAST, 0, 1].map(send)),
    sent.map(() => 'NONE')
  )
  t.same(await rig.values('a'), [LAST - 1, LAST, 0, 1].map(String))
  t.same([isSequenceBehind(0, LAST), isSequenceBehind(LAST, 0), isSequenceBehind(7, 7), isSequenceBehind(8, 7)], [true, false, false, true])
})

t.test('a producer that was forgotten over its refused batch has to send that one first', async (t) => {
  const rig = new Rig({ producerCountMax: 1 })
  await rig.topic('a')
  const send = (baseSequence: number) => rig.append('a', rig.batch([`${baseSequence}`], { ...producer, baseSequence }))
  t.match(await send(0), { fault: 'NONE' })
  rig.store.failNext('WADI_DISK_FULL')
  t.match(await send(1), { fault: 'KAFKA_STORAGE_ERROR' })
  t.match(await rig.append('a', rig.batch(['other'], { ...producer, producerId: 6n, baseSequence: 0 })), { fault: 'NONE' })
  await rig.clock.run({ untilMs: 1 })
  t.equal(rig.broker.producers.find('a', 0)?.producer(5n), undefined, 'it is forgotten')
  t.same(await faults([send(2)]), ['OUT_OF_ORDER_SEQUENCE_NUMBER'])
  t.same(await faults([send(1), send(2)]), ['NONE', 'NONE'])
})

t.test('what a marker says of a producer takes the note away', async (t) => {
  const rig = new Rig({ producerCountMax: 1 })
  const [partition] = await rig.topic('a')
  if (!partition) throw new Error('no partition')
  const { transactions } = rig.broker
  const { producerId, producerEpoch } = await transactions.initProducer({ transactionalId: 'x', timeoutMs: 60_000, expected: null })
  const who = { producerId, producerEpoch }
  const send = (baseSequence: number) => rig.append('a', rig.batch([`${baseSequence}`], { ...who, baseSequence, isTransactional: true }))
  t.same(await faults([send(3)]), ['INVALID_TXN_STATE'])
  await transactions.addPartitions('x', who, [partition])
  t.equal(await transactions.end('x', who, 'abort'), 'NONE')
  t.match(await rig.append('a', rig.batch(['other'], { ...producer, baseSequence: 0 })), { fault: 'NONE' })
  await rig.clock.run({ untilMs: 1 })
  t.equal(rig.broker.producers.find('a', 0)?.producer(producerId), undefined, 'it is forgotten')
  await transactions.addPartitions('x', who, [partition])
  t.same(await faults([send(4)]), ['NONE'], 'and may begin anywhere')
})

t.test('so many are remembered of all partitions together, the oldest go first', (t) => {
  const firsts = new RefusedFirsts(3)
  const batch = (id: number, baseSequence: number, producerEpoch = 0) => ({
    producerId: BigInt(id),
    producerEpoch,
    baseSequence,
    recordCount: 1,
    isTransactional: false
  })
  const at = (partitionIndex: number) => ({ topicNumber: 1, partitionIndex })
  for (let id = 0; id < 4; id++) firsts.note(at(id), batch(id, 0))
  t.equal(firsts.count, 3)
  t.same(
    [0, 1, 2, 3].map((id) => firsts.isBehind(at(id), batch(id, 1))),
    [false, true, true, true]
  )
  t.notOk(firsts.isBehind(at(2), batch(1, 1)), 'of another partition')
  firsts.note(at(1), batch(1, 5))
  t.notOk(firsts.isBehind(at(1), batch(1, 0)), 'the earliest counts')
  t.ok(firsts.isBehind(at(1), batch(1, 1)))
  firsts.note(at(1), batch(1, 4, 1))
  firsts.note(at(1), batch(1, 0))
  t.same([firsts.isBehind(at(1), batch(1, 1)), firsts.isBehind(at(1), batch(1, 5, 1))], [false, true], 'a newer epoch begins anew')
  firsts.note(at(9), batch(9, 0))
  t.notOk(firsts.isBehind(at(2), batch(2, 1)), 'noted longest ago')
  firsts.forget(at(1), 1n)
  t.equal(firsts.count, 2)
  const many = new RefusedFirsts()
  for (let id = 0; id < 10_010; id++) many.note(at(id % 100), batch(id, 0))
  t.equal(many.count, 10_000)
  t.end()
})

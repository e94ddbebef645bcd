// Proves: who works with a topic that is deleted is told so at once, a transaction over it and others ends on the others, and nothing of its groups or
// producers is met by a topic of the same name. How: the broker on a store in memory, with restarts.

import t from 'tap'
import { EXPIRY_SCAN_MS } from '../../runtime/broker/expiry.ts'
import type { FetchedPartition } from '../../runtime/broker/fetch.ts'
import type { Topic } from '../../runtime/log/contract.ts'
import { Rig } from './rig.ts'

const GROUP = 'g'
const place = { topicName: 'a', partitionIndex: 0 }
const remove = async (rig: Rig, name = 'a'): Promise<void> => rig.broker.topics.delete(rig.store.topics.get(name) as Topic)

t.test('a fetch that waits is answered when its topic goes; so are those behind it', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const asked = { topicName: 'a', partitionIndex: 0, fetchOffset: 0, bytesMax: 1_000, leaderEpoch: -1 }
  const request = { places: [asked], isolation: 'read_committed', maxWaitMs: 60_000, bytesMin: 1, bytesMax: 1_000 } as const
  let answer: readonly FetchedPartition[] | null = null
  void rig.broker.fetches.fetch(request).then((answers) => (answer = answers))
  await rig.clock.settle(Promise.resolve())
  t.equal(answer, null, 'it waits')
  await rig.clock.settle(remove(rig))
  await rig.clock.run({ untilMs: rig.clock.monotonicMs() + 1 })
  t.match(answer, [{ fault: 'UNKNOWN_TOPIC_OR_PARTITION', batches: [] }])
  t.match(await rig.fetch('a'), { fault: 'UNKNOWN_TOPIC_OR_PARTITION' })
  t.match(await rig.append('a', rig.batch(['x'])), { fault: 'UNKNOWN_TOPIC_OR_PARTITION' })
})

for (const outcome of ['commit', 'abort'] as const) {
  for (const restarts of [false, true]) {
    t.test(`${outcome} of a transaction over a deleted topic and another one${restarts ? ', behind a restart' : ''}`, async (t) => {
      const rig = new Rig()
      await rig.topic('a')
      await rig.topic('b')
      const who = await rig.broker.transactions.initProducer({ transactionalId: 'writer', timeoutMs: 60_000, expected: null })
      t.equal(await rig.broker.transactions.addPartitions('writer', who, [rig.partition('a'), rig.partition('b')]), 'NONE')
      t.equal(await rig.broker.transactions.addGroup('writer', who, GROUP), 'NONE')
      const offset = { groupId: GROUP, ...place, offset: 1, leaderEpoch: -1, metadata: '' }
      t.equal(await rig.broker.transactions.addOffsets('writer', who, GROUP, [offset, { ...offset, topicName: 'b' }]), 'NONE')
      for (const name of ['a', 'b']) await rig.append(name, rig.batch(['x'], { ...who, baseSequence: 0, isTransactional: true }))
      await remove(rig)
      if (restarts) rig.restart()
      t.same(await rig.values('b'), [], 'it is open')
      t.equal(await rig.broker.transactions.end('writer', who, outcome), 'NONE')
      t.same(await rig.values('b'), outcome === 'commit' ? ['x'] : [])
      t.match(await rig.fetch('b'), { lastStableOffset: 2 })
      await rig.topic('a')
      t.equal(rig.broker.committedOffsets.find(GROUP, place), null, 'a topic of the same name has no offset of it')
      t.equal(rig.broker.committedOffsets.find(GROUP, { ...place, topicName: 'b' })?.offset ?? null, outcome === 'commit' ? 1 : null)
    })
  }
}

for (const restarts of [false, true]) {
  t.test(`what groups committed goes with the topic${restarts ? ', also what a kill left' : ''}`, async (t) => {
    const rig = new Rig()
    await rig.topic('a')
    await rig.topic('b')
    const offset = { groupId: GROUP, ...place, offset: 7, leaderEpoch: -1, metadata: '' }
    await rig.broker.committedOffsets.commit([offset, { ...offset, topicName: 'b' }, { ...offset, groupId: 'other' }])
    await remove(rig)
    if (restarts) rig.restart()
    t.same(rig.broker.committedOffsets.groupIds(), [GROUP])
    await rig.topic('a')
    t.equal(rig.broker.committedOffsets.find(GROUP, place), null)
    await rig.clock.run({ untilMs: rig.clock.monotonicMs() + EXPIRY_SCAN_MS + 1_000 })
    t.same(rig.store.listState('offsets/'), ['offsets/g/2/0'])
  })
}

t.test('an id is that of one topic: of the deleted one it names nothing, whoever has the name now', async (t) => {
  const rig = new Rig()
  const { topics } = rig.broker
  await rig.topic('a')
  const old = topics.find('a') as Topic
  t.equal(topics.findById(old.id), old)
  await remove(rig)
  await rig.topic('a')
  const anew = topics.find('a') as Topic
  t.equal(topics.findById(anew.id), anew, 'as many topics as before, and not the same')
  t.equal(topics.findById(old.id), null)
  await t.rejects(topics.delete(old), /UNKNOWN_TOPIC_OR_PARTITION/, 'who means the old one does not delete the new one')
  t.equal(topics.find('a'), anew)
})

for (const restarts of [false, true]) {
  t.test(`offsets of an open transaction are those of the topic that there was${restarts ? ', behind a restart' : ''}`, async (t) => {
    const rig = new Rig()
    await rig.topic('a')
    await rig.topic('b')
    const { transactions } = rig.broker
    const who = await transactions.initProducer({ transactionalId: 'writer', timeoutMs: 60_000, expected: null })
    await transactions.addPartitions('writer', who, [rig.partition('b')])
    await transactions.addGroup('writer', who, GROUP)
    t.equal(
      await transactions.addOffsets('writer', who, GROUP, [{ groupId: GROUP, ...place, offset: 50, leaderEpoch: -1, metadata: '' }]),
      'NONE'
    )
    await remove(rig)
    await rig.topic('a')
    if (restarts) rig.restart()
    t.equal(await rig.broker.transactions.end('writer', who, 'commit'), 'NONE')
    t.equal(rig.broker.committedOffsets.find(GROUP, place), null)
    t.same(rig.store.listState('offsets/'), [])
  })
}

t.test('a producer of the deleted topic is a new one for a topic of the same name', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const who = { producerId: 5n, producerEpoch: 0 }
  t.match(await rig.append('a', rig.batch(['x'], { ...who, baseSequence: 0 })), { fault: 'NONE', baseOffset: 0 })
  t.equal(rig.broker.producers.producerCount, 1)
  await remove(rig)
  t.equal(rig.broker.producers.producerCount, 0)
  await rig.topic('a')
  t.match(await rig.append('a', rig.batch(['y'], { ...who, baseSequence: 0 })), { fault: 'NONE', baseOffset: 0 })
  t.same(await rig.values('a'), ['y'])
})

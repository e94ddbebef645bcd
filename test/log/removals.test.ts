// Proves: what a removal left uncounted for want of room goes with its topic: nothing of a deleted topic is written down again. One who is told what was dropped and
// throws keeps nobody from being told, and no round of retention from its end.

import t from 'tap'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange } from '../../runtime/log/contract.ts'
import type { KnownDamage } from '../../runtime/log/known-damage.ts'
import type { PartitionLog } from '../../runtime/log/partition-log.ts'
import { Removals } from '../../runtime/log/removals.ts'
import { StateMap } from '../../runtime/log/state-map.ts'
import { topicUnknown } from '../../runtime/log/store-errors.ts'
import type { StoredTopic } from '../../runtime/log/stored-topic.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'

const noRoom = { code: 'WADI_DISK_FULL' } as WadiError
const noDamage: Pick<KnownDamage, 'countWithin' | 'recordsOf'> = { countWithin: () => 0, recordsOf: () => 0 }

for (const answer of [noRoom, null]) {
  t.test(`the commit of a removal is ${answer ? 'refused for room' : 'durable'} when its topic is deleted already`, async (t) => {
    const machine = new SimMachine(1)
    const store = await machine.open()
    const topic = (await machine.settle(store.createTopic('scratch', { isForwarded: false, codec: 'none' }))) as StoredTopic
    const partition = topic.partitions[0] as PartitionLog
    for (let at = 0; at < 60; at++) await machine.settle(appendText(store, partition, `event ${at} ${'r'.repeat(300)}`))
    await machine.settle(store.flush())
    const asked: { changes: readonly StateChange[]; done(error: WadiError | null): void }[] = []
    const told: unknown[] = []
    const removals = new Removals({
      state: new StateMap(),
      damage: noDamage as KnownDamage,
      commit: (changes, done) => asked.push({ changes, done }),
      onDropped: (range) => told.push(range)
    })
    removals.load(partition)
    const removed = removals.remove(topic, partition, { until: 20, reason: 'quota' })
    await machine.settle(store.deleteTopic('scratch', { undelivered: 'lose' }))
    removals.forget(topic)
    asked[0]?.done(answer)
    t.equal(await removed, null, 'others go on')
    t.same(removals.unsaved(), [], 'for no snapshot')
    await removals.save()
    t.equal(asked.length, 1, 'and for no commit')
    t.same(removals.list([topic]), [], 'nor is it counted')
    t.same(told, [])
    await machine.settle(store.close())
  })
}

t.test('a removal that the store takes no more changes nothing', async (t) => {
  const machine = new SimMachine(2)
  const store = await machine.open()
  const topic = (await machine.settle(store.createTopic('scratch', { isForwarded: false, codec: 'none' }))) as StoredTopic
  const partition = topic.partitions[0] as PartitionLog
  for (let at = 0; at < 60; at++) await machine.settle(appendText(store, partition, `event ${at} ${'r'.repeat(300)}`))
  const removals = new Removals({
    state: new StateMap(),
    damage: noDamage as KnownDamage,
    commit: (_, done) => done(topicUnknown('scratch')),
    onDropped: () => t.fail('nothing is dropped')
  })
  t.match(await removals.remove(topic, partition, { until: 20, reason: 'quota' }), { code: 'WADI_TOPIC_UNKNOWN' })
  t.same([partition.logStartOffset, removals.unsaved()], [0, []])
  await machine.settle(store.close())
})

t.test('one who is told what was dropped and throws: the others are told, the round ends, and the store has failed', async (t) => {
  const machine = new SimMachine(3)
  const store = await machine.open()
  const limits = { isForwarded: false, quotaBytes: 16 * 1024, whenFull: 'drop_oldest', codec: 'none' } as const
  const partition = (await machine.settle(store.createTopic('scratch', limits))).partitions[0] as PartitionLog
  const told: string[] = []
  for (const name of ['first', 'second', 'third']) {
    store.onDropped(() => {
      told.push(name)
      if (name !== 'third') throw new Error(`the ${name} of them`)
    })
  }
  for (let at = 0; at < 200 && store.failure === null; at++)
    await machine.settle(appendText(store, partition, `event ${at} ${'r'.repeat(300)}`).catch(() => undefined))
  t.same(told.slice(0, 3), ['first', 'second', 'third'])
  t.match(store.failure, { code: 'WADI_LOG_FAILED' }, 'a program error is never silent')
  t.match(store.failure?.message, /the first of them/)
  await machine.settle(store.close())
  const again = await machine.open()
  t.ok((again.topics.get('scratch')?.partitions[0]?.logStartOffset ?? 0) > 0, 'what was told is so')
  await machine.settle(again.close())
})

// Proves for test/sim/topic-limits.ts: a topic that holds more than its quota, and that nobody was let in for, is no violation while a marker is on its way; an event
// that was let in is one, also then.

import t from 'tap'
import { KIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, SimMachine } from '../helpers/sim-store.ts'
import { TopicLimits } from './topic-limits.ts'

const LOOKS_MS = 200

/** A topic with about five times its quota, as one that came back from the journal, and the limits that look at it; a commit takes longer than they wait. */
async function watched() {
  const machine = new SimMachine(1, { disk: { delayMs: { min: 50, max: 50 } } })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('plant', { codec: 'none' }))).partitions[0]
  if (!partition) throw new Error('no partition')
  await machine.settle(Promise.all(Array.from({ length: 30 }, (_, at) => appendText(store, partition, `${at} ${'x'.repeat(1000)}`))))
  await machine.settle(store.alterTopic('plant', { quotaBytes: 6 * KIB }))
  const violations: string[] = []
  const host = {
    clock: machine.clock,
    store: () => store,
    isCalm: () => false,
    violate: (sentence: string) => void violations.push(sentence),
    count: () => undefined
  }
  const drawn = Array.from({ length: 100 }, (_, seed) => new TopicLimits(seed, host, { commitBytesMax: 16 * KIB }))
  const limits = drawn.find(({ keepsBooks }) => !keepsBooks) // no topics of its own
  if (!limits) throw new Error('no seed')
  await machine.settle(limits.create(store))
  await machine.settle(limits.check(store, loadTestCore()))
  limits.start()
  const marker = () => ({ partition, content: { record: event('marker') }, mayExceedQuota: true as const })
  return { machine, store, partition, violations, marker }
}

t.test('a marker is on its way to a topic that is over its quota, and arrives: nobody was let in', async (t) => {
  const { machine, store, partition, violations, marker } = await watched()
  const { highWatermark } = partition
  const stored = store.commit([marker()], [])
  await machine.run(LOOKS_MS)
  t.equal(partition.highWatermark, highWatermark, 'it is on its way')
  await machine.settle(stored)
  await machine.run(LOOKS_MS)
  t.equal(partition.highWatermark, highWatermark + 1)
  t.same(violations, [])
})

t.test('an event is let in over the quota, and markers come before and behind it: noticed', async (t) => {
  const { machine, store, violations, marker } = await watched()
  await machine.settle(store.commit([marker()], []))
  await machine.settle(new Promise<void>((resolve) => store.submit([marker()], [], () => resolve()))) // behind the back of the limits, which take it for an event
  void store.commit([marker()], [])
  await machine.run(LOOKS_MS / 2)
  t.match(violations[0], /plant holds \d+ bytes, its quota is 6144/)
})

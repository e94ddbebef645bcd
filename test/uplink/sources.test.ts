// Proves for runtime/uplink/sources.ts: what waits is read with one look at each topic, however many there are, also of topics that were made since the last
// refresh; it is read for every status and every metric, between events.

import t from 'tap'
import type { Partition, Store, Topic } from '../../runtime/log/contract.ts'
import { Sources } from '../../runtime/uplink/sources.ts'

const TOPIC_COUNT = 300

class CountingTopics extends Map<string, Topic> {
  looks = 0
  override get(name: string): Topic | undefined {
    this.looks++
    return super.get(name)
  }
}

function partitionWith(events: number): Partition {
  const offsets = { logStartOffset: 0, deliveredOffset: 0, highWatermark: events, lastStableOffset: events }
  const rest = {
    partitionIndex: 0,
    isDeleted: false,
    bytesFrom: (offset: number) => (events - offset) * 10,
    onAdvance: () => () => undefined
  }
  return { ...offsets, ...rest } as unknown as Partition
}

for (const isRefreshed of [true, false]) {
  t.test(`one look at each topic, ${isRefreshed ? 'all listed' : 'none listed yet'}`, async (t) => {
    const topics = new CountingTopics()
    for (let index = 0; index < TOPIC_COUNT; index++) topics.set(`t${index}`, { partitions: [partitionWith(index)] } as unknown as Topic)
    const sources = new Sources({
      store: { topics } as unknown as Store,
      clock: { monotonicMs: () => 0 },
      topics: new Map([...topics.keys()].map((name) => [name, name])),
      onAdvance: () => undefined
    })
    t.teardown(() => sources.close())
    if (isRefreshed) sources.refresh()
    topics.looks = 0
    const lags = sources.lags()
    t.match(lags.get('t7'), { events: 7, bytes: 70 })
    t.match(lags.get('t0'), { events: 0, bytes: 0, ageMs: null })
    t.equal(lags.size, TOPIC_COUNT)
    t.equal(sources.lagEvents, (TOPIC_COUNT * (TOPIC_COUNT - 1)) / 2)
    t.ok(topics.looks <= 4 * TOPIC_COUNT, `${topics.looks} looks at ${TOPIC_COUNT} topics`)
  })
}

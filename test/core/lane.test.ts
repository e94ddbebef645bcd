// Proves for core-wasm/assembly/lane-plans.ts: a plan is found by the bytes of its topic, by its client and QoS, and is forgotten with the filters that match
// it, as adapters/mqtt matches them; thousands of topics are kept, and what finds no room takes the others with it.

import t from 'tap'
import { matchesFilter } from '../../adapters/mqtt/topic-tree.ts'
import type { Core } from '../../runtime/core/core.ts'
import { loadTestCore } from '../helpers/core.ts'
import { publishPacket } from '../mqtt/packets.ts'
import { Prng } from '../sim/prng.ts'

const NO_BYTES = new Uint8Array(0)
const SLOW = null

/** Whether the topic had a plan; it has one afterwards. */
function meets(core: Core, topic: string, { client = 1, qos = 1 } = {}): boolean {
  const { lane } = core
  lane.beginWalk({ roomBytes: 1 << 20, recordBytesMax: 1 << 16 })
  lane.load(NO_BYTES, publishPacket({ topic, qos, packetId: 1 }), 0)
  const feed = { client, isV5: false, packetBytesMax: 1 << 16, acksMax: 1, timestampMs: 1 }
  if (lane.feed(feed) !== 'miss') return true
  if (!lane.putPlan(client, SLOW)) throw new Error('no room for the plan')
  return false
}

for (const build of ['debug', 'release'] as const) {
  t.test(`${build}: by topic, client and QoS`, async (t) => {
    const core = loadTestCore(build)
    core.lane.seed(0x1_0000_0002n)
    const kinds = ['a', 'ab', 'a/b', 'käse', `long/${'x'.repeat(300)}`].flatMap((topic) =>
      [1, 2].flatMap((client) => [0, 1].map((qos) => ({ topic, client, qos })))
    )
    for (const { topic, ...of } of kinds) t.notOk(meets(core, topic, of), `${topic} of ${of.client} is new`)
    for (const { topic, ...of } of kinds) t.ok(meets(core, topic, of), `${topic} of ${of.client} is known`)
    core.lane.forgetPlans()
    for (const { topic, ...of } of kinds) t.notOk(meets(core, topic, of))
  })

  t.test(`${build}: forgotten with the filters that match`, async (t) => {
    const core = loadTestCore(build)
    const prng = new Prng(7)
    const level = (): string => prng.pick(['a', 'b', 'ab', '', '$SYS', 'käse'])
    const name = (one: () => string): string => Array.from({ length: prng.between(1, 4) }, one).join('/')
    const topics = [...new Set(Array.from({ length: 400 }, () => name(level)))].filter((topic) => topic !== '')
    let matched = 0
    for (let round = 0; round < 300; round++) {
      const wild = name(() => (prng.chance(30) ? '+' : level()))
      const filter = prng.chance(30) ? (prng.chance(50) ? `${wild}/#` : '#') : wild
      if (filter === '') continue
      core.lane.forgetPlans() // what was forgotten by filters still takes room
      for (const topic of topics) meets(core, topic)
      core.lane.forgetMatching(filter)
      const wrong = topics.filter((topic) => meets(core, topic) === matchesFilter(filter, topic))
      if (!t.same(wrong, [], filter)) return
      matched += topics.filter((topic) => matchesFilter(filter, topic)).length
    }
    t.ok(matched > 1_000)
  })

  t.test(`${build}: 30,000 topics are kept`, async (t) => {
    const core = loadTestCore(build)
    core.lane.seed(0x3_0000_0004n)
    const topics = Array.from({ length: 30_000 }, (_, index) => `plant/line-${index % 7}/device-${index}/temperature`)
    for (const topic of topics) meets(core, topic)
    t.equal(topics.filter((topic) => meets(core, topic)).length, topics.length)
    for (let index = 0; index < 40_000; index++) meets(core, `another/${index}`)
    t.ok(topics.filter((topic) => meets(core, topic)).length < topics.length, 'more took their places')
  })
}

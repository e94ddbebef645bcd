// Proves for QoS 2 over several listeners: each message of a session becomes exactly one event, whatever breaks, is refused, repeated
// or taken over, and nothing stays remembered. The canaries put faults back that some seed must notice.

import t from 'tap'
import { seeds } from './prng.ts'
import { type Qos2Mutation, Qos2World } from './qos2-sessions.ts'

const SEEDS = 200
/** Found something once: an abandoned clean CONNECT took what was remembered after it. */
const KEPT = [1294, 1427, 1456]
const CANARY_SEEDS_MAX = 300

t.setTimeout(300_000)

t.test('each QoS 2 message is one event, through crashes, refusals, repeats and takeovers over two listeners', async (t) => {
  const reached = new Map<string, number>()
  for (const seed of [...seeds({ count: SEEDS }), ...(process.env.SEED ? [] : KEPT)]) {
    const world = new Qos2World(seed)
    await world.run()
    t.same(world.violations, [], `SEED=${seed}`)
    for (const [what, count] of world.reached) reached.set(what, (reached.get(what) ?? 0) + count)
  }
  t.comment(JSON.stringify(Object.fromEntries(reached)))
  for (const what of ['crashes', 'refused', 'repeat', 'later', 'takeovers', 'reboots', 'clean sessions', 'complete'])
    t.ok(reached.get(what), what)
})

const canaries: Qos2Mutation[] = ['a memory for each listener', 'PUBCOMP before it is durable', 'a refused deletion forgets']
for (const mutation of canaries) {
  t.test(`caught: ${mutation}`, async (t) => {
    let caught = ''
    for (const seed of seeds({ count: CANARY_SEEDS_MAX })) {
      const world = new Qos2World(seed, mutation)
      await world.run()
      if (world.violations.length > 0) caught = `seed ${seed}: ${world.violations[0]}`
      if (caught) break
    }
    t.comment(JSON.stringify({ canary: mutation, verdict: caught ? 'caught' : 'MISSED', by: caught }))
    t.not(caught, '', 'no seed noticed')
  })
}

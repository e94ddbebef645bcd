// Proves for adapters/mqtt/local-delivery.ts: the same listeners match as in an independent matcher, through additions and removals;
// emit never waits; a listener that does not finish is bounded.

import { createRequire } from 'node:module'
import t from 'tap'
import { type Listener, LocalDelivery } from '../../adapters/mqtt/local-delivery.ts'
import { Prng, seeds } from '../sim/prng.ts'

interface Matcher {
  add(filter: string, value: Listener): void
  remove(filter: string, value: Listener): void
  match(topic: string): Listener[]
}
const { Qlobber } = createRequire(import.meta.url)('qlobber') as { Qlobber: new (options: object) => Matcher }

const words = ['a', 'b', '', 'constructor', '__proto__']
const randomTopic = (prng: Prng): string => Array.from({ length: prng.between(1, 4) }, () => prng.pick(words)).join('/')
function randomFilter(prng: Prng): string {
  const levels = Array.from({ length: prng.between(1, 4) }, () => (prng.chance(30) ? '+' : prng.pick(words)))
  return (prng.chance(30) ? [...levels, '#'] : levels).join('/')
}

for (const seed of seeds({ count: 10 })) {
  t.test(`matches as qlobber does (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    const oracle = new Qlobber({ separator: '/', wildcard_one: '+', wildcard_some: '#', match_empty_levels: true })
    const delivery = new LocalDelivery({ outboundBytesMax: 1000 })
    const added: [string, Listener][] = []
    for (let step = 0; step < 400; step++) {
      if (added.length > 0 && prng.chance(30)) {
        const [[filter, listener]] = added.splice(prng.below(added.length), 1) as [[string, Listener]]
        oracle.remove(filter, listener)
        delivery.removeListener(filter, listener)
      } else {
        const filter = randomFilter(prng) || 'a'
        const listener: Listener = () => {}
        added.push([filter, listener])
        oracle.add(filter, listener)
        delivery.on(filter, listener)
      }
      const topic = randomTopic(prng) || 'a'
      const found = delivery.match(topic)
      const expected = new Set(oracle.match(topic))
      if (found.size !== expected.size || [...found].some((listener) => !expected.has(listener))) {
        return t.fail(`${topic}: ${found.size} listeners, expected ${expected.size} of ${added.map(([filter]) => filter).join(' ')}`)
      }
    }
    t.pass('agreed')
  })
}

t.test('emit calls back at once, and what a listener leaves undone is bounded', async (t) => {
  const delivery = new LocalDelivery({ outboundBytesMax: 10_000 })
  const undone: (() => void)[] = []
  let healthyCount = 0
  delivery.on('d/frozen', (_message, done) => undone.push(done))
  delivery.on('d/+', (_message, done) => {
    healthyCount++
    done()
  })
  let backCount = 0
  for (let index = 0; index < 100; index++) delivery.emit({ topic: 'd/frozen', payload: Buffer.alloc(1000) }, () => backCount++)
  t.equal(backCount, 100)
  t.equal(healthyCount, 100)
  t.equal(undone.length, 7)
  t.equal(delivery.droppedCount, 93)
  for (const done of undone) done()
  delivery.emit({ topic: 'd/frozen', payload: Buffer.alloc(20_000) })
  t.equal(undone.length, 8, 'a single message larger than the bound still goes to one who waits for nothing')
})

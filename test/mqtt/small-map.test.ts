// Proves for small-map.ts: it says what a Map says, in its order, whatever is done to it, and while it is looked at.

import t from 'tap'
import { SmallMap } from '../../adapters/mqtt/small-map.ts'
import { Prng, seeds } from '../sim/prng.ts'

function contentOf(map: SmallMap<string, number> | Map<string, number>): string {
  return JSON.stringify([map.size, [...map], [...map.keys()], [...map.values()]])
}

function visited(map: SmallMap<string, number>): string {
  const entries: [string, number][] = []
  map.visit((key, value) => entries.push([key, value]))
  return JSON.stringify(entries)
}

for (const seed of seeds({ count: 20 })) {
  t.test(`as a Map (replay with SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    const map = new SmallMap<string, number>()
    const model = new Map<string, number>()
    for (let step = 0; step < 500; step++) {
      const key = prng.pick(['a', 'b', 'c'])
      const kind = prng.below(100)
      if (kind < 45) {
        map.set(key, step)
        model.set(key, step)
      } else if (kind < 97) {
        if (map.delete(key) !== model.delete(key)) return t.fail(`step ${step}: delete ${key}`)
      } else {
        map.clear()
        model.clear()
      }
      const isSame =
        contentOf(map) === contentOf(model) &&
        visited(map) === JSON.stringify([...model]) &&
        map.get(key) === model.get(key) &&
        map.has(key) === model.has(key)
      if (!isSame) return t.fail(`step ${step}: ${contentOf(map)}, not ${contentOf(model)}`)
    }
  })
}

t.test('all of it may be deleted while it is looked at', async (t) => {
  for (const count of [1, 2, 5]) {
    const map = new SmallMap<number, number>()
    for (let key = 0; key < count; key++) map.set(key, key)
    const seen: number[] = []
    for (const key of map.keys()) {
      seen.push(key)
      map.delete(key)
    }
    t.same(seen, [...Array(count).keys()])
    t.equal(map.size, 0)
  }
})

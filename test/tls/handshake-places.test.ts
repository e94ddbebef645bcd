// Proves for adapters/tls/handshake-places.ts: never more than so many at once, whoever waits comes in as the rules say, and nobody is forgotten, whatever the order
// of arrivals, ends and time.

import t from 'tap'
import { HandshakePlaces } from '../../adapters/tls/handshake-places.ts'
import { Prng, seeds } from '../sim/prng.ts'

const GRACE_MS = 100

/** With a clock that moves when it is told to. */
function rig(max: number) {
  const events: string[] = []
  const running = new Set<string>()
  let nowMs = 0
  let looks: { atMs: number; look: () => void }[] = []
  const places: HandshakePlaces<string> = new HandshakePlaces<string>({
    max,
    graceMs: GRACE_MS,
    nowMs: () => nowMs,
    start: (one) => {
      events.push(`start ${one}`)
      running.add(one)
    },
    giveUp: (one) => {
      events.push(`give up ${one}`)
      running.delete(one)
      places.leave(one, networkOf(one)) // as handshakes.ts does
    },
    after: (ms, look) => void looks.push({ atMs: nowMs + ms, look })
  })
  return {
    events,
    running,
    places,
    enter: (one: string) => places.enter(one, networkOf(one)),
    leave: (one: string) => {
      running.delete(one)
      places.leave(one, networkOf(one))
    },
    pass(ms: number) {
      nowMs += ms
      const due = looks.filter(({ atMs }) => atMs <= nowMs)
      looks = looks.filter(({ atMs }) => atMs > nowMs)
      for (const { look } of due) look()
    },
    take: () => events.splice(0)
  }
}

const networkOf = (one: string): string => one.charAt(0)

t.test('who comes last in a network that waits is next when a place is free', async (t) => {
  const { enter, leave, take } = rig(2)
  for (const one of ['a1', 'a2', 'a3', 'a4']) enter(one)
  t.same(take(), ['start a1', 'start a2'])
  leave('a2')
  t.same(take(), ['start a4'])
  leave('a4')
  t.same(take(), ['start a3'])
})

t.test('the oldest gives way when it had its time, and nobody does while nobody waits', async (t) => {
  const { enter, pass, take } = rig(2)
  enter('a1')
  enter('a2')
  pass(10 * GRACE_MS)
  t.same(take(), ['start a1', 'start a2'])
  enter('a3')
  t.same(take(), ['give up a1', 'start a3'])
  enter('a4')
  t.same(take(), ['give up a2', 'start a4'])
  enter('a5')
  t.same(take(), [], 'a3 and a4 have just begun')
  pass(GRACE_MS - 1)
  t.same(take(), [])
  pass(1)
  t.same(take(), ['give up a3', 'start a5'])
})

t.test('a network that has all places gives one up at once to another', async (t) => {
  const { enter, take } = rig(3)
  for (const one of ['a1', 'a2', 'a3', 'a4']) enter(one)
  take()
  enter('b1')
  t.same(take(), ['give up a1', 'start b1'])
  enter('b2')
  t.same(take(), [], 'two and one are as fair as it gets')
})

t.test('among those who wait the network with the fewest under way comes first', async (t) => {
  const { enter, leave, take } = rig(2)
  for (const one of ['a1', 'b1', 'a2', 'c1']) enter(one)
  t.same(take(), ['start a1', 'start b1'])
  leave('b1')
  t.same(take(), ['start c1'])
})

for (const seed of seeds({ count: 100 })) {
  t.test(`in any order there are never more at once, and everybody who stays is started (seed ${seed})`, async (t) => {
    const random = new Prng(seed)
    const max = 1 + random.below(5)
    const { enter, leave, pass, running, places, take } = rig(max)
    const here = new Set<string>()
    const everStarted = new Set<string>()
    const gaveUp = new Set<string>()
    const note = (): void => {
      for (const event of take()) {
        const [, one = ''] = / (\w+)$/.exec(event) ?? []
        if (event.startsWith('start')) {
          if (everStarted.has(one)) t.fail(`${one} was started twice`)
          if (!here.has(one)) t.fail(`${one} was started and has left`)
          everStarted.add(one)
        } else {
          gaveUp.add(one)
          here.delete(one)
        }
      }
      if (running.size > max || places.runningCount > max) t.fail(`${running.size} at once`)
      if (running.size < Math.min(max, here.size)) t.fail('a place is free, and somebody waits')
    }
    for (let step = 0; step < 300; step++) {
      const kind = random.below(10)
      if (kind < 5) {
        const one = `${'abcd'.charAt(random.below(4))}${step}`
        here.add(one)
        enter(one)
      } else if (kind < 8) {
        const [one] = [...here].slice(random.below(Math.max(1, here.size)))
        if (one !== undefined) {
          here.delete(one)
          leave(one)
        }
      } else pass(random.below(2 * GRACE_MS))
      note()
    }
    for (let round = 0; round < 1_000 && here.size > 0; round++) {
      pass(GRACE_MS)
      note()
      for (const one of running) {
        here.delete(one)
        leave(one)
        note()
      }
      note()
    }
    t.same([...here], [], 'nobody is forgotten')
    for (const one of gaveUp) if (!everStarted.has(one)) t.fail(`${one} gave up a place that it never had`)
    t.pass()
  })
}

// Proves for bench/harness.ts: contenders take turns, warm-ups do not count, medians are medians, loads are the same every time.

import t from 'tap'
import { ownBuild } from '../../bench/build.ts'
import { compareBuilds, fillerBytes, formatTable, interleave, median, runBenches, sensorPayload } from '../../bench/harness.ts'

t.test('contenders take turns and each is first in turn', async (t) => {
  const order: string[] = []
  const contender = (name: string, hash: number): { name: string; run(): number } => ({
    name,
    run() {
      order.push(name)
      return hash
    }
  })
  const timings = await interleave([contender('a', 1), contender('b', 2)], { rounds: 2, warmups: 1 })
  t.equal(order.join(''), 'abbaab')
  t.equal(timings.get('a')?.hash, 1)
  t.equal(timings.get('b')?.hash, 2)
})

t.test('the median of an even count is between the middle two', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.ok(Number.isNaN(median([])))
})

t.test('loads are the same bytes every time', async (t) => {
  t.same(fillerBytes(16), fillerBytes(16))
  t.notSame(fillerBytes(16), fillerBytes(16, 7))
  t.equal(sensorPayload(3, 100).length, 100)
  t.doesNotThrow(() => JSON.parse(sensorPayload(3, 150).toString()))
})

t.test('every figure becomes a JSON line and a row, a missed target is visible', async (t) => {
  const lines: string[] = []
  const bench = {
    name: 'x',
    question: 'why',
    async run({ figure, skip }: { figure(f: object): void; skip(what: string, why: string): void }) {
      figure({ what: 'speed', parameters: { n: 1 }, unit: 'GB/s', values: { wadi: 1.23456 }, target: { text: '>= 5', isMet: false } })
      skip('disk', 'no root')
    }
  }
  const figures = await runBenches([bench as Parameters<typeof runBenches>[0][number]], {
    isSmoke: true,
    write: (line) => lines.push(line)
  })
  t.equal(lines.length, 3)
  t.match(JSON.parse(lines[1] ?? ''), { bench: 'x', what: 'speed', values: { wadi: 1.23456 }, node: process.version })
  t.match(JSON.parse(lines[2] ?? ''), { skipped: 'disk', why: 'no root' })
  t.match(formatTable(figures), 'wadi 1.23 GB/s')
  t.match(formatTable(figures), 'MISSED: >= 5')
})

t.test('against another build: its value and the ratio are there, and being worse misses the target', async (t) => {
  const other = { name: 'g1234567', dist: '' }
  const compare = (ours: number, theirs: number, wanted: 'less' | 'more') =>
    compareBuilds([ownBuild, other], ({ name }) => (name === 'wadi' ? ours : theirs), {
      wanted,
      target: { text: '<= 9', isMet: ours <= 9 }
    })
  t.same(compare(5, 4, 'less'), {
    values: { wadi: 5, g1234567: 4 },
    ratios: { 'wadi / g1234567': 1.25 },
    target: { text: '<= 9 and not worse than g1234567', isMet: false }
  })
  t.ok(compare(5, 4, 'more').target?.isMet)
  t.notOk(compare(10, 12, 'less').target?.isMet)
  t.same(
    compareBuilds([ownBuild], () => 1, { wanted: 'less' }),
    { values: { wadi: 1 }, ratios: {} }
  )
})

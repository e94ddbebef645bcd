// Proves for runtime/base/metrics.ts: a family is what it was registered as, once; values are read when somebody asks; wrong definitions are refused.

import t from 'tap'
import { Metrics } from '../../runtime/base/metrics.ts'

t.test('families are read when they are asked for, by name', async (t) => {
  const metrics = new Metrics()
  let stored = 1
  let eta: number | null = null
  metrics.gauge({ name: 'wadi_b_seconds', unit: 'seconds', help: 'Until then' }, () => eta)
  metrics.counter({ name: 'wadi_a_events_total', help: 'Events' }, () => stored)
  metrics.counters({ name: 'wadi_c_total', help: 'By reason', labels: ['reason'] }, () => [
    [['x'], 2],
    [['y'], 3]
  ])
  stored = 7
  t.equal(metrics.value('wadi_a_events_total'), 7)
  t.equal(metrics.value('wadi_b_seconds'), null)
  t.equal(metrics.sum('wadi_c_total'), 5)
  t.same(metrics.collect(), [
    { name: 'wadi_a_events_total', kind: 'counter', unit: '', help: 'Events', labels: [], samples: [{ labels: [], value: 7 }] },
    { name: 'wadi_b_seconds', kind: 'gauge', unit: 'seconds', help: 'Until then', labels: [], samples: [] },
    {
      name: 'wadi_c_total',
      kind: 'counter',
      unit: '',
      help: 'By reason',
      labels: ['reason'],
      samples: [
        { labels: ['x'], value: 2 },
        { labels: ['y'], value: 3 }
      ]
    }
  ])
  eta = 2
  t.equal(metrics.value('wadi_b_seconds'), 2)
})

t.test('what would give a name a second meaning, or none, is a fault of the program', async (t) => {
  const metrics = new Metrics()
  const read = (): number => 0
  metrics.counter({ name: 'wadi_a_total', help: 'A' }, read)
  const wrong: readonly (readonly [string, () => void, RegExp])[] = [
    ['twice', () => metrics.counter({ name: 'wadi_a_total', help: 'A' }, read), /registered already/],
    ['a counter without _total', () => metrics.counter({ name: 'wadi_b', help: 'B' }, read), /_total/],
    ['a gauge with _total', () => metrics.gauge({ name: 'wadi_b_total', help: 'B' }, read), /_total/],
    ['another unit', () => metrics.counter({ name: 'wadi_b_total', unit: 'bytes', help: 'B' }, read), /unit bytes/],
    ['no name', () => metrics.gauge({ name: 'wadi b', help: 'B' }, read), /no name/],
    ['no help', () => metrics.gauge({ name: 'wadi_b', help: '' }, read), /help/],
    ['two lines of help', () => metrics.gauge({ name: 'wadi_b', help: 'a\nb' }, read), /help/],
    ['a label twice', () => metrics.gauges({ name: 'wadi_b', help: 'B', labels: ['x', 'x'] }, () => []), /labels/],
    ['asked for, not there', () => metrics.value('wadi_b'), /no counter or gauge wadi_b/]
  ]
  for (const [what, attempt, words] of wrong) t.throws(attempt, words, what)
  metrics.gauges({ name: 'wadi_c', help: 'C', labels: ['x'] }, () => [[['1', '2'], 1]])
  t.throws(() => metrics.collect(), /2 labels, not 1/)
})

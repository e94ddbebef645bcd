// Proves for bench/catch-up.ts: it still runs against a real Kafka and gives its figures. Its numbers mean nothing at this size.

import t from 'tap'
import { measureCatchUp } from '../../bench/catch-up.ts'

t.test('catch-up: a small backlog arrives, its figures are there', async (t) => {
  const figures = await measureCatchUp({ events: 3_000, rounds: 1 })
  t.same(
    figures.map(({ what }) => what),
    ['speed', 'wire', 'memory of the gateway meanwhile']
  )
  for (const { values } of figures) for (const [name, value] of Object.entries(values)) t.ok(value > 0, `${name}: ${value}`)
})

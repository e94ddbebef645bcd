// Proves for bench/consumer.ts: it still runs against a real Kafka and gives its figures. Its numbers mean nothing at this size.

import t from 'tap'
import { measureConsumer } from '../../bench/consumer.ts'

t.test('consumer: a small log is read from both servers, its figures are there', async (t) => {
  const figures = await measureConsumer({ events: 3_000, rounds: 1 })
  t.same(
    figures.map(({ what }) => what),
    ['no codec', 'gzip of the client', 'as sealed by the gateway']
  )
  for (const { values } of figures) for (const [name, value] of Object.entries(values)) t.ok(value > 0, `${name}: ${value}`)
})

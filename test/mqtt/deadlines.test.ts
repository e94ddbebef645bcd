// Proves for adapters/mqtt/deadlines.ts: never early, hardly late, each once; a later time takes the place of an earlier one.

import t from 'tap'
import { Deadlines } from '../../adapters/mqtt/deadlines.ts'

const wait = (durationMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, durationMs))

t.test('what is due comes once, in its time; what was put off or deleted does not', async (t) => {
  const startedMs = performance.now()
  const due: [string, number][] = []
  const deadlines = new Deadlines<string>((item) => due.push([item, performance.now() - startedMs]))
  deadlines.set('soon', 0)
  deadlines.set('later', 2)
  deadlines.set('put off', 0)
  deadlines.set('put off', 1_000_000)
  deadlines.set('deleted', 0)
  deadlines.delete('deleted')
  deadlines.delete('unknown')
  t.equal(deadlines.size, 3)
  await wait(2_600)
  t.same(
    due.map(([item]) => item),
    ['soon', 'later']
  )
  t.ok((due[0]?.[1] ?? 9_999) < 1_500, 'the first is not kept until the second is due')
  t.ok((due[1]?.[1] ?? 0) >= 2_000, 'not early')
  t.equal(deadlines.size, 1)
  deadlines.close()
  t.equal(deadlines.size, 0)
})

t.test('a time of 136 years is kept, and nothing else ends it', async (t) => {
  const deadlines = new Deadlines<string>(() => t.fail('too early'))
  deadlines.set('far', 0xffff_fffe)
  await wait(300)
  t.equal(deadlines.size, 1)
  deadlines.close()
})

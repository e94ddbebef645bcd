// Proves for runtime/uplink/arrivals.ts and sources.ts: whatever waits has an age, by when it arrived here and not by the clock of a device; and it
// counts from its first event on, also of a topic that is made while the link is down.

import t from 'tap'
import { Arrivals } from '../../runtime/uplink/arrivals.ts'
import { event } from '../helpers/sim-store.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const YEAR_MS = 365 * 86_400_000

async function downRig(): Promise<Rig> {
  const rig = new Rig()
  await rig.open({ plant: {} })
  rig.centre.link = { ...goodLink, isDown: true }
  rig.start()
  return rig
}

async function appendWithTime(rig: Rig, timestampMs: number): Promise<void> {
  const [partition] = rig.store.topics.get('plant')?.partitions ?? []
  if (!partition) throw new Error('no partition')
  await rig.machine.settle(new Promise<void>((resolve) => rig.store.append(partition, { ...event('x'), timestampMs }, () => resolve())))
}

for (const [what, offMs] of [
  ['years behind', -YEAR_MS],
  ['years ahead', YEAR_MS]
] as const) {
  t.test(`the clock of a device is ${what}: the age of what waits is since its arrival`, async (t) => {
    const rig = await downRig()
    await appendWithTime(rig, rig.machine.clock.wallMs() + offMs)
    await rig.machine.run(120_000)
    const [lag] = rig.uplink.status().topics
    t.match(lag, { lagEvents: 1, isLagAtLeast: false })
    t.ok((lag?.lagMs ?? 0) >= 120_000 && (lag?.lagMs ?? 0) < 130_000, `${lag?.lagMs} ms`)
    await rig.close()
  })
}

t.test('what is delivered does not make what came behind it older', async (t) => {
  const rig = await downRig()
  await rig.append(numbers(3))
  await rig.machine.run(60_000)
  rig.centre.link = { ...goodLink }
  rig.uplink.resume()
  await rig.machine.run(10_000)
  t.match(rig.uplink.status().topics, [{ lagEvents: 0, lagMs: null }])
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.append(numbers(3, 3))
  await rig.machine.run(20_000)
  const [lag] = rig.uplink.status().topics
  t.ok((lag?.lagMs ?? 0) >= 20_000 && (lag?.lagMs ?? 0) < 30_000, `${lag?.lagMs} ms`)
  await rig.close()
})

t.test('what was here before this start is at least as old as the start', async (t) => {
  const rig = await downRig()
  await rig.append(numbers(3))
  await rig.machine.run(60_000)
  await rig.close()
  await rig.open()
  rig.start()
  await rig.machine.run(30_000)
  const [lag] = rig.uplink.status().topics
  t.match(lag, { lagEvents: 3, isLagAtLeast: true })
  t.ok((lag?.lagMs ?? 0) > 29_999, `${lag?.lagMs} ms`)
  await rig.close()
})

t.test('a topic that is made while the link is down counts from its first event on', async (t) => {
  const rig = await downRig()
  await rig.machine.run(600_000) // the next try is minutes away
  await rig.machine.settle(rig.store.createTopic('new'))
  rig.uplink.addTopic('new', 'centre.new')
  await rig.append(numbers(5), { topic: 'new' })
  t.match(rig.uplink.status(), {
    lagEvents: 5,
    topics: [{ lagEvents: 0 }, { edgeTopic: 'new', lagEvents: 5, lagMs: Number, isLagAtLeast: false }]
  })
  t.ok((rig.uplink.status().topics[1]?.lagBytes ?? 0) > 0)
  await rig.close()
})

t.test('after a long wait an age is right to a hundredth, and memory is bounded', async (t) => {
  let nowMs = 0
  let advance = (): void => undefined
  const onAdvance = (listener: () => void) => {
    advance = listener
    return () => undefined
  }
  const partition = { highWatermark: 0, onAdvance }
  const arrivals = new Arrivals(partition as never, { monotonicMs: () => nowMs })
  for (; nowMs < 50_000_000; nowMs += 2_000) {
    partition.highWatermark++
    advance()
  }
  for (const offset of [0, 5_000, 12_345, 24_999]) {
    const { ageMs, isAtLeast } = arrivals.ageOf(offset)
    const exactMs = nowMs - offset * 2_000
    t.notOk(isAtLeast)
    t.ok(ageMs >= exactMs && ageMs - exactMs <= nowMs / 100, `${ageMs} of ${exactMs}`)
  }
})

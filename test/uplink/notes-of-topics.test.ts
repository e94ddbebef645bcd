// Proves for runtime/uplink/delivery-notes-writer.ts: what is noted of an edge topic is of the starts that delivered it. A start that did not,
// because it was not configured or its upstream topic was refused, does not close its notes, nor say that it is delivered elsewhere.

import t from 'tap'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const both = new Map([
  ['plant', 'A'],
  ['meter', 'B']
])
const meterOnly = new Map([['meter', 'B']])

async function restart(rig: Rig, ending: 'killed' | 'closed'): Promise<void> {
  if (ending === 'killed') rig.kill()
  else await rig.close()
  rig.centre.link = structuredClone(goodLink)
  rig.centre.forbiddenTopics.clear()
  await rig.open({ plant: {}, meter: {} })
}

/** A backlog is delivered, no commit carries the note of it, and the process dies. What is noted of the topic then: `noted` events. */
async function deliverUnnoted(rig: Rig, { noted }: { noted: 0 | 3 }): Promise<void> {
  await rig.open({ plant: {}, meter: {} })
  if (noted === 0) await rig.append(numbers(53))
  rig.start({ topics: both })
  if (noted === 3) {
    await rig.deliver(numbers(3))
    await rig.deliver(['m'], { topic: 'meter' })
    await rig.append(numbers(50, 3))
  }
  await rig.machine.run(20_000)
  t.equal(rig.values('A').length, 53)
  await restart(rig, 'killed')
}

for (const then of ['the id is another', 'the centre has forgotten the positions'] as const) {
  const settings = then === 'the id is another' ? { topics: both, gatewayId: 'g2' } : { topics: both }
  for (const without of ['not configured', 'refused by the centre'] as const) {
    t.test(`a topic is ${without} in a start that ends cleanly, then ${then}: nothing is sent again`, async (t) => {
      const rig = new Rig()
      await deliverUnnoted(rig, { noted: 0 })
      if (without === 'refused by the centre') rig.centre.forbiddenTopics.add('A')
      rig.start({ topics: without === 'not configured' ? meterOnly : both })
      await rig.machine.run(20_000)
      await restart(rig, 'closed')
      if (then === 'the centre has forgotten the positions') rig.centre.expirePositions()
      rig.start(settings)
      await rig.machine.run(100_000)
      t.same(rig.values('A'), numbers(53))
      await rig.close()
    })
  }
}

const moved = { topics: new Map([...both, ['plant', 'C']]), gatewayId: 'g2' }

for (const ending of ['killed', 'closed'] as const) {
  t.test(`another id and another upstream topic, which is refused at first; ${ending}, granted: nothing is sent again`, async (t) => {
    const rig = new Rig()
    await deliverUnnoted(rig, { noted: 3 })
    rig.centre.forbiddenTopics.add('C')
    rig.start(moved)
    await rig.machine.run(20_000)
    await restart(rig, ending)
    rig.start(moved)
    await rig.machine.run(500_000)
    t.same([rig.values('A'), rig.values('C')], [numbers(53), []])
    await rig.close()
  })
}

t.test('it is granted while the gateway runs: that it is delivered there is noted before anything is sent', async (t) => {
  const rig = new Rig()
  await deliverUnnoted(rig, { noted: 3 })
  rig.centre.forbiddenTopics.add('C')
  rig.start(moved)
  await rig.machine.run(20_000)
  rig.centre.forbiddenTopics.clear()
  await rig.append(numbers(20, 53))
  // Not so long that what is noted in a pause comes too.
  for (let tries = 0; tries < 200 && rig.values('C').length < 20; tries++) await rig.machine.run(10_000)
  t.same([rig.values('A'), rig.values('C')], [numbers(53), numbers(20, 53)])
  await restart(rig, 'killed')
  rig.centre.expirePositions()
  rig.start({ ...moved, gatewayId: 'g3' })
  await rig.machine.run(100_000)
  t.same([rig.values('A'), rig.values('C')], [numbers(53), numbers(20, 53)])
  await rig.close()
})

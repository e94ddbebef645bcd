// Proves for runtime/uplink/find-positions.ts: a topic that is deleted on one of two copies of a disk keeps in the position what that copy has delivered of it, not what
// the other has: made again, all of its events are delivered, once.

import t from 'tap'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const OTHERS = 20
const BOTH = new Map([
  ['plant', 'centre.all'],
  ['meter', 'centre.all']
])

async function open(rig: Rig): Promise<void> {
  await rig.open({ plant: {}, meter: {} })
  rig.start({ topics: BOTH })
}

for (const isKilled of [false, true]) {
  t.test(
    `a topic is deleted and made again behind a fork, where the other copy delivered more of it${isKilled ? '; killed between' : ''}`,
    async (t) => {
      const rig = new Rig()
      await open(rig)
      await rig.deliver(numbers(5))
      const image = rig.machine.disk.takeImage()
      await rig.deliver(numbers(OTHERS, 100)) // the other copy has this many more
      rig.kill()
      rig.machine.disk.putBack(image)
      await open(rig)
      await rig.deliver(numbers(3, 200))
      t.ok(rig.noticeKinds().includes('forked'))
      await rig.machine.settle(rig.store.deleteTopic('plant', { undelivered: 'refuse' }))
      rig.uplink.removeTopic('plant')
      await rig.deliver(['m0'], { topic: 'meter' }) // writes a position without the topic
      if (isKilled) {
        await rig.close()
        rig.centre.link = structuredClone(goodLink)
        await rig.open({ meter: {} })
        rig.start({ topics: BOTH })
        await rig.deliver(['m1'], { topic: 'meter' })
      }
      await rig.machine.settle(rig.store.createTopic('plant'))
      rig.uplink.addTopic('plant', 'centre.all')
      await rig.deliver(numbers(4, 300))
      await rig.deliver(numbers(OTHERS, 400))
      const meter = isKilled ? ['m0', 'm1'] : ['m0']
      const plant = [...numbers(5), ...numbers(OTHERS, 100), ...numbers(3, 200), ...numbers(4, 300), ...numbers(OTHERS, 400)]
      t.same([...rig.values('centre.all')].sort(), [...plant, ...meter].sort())
      const names = rig.centre.committed('centre.all', 0).map(({ headers }) => `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`)
      t.equal(new Set(names).size, names.length, 'a name is of one event')
      t.equal(rig.uplink.status().counters.lostEvents, 0)
      await rig.close()
    }
  )
}

t.test('a topic that was delivered is deleted: the next start does not take it for a sign of another history', async (t) => {
  const rig = new Rig()
  await open(rig)
  await rig.deliver(numbers(5))
  await rig.machine.settle(rig.store.deleteTopic('plant', { undelivered: 'refuse' }))
  rig.uplink.removeTopic('plant')
  await rig.deliver(['m0'], { topic: 'meter' })
  for (const text of ['m1', 'm2']) {
    await rig.close()
    await rig.open({ meter: {} })
    rig.start({ topics: BOTH })
    await rig.deliver([text], { topic: 'meter' })
  }
  t.same(rig.noticeKinds(), [])
  t.same(rig.values('centre.all'), [...numbers(5), 'm0', 'm1', 'm2'])
  await rig.close()
})

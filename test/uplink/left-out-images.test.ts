// Proves for runtime/uplink: an older image of the disk is put back, one topic is not delivered in the first start of it (taken out, or refused by the
// centre), and the centre forgets the positions before it is. What was written meanwhile has offsets that the original delivered: it is not
// taken for delivered, and nothing is sent twice.

import t from 'tap'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const both = new Map([
  ['plant', 'A'],
  ['meter', 'B']
])
const plantOnly = new Map([['plant', 'A']])
const meter = { topic: 'meter' }

async function reopen(rig: Rig, topics: ReadonlyMap<string, string>): Promise<void> {
  rig.centre.link = structuredClone(goodLink)
  await rig.open({ plant: {}, meter: {} })
  rig.start({ topics })
}

for (const without of ['taken out', 'refused'] as const) {
  for (const isForkSeen of [false, true]) {
    for (const waiting of [0, 2]) {
      for (const then of ['let in', 'killed, and let in', 'stopped, and let in'] as const) {
        if (without === 'taken out' && then === 'let in') continue
        const title = `the topic is ${without}; ${isForkSeen ? 'another one shows' : 'nothing shows'} that the disk is older; ${waiting} of it wait in the image; ${then}`
        t.test(title, async (t) => {
          const rig = new Rig()
          await reopen(rig, both)
          await rig.deliver(numbers(8), meter)
          await rig.deliver(['p'])
          if (waiting === 0) await rig.close()
          else {
            rig.uplink.pause()
            await rig.machine.run(1_000)
            await rig.append(numbers(waiting, 8), meter)
            rig.kill()
          }
          const image = rig.machine.disk.takeImage()
          await reopen(rig, both)
          await rig.deliver(numbers(5, 8 + waiting), meter)
          if (isForkSeen) await rig.deliver(['q'])
          rig.kill()
          rig.machine.disk.putBack(image)
          if (without === 'refused') rig.centre.forbiddenTopics.add('B')
          await reopen(rig, without === 'refused' ? both : plantOnly)
          await rig.deliver(['r'])
          await rig.append(numbers(4, 100), meter)
          await rig.deliver(['s'])
          if (then === 'stopped, and let in') await rig.close()
          if (then === 'killed, and let in') rig.kill()
          rig.centre.expirePositions()
          rig.centre.forbiddenTopics.clear()
          if (then !== 'let in') await reopen(rig, both)
          await rig.machine.run(200_000)
          await rig.deliver(['last'], meter)
          t.same([...rig.values('B')].sort(), [...numbers(13 + waiting), ...numbers(4, 100), 'last'].sort())
          t.same(rig.values('A'), isForkSeen ? ['p', 'q', 'r', 's'] : ['p', 'r', 's'], 'the other one is not sent again')
          const names = rig.centre.committed('B', 0).map(({ headers }) => `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`)
          t.equal(new Set(names).size, names.length, 'a name is of one event')
          t.equal(rig.uplink.status().counters.undecidedEvents, 0)
          await rig.close()
        })
      }
    }
  }
}

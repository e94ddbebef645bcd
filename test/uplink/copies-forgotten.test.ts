// Proves for runtime/uplink/noted-offsets.ts: a running disk was copied, and both wrote in the same start or the next one what the other does not have, under
// the same offsets and the same branch. When the centre has forgotten the position, what the copy delivered is not taken for ours.

import t from 'tap'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

async function reopen(rig: Rig): Promise<void> {
  rig.centre.link = structuredClone(goodLink)
  await rig.open()
  rig.start()
}

for (const common of [0, 2]) {
  for (const ofCopy of [2, 4, 8]) {
    for (const lives of [1, 2]) {
      t.test(
        `${common} wait in the copy, which delivers ${ofCopy} of its own; the original has 4 more of the same start, ${lives} starts`,
        async (t) => {
          const rig = new Rig()
          await rig.open()
          rig.start()
          await rig.deliver(numbers(10))
          await rig.deliver(['noted'])
          rig.uplink.pause()
          await rig.machine.run(1_000)
          await rig.append(numbers(common, 50))
          const copy = rig.machine.disk.takeImage()
          await rig.append(numbers(4, 100))
          rig.kill()
          const original = rig.machine.disk.takeImage()
          rig.machine.disk.putBack(copy)
          await reopen(rig)
          await rig.deliver(numbers(ofCopy, 200))
          rig.kill()
          rig.machine.disk.putBack(original)
          rig.centre.expirePositions()
          if (lives === 2) {
            rig.centre.link = { ...goodLink, isDown: true }
            await rig.open()
            rig.start()
            await rig.append(numbers(3, 300))
            rig.kill()
          }
          await reopen(rig)
          await rig.machine.run(10_000)
          await rig.deliver(['last'])
          const texts = [...numbers(10), 'noted', ...numbers(common, 50), ...numbers(ofCopy, 200), ...numbers(4, 100)]
          t.same([...rig.values()].sort(), [...texts, ...(lives === 2 ? numbers(3, 300) : []), 'last'].sort())
          const names = rig.centre
            .committed('centre.plant', 0)
            .map(({ headers }) => `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`)
          t.equal(new Set(names).size, names.length, 'a name is of one event')
          t.equal(rig.uplink.status().counters.undecidedEvents, 0)
          t.equal(rig.noticeKinds().filter((kind) => kind === 'forked').length, 1)
          await rig.close()
        }
      )
    }
  }
}

const thens = ['let in', 'killed, and let in', 'its position is there, let in', 'its position is there, killed, and let in'] as const
for (const then of thens) {
  t.test(`the fork is noted while one topic is left out; ${then}`, async (t) => {
    const topics = new Map([
      ['plant', 'A'],
      ['meter', 'B']
    ])
    const both = async (): Promise<void> => {
      rig.centre.link = structuredClone(goodLink)
      await rig.open({ plant: {}, meter: {} })
      rig.start({ topics })
    }
    const meter = { topic: 'meter' }
    const rig = new Rig()
    await both()
    await rig.deliver(numbers(10), meter)
    await rig.deliver(['p0'])
    await rig.deliver(['noted'])
    rig.uplink.pause()
    await rig.machine.run(1_000)
    const copy = rig.machine.disk.takeImage()
    await rig.append(numbers(4, 100), meter)
    await rig.append(['p1'])
    rig.kill()
    const original = rig.machine.disk.takeImage()
    rig.machine.disk.putBack(copy)
    await both()
    await rig.deliver(numbers(3, 200), meter)
    await rig.deliver(['p2'])
    rig.kill()
    rig.machine.disk.putBack(original)
    rig.centre.forbiddenTopics.add('B')
    await both()
    await rig.deliver(['p3'])
    t.ok(rig.noticeKinds().includes('forked'))
    if (then.includes('killed')) rig.kill()
    if (!then.includes('there')) rig.centre.expirePositions()
    rig.centre.forbiddenTopics.clear()
    if (then.includes('killed')) await both()
    await rig.machine.run(200_000)
    await rig.deliver(['last'], meter)
    t.same([...rig.values('A')].sort(), ['p0', 'noted', 'p1', 'p2', 'p3'].sort())
    t.same([...rig.values('B')].sort(), [...numbers(10), ...numbers(4, 100), ...numbers(3, 200), 'last'].sort())
    const names = rig.centre.committed('B', 0).map(({ headers }) => `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`)
    t.equal(new Set(names).size, names.length, 'a name is of one event')
    await rig.close()
  })
}

// Proves for runtime/uplink: a commit whose answer was lost stays in doubt for a topic that is left out before its position was read. When that
// position is gone by the time the topic is let in again, what the commit delivered is looked for at the centre and is not sent a second
// time; so too when the gateway was stopped cleanly meanwhile.

import t from 'tap'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const topics = new Map([
  ['plant', 'centre.plant'],
  ['meter', 'centre.meter']
])

async function openBoth(): Promise<Rig> {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  rig.start({ topics })
  await rig.machine.run(3_000)
  return rig
}

/** The next transaction is committed, and nobody hears of it; from then on the centre refuses the topic. */
function loseCommitAndForbid(rig: Rig, name: string): void {
  const { endTransaction } = rig.centre
  rig.centre.endTransaction = (id, producer, outcome) => {
    if (!rig.centre.forbiddenTopics.has(name)) endTransaction.call(rig.centre, id, producer, outcome)
    else rig.centre.endTransaction = endTransaction
    rig.centre.forbiddenTopics.add(name)
    throw new UpstreamFault('in-doubt', 'no answer to end')
  }
}

async function reopen(rig: Rig): Promise<void> {
  rig.centre.link = structuredClone(goodLink)
  await rig.open()
  rig.start({ topics })
}

const losses: Record<string, (rig: Rig) => void> = {
  'has expired': (rig) => rig.centre.expirePositions(),
  'is unreadable': (rig) => rig.centre.alterPositions(() => 'not ours')
}

for (const [loss, lose] of Object.entries(losses)) {
  for (const before of [0, 3]) {
    for (const ending of ['goes on', 'is stopped cleanly', 'is killed'] as const) {
      const title = `${before} events before, one commit in doubt, the topic is left out, its position ${loss}; the gateway ${ending}`
      t.test(title, async (t) => {
        const rig = await openBoth()
        if (before > 0) await rig.deliver(numbers(before), { topic: 'meter' })
        loseCommitAndForbid(rig, 'centre.meter')
        await rig.deliver(numbers(5, before), { topic: 'meter' })
        await rig.deliver(['other'])
        t.same(rig.values('centre.meter'), numbers(before + 5), 'it had happened')
        t.same(rig.values('centre.plant'), ['other'])
        t.ok(rig.noticeKinds().includes('left-out'))
        if (ending === 'is stopped cleanly') await rig.close()
        if (ending === 'is killed') rig.kill()
        if (ending !== 'goes on') await reopen(rig)
        await rig.machine.run(10_000)
        if (ending !== 'goes on') await rig.deliver(['still left out'])
        lose(rig)
        rig.centre.forbiddenTopics.clear()
        await rig.machine.run(200_000)
        await rig.deliver(['after it'], { topic: 'meter' })
        t.same(rig.values('centre.meter'), [...numbers(before + 5), 'after it'])
        t.equal(rig.uplink.status().counters.undecidedEvents, 0)
        await rig.close()
      })
    }
  }
}

t.test('what was confirmed in this start counts, whatever the disk has noted, when the centre has nothing left to read', async (t) => {
  const rig = await openBoth()
  await rig.deliver(numbers(3), { topic: 'meter' })
  await rig.deliver(numbers(5, 3), { topic: 'meter' })
  loseCommitAndForbid(rig, 'centre.meter')
  await rig.deliver(['in doubt'], { topic: 'meter' })
  rig.centre.expirePositions()
  rig.centre.deleteRecords('centre.meter')
  rig.centre.forbiddenTopics.clear()
  await rig.machine.run(200_000)
  t.same(rig.values('centre.meter'), [...numbers(8), 'in doubt', 'in doubt'])
  t.equal(rig.uplink.status().counters.undecidedEvents, 1)
  await rig.close()
})

t.test('a disk that never had room for a note: a commit in doubt is looked for all the same', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  await rig.append(numbers(5), { topic: 'meter' })
  await rig.append(['other'])
  rig.machine.disk.failNext('write-sync', '', 'ENOSPC')
  loseCommitAndForbid(rig, 'centre.meter')
  rig.start({ topics })
  await rig.machine.run(20_000)
  t.ok(rig.noticeKinds().includes('notes'))
  rig.centre.expirePositions()
  rig.centre.forbiddenTopics.clear()
  await rig.machine.run(200_000)
  t.same([rig.values('centre.meter'), rig.values('centre.plant')], [numbers(5), ['other']])
  await rig.close()
})

t.test('the topic is deleted and made anew while it is left out: what was in doubt is sent again and counted', async (t) => {
  const rig = await openBoth()
  await rig.deliver(numbers(3), { topic: 'meter' })
  loseCommitAndForbid(rig, 'centre.meter')
  await rig.deliver(numbers(5, 3), { topic: 'meter' })
  rig.centre.deleteTopic('centre.meter')
  rig.centre.createTopic('centre.meter', 1)
  rig.centre.forbiddenTopics.clear()
  await rig.machine.run(200_000)
  t.same(rig.values('centre.meter'), numbers(5, 3))
  t.equal(rig.uplink.status().counters.undecidedEvents, 5)
  t.ok(rig.noticeKinds().includes('recreated'))
  await rig.close()
})

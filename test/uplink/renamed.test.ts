// Proves for runtime/uplink: a gateway that gets another id, and the old one again, sends each event once. Every id has positions of its own
// at the centre; which of them is the last is in the delivery notes.

import t from 'tap'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

type Ending = 'closed' | 'killed' | 'killed, the last commit in doubt'

async function end(rig: Rig, ending: Ending): Promise<void> {
  if (ending === 'closed') await rig.close()
  else rig.kill()
  rig.centre.link = structuredClone(goodLink)
  await rig.open()
}

/** Delivers under `gatewayId`; the last of `texts` come to the centre after the last note of it, or nobody hears whether they came. */
async function live(rig: Rig, ending: Ending, { gatewayId, texts }: { gatewayId: string; texts: readonly string[] }): Promise<void> {
  rig.start({ gatewayId })
  await rig.machine.run(100_000) // longer than a transaction may be open
  await rig.deliver(texts.slice(0, 3))
  if (ending === 'killed, the last commit in doubt') rig.centre.loseNext = { name: 'end', what: 'answer' }
  await rig.append(texts.slice(3))
  await rig.machine.run(ending === 'killed, the last commit in doubt' ? 300 : 5_000)
  await end(rig, ending)
}

for (const ending of ['closed', 'killed', 'killed, the last commit in doubt'] as const) {
  t.test(`${ending}: another id, the first again, the other again: nothing is sent again`, async (t) => {
    const rig = new Rig()
    await rig.open()
    let next = 0
    for (const gatewayId of ['g1', 'g2', 'g1', 'g2', 'g3', 'g1']) {
      await live(rig, ending, { gatewayId, texts: numbers(6, next) })
      next += 6
    }
    rig.start({ gatewayId: 'g2' })
    await rig.machine.run(100_000)
    t.same(rig.values(), numbers(next))
    t.notOk(rig.noticeKinds().includes('went-back'))
    t.equal(rig.noticeKinds().filter((kind) => kind === 'renamed').length, 6, 'each change is told once')
    t.equal(rig.uplink.status().counters.undecidedEvents, 0)
    await rig.close()
  })
}

t.test('another id that delivered nothing, then the first again', async (t) => {
  const rig = new Rig()
  await rig.open()
  await live(rig, 'killed', { gatewayId: 'g1', texts: numbers(6) })
  rig.start({ gatewayId: 'g2' })
  await rig.machine.run(5_000)
  await end(rig, 'killed')
  await live(rig, 'killed', { gatewayId: 'g1', texts: numbers(6, 6) })
  rig.start({ gatewayId: 'g2' })
  await rig.machine.run(5_000)
  t.same(rig.values(), numbers(12))
  await rig.close()
})

t.test('nothing is sent under another id before a note of it is durable', async (t) => {
  const rig = new Rig()
  await rig.open()
  await live(rig, 'closed', { gatewayId: 'g1', texts: numbers(6) })
  const { commit } = rig.store
  const { WadiError } = await import('../../runtime/base/errors.ts')
  rig.store.commit = async () => {
    throw new WadiError('WADI_DISK_FULL', { happened: 'No room.', kept: '', next: '' })
  }
  rig.start({ gatewayId: 'g2' })
  await rig.deliver(['later'])
  t.same(rig.values(), numbers(6))
  rig.store.commit = commit
  await rig.machine.run(60_000)
  t.same(rig.values(), [...numbers(6), 'later'])
  await rig.close()
})

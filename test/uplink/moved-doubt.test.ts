// Proves for runtime/uplink: a topic that was moved to another topic of the centre, with its first commit there in doubt, is not sent again when the
// centre has forgotten that position: the position at the place before is older, and what was delivered is looked for at the new one.

import t from 'tap'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { numbers, Rig } from './rig.ts'

const first = new Map([['plant', 'centre.plant']])
const second = new Map([['plant', 'centre.other']])

for (const isKnown of [false, true]) {
  for (const isForgotten of [false, true]) {
    const where = isKnown ? 'back to where it was before' : 'to a new one'
    t.test(`moved ${where}, killed in the first commit there${isForgotten ? ', position forgotten' : ''}`, async (t) => {
      const rig = new Rig()
      await rig.open({ plant: {} })
      let sent = 0
      const deliver = async (topics: ReadonlyMap<string, string>, count: number): Promise<void> => {
        rig.start({ topics: new Map(topics) })
        await rig.deliver(numbers(count, sent))
        sent += count
        await rig.close()
        await rig.open()
      }
      if (isKnown) await deliver(second, 3)
      await deliver(first, 4)
      const before = rig.values('centre.other')
      rig.start({ topics: second })
      await rig.machine.run(2_000)
      const { endTransaction } = rig.centre
      rig.centre.endTransaction = (id, producer, outcome) => {
        endTransaction.call(rig.centre, id, producer, outcome)
        rig.centre.endTransaction = endTransaction
        rig.centre.link = { ...rig.centre.link, isDown: true }
        throw new UpstreamFault('in-doubt', 'no answer to end')
      }
      await rig.append(numbers(5, sent))
      await rig.machine.run(3_000)
      t.same(rig.values('centre.other'), [...before, ...numbers(5, sent)], 'it had happened')
      rig.kill()
      rig.centre.link = { ...rig.centre.link, isDown: false }
      if (isForgotten) rig.centre.expirePosition('centre.other')
      await rig.open()
      rig.start({ topics: second })
      await rig.machine.run(20_000)
      await rig.deliver(['after it'])
      t.same(rig.values('centre.other'), [...before, ...numbers(5, sent), 'after it'])
      t.equal(rig.uplink.status().counters.undecidedEvents, 0)
      await rig.close()
    })
  }
}

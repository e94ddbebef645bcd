// Proves for runtime/uplink/planner.ts: a transaction that was made before the history of the disk was found to have forked is made anew where its
// events are named by another branch: `wadi.id` and `wadi.offset` name one event.

import t from 'tap'
import { Prng } from '../sim/prng.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { numbers, Rig } from './rig.ts'

t.test('a copy of the disk delivers while the original has a transaction ready', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start()
  await rig.deliver(numbers(10))
  const image = rig.machine.disk.takeImage()
  rig.centre.loseNext = { name: 'produce', what: 'request' }
  await rig.append(numbers(6, 10))
  await rig.machine.run(300)
  rig.uplink.pause()
  await rig.machine.run(70_000)
  const copy = new Rig({ beside: rig, disk: new SimDisk({ clock: rig.machine.clock, prng: new Prng(9) }) })
  copy.machine.disk.putBack(image)
  await copy.open()
  copy.start()
  await copy.deliver(numbers(5, 100))
  await copy.close()
  rig.uplink.resume()
  await rig.machine.run(100_000)
  t.same([...rig.values()].sort(), [...numbers(16), ...numbers(5, 100)].sort())
  const names = rig.centre.committed('centre.plant', 0).map(({ headers }) => `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`)
  t.equal(new Set(names).size, names.length)
  await rig.close()
})

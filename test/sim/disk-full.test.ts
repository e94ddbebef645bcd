// Proves that a full disk is not the end: what is delivered makes room, and ingest goes on without a restart and without more space.

import t from 'tap'
import { Uplink } from '../../runtime/uplink/uplink.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from './prng.ts'
import { SimCentre } from './sim-centre.ts'
import { simCodec } from './sim-codec.ts'
import { goodLink } from './sim-link.ts'

t.test('the disk is full of what could not be delivered; the link comes back; there is room again', async (t) => {
  const machine = new SimMachine(5, { settings: { freeBytesMin: 24 * 1024 } })
  const centre = new SimCentre({ clock: machine.clock, prng: new Prng(6) })
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('plant', { codec: 'none' }))
  const partition = topic.partitions[0]
  if (!partition) throw new Error('no partition')
  machine.disk.capacityBytes = machine.disk.usedBytes + 64 * 1024
  centre.link = { ...goodLink, isDown: true }
  const life = machine.clock.process()
  const upstream = centre.connect(life, 'edge.full')
  const settings = { topics: new Map([['plant', 'plant']]), gatewayId: 'g' }
  const uplink = new Uplink({ store, core: loadTestCore(), codec: simCodec, clock: life, random: new Prng(7), upstream, settings })
  uplink.start()

  const acked: string[] = []
  let refused = 0
  let number = 0
  const send = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      const text = `e${number++} ${'z'.repeat(400)}`
      await machine.settle(
        new Promise<void>((resolve) => {
          store.append(partition, event(text), (error) => {
            if (error) refused++
            else acked.push(text)
            resolve()
          })
        })
      )
      await machine.run(20)
    }
  }

  await send(500)
  t.ok(refused > 0, `${refused} were refused while the disk was full`)
  const ackedBefore = acked.length
  centre.link = { ...goodLink }
  await machine.run(120_000)
  refused = 0
  await send(300)
  t.equal(refused, 0, 'ingest goes on')
  t.equal(acked.length, ackedBefore + 300)
  await machine.run(120_000)
  t.same(
    centre.committed('plant', 0).map((record) => record.value),
    acked,
    'everything acknowledged arrived once'
  )
  await machine.settle(uplink.close({ deadlineMs: 1_000 }))
  await machine.settle(store.close())
})

// Proves for runtime/uplink: a batch that the centre refused as too large makes later batches smaller and puts no single event aside; a topic that may
// be written and not read does not stop the others when a position has to be looked for.

import t from 'tap'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { Prng } from '../sim/prng.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

t.test('the centre takes less than it says: single events that it takes arrive, before and after a batch was refused', async (t) => {
  const prng = new Prng(5)
  const large = (): string => `L${Buffer.from(prng.bytes(3_450)).toString('base64')}`
  const rig = new Rig({ batchBytesMax: 5_000 })
  const describe = rig.centre.describe.bind(rig.centre)
  rig.centre.describe = (...call) => describe(...call).map((topic) => ({ ...topic, batchBytesMax: 1_048_588 }))
  await rig.open()
  rig.start()
  await rig.machine.run(3_000)
  await rig.deliver([large()])
  t.equal(rig.values().length, 1)
  await rig.append(Array.from({ length: 60 }, (_, index) => `s${index} ${Buffer.from(prng.bytes(80)).toString('hex')}`))
  await rig.machine.run(60_000)
  t.equal(rig.values().length, 61, 'in smaller batches')
  await rig.deliver([large()])
  await rig.machine.run(60_000)
  await rig.deliver(numbers(3))
  t.equal(rig.values().length, 65)
  t.same(rig.noticeKinds(), [])
  await rig.close()
})

t.test('another id, and one topic that may not be read: nothing stops, and nothing is sent again after a clean stop', async (t) => {
  const topics = new Map([
    ['plant', 'centre.plant'],
    ['meter', 'centre.meter']
  ])
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  const { readCommitted } = rig.centre
  rig.centre.readCommitted = (from) => {
    if (from.topicName === 'centre.meter') throw new UpstreamFault('refused', 'TOPIC_AUTHORIZATION_FAILED (Read) for centre.meter')
    return readCommitted.call(rig.centre, from)
  }
  rig.start({ gatewayId: 'g1', topics })
  await rig.deliver(numbers(5))
  await rig.deliver(numbers(2), { topic: 'meter' })
  await rig.close()
  rig.centre.link = structuredClone(goodLink)
  await rig.open()
  rig.start({ gatewayId: 'g2', topics })
  await rig.deliver(numbers(3, 5))
  await rig.deliver(numbers(2, 2), { topic: 'meter' })
  t.same([rig.values(), rig.values('centre.meter')], [numbers(8), numbers(4)])
  t.equal(rig.uplink.status().counters.undecidedEvents, 0)
  await rig.close()
})

// Proves for runtime/uplink/look-back.ts: two gateways that were made from one image of a disk have one log id, and each a gateway.id of its own. What the
// one delivered is not taken for the other's, also where the other has to look for what it delivered.

import t from 'tap'
import type { DiskImage } from '../sim/sim-disk.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const ofSecond = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `m${from + index}`)

async function change(rig: Rig, image: DiskImage | null, gatewayId: string): Promise<void> {
  if (image) rig.machine.disk.putBack(image)
  rig.centre.link = structuredClone(goodLink)
  await rig.open()
  rig.start({ gatewayId })
}

/** Its link is away, and events wait when it is killed. */
async function waitAndDie(rig: Rig, texts: readonly string[]): Promise<DiskImage> {
  rig.uplink.pause()
  await rig.machine.run(1_000)
  await rig.append(texts)
  rig.kill()
  return rig.machine.disk.takeImage()
}

async function closeAndTake(rig: Rig): Promise<DiskImage> {
  await rig.close()
  rig.machine.kill()
  return rig.machine.disk.takeImage()
}

const ofFirst = (rig: Rig): (string | null)[] => rig.values().filter((value) => value?.startsWith('e'))

for (const then of ['gets a third id', 'has its position forgotten', 'goes on'] as const) {
  t.test(`an image from before anything was delivered; the first gateway ${then}`, async (t) => {
    const rig = new Rig()
    await rig.open()
    await rig.machine.settle(rig.store.close())
    rig.machine.kill()
    const image = rig.machine.disk.takeImage()
    await change(rig, null, 'g1')
    await rig.deliver(numbers(5))
    await rig.deliver(numbers(5, 5))
    const first = await waitAndDie(rig, numbers(20, 10))
    await change(rig, image, 'g2')
    await rig.deliver(ofSecond(50))
    await closeAndTake(rig)
    if (then === 'has its position forgotten') rig.centre.expirePositions()
    await change(rig, first, then === 'gets a third id' ? 'g3' : 'g1')
    await rig.machine.run(120_000)
    t.same(ofFirst(rig), numbers(30))
    await rig.close()
  })
}

t.test('an image of a gateway that had delivered and was stopped: both go on, the first gets a third id', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start({ gatewayId: 'g1' })
  await rig.deliver(numbers(5))
  const image = await closeAndTake(rig)
  await change(rig, null, 'g2')
  await rig.machine.run(3_000)
  await rig.deliver(ofSecond(1))
  const second = await closeAndTake(rig)
  await change(rig, image, 'g1')
  await rig.machine.run(3_000)
  await rig.deliver(numbers(5, 5))
  await rig.deliver(numbers(2, 10))
  const first = await waitAndDie(rig, numbers(20, 12))
  await change(rig, second, 'g2')
  await rig.machine.run(3_000)
  await rig.deliver(ofSecond(49, 1))
  await closeAndTake(rig)
  await change(rig, first, 'g3')
  await rig.machine.run(120_000)
  t.same(ofFirst(rig), numbers(32))
  await rig.close()
})

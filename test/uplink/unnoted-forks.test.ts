// Proves for runtime/uplink/same-events.ts: an image of a disk from before it had noted that it is a branch, put back when the centre has also forgotten the
// position. What the branch delivered of the events in the image is found by what the events are, is not sent again, and nothing else is
// taken for delivered; `wadi.id` with `wadi.offset` names one event only.

import t, { type Test } from 'tap'
import { EventsOfBranches } from '../../runtime/uplink/same-events.ts'
import type { DiskImage } from '../sim/sim-disk.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

async function start(rig: Rig, texts: readonly string[] = []): Promise<void> {
  await rig.open({ plant: { partitionCount: 2 } })
  await append(rig, texts)
  rig.start()
}

/** To both partitions, so that each has its own common part. */
async function append(rig: Rig, texts: readonly string[], header: readonly [string, string] = ['unit', 'C']): Promise<void> {
  await rig.append(texts, { header })
  await rig.append(
    texts.slice(0, Math.ceil(texts.length / 2)).map((text) => `${text}b`),
    { partition: 1, header }
  )
}

async function deliver(rig: Rig, texts: readonly string[]): Promise<void> {
  await append(rig, texts)
  await rig.machine.run(5_000)
}

const withSecond = (texts: readonly string[]): string[] => [
  ...texts,
  ...texts.slice(0, Math.ceil(texts.length / 2)).map((text) => `${text}b`)
]

function putBack(rig: Rig, image: DiskImage): void {
  rig.kill()
  rig.machine.disk.putBack(image)
}

function forget(rig: Rig): void {
  rig.centre.expirePositions()
  rig.centre.expireProducers()
}

/** A disk with ten events of before the fork, that the link has not been up on since; `lives`: starts of it so far. */
async function unaware(rig: Rig, { lives }: { lives: number }): Promise<DiskImage> {
  await start(rig)
  await deliver(rig, numbers(10))
  await rig.close()
  const image = rig.machine.disk.takeImage()
  await start(rig)
  await deliver(rig, numbers(10, 10))
  putBack(rig, image)
  rig.centre.link = { ...goodLink, isDown: true }
  for (let life = 0; life < lives; life++) {
    if (life > 0) rig.kill()
    await start(rig, numbers(6, 100 * (life + 1)))
  }
  return rig.machine.disk.takeImage() // it runs, and has not heard the centre
}

function arrivedOnce(t: Test, rig: Rig, texts: readonly string[]): void {
  const records = [0, 1].flatMap((partition) => rig.centre.committed('centre.plant', partition))
  t.same(records.map(({ value }) => value).sort(), [...texts].sort())
  const names = records.map(({ headers }) => `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`)
  t.same(
    names.filter((name, at) => names.indexOf(name) !== at),
    [],
    'a name is of one event'
  )
}

for (const lives of [1, 2]) {
  for (const unlinked of [1, 3]) {
    for (const goesOn of [true, false]) {
      const title = `the image has ${lives} unlinked lives, ${unlinked} follow; the branch ${goesOn ? 'went on' : 'delivered what is in the image'}`
      t.test(title, async (t) => {
        const rig = new Rig()
        const image = await unaware(rig, { lives })
        const ofBranch = Array.from({ length: lives }, (_, life) => withSecond(numbers(6, 100 * (life + 1)))).flat()
        rig.centre.link = { ...goodLink }
        await rig.machine.run(60_000)
        if (goesOn) await deliver(rig, numbers(5, 500))
        putBack(rig, image)
        forget(rig)
        rig.centre.link = { ...goodLink, isDown: true }
        const expected = [...withSecond(numbers(10)), ...withSecond(numbers(10, 10)), ...ofBranch]
        if (goesOn) expected.push(...withSecond(numbers(5, 500)))
        for (let life = 0; life < unlinked; life++) {
          if (life > 0) rig.kill()
          const texts = numbers(3, 600 + 100 * life)
          await start(rig, texts)
          expected.push(...withSecond(texts))
        }
        rig.centre.link = { ...goodLink }
        await rig.machine.run(60_000)
        await deliver(rig, ['later'])
        expected.push(...withSecond(['later']))
        arrivedOnce(t, rig, expected)
        t.equal(rig.uplink.status().counters.undecidedEvents, 0)
        await rig.close()
      })
    }
  }
}

/** A running disk is copied before it notes the fork, and goes on in the same start; the copy delivers; then the disk comes back, to a centre that has forgotten. */
async function copiedUnaware(events: {
  header?: readonly [string, string]
  ofCopy: readonly string[]
  atLast?: readonly string[]
}): Promise<Rig> {
  const rig = new Rig()
  const copy = await unaware(rig, { lives: 1 })
  await append(rig, numbers(4, 200), events.header)
  rig.kill()
  const original = rig.machine.disk.takeImage()
  rig.machine.disk.putBack(copy)
  rig.centre.link = { ...goodLink }
  await start(rig)
  await rig.machine.run(60_000)
  await deliver(rig, events.ofCopy)
  putBack(rig, original)
  forget(rig)
  await start(rig, events.atLast)
  await rig.machine.run(60_000)
  return rig
}

t.test(
  'a running disk was copied before it noted the fork, and went on; the copy delivered: what only the one has is not lost',
  async (t) => {
    const rig = await copiedUnaware({ ofCopy: numbers(7, 300), atLast: numbers(3, 400) })
    arrivedOnce(
      t,
      rig,
      [numbers(10), numbers(10, 10), numbers(6, 100), numbers(7, 300), numbers(4, 200), numbers(3, 400)].flatMap((texts) =>
        withSecond(texts)
      )
    )
    await rig.close()
  }
)

for (const header of [
  ['unit', 'F'],
  ['unit2', 'C']
] as const) {
  t.test(`so too where the events of the two differ in a header only: ${header}`, async (t) => {
    const rig = await copiedUnaware({ header, ofCopy: numbers(4, 200) })
    const common = [numbers(10), numbers(10, 10), numbers(6, 100)]
    arrivedOnce(
      t,
      rig,
      [...common, numbers(4, 200), numbers(4, 200)].flatMap((texts) => withSecond(texts))
    )
    t.equal(rig.centre.committed('centre.plant', 0).filter(({ headers }) => headers.get(header[0]) === header[1]).length, 4)
    await rig.close()
  })
}

t.test('the centre sets the time of events, so that nobody can tell which are the same: sent again and counted', async (t) => {
  const rig = new Rig()
  rig.centre.setsTime = true
  const image = await unaware(rig, { lives: 1 })
  rig.centre.link = { ...goodLink }
  await rig.machine.run(60_000)
  putBack(rig, image)
  forget(rig)
  await start(rig, numbers(3, 600))
  await rig.machine.run(60_000)
  const expected = [numbers(10), numbers(10, 10), numbers(6, 100), numbers(6, 100), numbers(3, 600)].flatMap((texts) => withSecond(texts))
  const arrived = [0, 1].flatMap((partition) => rig.values('centre.plant', partition))
  t.same(arrived.sort(), expected.sort())
  t.equal(rig.uplink.status().counters.undecidedEvents, 9)
  t.ok(rig.noticeKinds().includes('undecided'))
  await rig.close()
})

const canaries: Record<string, () => void> = {
  'events of unknown branches are not compared': () => {
    EventsOfBranches.prototype.commonWith = async () => null
  },
  'every event at an offset of an unknown branch is taken for delivered': () => {
    EventsOfBranches.prototype.commonWith = async function (source, from) {
      const common = await commonWith.call(this, source, from)
      const ends = [...(common?.branches.values() ?? [])].map(({ greatest }) => greatest + 1)
      return common && { ...common, next: Math.min(source.partition.highWatermark, Math.max(common.next, ...ends)) }
    }
  }
}
const { commonWith } = EventsOfBranches.prototype

for (const [name, install] of Object.entries(canaries)) {
  t.test(`caught: ${name}`, async (t) => {
    install()
    t.teardown(() => {
      EventsOfBranches.prototype.commonWith = commonWith
    })
    const rig = new Rig()
    const image = await unaware(rig, { lives: 1 })
    rig.centre.link = { ...goodLink }
    await rig.machine.run(60_000)
    await deliver(rig, numbers(5, 500))
    putBack(rig, image)
    forget(rig)
    await start(rig, numbers(3, 600))
    await rig.machine.run(60_000)
    const expected = [numbers(10), numbers(10, 10), numbers(6, 100), numbers(5, 500), numbers(3, 600)].flatMap((texts) => withSecond(texts))
    const arrived = [0, 1].flatMap((partition) => rig.values('centre.plant', partition))
    t.not(String([...arrived].sort()), String(expected.sort()))
    await rig.close()
  })
}

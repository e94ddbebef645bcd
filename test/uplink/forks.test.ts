// Proves for runtime/uplink: when an older image of the disk is put back, or copies of it are in use, every event that any of them took in and kept
// reaches the centre once, nothing that the centre has is sent again, and `wadi.id` with `wadi.offset` names one event only.

import t, { type Test } from 'tap'
import type { DiskImage } from '../sim/sim-disk.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const twoTopics = {
  topics: new Map([
    ['plant', 'centre.plant'],
    ['meter', 'centre.meter']
  ])
}

/** Two topics in one of the centre. */
async function startShared(rig: Rig): Promise<void> {
  await rig.open({ plant: {}, meter: {} })
  const topics = new Map([
    ['plant', 'centre.plant'],
    ['meter', 'centre.plant']
  ])
  rig.start({ topics })
}

/** The gateway is switched off and its disk copied. */
async function copyDisk(rig: Rig): Promise<DiskImage> {
  await rig.close()
  return rig.machine.disk.takeImage()
}

async function putBack(rig: Rig, image: DiskImage): Promise<void> {
  await rig.close()
  rig.machine.disk.putBack(image)
}

/** A start of the gateway, with the link as it is, that takes in `texts` before the centre is heard. */
async function start(rig: Rig, texts: readonly string[] = []): Promise<void> {
  await rig.open()
  await rig.append(texts)
  rig.start()
}

/** The disk of the running gateway is copied; without a link it writes `more`, in the same start, and falls. The copy is in its place then. @returns its disk */
async function copyRunning(rig: Rig, more: () => Promise<void>): Promise<DiskImage> {
  rig.centre.link = { ...goodLink, isDown: true }
  const copy = rig.machine.disk.takeImage()
  await more()
  rig.kill()
  const original = rig.machine.disk.takeImage()
  rig.machine.disk.putBack(copy)
  rig.centre.link = { ...goodLink }
  return original
}

async function deleteTopic(rig: Rig, name: string): Promise<void> {
  await rig.machine.settle(rig.store.deleteTopic(name, { undelivered: 'refuse' }))
  rig.uplink.removeTopic(name)
}

function namesAreUnique(t: Test, rig: Rig, topic = 'centre.plant'): void {
  const names = new Set<string>()
  for (const { headers, value } of rig.centre.committed(topic, 0)) {
    const name = `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`
    if (names.has(name)) t.fail(`${name} names two events, one of them ${value}`)
    names.add(name)
  }
}

t.test('an older image is put back and takes in events before the link is up: all of them arrive, once', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  const image = await copyDisk(rig)
  await start(rig)
  await rig.deliver(numbers(15, 10))
  await putBack(rig, image)
  rig.centre.link = { ...goodLink, isDown: true }
  await start(rig)
  const fresh = numbers(20, 1000)
  for (const text of fresh) await rig.append([text])
  rig.centre.link = { ...goodLink }
  await rig.machine.run(60_000)
  t.same(rig.values(), [...numbers(25), ...fresh])
  namesAreUnique(t, rig)
  t.ok(rig.noticeKinds().includes('forked'))
  t.equal(rig.uplink.status().counters.forks, 1)
  t.equal(rig.uplink.status().counters.lostEvents, 0)
  await rig.deliver(['later'])
  rig.kill()
  await start(rig, ['after a kill'])
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(25), ...fresh, 'later', 'after a kill'])
  t.equal(rig.uplink.status().counters.forks, 0, 'one fork is found once')
  namesAreUnique(t, rig)
  await rig.close()
})

t.test('an image from before the first delivery is put back', async (t) => {
  const rig = new Rig()
  rig.centre.link = { ...goodLink, isDown: true }
  await start(rig, numbers(3))
  const image = await copyDisk(rig)
  rig.centre.link = { ...goodLink }
  await start(rig)
  await rig.deliver(numbers(5, 10))
  await putBack(rig, image)
  await start(rig, numbers(4, 100))
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(3), ...numbers(5, 10), ...numbers(4, 100)])
  namesAreUnique(t, rig)
  await rig.close()
})

t.test('events of the image that the centre did not have yet are delivered; those it has are not', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(5))
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.append(numbers(5, 5)) // in the image, not at the centre
  const image = await copyDisk(rig)
  rig.centre.link = { ...goodLink }
  await start(rig)
  await rig.machine.run(5_000)
  await rig.deliver(numbers(5, 10))
  await putBack(rig, image)
  await start(rig, numbers(3, 100))
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(15), ...numbers(3, 100)])
  namesAreUnique(t, rig)

  const other = new Rig()
  await start(other)
  await other.deliver(numbers(5))
  other.centre.link = { ...goodLink, isDown: true }
  await other.append(numbers(5, 5))
  const early = await copyDisk(other)
  await start(other) // the original starts once more and delivers nothing
  await putBack(other, early)
  other.centre.link = { ...goodLink }
  await start(other, numbers(3, 100))
  await other.machine.run(30_000)
  t.same(other.values(), [...numbers(10), ...numbers(3, 100)])
  await rig.close()
  await other.close()
})

t.test('the image was taken in the life that went on to deliver: what came behind it is of two branches', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  const image = rig.machine.disk.takeImage() // running
  await rig.deliver(numbers(15, 10))
  rig.kill()
  rig.machine.disk.putBack(image)
  await start(rig, numbers(20, 500))
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(25), ...numbers(20, 500)])
  namesAreUnique(t, rig)
  await rig.close()
})

t.test('the image starts several times before the link is up, and one of its images is put back again', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  const image = await copyDisk(rig)
  for (let life = 0; life < 3; life++) {
    await start(rig)
    await rig.deliver(numbers(5, 10 + life * 5))
    rig.kill()
  }
  await rig.open()
  rig.start()
  await putBack(rig, image)
  rig.centre.link = { ...goodLink, isDown: true }
  for (let life = 0; life < 4; life++) {
    await start(rig, numbers(4, 100 + life * 4))
    rig.kill()
  }
  rig.centre.link = { ...goodLink }
  await start(rig)
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(25), ...numbers(16, 100)])
  const second = await copyDisk(rig)
  await start(rig)
  await rig.deliver(numbers(6, 200))
  await putBack(rig, second)
  await start(rig, numbers(6, 300))
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(25), ...numbers(16, 100), ...numbers(6, 200), ...numbers(6, 300)])
  namesAreUnique(t, rig)
  await rig.close()
})

t.test(
  'an image put back was copied before it had noted that it is a branch, and the branch went on: two forks are found at one start',
  async (t) => {
    const rig = new Rig()
    await start(rig)
    await rig.deliver(numbers(10))
    const image = await copyDisk(rig)
    await start(rig)
    await rig.deliver(numbers(10, 10))
    await putBack(rig, image)
    rig.centre.link = { ...goodLink, isDown: true }
    await start(rig, numbers(5, 100))
    const unaware = rig.machine.disk.takeImage() // it runs, and has not heard the centre
    rig.centre.link = { ...goodLink }
    await rig.machine.run(30_000)
    await rig.deliver(numbers(5, 200))
    await putBack(rig, unaware)
    await start(rig, numbers(5, 300))
    await rig.machine.run(30_000)
    t.same(rig.values(), [...numbers(20), ...numbers(5, 100), ...numbers(5, 200), ...numbers(5, 300)])
    namesAreUnique(t, rig)
    t.equal(rig.uplink.status().counters.forks, 2)
    await rig.deliver(['later'])
    rig.kill()
    await start(rig, ['after a kill'])
    await rig.machine.run(30_000)
    t.same(rig.values().slice(-2), ['later', 'after a kill'])
    t.equal(rig.uplink.status().counters.forks, 0, 'each fork is found once')
    namesAreUnique(t, rig)
    await rig.close()
  }
)

t.test('an older image of a topic that is not delivered at the start that could find it out: a branch all the same', async (t) => {
  const rig = new Rig()
  const open = async (settings: { topics: ReadonlyMap<string, string> }): Promise<void> => {
    await rig.open({ plant: {}, meter: {} })
    rig.start(settings)
    await rig.machine.run(5_000)
  }
  await open(twoTopics)
  await rig.append(numbers(5))
  await rig.append(numbers(5), { topic: 'meter' })
  await rig.machine.run(5_000)
  const image = rig.machine.disk.takeImage() // running: both have the start in common
  await rig.append(numbers(5, 10), { topic: 'meter' })
  await rig.machine.run(5_000)
  rig.kill()
  rig.machine.disk.putBack(image)
  await open({ topics: new Map([['plant', 'centre.plant']]) })
  await rig.append(numbers(5, 100), { topic: 'meter' })
  await rig.append(['more'])
  await rig.machine.run(5_000)
  await rig.close()
  await open(twoTopics)
  await rig.machine.run(30_000)
  t.same(rig.values('centre.meter'), [...numbers(5), ...numbers(5, 10), ...numbers(5, 100)])
  t.same(rig.values(), [...numbers(5), 'more'])
  namesAreUnique(t, rig, 'centre.meter')
  await rig.close()
})

t.test('the same image is put back twice, and then the disk that it replaced', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  const image = await copyDisk(rig)
  await start(rig)
  await rig.deliver(numbers(5, 10))
  const original = await copyDisk(rig)
  const expected = numbers(15)
  for (const life of [1, 2]) {
    rig.machine.disk.putBack(image)
    await start(rig, numbers(4, life * 100))
    await rig.machine.run(30_000)
    expected.push(...numbers(4, life * 100))
    t.same(rig.values(), expected, `image, ${life}`)
    await rig.close()
  }
  rig.machine.disk.putBack(original)
  await start(rig, numbers(3, 300))
  await rig.machine.run(30_000)
  t.same(rig.values(), [...expected, ...numbers(3, 300)], 'the original')
  namesAreUnique(t, rig)
  await rig.close()
})

/** `written`: offsets of the first start behind what was delivered. */
for (const written of [5, 20]) {
  t.test(
    `a position of a branch whose fork this disk has not noted, and none of the line it came from: ${written} of the first start are in the branch`,
    async (t) => {
      const rig = new Rig()
      await start(rig)
      await rig.deliver(numbers(10))
      const original = await copyRunning(rig, () => rig.append(numbers(written, 100)))
      await start(rig)
      await rig.deliver(numbers(40, 200)) // the copy, on the line that both came from
      await putBack(rig, original)
      rig.centre.link = { ...goodLink, isDown: true }
      await rig.open()
      await rig.append(numbers(30 - written, 300))
      const unaware = rig.machine.disk.takeImage()
      rig.centre.link = { ...goodLink }
      rig.start({ transactionBytesMax: 200 })
      const delivered = async (count: number): Promise<void> => {
        while (rig.values().length < count) await rig.machine.run(5)
      }
      await delivered(53)
      rig.centre.expirePositions()
      rig.centre.expireProducers()
      await delivered(58)
      rig.kill()
      const count = rig.values().length
      t.ok(count < 70, `${count} of 80 are there`)
      rig.machine.disk.putBack(unaware)
      await start(rig, ['later'])
      await rig.machine.run(60_000)
      const expected = [...numbers(10), ...numbers(40, 200), ...numbers(written, 100), ...numbers(30 - written, 300), 'later']
      t.same(rig.values(), expected)
      namesAreUnique(t, rig)
      t.equal(rig.uplink.status().counters.undecidedEvents, 0)
      await rig.close()
    }
  )
}

t.test('two copies of one disk in turn: each delivers its own events once, whichever comes back', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  let parked = await copyDisk(rig)
  const expected = numbers(10)
  for (let turn = 0; turn < 6; turn++) {
    await start(rig, numbers(4, 100 * (turn + 1)))
    await rig.machine.run(30_000)
    expected.push(...numbers(4, 100 * (turn + 1)))
    t.same(rig.values(), expected, `turn ${turn}`)
    const mine = await copyDisk(rig)
    rig.machine.disk.putBack(parked)
    parked = mine
  }
  namesAreUnique(t, rig)
  await rig.open()
  rig.start()
  await rig.close()
})

t.test('several topics: one fork for the whole log, also for a topic that the original did not write to', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  rig.start(twoTopics)
  await rig.deliver(numbers(10))
  await rig.deliver(numbers(10), { topic: 'meter' })
  const image = await copyDisk(rig)
  await rig.open()
  rig.start(twoTopics)
  await rig.deliver(numbers(5, 10))
  await putBack(rig, image)
  await rig.open()
  await rig.append(numbers(7, 100))
  await rig.append(numbers(7, 200), { topic: 'meter' })
  rig.start(twoTopics)
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(15), ...numbers(7, 100)])
  t.same(rig.values('centre.meter'), [...numbers(10), ...numbers(7, 200)])
  namesAreUnique(t, rig)
  namesAreUnique(t, rig, 'centre.meter')
  await rig.close()
})

t.test('an older image, and the centre has forgotten the position: what it has is found in its log, the rest is sent', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  const image = await copyDisk(rig)
  await start(rig)
  await rig.deliver(numbers(15, 10))
  await putBack(rig, image)
  rig.centre.expirePositions()
  rig.centre.expireProducers()
  await start(rig, numbers(20, 700))
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(25), ...numbers(20, 700)])
  await rig.close()
})

t.test('a position of an older version is understood, and an image behind it is found out', async (t) => {
  for (const isAhead of [false, true]) {
    const rig = new Rig()
    await rig.open()
    await rig.append(numbers(10))
    const { logId } = rig.store
    // As a directory of that version: no starts are known.
    await rig.machine.settle(
      rig.store.commit(
        [],
        [...rig.store.listState('meta/starts'), ...rig.store.listState('epoch/')].map((key) => ({ key, value: null }))
      )
    )
    await rig.machine.settle(rig.store.close())
    const earlier = rig.centre.connect(rig.machine.clock, 'edge.test.gateway')
    rig.centre.createTopic('centre.plant', 1)
    const pieces = [`wadi1;${logId};${isAhead ? '3' : '1'};plant=${isAhead ? 'p' : '4'}`] // 25 or 4
    await rig.machine.settle(
      (async () => {
        await earlier.initProducer()
        await earlier.addPartitions([{ topicName: 'centre.plant', partitionIndex: 0 }])
        await earlier.commitPosition(new Map([['centre.plant', { committedOffset: 4, pieces }]]))
        await earlier.endTransaction('commit')
      })()
    )
    await start(rig, numbers(5, 100))
    await rig.machine.run(30_000)
    t.same(rig.values(), isAhead ? numbers(5, 100) : [...numbers(6, 4), ...numbers(5, 100)])
    t.equal(rig.noticeKinds().includes('forked'), isAhead)
    await rig.close()
  }
})

t.test('a running disk was copied, the copy delivered first, then the original comes back: what each took in arrives once', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  const original = await copyRunning(rig, () => rig.append(numbers(10, 100)))
  await start(rig)
  await rig.deliver(numbers(5, 200))
  await rig.close()
  rig.machine.disk.putBack(original)
  await start(rig, numbers(3, 300))
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(10), ...numbers(5, 200), ...numbers(10, 100), ...numbers(3, 300)])
  namesAreUnique(t, rig)
  t.equal(rig.uplink.status().counters.undecidedEvents, 0)
  rig.kill()
  await start(rig, ['after a kill'])
  await rig.machine.run(30_000)
  t.same(rig.values().slice(28), ['after a kill'])
  t.equal(rig.uplink.status().counters.forks, 0, 'one fork is found once')
  namesAreUnique(t, rig)
  await rig.close()
})

t.test('… the copy deletes the topic and makes it again: where its starts began is still known', async (t) => {
  const rig = new Rig()
  await start(rig)
  await rig.deliver(numbers(10))
  const original = await copyRunning(rig, () => rig.append(numbers(10, 100)))
  await start(rig)
  await rig.deliver(numbers(5, 200))
  for (const texts of [numbers(2, 400), numbers(2, 500)]) {
    await deleteTopic(rig, 'plant')
    await rig.machine.settle(rig.store.createTopic('plant', {}))
    rig.uplink.addTopic('plant', 'centre.plant')
    await rig.deliver(texts)
  }
  await putBack(rig, original)
  await start(rig, numbers(3, 300))
  await rig.machine.run(30_000)
  const delivered = [...numbers(10), ...numbers(5, 200), ...numbers(2, 400), ...numbers(2, 500)]
  t.same(rig.values(), [...delivered, ...numbers(10, 100), ...numbers(3, 300)])
  namesAreUnique(t, rig)
  t.equal(rig.uplink.status().counters.undecidedEvents, 0)
  await rig.close()
})

t.test('… the copy deletes the topic, and another one goes on in its upstream topic', async (t) => {
  const rig = new Rig()
  await startShared(rig)
  await rig.deliver(numbers(10))
  const original = await copyRunning(rig, () => rig.append(numbers(10, 100)))
  await startShared(rig)
  await rig.deliver(numbers(5, 200))
  await deleteTopic(rig, 'plant')
  await rig.deliver(numbers(4, 400), { topic: 'meter' })
  await putBack(rig, original)
  await startShared(rig)
  await rig.machine.run(30_000)
  t.same(rig.values(), [...numbers(10), ...numbers(5, 200), ...numbers(4, 400), ...numbers(10, 100)])
  t.equal(rig.uplink.status().counters.undecidedEvents, 0)
  await rig.close()
})

t.test('… the copy has written nothing to the partition when the original comes back, and does later', async (t) => {
  const rig = new Rig()
  await startShared(rig)
  await rig.deliver(numbers(10))
  const original = await copyRunning(rig, () => rig.append(numbers(5, 100)))
  await startShared(rig)
  await rig.deliver(['of the meter'], { topic: 'meter' })
  const later = await copyDisk(rig)
  await putBack(rig, original)
  await startShared(rig)
  await rig.machine.run(30_000)
  await putBack(rig, later)
  await startShared(rig)
  await rig.deliver(numbers(5, 200))
  t.same(rig.values(), [...numbers(10), 'of the meter', ...numbers(5, 100), ...numbers(5, 200)])
  const names = rig.centre
    .committed('centre.plant', 0)
    .map(({ headers, value }) => ({ name: `${headers.get('wadi.id')} ${headers.get('wadi.topic')} ${headers.get('wadi.offset')}`, value }))
    .filter(({ value }) => value !== 'of the meter')
  t.equal(new Set(names.map(({ name }) => name)).size, names.length, 'a name is of one event')
  await rig.close()
})

t.test('… with two upstream topics, each of which says where the copy began for its own only', async (t) => {
  const rig = new Rig()
  const life = async (texts: readonly string[]): Promise<void> => {
    await rig.open({ plant: {}, meter: {} })
    rig.start(twoTopics)
    await rig.deliver(texts)
    await rig.deliver(texts, { topic: 'meter' })
  }
  await life(numbers(10))
  const original = await copyRunning(rig, async () => {
    await rig.append(numbers(6, 100))
    await rig.append(numbers(6, 100), { topic: 'meter' })
  })
  await life(numbers(3, 200))
  await putBack(rig, original)
  await life(numbers(2, 300))
  await rig.machine.run(30_000)
  for (const topic of ['centre.plant', 'centre.meter']) {
    t.same(rig.values(topic), [...numbers(10), ...numbers(3, 200), ...numbers(6, 100), ...numbers(2, 300)])
    namesAreUnique(t, rig, topic)
  }
  await rig.close()
})

t.test(
  '… after the copy started and delivered so often that the position does not say any more where it began: sent again and counted',
  async (t) => {
    const rig = new Rig()
    await start(rig)
    await rig.deliver(numbers(10))
    await rig.close()
    await start(rig)
    await rig.deliver(numbers(4, 10))
    const original = await copyRunning(rig, () => rig.append(numbers(6, 100)))
    const ofCopy: string[] = []
    for (let life = 0; life < 15; life++) {
      await start(rig)
      await rig.deliver(numbers(1, 200 + life))
      ofCopy.push(...numbers(1, 200 + life))
      await rig.close()
    }
    // As of a gateway with many partitions, whose position lists the beginnings of its newest start only.
    rig.centre.alterPositions((piece) => piece.replace(/,[0-9a-z]*;plant=/, ',g;plant=').replaceAll(/;plant@[0-9a-f]=[^;|]*/g, ''))
    rig.machine.disk.putBack(original)
    await start(rig)
    await rig.machine.run(30_000)
    t.same(rig.values(), [...numbers(14), ...ofCopy, ...numbers(4, 10), ...numbers(6, 100)])
    t.equal(rig.uplink.status().counters.undecidedEvents, 10)
    namesAreUnique(t, rig)
    await rig.close()
  }
)

t.test(
  'an image from after a clean stop, and the centre has forgotten the position: what the original delivered since is found',
  async (t) => {
    const rig = new Rig()
    await start(rig)
    await rig.deliver(numbers(5))
    rig.centre.link = { ...goodLink, isDown: true }
    await rig.append(numbers(5, 5))
    const image = await copyDisk(rig)
    rig.centre.link = { ...goodLink }
    await start(rig)
    await rig.machine.run(5_000)
    await rig.deliver(numbers(5, 10))
    await putBack(rig, image)
    rig.centre.expirePositions()
    rig.centre.expireProducers()
    await start(rig, numbers(3, 100))
    await rig.machine.run(30_000)
    t.same(rig.values(), [...numbers(15), ...numbers(3, 100)])
    namesAreUnique(t, rig)
    await rig.close()
  }
)
